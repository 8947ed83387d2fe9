"""CloudEvents 1.0 on the input topics, as its Kafka binding has them: an envelope around one of our events.

| mode       | told by                                         | the event                           |
| ---------- | ----------------------------------------------- | ----------------------------------- |
| structured | `content-type: application/cloudevents+json`    | `data` or `data_base64` of the value |
| binary     | a header `ce_specversion`                       | the value; attributes in `ce_*`     |

An envelope lends the event what the event does not say itself: `id` is the `event_id`, `time` the `ts`, `subject` the
`user_id` (of an item: the `item_id`). A field that is there counts, also where the envelope says otherwise. The Kafka
key is the user id all the same, so a subject that names something else is a `key_mismatch` and never another user.

`type` may be any: the topic says what an event is. One that begins with `interest.` is ours and must be the topic's,
`interest.click.v1` on clicks. `source` is required and has no meaning here: ids must be unique over all sources.
"""

from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal, NamedTuple

import msgspec

from stream_app.contracts.reasons import Reason

Headers = Iterable[tuple[str, bytes | None]]

STRUCTURED = "application/cloudevents+json"
_ANY_STRUCTURED, _BATCH = b"application/cloudevents", "application/cloudevents-batch"
_CONTENT_TYPE, _PREFIX, _BINARY = "content-type", "ce_", "ce_specversion"
_OURS = "interest."
_EPOCH, _MS = datetime(1970, 1, 1, tzinfo=UTC), timedelta(milliseconds=1)
_BLANK = b" \t\r\n"
_LONGEST_QUOTE = 200

_Text = Annotated[str, msgspec.Meta(min_length=1)]


class EnvelopeError(ValueError):
    """An envelope in which there is no event of ours; the message is for people."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Contents(NamedTuple):
    """What a topic's envelopes are of.

    Attributes:
        type: of our own envelopes.
        id, time, subject: the fields that the attributes of these names fill in; "" for none.
    """

    type: str
    id: str = "event_id"
    time: str = "ts"
    subject: str = "user_id"


class _Attributes(msgspec.Struct, frozen=True):
    """The attributes that mean something here; null is as good as absent, as the JSON format has it.

    Attributes:
        specversion: of CloudEvents.
        id: fills in `event_id`.
        source: any; without a meaning here, so that ids must be unique over all sources.
        type: any; one that begins with `interest.` must be the topic's.
        time: with a time zone; fills in `ts`.
        subject: fills in `user_id`, of an item `item_id`.
        datacontenttype: JSON, also where it is not said.
    """

    specversion: Literal["1.0"]
    id: _Text
    source: _Text
    type: _Text
    time: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    subject: str | None = None
    datacontenttype: str | None = None


class Envelope(_Attributes, frozen=True):
    """An event of ours in an envelope of CloudEvents 1.0.

    Attributes:
        data: the event, without what the attributes fill in.
        data_base64: the same, in Base64, where there is no `data`.

    Example:
        {"specversion": "1.0", "id": "7b6c1f", "source": "/shop", "type": "interest.click.v1",
         "time": "2026-09-21T14:13:20Z", "subject": "u42", "data": {"item_id": "i7", "dwell_ms": 5200}}
    """

    data: msgspec.Raw = msgspec.field(default_factory=msgspec.Raw)  # a default would be in the schema
    data_base64: str | None = None


_envelope = msgspec.json.Decoder(Envelope)
_encode = msgspec.json.Encoder().encode


def is_enveloped(headers: Headers) -> bool:
    """Whether a record's headers say that it is a CloudEvent, in whatever mode and version."""
    for name, value in headers:
        told = name.lower()
        if told == _BINARY or (told == _CONTENT_TYPE and (value or b"").lower().startswith(_ANY_STRUCTURED)):
            return True
    return False


def opened(value: bytes | None, headers: Headers, contents: Contents) -> bytes:
    """The event in a record that `is_enveloped`, as a producer without an envelope would have sent it.

    Raises:
        EnvelopeError: there is none, or the envelope is none of CloudEvents 1.0.
        msgspec.MsgspecError, UnicodeError, RecursionError: the value of a structured one is no JSON.
    """
    if value is None:
        raise EnvelopeError(Reason.NULL_VALUE, "the record has a null value")
    named = {name.lower(): value for name, value in headers}
    media = _text(_CONTENT_TYPE, named.get(_CONTENT_TYPE))
    if media.lower().startswith(_ANY_STRUCTURED.decode()):
        attributes, data = _structured(value, media)
    else:
        attributes, data = _binary(named, media), value
    _check_type(attributes.type, contents)
    return _lent(attributes, data, contents)


def _structured(value: bytes, media: str) -> tuple[_Attributes, bytes]:
    _check_format(media)
    try:
        envelope = _envelope.decode(value)
    except msgspec.ValidationError as error:
        raise _malformed(error) from error
    _check_data_type(envelope.datacontenttype)
    return envelope, _data(envelope)


def _data(envelope: Envelope) -> bytes:
    """JSON of the event. An envelope may lack it or have it null; `data` goes before `data_base64`."""
    data = bytes(envelope.data)
    if data not in (b"", b"null"):
        return data
    if envelope.data_base64 is None:
        raise EnvelopeError(Reason.NULL_VALUE, "the envelope has no data: put the event into `data`")
    try:
        return b64decode(envelope.data_base64, validate=True)
    except (Base64Error, ValueError) as error:
        raise EnvelopeError(Reason.BAD_ENVELOPE, f"data_base64 is no Base64: {error}") from error


def _check_format(media: str) -> None:
    told = _media_type(media)
    if told.startswith(_BATCH):
        text = "a batch of CloudEvents, which Kafka's binding does not have: send one event a record"
        raise EnvelopeError(Reason.BAD_ENVELOPE, text)
    if told != STRUCTURED:
        text = f"the envelope is {_quoted(media)}, read is {STRUCTURED}"
        raise EnvelopeError(Reason.BAD_ENVELOPE, text)


def _binary(named: dict[str, bytes | None], media: str) -> _Attributes:
    _check_data_type(media)
    # The attributes that mean nothing here are only looked at for UTF-8.
    attributes = {name[len(_PREFIX) :]: _text(name, value) for name, value in named.items() if name[:3] == _PREFIX}
    try:
        return msgspec.convert(attributes, _Attributes)
    except msgspec.ValidationError as error:
        raise _malformed(error) from error


def _text(name: str, value: bytes | None) -> str:
    try:
        return (value or b"").decode()
    except UnicodeDecodeError as error:
        raise EnvelopeError(Reason.BAD_ENVELOPE, f"the header {_quoted(name)} is no UTF-8") from error


def _check_data_type(media: str | None) -> None:
    if not media or media == "application/json":
        return
    told = _media_type(media)
    if told not in ("application/json", "text/json") and not told.endswith("+json"):
        text = f"the data are {_quoted(media or '')}, read is application/json"
        raise EnvelopeError(Reason.BAD_ENVELOPE, text)


def _media_type(text: str) -> str:
    return text.partition(";")[0].strip().lower()


def _check_type(found: str, contents: Contents) -> None:
    if found.startswith(_OURS) and found != contents.type:
        text = f"the type is {_quoted(found)}, of this topic's events it is {contents.type}"
        raise EnvelopeError(Reason.BAD_ENVELOPE, text)


def _lent(attributes: _Attributes, data: bytes, contents: Contents) -> bytes:
    """The event with what it may lack ahead of it: of a field that comes twice the last one counts."""
    inside = data.lstrip(_BLANK)
    if not inside.startswith(b"{"):
        return data
    lent: dict[str, str | int | None] = {contents.id: attributes.id, contents.subject: attributes.subject}
    if attributes.time is not None:
        lent[contents.time] = (attributes.time - _EPOCH) // _MS
    lent = {name: value for name, value in lent.items() if name and value is not None}
    if not lent:
        return data
    fields, rest = _encode(lent), inside[1:]
    return fields[:-1] + (b"" if rest.lstrip(_BLANK).startswith(b"}") else b",") + rest


def _malformed(error: msgspec.ValidationError) -> EnvelopeError:
    return EnvelopeError(Reason.BAD_ENVELOPE, f"the envelope is none of CloudEvents 1.0: {_quoted(str(error))}")


def _quoted(text: str) -> str:
    return text if len(text) <= _LONGEST_QUOTE else text[:_LONGEST_QUOTE] + "..."

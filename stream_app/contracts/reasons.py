"""Why an event is not accepted: the `reason` header of a dead letter and the label of its metric."""

from enum import StrEnum


class Reason(StrEnum):
    """The value is what is written; `meaning` says what happened and what the producer should do."""

    meaning: str

    def __new__(cls, value: str, meaning: str) -> "Reason":
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    NOT_JSON = ("not_json", "The value is not a JSON text in UTF-8: send one JSON object a record.")
    WRONG_TYPE = ("wrong_type", "A field has another JSON type than the contract: numbers unquoted, ids as strings.")
    MISSING_FIELD = ("missing_field", "A required field is absent: send every field of the contract.")
    UNKNOWN_VALUE = ("unknown_value", "A field is none of the words it may be: use those that the message lists.")
    BAD_ENVELOPE = (
        "bad_envelope",
        "The record is a CloudEvent that is none of version 1.0, no JSON, or of another topic's type:"
        " send the required attributes and one event in JSON.",
    )
    KEY_MISMATCH = (
        "key_mismatch",
        "The Kafka key is not the user id, or of an item not the item id: key every record by the UTF-8 of that.",
    )
    BAD_ID = ("bad_id", "An id is empty, longer than 256 bytes or has control characters: send a clean, short id.")
    OUT_OF_RANGE = ("out_of_range", "A number is not finite or outside its range: send one within the stated limits.")
    TS_IN_FUTURE = ("ts_in_future", "The event time is too far in the future: send UTC milliseconds, check the clock.")
    TS_INVALID = ("ts_invalid", "The event time is negative or no 64-bit integer: send UTC milliseconds since 1970.")
    TOO_LARGE = ("too_large", "The value is larger than the limit: send the contract's fields only.")
    NULL_VALUE = ("null_value", "The record has no value: to forget a user send an erasure, not a null.")
    WRONG_PARTITION = (
        "wrong_partition",
        "The record is in another partition than murmur2 of its key gives, which would split the user in two:"
        " use Kafka's default partitioner (librdkafka: partitioner=murmur2_random).",
    )

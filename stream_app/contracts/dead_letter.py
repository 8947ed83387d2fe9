"""Dead letters: records that are not valid events, kept as they came.

A dead letter has the original key, value and headers, and after them headers of ours, in UTF-8:

| header      | value                                                                    |
| ----------- | ------------------------------------------------------------------------ |
| `error`     | what is wrong in this record, for people                                 |
| `reason`    | a `Reason`, for programs                                                 |
| `topic`     | where the record was read                                                |
| `partition` | decimal                                                                  |
| `offset`    | decimal                                                                  |
| `truncated` | only on a value too large to be sent on: its original length; the rest is cut off |

Read: consume the topic and take the *last* header of each name, since the original may have one of the same name
(Kafka's own `lastHeader` rule). A null value, which Kafka would take for a deletion, is kept as an empty one.

Replay: after the cause is mended, produce key, value and the headers before ours to the topic named in `topic`, without
a partition, so that the partitioner chooses it. Event ids make that safe: what was applied before is skipped.
"""

import msgspec

from stream_app.contracts.validity import Rejected

Header = tuple[str, bytes | None]

# Kafka refuses records over 1 MiB by default; this leaves room for the key, the headers and the batch around it.
MAX_VALUE_BYTES = 900_000
_MAX_ERROR_CHARACTERS = 1_000


class DeadLetterHeaders(msgspec.Struct, frozen=True):
    """The headers of a dead letter, after those of the original. The key and the value are the original's bytes.

    Attributes:
        error: what is wrong in this record, for people.
        reason: what is wrong, for programs. There may be more reasons some day.
        topic: where the record was read.
        partition: the same, decimal.
        offset: the same, decimal.
        truncated: only on a value too large to be sent on: its original length in bytes, decimal.

    Example:
        {"error": "dwell_ms is -1, allowed are 0 to 86,400,000", "reason": "out_of_range", "topic": "interest.clicks",
         "partition": "3", "offset": "1207"}
    """

    error: str
    reason: str
    topic: str
    partition: str
    offset: str
    truncated: str = ""


def dead_letter(rejected: Rejected) -> tuple[bytes | None, bytes, list[Header]]:
    """Key, value and headers of the record that goes to the dead-letter topic."""
    record = rejected.record
    value = record.value or b""
    headers: list[Header] = [
        *record.headers,
        ("error", rejected.message[:_MAX_ERROR_CHARACTERS].encode(errors="backslashreplace")),
        ("reason", rejected.reason.encode()),
        ("topic", record.topic.encode()),
        ("partition", str(record.partition).encode()),
        ("offset", str(record.offset).encode()),
    ]
    if len(value) > MAX_VALUE_BYTES:
        headers.append(("truncated", str(len(value)).encode()))
    return record.key, value[:MAX_VALUE_BYTES], headers

"""The judge of dead letters is no yes-man."""

from dataclasses import replace

import pytest

from stream_app.contracts.reasons import Reason
from tests.failure.letters import HEADERS, Letter, Post, compare
from tests.failure.poison import Poison

PARTITIONS = 4
TOPIC = "events.clicks"
SENT = Poison("click", b"u1", b"{", headers=[("reason", b"mine")])
PLACE = (TOPIC, 2, 7)


def letter(**changes: str) -> Letter:
    said = {"error": "cut off", "reason": "not_json", "topic": TOPIC, "partition": "2", "offset": "7", **changes}
    ours = [(name, said[name].encode()) for name in HEADERS if name in said]
    return Letter(b"u1", b"{", [("reason", b"mine"), *ours])


def test_one_letter_a_record_is_right_and_more_are_repeats() -> None:
    assert compare({PLACE: SENT}, [letter()], PARTITIONS) == Post()
    assert compare({PLACE: SENT}, [letter(), letter()], PARTITIONS) == Post(repeats=1)


def test_a_record_without_a_letter_is_missing() -> None:
    post = compare({PLACE: SENT, (TOPIC, 2, 8): SENT}, [letter()], PARTITIONS)
    assert len(post.missing) == 1
    assert post.missing[0].startswith(str((TOPIC, 2, 8)))


@pytest.mark.parametrize(
    "wrong",
    [
        letter(reason=Reason.BAD_ID),
        letter(truncated="1"),
        replace(letter(), key=b"u2"),
        replace(letter(), value=b""),
        replace(letter(), headers=letter().headers[1:]),
        replace(letter(), headers=[("reason", b"yours"), *letter().headers[1:]]),
    ],
)
def test_a_letter_that_is_not_as_it_should_be_is_strange(wrong: Letter) -> None:
    post = compare({PLACE: SENT}, [wrong], PARTITIONS)
    assert (len(post.strange), post.missing) == (1, [])


def test_a_letter_of_a_good_event_is_strange() -> None:
    post = compare({}, [letter()], PARTITIONS)
    assert post.strange == [f"{PLACE}: a good event was set aside (cut off): {str(letter())[:200]}"]


def test_a_long_value_is_cut_off_and_its_length_told() -> None:
    long = replace(SENT, value=b"x" * 1_000_000)
    cut = replace(letter(reason="too_large", truncated="1000000"), value=b"x" * 900_000)
    assert compare({PLACE: long}, [cut], PARTITIONS) == Post()
    assert len(compare({PLACE: long}, [replace(cut, value=long.value)], PARTITIONS).strange) == 1

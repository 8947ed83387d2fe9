"""Is every event accounted for?"""

import pytest

from stream_app.demo.meter import Reading
from stream_app.demo.summary import Account
from stream_app.replay import Replayed

SENT = Replayed({"click": 60, "rating": 40}, 2.0)


@pytest.mark.parametrize(
    ("outcomes", "complete"),
    [
        ({"applied": 100}, True),
        ({"applied": 90, "duplicate": 5, "superseded": 2, "forgotten": 1, "dead_lettered": 2}, True),
        ({"applied": 100, "replayed": 7}, True),
        ({"applied": 99}, False),
        ({"applied": 99, "replayed": 1}, False),
        ({"applied": 101}, False),
        ({}, False),
    ],
)
def test_complete_only_if_the_parts_add_up(outcomes: dict[str, int], complete: bool) -> None:
    account = Account(SENT, Reading(outcomes=outcomes))
    assert account.complete is complete
    document = account.document()
    assert document["complete"] is complete
    assert document["sent"] == 100
    assert document["applied"] + document["skipped"] + document["dead_lettered"] == account.accounted

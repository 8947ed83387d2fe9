"""Cycles that are refreshed together: each user once, with the last event that was applied to it."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from model_store.state.advance import Advanced
from model_store.state.batch import EventBatch
from stream_app.pending import Pending

# A cycle: user -> whether an event was applied (else all of the user's events were duplicates).
cycles = st.lists(st.dictionaries(st.integers(0, 5), st.booleans(), min_size=1), min_size=1, max_size=5)


def _batch(cycle: int, users: list[int]) -> EventBatch:
    count = len(users)
    zeros = np.zeros(count, np.int64)
    return EventBatch(
        keys=[b"%d" % user for user in users],
        kind=np.zeros(count, np.int8),
        offset=zeros,
        ts_ms=zeros + cycle,
        event=zeros.astype(np.uint64),
        item=zeros.astype(np.uint64),
        value=zeros.astype(np.float32),
        region=np.zeros(count, np.uint8),
        event_ids=[f"{cycle}:{user}" for user in users],
    )


@given(cycles)
def test_each_user_once_with_its_last_applied_event(given_cycles: list[dict[int, bool]]) -> None:
    pending, last = Pending(), {}
    for number, cycle in enumerate(given_cycles):
        users = list(cycle)
        events = np.array([place if cycle[user] else -1 for place, user in enumerate(users)], np.int64)
        advanced = Advanced(np.zeros(len(users), np.int8), np.array(users, np.int64), events)
        pending.add(3, _batch(number, users), advanced)
        for user in users:
            last.setdefault(user, None)
            if cycle[user]:
                last[user] = f"{number}:{user}"
    (touched,) = pending.touched().values()
    assert sorted(touched.rows.tolist()) == sorted(last)
    for place, user in enumerate(touched.rows.tolist()):
        if last[user] is None:
            assert touched.event[place] == -1
        else:
            trigger = touched.trigger(place)
            assert (trigger.event_id, trigger.kind, trigger.ts) == (last[user], "click", int(last[user].split(":")[0]))

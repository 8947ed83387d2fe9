"""Whom the demo shows."""

import numpy as np

from model_store.training.interactions import ItemFacts, Log, assemble
from stream_app.demo.spotlight import RECENT, Spotlight


def test_stays_with_a_user_while_events_come_then_moves_to_the_busiest() -> None:
    users = ["ann"] * 100 + ["bob"] * 300 + ["eve"] * (2 * RECENT)
    log = Log(users, ["x"] * len(users), np.arange(len(users)), np.full(len(users), np.nan, np.float32), 5.0)
    spotlight = Spotlight(assemble("tiny", "free", log, ItemFacts()))
    assert spotlight.user_id(0) == "ann"
    assert spotlight.user_id(350) == "ann"
    assert spotlight.user_id(100 + RECENT) == "bob"
    assert spotlight.user_id(10**9) == "eve"

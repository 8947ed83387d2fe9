"""Which interactions clicks and ratings make."""

import numpy as np

from model_store.state.layout import Kind
from stream_app.recorded import Interaction, log_of

NAN = float("nan")


def made(*events: tuple[int, Kind, str, float]) -> list[tuple[int, str, float | None]]:
    """Of one user's events (time, kind, item, rating)."""
    ordered = sorted(
        (Interaction(ts, kind, b"ann", item, rating) for ts, kind, item, rating in events), key=lambda e: e[:2]
    )
    log = log_of(ordered)
    assert set(log.users) <= {"ann"}
    ratings = [None if np.isnan(rating) else round(rating, 3) for rating in log.rating.tolist()]
    return list(zip(log.ts_ms.tolist(), log.items, ratings, strict=True))


def test_a_rating_belongs_to_the_last_click_on_its_item() -> None:
    first, second, other = (1, Kind.CLICK, "a", NAN), (5, Kind.CLICK, "a", NAN), (6, Kind.CLICK, "b", NAN)
    assert made(first, second, other, (7, Kind.RATING, "a", 0.5)) == [(1, "a", None), (5, "a", 0.5), (6, "b", None)]
    assert made(first, second, (5, Kind.RATING, "a", 0.5)) == [(1, "a", None), (5, "a", 0.5)]
    assert made(first, second, (3, Kind.RATING, "a", 0.5)) == [(1, "a", 0.5), (5, "a", None)]


def test_the_last_rating_counts_and_may_be_withdrawn() -> None:
    click, rated = (1, Kind.CLICK, "a", NAN), (2, Kind.RATING, "a", 0.5)
    assert made(click, rated, (3, Kind.RATING, "a", 1.0)) == [(1, "a", 1.0)]
    assert made(click, rated, (3, Kind.RATING, "a", NAN)) == [(1, "a", None)]


def test_a_rating_without_a_click_is_an_interaction_and_its_withdrawal_is_none() -> None:
    rated = (2, Kind.RATING, "a", 0.5)
    assert made(rated) == [(2, "a", 0.5)]
    assert made(rated, (3, Kind.RATING, "a", 0.7)) == [(2, "a", 0.7)]
    assert made((3, Kind.RATING, "a", NAN)) == []

"""The doctor's answers that need no server."""

import pytest

from stream_app.doctor import judge_clock


@pytest.mark.parametrize(
    ("server", "fine"),
    [(100.0, True), (100.4, True), (99.2, True), (98.9, False), (101.6, False), (4000.0, False)],
)
def test_clock_is_judged_by_what_cannot_be_the_way(server: float, fine: bool) -> None:
    """Asked at 100.0, answered at 100.5: a server between the two may be right."""
    assert judge_clock(server, 100.0, 100.5).ok is fine

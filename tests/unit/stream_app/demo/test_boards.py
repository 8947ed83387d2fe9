"""What the scenarios show and count of themselves."""

import io
import json
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
from rich.console import Console

from stream_app.client import Interest, InterestReader
from stream_app.contracts.recommendations import Item, Reason, Recommendation, Trigger
from stream_app.demo.boards.news import NewsBoard
from stream_app.demo.boards.shop import ShopBoard
from stream_app.demo.boards.social import SocialBoard, apart
from stream_app.demo.ledger import Ledger
from stream_app.demo.summary import Account, Reading, Tally
from stream_app.replay import Replayed
from stream_app.scenarios.known import SCENARIOS
from stream_app.scenarios.world import tell
from stream_app.sources import Record

HOUR_MS = 3_600_000


def drawn(renderable: object, width: int = 120) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(renderable)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def published(item: str, ts_ms: int, creator: str = "c", topic: str = "T") -> Record:
    word = {"item_id": item, "title": f"[{item}]", "creator_id": creator, "tags": [topic], "published_at": ts_ms}
    return Record("item", item.encode(), json.dumps(word).encode(), ts_ms)


def clicked(item: str) -> Record:
    return Record("click", b"u", json.dumps({"item_id": item}).encode(), 0)


def followed(user: str, action: str, kind: str, target: str) -> Record:
    event = {
        "event_id": "e", "user_id": user, "target_id": target, "target_type": kind, "action": action, "ts": 0
    }  # fmt: skip
    return Record("follow", user.encode(), json.dumps(event).encode(), 0)


def made(user: str, at_ms: int, *items: str, ts_ms: int = 0) -> Recommendation:
    listed = [Item(item, 1.0, Reason("behaviour")) for item in items]
    return Recommendation("e", user, at_ms, Trigger("click", "x", ts_ms), "m", listed)


def test_the_shop_tells_new_products_that_nobody_has_clicked() -> None:
    ledger = Ledger()
    board = ShopBoard(ledger)
    ledger.sent(published("old", 0), 0, standing=True)
    for item in ("a", "b", "c"):
        ledger.sent(published(item, 0), 1_000)
    ledger.offered(made("u", 3_000, "a", "b", "old"))
    ledger.sent(clicked("b"), 4_000)
    ledger.sent(clicked("c"), 4_000)
    document = board.document()
    assert (document["new_items"], document["new_items_recommended_before_first_click"]) == (3, 2)
    assert document["told_to_first_recommendation_p50_ms"] == 2_000
    assert board.labels(["old", "a", "b", "unknown"]) == {
        "old": "[old]", "a": "[a]  (new, nobody has clicked it)", "b": "[b]  (new)"
    }  # fmt: skip
    text = drawn(board.panel())
    for part in (
        "synthetic",
        "3 new products",
        "2 recommended before their first click",
        "2 recommended at all",
        "[c]",
    ):
        assert part in text
    assert text.index("[b]") < text.index("[c]")  # first those that were recommended before their first click


def test_the_newsroom_tells_how_old_what_it_recommends_is() -> None:
    story = tell(replace(SCENARIOS["news"].nature, users=10), 1)
    ledger = Ledger()
    board = NewsBoard(ledger, story)
    start = story.late_ms
    for age_h in (1, 2, 3):
        ledger.sent(published(f"a{age_h}", start - age_h * HOUR_MS), 0)
    ledger.sent(Record("click", b"u", b'{"item_id": "a1"}', start), 0)
    ledger.offered(made("u", 1, "a1", "a2", "a3", ts_ms=start))
    assert board.document()["age_p50_h"] == 2.0
    assert board.labels(["a3"]) == {"a3": "[a3]  (3.0 h old)"}
    text = drawn(board.panel())
    for part in ("synthetic", "3 articles now", "2.0 h median age", "66.7%", "33.3%"):
        assert part in text
    assert "0 recommended more than 5 s after withdrawal" in text


def test_breaking_news_is_named_while_it_breaks() -> None:
    story = tell(replace(SCENARIOS["news"].nature, users=10), 1)
    step, topic = np.argwhere(story.heat == story.heat.max())[0]
    ledger = Ledger()
    ledger.now_ms = story.start_ms + int(step) * story.step_ms
    text = drawn(NewsBoard(ledger, story).panel())
    assert f"breaking: {story.topics[topic]}" in text
    quiet = int(np.flatnonzero((story.heat == 1).all(axis=1))[0])
    ledger.now_ms = story.start_ms + quiet * story.step_ms
    assert "nothing breaks" in drawn(NewsBoard(ledger, story).panel())


class Redis:
    """What a reader finds: the interests that the test puts there."""

    def __init__(self) -> None:
        self.interests: dict[str, Interest] = {}

    def get_many(self, users: Any) -> dict[str, Interest]:
        return {user: self.interests[user] for user in users if user in self.interests}

    def put(self, user: str, version: int, social: list[float], vector: list[float]) -> None:
        none = np.zeros(2, np.float32)
        self.interests[user] = Interest(
            user, np.array(vector, np.float32), none, np.array(social, np.float32), none, {}, {}, version, 1, version,
            0, 0, "m",
        )  # fmt: skip


def look(board: SocialBoard, redis: Redis) -> None:
    board.look(cast(InterestReader, redis))


def test_a_silent_members_interests_move_with_a_follow_and_back_with_the_unfollow() -> None:
    redis, board = Redis(), SocialBoard(Ledger(), ["s"])
    look(board, redis)
    for action, target, social in (
        ("follow", "a", [3.0, 0.0]),
        ("follow", "b", [3.0, 4.0]),
        ("unfollow", "b", [3.0, 0.0]),
    ):
        board.sent(followed("s", action, "creator", target))
        redis.put("s", redis.interests["s"].version + 1 if "s" in redis.interests else 1, social, [1.0, 0.0])
        look(board, redis)
        look(board, redis)  # nothing new
    document = board.document()
    assert document["moves"] == 2  # what was before the first one is not known
    assert document["social_moved_p50"] == pytest.approx(4 / 5)
    assert document["vector_moved_p50"] == 0
    assert (document["unfollows_compared"], document["social_from_before_p50"]) == (1, 0)
    assert board.watched("somebody active") == "s"
    text = drawn(board.panel(), 140)
    assert "unfollows creator b" in text
    assert "s, below, has clicked nothing and follows creator a" in text


def test_how_far_one_stays_from_before_is_told_and_an_earlier_run_does_not_count() -> None:
    redis, board = Redis(), SocialBoard(Ledger(), ["s"])
    redis.put("s", 7, [1.0, 0.0], [1.0, 0.0])
    look(board, redis)
    board.sent(followed("s", "follow", "topic", "T"))
    redis.put("s", 8, [1.0, 1.0], [1.0, 1.0])
    look(board, redis)
    board.sent(followed("s", "unfollow", "topic", "T"))
    redis.put("s", 9, [1.0, 0.1], [1.0, 0.0])
    look(board, redis)
    document = board.document()
    assert (document["moves"], document["unfollows_compared"]) == (2, 1)
    assert document["social_from_before_p50"] == pytest.approx(0.1 / 1.01**0.5)


def test_what_never_moved_is_not_counted_as_back() -> None:
    redis, board = Redis(), SocialBoard(Ledger(), ["s"])
    redis.put("s", 7, [1.0, 0.0], [1.0, 0.0])
    look(board, redis)
    for version, action in ((8, "follow"), (9, "unfollow")):
        board.sent(followed("s", action, "topic", "T"))
        redis.put("s", version, [1.0, 0.0], [1.0, 0.0])
        look(board, redis)
    document = board.document()
    assert (document["moves"], document["social_moved_p50"], document["unfollows_compared"]) == (2, 0, 0)


def test_what_silent_members_are_recommended_is_compared_with_another_ones_followees() -> None:
    ledger = Ledger()
    board = SocialBoard(ledger, ["s", "t"])
    for item, creator, topic in (("i", "a", "X"), ("j", "b", "Y"), ("k", "c", "Z"), ("l", "c", "Z")):
        ledger.sent(published(item, 0, creator, topic), 0)
    board.sent(followed("s", "follow", "creator", "a"))
    board.sent(followed("s", "follow", "topic", "Y"))
    board.sent(followed("t", "follow", "creator", "b"))
    board.sent(followed("active", "follow", "creator", "c"))
    board.offered(made("s", 1, "i", "j", "k", "l"))
    board.offered(made("active", 1, "k"))
    document = board.document()
    assert document["recommendations_to_silent"] == 1
    assert (document["share_of_their_followees"], document["share_of_anothers_followees"]) == (0.5, 0.25)


def test_distance_is_a_share_of_the_longer_vector() -> None:
    one = np.array([3.0, 4.0], np.float32)
    assert apart(one, one) == 0
    assert apart(one, 0 * one) == apart(0 * one, one) == 1
    assert apart(0 * one, 0 * one) == 0
    assert apart(one, -one) == 2


@pytest.mark.parametrize(("unheard", "complete"), [(0, True), (1, False)])
def test_words_on_items_are_accounted_for_beside_events(unheard: int, complete: bool) -> None:
    sent = Replayed({"click": 5, "item": 3}, 1.0)
    account = Account(sent, Reading(outcomes={"applied": 5}), Tally(9, unheard, {"figure": "7"}, {"figure": 7}))
    assert account.complete is complete
    document = account.document()
    assert (document["sent"], document["items"], document["items_unheard"]) == (8, 9, unheard)
    assert document["scenario"] == {"figure": 7}
    text = drawn(account.table())
    assert f"{9 - unheard} of 9" in text
    assert "5 of 5" in text

"""The made-up worlds: the same for the same seed, and as their natures say, counted event by event."""

import math
from collections import Counter
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest

from model_store.state.layout import Kind
from stream_app.contracts.events import Click, Follow, Rating
from stream_app.contracts.items import Item, judge_item
from stream_app.contracts.validity import Limits, judge
from stream_app.scenarios.known import SCENARIOS
from stream_app.scenarios.story import Story
from stream_app.scenarios.things import START_MS, heat_of
from stream_app.scenarios.world import tell

NAMES = sorted(SCENARIOS)
KINDS = {"click": Kind.CLICK, "rating": Kind.RATING, "follow": Kind.FOLLOW}


@dataclass
class Consumed:
    key: bytes | None
    value: bytes | None
    topic: str = "t"
    partition: int = 0
    offset: int = 0
    timestamp: int = 0
    headers: tuple[tuple[str, bytes | None], ...] = ()


@cache
def story(name: str) -> Story:
    return SCENARIOS[name].story()


def clicks(of: Story) -> list[Click]:
    return [event for event in of.events if isinstance(event, Click)]


@pytest.mark.parametrize("name", NAMES)
def test_the_seed_decides_everything(name: str) -> None:
    nature = replace(SCENARIOS[name].nature, users=40, late_steps=12)
    one, again, other = tell(nature, 1), tell(nature, 1), tell(nature, 2)
    assert (one.events, one.lives) == (again.events, again.lives)
    assert list(one.whole().records()) == list(again.whole().records())
    assert one.events != other.events


@pytest.mark.parametrize("name", NAMES)
def test_events_are_in_order_and_nobody_clicks_what_is_not_there_or_twice(name: str) -> None:
    told = story(name)
    assert [event.ts for event in told.events] == sorted(event.ts for event in told.events)
    assert [event.event_id for event in told.events] == [str(place) for place in range(len(told.events))]
    lives = {life.item.item_id: life for life in told.lives}
    for click in clicks(told):
        life = lives[click.item_id]
        assert life.item.published_at <= click.ts
        assert life.withdrawn_ms is None or click.ts < life.withdrawn_ms
    pairs = Counter((click.user_id, click.item_id) for click in clicks(told))
    assert pairs.most_common(1)[0][1] == 1


@pytest.mark.parametrize("name", NAMES)
def test_shares_of_ratings_and_follows_are_those_declared(name: str) -> None:
    told, nature = story(name), SCENARIOS[name].nature
    count = len(clicks(told))
    rated = sum(isinstance(event, Rating) for event in told.events)
    # Four standard deviations of a count of independent draws.
    assert abs(rated - count * nature.rating_share) <= 4 * math.sqrt(count * nature.rating_share)
    follows = [one for one in told.events if isinstance(one, Follow) and one.user_id not in told.silent]
    followed = sum(one.action == "follow" for one in follows)
    assert followed <= count * nature.follow_share + 4 * math.sqrt(count * nature.follow_share)
    assert followed >= count * nature.follow_share / 2  # whom somebody follows already is not followed again
    assert {one.target_type for one in follows} == set(nature.followed)


@pytest.mark.parametrize("name", NAMES)
def test_items_end_as_often_and_after_as_long_as_declared(name: str) -> None:
    told, nature = story(name), SCENARIOS[name].nature
    appeared = [life for life in told.lives if life.item.published_at >= START_MS]
    ending = [life for life in appeared if life.withdrawn_ms is not None]
    wanted = len(appeared) * nature.ending_share
    assert abs(len(ending) - wanted) <= 4 * math.sqrt(len(appeared) * nature.ending_share * (1 - nature.ending_share))
    shortest, longest = nature.life_ms
    lengths = [(life.withdrawn_ms or 0) - life.item.published_at for life in ending]
    assert shortest - 1 <= min(lengths) <= max(lengths) <= longest
    # Uniform in the logarithm: half live longer than the geometric mean.
    longer = sum(length > math.sqrt(shortest * longest) for length in lengths)
    assert abs(longer - len(lengths) / 2) <= 4 * math.sqrt(len(lengths)) / 2


def test_no_article_outlives_the_day_and_products_mostly_stay() -> None:
    assert all(
        life.withdrawn_ms is not None and life.withdrawn_ms - life.item.published_at <= 86_400_000
        for life in story("news").lives
    )
    assert sum(life.withdrawn_ms is None for life in story("shop").lives) > len(story("shop").lives) / 2


def test_tastes_show_and_drift() -> None:
    """A shopper clicks few topics much, and in the long run others than at first."""
    topic = {life.item.item_id: life.item.tags[0] for life in story("shop").lives}
    by_user: dict[str, list[str]] = {}
    for click in clicks(story("shop")):
        by_user.setdefault(click.user_id, []).append(topic[click.item_id])
    busy = [topics for topics in by_user.values() if len(topics) >= 40]
    assert len(busy) > 100
    same, later = [], []
    for topics in busy:
        first, next_ten, last = topics[:10], topics[10:20], topics[-10:]
        favourite = Counter(first).most_common(1)[0][0]
        same.append(next_ten.count(favourite) / 10)
        later.append(last.count(favourite) / 10)
    assert np.mean(same) > 0.3  # by chance it would be a tenth
    assert np.mean(later) < np.mean(same)


def test_topics_break_and_fade_by_their_half_life() -> None:
    nature = SCENARIOS["news"].nature
    heat = heat_of(nature, np.random.default_rng(5))
    assert heat.min() == 1
    assert heat.max() == nature.burst_height
    broke, topic = np.argwhere(heat == nature.burst_height)[0]
    steps = round(nature.burst_half_life_ms / nature.step_ms)
    quiet = [step for step in range(broke + 1, broke + steps + 1) if heat[step, topic] == nature.burst_height]
    assert not quiet
    assert heat[broke + steps, topic] == pytest.approx(1 + (nature.burst_height - 1) / 2)


def test_a_topic_that_breaks_is_clicked_more() -> None:
    told = story("news")
    topic = {life.item.item_id: told.topics.index(life.item.tags[0]) for life in told.lives}
    hot = cold = hot_clicks = cold_clicks = 0
    counts = np.zeros(told.heat.shape, np.int64)
    for click in clicks(told):
        counts[(click.ts - told.start_ms) // told.step_ms % len(counts), topic[click.item_id]] += 1
    for step in range(len(counts)):
        for place in range(counts.shape[1]):
            if told.heat[step, place] > 3:
                hot, hot_clicks = hot + 1, hot_clicks + counts[step, place]
            elif told.heat[step, place] == 1:
                cold, cold_clicks = cold + 1, cold_clicks + counts[step, place]
    assert hot_clicks / hot > 2 * cold_clicks / cold


def test_silent_members_only_follow_and_unfollow_all_but_the_first() -> None:
    told = story("social")
    nature = SCENARIOS["social"].nature
    assert len(told.silent) == round(nature.users * nature.silent_share)
    for user in told.silent:
        mine = [event for event in told.events if event.user_id == user]
        assert all(isinstance(event, Follow) for event in mine)
        assert [event.action for event in mine if isinstance(event, Follow)] == [
            "follow", *["follow", "unfollow"] * 3
        ]  # fmt: skip
        targets = [(event.target_type, event.target_id) for event in mine if isinstance(event, Follow)]
        assert targets[1::2] == targets[2::2]
        assert targets[0] not in targets[1:]
        assert len({event.ts for event in mine}) == len(mine)


def test_targets_are_creators_topics_and_users_that_there_are() -> None:
    told = story("social")
    known = {
        "creator": {life.item.creator_id for life in told.lives},
        "topic": set(told.topics),
        "user": {click.user_id for click in clicks(told)},
    }
    users = {f"member-{place}" for place in range(SCENARIOS["social"].nature.users)} - told.silent
    for event in told.events:
        if isinstance(event, Follow):
            assert event.target_id in (users if event.target_type == "user" else known[event.target_type])
            assert (event.target_type, event.target_id) != ("user", event.user_id)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_played_is_what_the_topics_take_and_the_catalogue_hears_of_every_item(name: str) -> None:
    told = story(name)
    source, late, standing = told.whole("run"), told.late("run"), told.standing()
    records = list(source.records())
    assert source.events == len(records) == (late.events or 0) + (standing.events or 0)
    assert source.items == standing.events
    assert {record.kind for record in records[: source.items]} == {"item"}
    times = [one.ts_ms for one in late.records()]
    assert times == sorted(times)
    assert {one.kind for one in late.records() if one.ts_ms < told.late_ms} <= {"follow"}
    follows = [event for event in told.events if isinstance(event, Follow)]
    assert sum(one.kind == "follow" for one in late.records()) == len(follows)
    said: dict[str, list[bool]] = {}
    for record in records:
        sent = Consumed(record.key, record.value)
        if record.kind == "item":
            item = judge_item(sent)
            assert isinstance(item, Item)
            said.setdefault(item.item_id, []).append(item.deleted)
        else:
            event = judge(KINDS[record.kind], sent, Limits(partitions=1), now_ms=record.ts_ms)
            assert isinstance(event, Click | Rating | Follow)
            assert event.event_id.startswith(f"{name}/run/")
    for life in told.lives:
        gone_before = life.withdrawn_ms is not None and life.withdrawn_ms <= told.late_ms
        end_ms = told.start_ms + len(told.heat) * told.step_ms
        goes = life.withdrawn_ms is not None and told.late_ms < life.withdrawn_ms < end_ms
        assert said[life.item.item_id] == ([True] if gone_before else [False, True] if goes else [False])


@pytest.mark.parametrize("name", NAMES)
def test_a_model_learns_from_what_was_before_and_from_nothing_else(name: str) -> None:
    told = story(name)
    early, played = told.early(), told.late_clicks()
    wanted = [click for click in clicks(told) if click.ts < told.early_ms]
    assert len(early) == len(wanted)
    assert [early.users[user] for user in early.user.tolist()][:50] == [click.user_id for click in wanted[:50]]
    assert early.times == "synthetic"
    assert "synthetic" in early.terms
    assert set(early.topics) == set(told.topics)
    published = {life.item.item_id: life.item.published_at for life in told.lives}
    assert all(published[item] < told.early_ms for item in early.items)
    assert len(played) == sum(click.ts >= told.late_ms for click in clicks(told))
    ratings = {(one.user_id, one.item_id): one.rating for one in told.events if isinstance(one, Rating)}
    for row in range(0, len(early), 97):
        pair = early.users[early.user[row]], early.items[early.item[row]]
        stars = ratings.get(pair)
        assert (stars is None) == bool(np.isnan(early.rating[row]))
        assert stars is None or early.rating[row] == pytest.approx(stars / 5)


@pytest.mark.parametrize("name", NAMES)
def test_there_is_enough_to_learn_from_and_to_play(name: str) -> None:
    told = story(name)
    assert (told.late().events or 0) >= 20_000
    assert 10_000 <= len(told.early()) <= 20_000


def test_a_model_learns_from_who_followed_whom_when_it_was_trained() -> None:
    told = story("social")
    followed: set[tuple[str, str]] = set()
    for event in told.events:
        if event.ts < told.early_ms and isinstance(event, Follow) and event.target_type == "user":
            pair = event.user_id, event.target_id
            if event.action == "follow":
                followed.add(pair)
            else:
                followed.discard(pair)
    assert len(followed) > 200
    assert set(told.early().follows) == followed
    assert len(told.early().follows) == len(followed)

"""What the live page asks for, between a real worker, Kafka and Redis."""

import asyncio
import http.client
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote

import aiohttp
import numpy as np
import pytest
import redis
from pydantic import SecretStr

from stream_app.client import InterestReader
from stream_app.local import LocalKafka, LocalValkey
from stream_app.settings import Redis, Settings, Web
from stream_app.web import streams
from stream_app.web.logged_states import LoggedStates
from stream_app.web.portrait import cosine
from stream_app.web.second_state import Engine
from stream_app.web.what_if_process import Question
from tests.bench.ground import Broker, unique
from tests.bench.model import TOPICS, catalogue_model
from tests.failure.crew import Member, make_topics, member_settings
from tests.failure.nursery import Nursery
from tests.failure.service import Neighbour, new_user, now_ms, wait_for
from tests.pages import Pages, ask, stream
from tests.town import Town, recommended

# `tests/contract` tries what is read and written on both servers; the pages are the same on both.
pytestmark = pytest.mark.parametrize("redis_server", ["valkey"], indirect=True, scope="session")

ITEMS = 60
DAY_MS = 86_400_000
TOKEN = "t" * 32


@pytest.fixture(scope="module")
def worker(
    kafka: LocalKafka, redis_url: str, nursery: Nursery, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Member]:
    """Shared by the module: tests use users of their own."""
    folder = tmp_path_factory.mktemp("page")
    url = redis_url.removesuffix("0") + "7"
    model = catalogue_model(folder / "models", ITEMS)
    settings = member_settings(kafka.bootstrap, url, model, unique("page"), folder)
    make_topics(settings)
    with Member(settings, folder / "worker.log", nursery) as member:
        member.wait_ready()
        yield member


@pytest.fixture(scope="module")
def service(worker: Member) -> Iterator[Neighbour]:
    neighbour = Neighbour(worker.settings)
    yield neighbour
    neighbour.close()


def web_of(settings: Settings, **changes: object) -> Settings:
    """The settings with pages of such and such a kind, at a free port."""
    return settings.model_copy(update={"web": Web.model_validate({"port": 0, **changes})})


@pytest.fixture(scope="module")
def pages(worker: Member) -> Iterator[Pages]:
    urls = (f"http://127.0.0.1:{worker.settings.metrics.port}/metrics", "http://127.0.0.1:9/metrics")
    with Pages(web_of(worker.settings, metrics_urls=urls, what_if="changelog")) as served:
        yield served


def events_of(pages: Pages, user: str) -> str:
    return f"{pages.url}/api/users/{quote(user, safe='')}/events"


def test_a_stream_tells_of_each_event_as_it_is_in_redis(service: Neighbour, pages: Pages) -> None:
    user = new_user()
    with stream(events_of(pages, user)) as events:
        assert events.headers["Content-Type"] == "text/event-stream"
        assert events.until("unknown") == {"user": user}
        service.send("click", user, item_id="i3")
        service.events_of(user, 1)
        first = events.until("interest")
        service.send("click", user, item_id="i9")
        held = service.events_of(user, 2)
        second = events.until("interest", lambda found: found["events"] == 2)
    assert (first["user"], first["events"]) == (user, 1)
    assert dict(second["topics"]) == pytest.approx(held.topics, abs=1e-4)
    assert first["topics"] != second["topics"]
    assert second["windows"]["1h"]["clicks"] == 2
    agreement = {one["name"]: one["agreement"] for one in second["dimensions"]}
    for name, vector in (("behaviour", held.behaviour), ("social", held.social), ("content", held.content)):
        assert agreement[name] == pytest.approx(cosine(vector, held.vector), abs=1e-3)
    assert set(second["radar"]["topics"]) <= set(TOPICS)


def test_recommendations_come_with_reasons_and_titles(service: Neighbour, pages: Pages) -> None:
    user = new_user()
    with stream(events_of(pages, user)) as events:
        service.send("click", user, item_id="i5")
        found = events.until("interest", lambda one: one["recommended"])
    latest = service.reader.recommendations(user)
    assert latest is not None
    shown = found["recommended"]["items"]
    assert [(one["id"], one["title"]) for one in shown] == [(item.item_id, item.item_id) for item in latest.items]
    assert all(one["why"].startswith("because") for one in shown)


def test_the_list_of_late_has_who_was_written(service: Neighbour, pages: Pages) -> None:
    user = new_user()
    service.send("click", user)
    service.events_of(user, 1)

    def listed() -> list[str] | None:
        _, found = ask(f"{pages.url}/api/users")
        return next((one for one in found["users"] if one["user"] == user), None)

    assert wait_for("the user to be listed", listed)["events"] == 1


def test_the_system_as_the_worker_tells_of_itself(worker: Member, service: Neighbour, pages: Pages) -> None:
    user = new_user()
    with stream(f"{pages.url}/api/system/events") as events:
        begun = events.until("system", lambda found: found["window_s"] > 0)
        for _ in range(3):
            service.send("click", user)
        service.flush()
        moved = events.until(
            "system", lambda found: found["flow"]["in"].get("CLICK", found["flow"]["in"].get("click", 0)) > 0
        )
    mine, away = begun["processes"]
    assert (mine["kind"], mine["ready"], mine["model"], mine["away"]) == ("worker", True, "bench", False)
    assert (away["where"], away["away"]) == ("127.0.0.1:9", True)
    assert moved["flow"]["users"] == worker.scrape().total("interest_users")  # type: ignore[union-attr]
    p50, p99 = moved["flow"]["event_to_redis"]
    assert 0 < p50 <= p99


def test_items_are_on_the_map_and_can_be_searched(pages: Pages) -> None:
    _, found = ask(f"{pages.url}/api/map")
    assert {item[3] for item in found["items"]} == {f"i{number}" for number in range(ITEMS)}
    assert max(abs(value) for item in found["items"] for value in item[:2]) == pytest.approx(1, abs=1e-3)
    assert tuple(found["topics"]) == TOPICS
    _, hits = ask(f"{pages.url}/api/items?q=i59")
    assert hits == {"items": [{"id": "i59", "title": "i59"}]}


# -- what would change if


def what_if(pages: Pages, user: str, **asked: object) -> dict[str, object]:
    status, found = ask(f"{pages.url}/api/users/{user}/what-if", asked)
    assert status == 200, found
    return dict(found)


def test_what_would_be_is_what_comes_true_and_nothing_is_written(service: Neighbour, pages: Pages) -> None:
    """One user does what was asked about, another never did what was taken away: two truths that the worker makes."""
    user, other, ts = new_user(), new_user(), now_ms()
    for item in ("i1", "i2", "i3"):
        service.send("click", user, item_id=item, ts=ts)
    for item in ("i1", "i3"):
        service.send("click", other, item_id=item, ts=ts)
    before, never = service.events_of(user, 3), service.events_of(other, 2)
    service.until_committed()
    written = written_of(service, user)
    more = what_if(pages, user, add=["i7"])
    less = what_if(pages, user, without=["i2"])
    assert written_of(service, user) == written

    assert (more["basis"], more["version"]) == ("changelog", 3)
    assert [one["id"] for one in more["clicks"]] == ["i3", "i2", "i1"]
    assert top(more["before"], before) == pytest.approx(before.topics, abs=1e-3)
    assert top(less["after"], never) == pytest.approx(never.topics, abs=5e-3)
    service.send("click", user, item_id="i7", ts=ts)
    after = service.events_of(user, 4)
    assert top(more["after"], after) == pytest.approx(after.topics, abs=1e-3)
    assert more["cosine"] == pytest.approx(cosine(before.vector, after.vector), abs=1e-3)
    assert not np.allclose(before.vector, after.vector, atol=1e-3)


def top(lie: dict[str, list[tuple[str, float]]], held: object) -> dict[str, float]:
    """Of all topics' weights those that Redis has, too, which has the largest only and makes them sum to 1."""
    weights = {name: weight for name, weight in lie["topics"] if name in held.topics}  # type: ignore[attr-defined]
    return {name: weight / sum(weights.values()) for name, weight in weights.items()}


def written_of(service: Neighbour, user: str) -> object:
    """All that anybody could have written about a user: Redis' keys, and how far every topic has come."""
    kafka = service.settings.kafka
    names = [*kafka.topics.inputs, kafka.topics.recommendations, kafka.topics.dead_letters, kafka.changelog]
    with redis.Redis.from_url(service.settings.redis.url.get_secret_value()) as client:
        held = client.hgetall(f"interest:{{{user}}}"), client.get(f"rec:{{{user}}}"), client.dbsize()
    return held, Broker(kafka.bootstrap).ends(names)


def test_from_the_clicks_alone_that_reasons_name(worker: Member) -> None:
    user = new_user()
    settings = web_of(worker.settings, what_if="clicks")
    engine = Engine(settings, LoggedStates(settings))
    asked = Question(user, 1, ("i1", "unknown", "i3"), now_ms(), add=("i9",), without=("i1",))
    found = engine.answer(asked)
    assert (found.basis, found.version) == ("clicks", 0)
    assert found.clicks == ("i3", None, "i1")
    other = engine.answer(Question(user, 1, ("unknown", "i3", "i9"), asked.now_ms))
    np.testing.assert_allclose(found.after.vectors["vector"], other.before.vectors["vector"], atol=0.01)
    assert cosine(found.before.vectors["vector"], found.after.vectors["vector"]) < 0.9999


@pytest.mark.parametrize(
    ("body", "status"),
    [({"add": ["i1"] * 11}, 400), ({"add": [""]}, 400), ({"ad": []}, 400), ([], 400), ({"add": ["x" * 20_000]}, 413)],
)
def test_what_is_no_question_is_refused(pages: Pages, body: object, status: int) -> None:
    assert ask(f"{pages.url}/api/users/u/what-if", body)[0] == status


def test_who_is_unknown_has_no_what_if(pages: Pages) -> None:
    assert ask(f"{pages.url}/api/users/{new_user()}/what-if", {})[0] == 404


# -- what was done of late


def test_the_last_clicks_in_their_order_and_events_by_time(service: Neighbour, pages: Pages) -> None:
    """Of an item that only the catalogue has told of, too."""
    user, ts = new_user(), now_ms()
    Town(service.settings).items(told="Told today")
    service.send("click", user, item_id="i1", ts=ts - 5 * DAY_MS)
    service.send("click", user, item_id="i2", ts=ts - 4 * DAY_MS)
    for item in ("nobody-knows", "told", "i3", "i2"):
        service.send("click", user, item_id=item, ts=ts)
    service.send("rating", user, item_id="i3", rating=4, ts=ts)
    held = service.events_of(user, 7)
    service.until_committed()
    _, found = ask(f"{pages.url}/api/users/{user}/past")
    assert [item["title"] for item in found["clicked"]] == ["i2", "i3", "Told today", "i1"]
    assert (found["version"], found["unnamed"]) == (7, 1)
    assert {name: len(parts) for name, parts in found["windows"].items()} == {"1h": 6, "24h": 8, "7d": 7, "30d": 30}
    for name, window in held.windows.items():
        assert sum(found["windows"][name]) == window.clicks + window.ratings + window.follows
    assert found["windows"]["30d"][-6:] == [1, 1, 0, 0, 0, 5]

    service.send("click", user, item_id="i9", ts=ts)
    service.events_of(user, 8)
    service.until_committed()
    _, found = ask(f"{pages.url}/api/users/{user}/past")
    assert found["clicked"][0]["id"] == "i9"


def test_who_is_in_no_state_has_no_past(worker: Member, pages: Pages) -> None:
    nothing = {"version": 0, "clicked": [], "unnamed": 0, "windows": {}}
    assert ask(f"{pages.url}/api/users/{new_user()}/past") == (200, nothing)
    with Pages(web_of(worker.settings, what_if="clicks")) as from_redis_alone:
        assert ask(f"{from_redis_alone.url}/api/users/{new_user()}/past")[0] == 404


# -- bounds


def test_redis_goes_and_comes_back_under_an_open_page(worker: Member, tmp_path: Path) -> None:
    user, settings = new_user(), worker.settings
    with ExitStack() as stack:
        valkey = stack.enter_context(LocalValkey(tmp_path / "redis"))
        settings = settings.model_copy(update={"redis": Redis(url=SecretStr(valkey.url), timeout_s=2)})
        town = Town(settings)
        town.user(user, {"Drama": 1.0})
        pages = stack.enter_context(Pages(web_of(settings)))
        with stream(events_of(pages, user)) as events:
            assert events.until("interest")["topics"][0][0] == "Drama"
            valkey.kill()
            assert events.until("away") == {"what": "Redis"}
            assert ask(f"{pages.url}/api/users")[0] == 503
            valkey.restart()
            town.user(user, {"War": 1.0}, version=5)
            assert events.until("interest")["topics"][0][0] == "War"


def test_so_many_streams_and_no_more(worker: Member, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "BEAT_S", 0.2)  # when it is noticed that a browser has gone
    with Pages(web_of(worker.settings, streams=2)) as pages:
        open_ = [events_of(pages, new_user()) for _ in range(2)]
        with stream(open_[0]) as first, stream(open_[1]) as second:
            first.until("unknown")
            second.until("unknown")
            assert pages.count("interest_web_streams") == 2
            assert ask(events_of(pages, new_user()))[1]["error"] == "busy"
        wait_for("room", lambda: pages.count("interest_web_streams") < 2 or None)
        with stream(open_[0]) as again:
            again.until("unknown")


def test_an_erased_user_is_gone_from_an_open_page(service: Neighbour, pages: Pages) -> None:
    user = new_user()
    service.send("click", user)
    service.events_of(user, 1)
    with stream(events_of(pages, user)) as events:
        events.until("interest")
        service.send("erasure", user, ts=now_ms() + 1)
        service.flush()
        assert events.until("unknown") == {"user": user}


# -- the door, and the files


def test_a_person_types_the_token_once(worker: Member) -> None:
    settings = web_of(worker.settings, token=TOKEN)

    async def main(url: str) -> None:
        jar = aiohttp.CookieJar(unsafe=True)
        async with aiohttp.ClientSession(cookie_jar=jar) as client:
            async with client.get(url) as shown:
                text = await shown.text()
                assert (shown.status, 'action="/login"' in text) == (401, True)
            async with client.post(f"{url}/login", data={"token": "wrong"}) as wrong:
                assert (str(wrong.url), wrong.status) == (f"{url}/login?wrong", 200)
            async with client.get(f"{url}/api/users") as refused:
                assert refused.status == 401
            async with client.post(
                f"{url}/login", data={"token": TOKEN}, headers={"Origin": "https://evil.example"}
            ) as foreign:
                assert foreign.status == 403
            async with client.post(f"{url}/login", data={"token": TOKEN}, allow_redirects=False) as entered:
                cookie = entered.headers["Set-Cookie"]
                assert (entered.status, entered.headers["Location"]) == (303, "/")
            assert "HttpOnly" in cookie
            assert "SameSite=Strict" in cookie
            assert TOKEN not in cookie
            async with client.get(f"{url}/api/users") as let_in:
                assert let_in.status == 200
            async with client.post(f"{url}/logout") as left:
                assert str(left.url) == f"{url}/login"
            async with client.get(f"{url}/api/users") as refused:
                assert refused.status == 401
        value = cookie.partition("=")[2].partition(";")[0].strip('"')
        until, _, seal = value.partition(".")
        later = f"{int(until) + 1}.{seal}"
        for forged in (later, f"{until}.", "", ".", f"x.{seal}", "9" * 30 + "." + seal, value + "0"):
            headers = {"Cookie": f"interest_session={forged}"}
            async with aiohttp.ClientSession() as client, client.get(f"{url}/api/users", headers=headers) as refused:
                assert refused.status == 401, forged

    with Pages(settings) as pages:
        asyncio.run(main(pages.url))


def test_the_page_is_of_files_under_a_strict_policy(pages: Pages) -> None:
    connection = http.client.HTTPConnection(pages.url.removeprefix("http://"))
    for path, kind in (("/", "text/html"), ("/static/app.js", "text/javascript"), ("/static/base.css", "text/css")):
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
        policy = answer.headers["Content-Security-Policy"]
        assert (answer.status, answer.headers["Content-Type"]) == (200, f"{kind}; charset=utf-8")
        assert "script-src 'self'; style-src 'self'" in policy
        assert "unsafe" not in policy
        assert b"//cdn" not in body
    for path in ("/static/..%2fapp.py", "/static/index.html", "/static/nothing.js", "/static/%2e%2e/start.py"):
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 404, path
    connection.close()


def test_pseudonyms_are_searched_by_id_and_not_listed(worker: Member) -> None:
    key = SecretStr("0123456789abcdef0123456789abcdef")
    settings = worker.settings.model_copy(update={"pseudonym_key": key})
    user = new_user()
    Town(settings).user(user, {"War": 1.0}, recommended("i1"))
    with Pages(web_of(settings)) as pages:
        assert ask(f"{pages.url}/api/users")[1] == {"users": []}
        with stream(events_of(pages, user)) as events:
            assert events.until("interest")["user"] == user
        with InterestReader(settings.redis.url.get_secret_value()) as reader:
            assert reader.get(user) is None

"""The pages over real HTTP, beside a real Redis and a model that answers late."""

import asyncio
import json
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import aiohttp
import pytest
import redis
from pydantic import SecretStr
from yarl import URL

from stream_app.settings import Redis, Settings, Web, environment
from stream_app.web.metrics import WebMetrics
from stream_app.web.start import serving
from tests.bench.ground import unique
from tests.failure.service import wait_for
from tests.fake_openai import FakeOpenAI, hanging
from tests.integration.test_words import Gate, said
from tests.town import Town

pytestmark = pytest.mark.parametrize("redis_server", ["valkey"], indirect=True, scope="session")

T = TypeVar("T")
TOKEN = "t" * 32
KEY = "0123456789abcdef0123456789abcdef"
ODD_IDS = ["plain", "a/b", "..", "%2F", "50%", "{a}", "}", "a b", "ключ 鍵", "?q=1", "#x", "é" * 128, "x" * 256, "a;b"]


class Site:
    """The pages, as these settings have them."""

    def __init__(self, redis_url: str, folder: Path) -> None:
        self.settings = Settings(redis=Redis(url=SecretStr(redis_url)), data_dir=folder, web=Web(port=0))
        self.metrics, self.user = WebMetrics(), unique("user")

    @property
    def town(self) -> Town:
        return Town(self.settings)

    def having(self, **sections: dict[str, Any]) -> "Site":
        """With some settings changed."""
        for name, values in sections.items():
            whole = getattr(self.settings, name)
            changed = type(whole).model_validate({**dict(whole), **values})
            self.settings = self.settings.model_copy(update={name: changed})
        return self

    def during(self, use: Callable[[str, aiohttp.ClientSession], Awaitable[T]], **session: Any) -> T:
        async def main() -> T:
            async with serving(self.settings, self.metrics) as url, aiohttp.ClientSession(**session) as client:
                return await use(url, client)

        return asyncio.run(main())

    def get(self, path: str, **options: Any) -> "Got":
        async def use(url: str, client: aiohttp.ClientSession) -> Got:
            return await got(client, url + path, **options)

        return self.during(use)

    def count(self, outcome: str, page: str = "explanation") -> float:
        return self.metrics.registry.get_sample_value(
            "interest_web_requests_total", {"page": page, "outcome": outcome}
        ) or 0.0  # fmt: skip


class Got:
    def __init__(self, status: int, headers: Any, body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    @property
    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


async def got(client: aiohttp.ClientSession, url: str, method: str = "GET", **options: Any) -> Got:
    async with client.request(method, URL(url, encoded=True), **options) as answer:
        return Got(answer.status, answer.headers, await answer.read())


def path_of(user: str) -> str:
    return f"/users/{quote(user, safe='').replace('.', '%2E')}/explanation"


@pytest.fixture
def site(redis_url: str, tmp_path: Path) -> Site:
    one = Site(redis_url.removesuffix("0") + "6", tmp_path)
    one.town.user(one.user, {"Drama": 0.7, "War": 0.3})
    return one


def test_an_explanation(site: Site) -> None:
    found = site.get(path_of(site.user))
    assert (found.status, found.headers["Content-Type"]) == (200, "application/json")
    made_at = found.document["made_at"]
    assert found.document == {
        "text": "You are most interested in Drama (70%) and War (30%).",
        "made_by": "template",
        "version": 1,
        "made_at": made_at,
        "language": "en",
    }
    assert made_at > 1_760_000_000_000
    assert site.count("answered") == 1


def test_in_the_language_that_the_browser_would_like(site: Site) -> None:
    found = site.get(path_of(site.user), headers={"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.8"})
    assert found.document["text"] == "你最感兴趣的是Drama（70%）和War（30%）。"
    assert found.document["language"] == found.headers["Content-Language"] == "zh"
    assert found.headers["Vary"] == "Accept-Language"


@pytest.mark.parametrize("path", ["/users/nobody/explanation", "/healthz", "/metrics", "/nowhere"])
def test_every_answer_leaves_a_browser_no_room(site: Site, path: str) -> None:
    headers = site.get(path).headers
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; ")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers.getall("Server") == ["interest"]
    assert "Access-Control-Allow-Origin" not in headers


def test_ids_with_odd_characters(site: Site) -> None:
    for number, user in enumerate(ODD_IDS):
        site.town.user(user, {"Drama": 1.0}, version=number + 1)

    async def use(url: str, client: aiohttp.ClientSession) -> list[int]:
        return [(await got(client, url + path_of(user))).document["version"] for user in ODD_IDS]

    assert site.during(use) == [number + 1 for number in range(len(ODD_IDS))]


@pytest.mark.parametrize("user", ["nobody at all", "x" * 257, "a\nb", "\0", "\x7f"])
def test_who_is_unknown_is_404(site: Site, user: str) -> None:
    found = site.get(path_of(user))
    assert (found.status, found.document["error"]) == (404, "unknown_user")
    assert site.count("unknown_user") == 1


def test_other_pages_and_methods(site: Site) -> None:
    async def use(url: str, client: aiohttp.ClientSession) -> list[tuple[int, str]]:
        asked = [
            ("GET", "/static/"),
            ("GET", "/users"),
            ("GET", "/users//explanation"),
            ("GET", "/users/a/b/explanation"),
        ]
        asked += [("POST", path_of("u")), ("HEAD", path_of("u")), ("DELETE", path_of("u"))]
        answers = [await got(client, url + path, method) for method, path in asked]
        return [(one.status, one.document["error"] if one.body else "") for one in answers]

    none, no = (404, "not_found"), (405, "bad_request")
    assert site.during(use) == [none, none, none, none, no, (405, ""), no]


def test_redis_away_is_503_and_the_process_is_well(site: Site) -> None:
    site.having(redis={"url": "redis://127.0.0.1:1/0"})
    found = site.get(path_of(site.user))
    assert (found.status, found.document["error"]) == (503, "redis_away")
    assert found.headers["Retry-After"] == "5"
    assert site.count("redis_away") == 1
    assert site.get("/healthz").status == 200


def test_redis_that_hangs_is_503_in_time(site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        site.having(redis={"url": f"redis://127.0.0.1:{silent.getsockname()[1]}/0"}, words={"answer_s": 0.3})
        assert (site.get(path_of(site.user)).status, site.count("redis_away")) == (503, 1)


def test_what_no_worker_wrote_is_500_and_names_nobody(site: Site) -> None:
    strange = unique("strange")
    with redis.Redis.from_url(site.settings.redis.url.get_secret_value()) as client:
        client.hset(f"interest:{{{strange}}}", "vector", b"x")
    found = site.get(path_of(strange))
    assert (found.status, found.document["error"]) == (500, "unreadable")
    assert strange.encode() not in found.body


def test_an_erased_user_is_gone_whatever_was_answered_before(site: Site) -> None:
    town = site.town
    town._versions[site.user] = 1

    async def use(url: str, client: aiohttp.ClientSession) -> list[int]:
        before = [(await got(client, url + path_of(site.user))).status for _ in range(2)]
        await asyncio.to_thread(town.erase, site.user)
        return [*before, (await got(client, url + path_of(site.user))).status]

    assert site.during(use) == [200, 200, 404]
    assert site.metrics.registry.get_sample_value("interest_words_cache_lookups_total", {"found": "hit"}) == 1


def test_with_pseudonyms_the_route_takes_the_plain_id(site: Site) -> None:
    site.settings = site.settings.model_copy(update={"pseudonym_key": SecretStr(KEY)})
    user = unique("plain")
    site.town.user(user, {"War": 1.0})
    assert site.get(path_of(user)).document["text"] == "You are most interested in War (100%)."
    assert site.get(path_of(site.town._name(user))).status == 404


def test_a_model_that_is_late_leaves_the_answer_to_the_template(site: Site) -> None:
    with FakeOpenAI(usual=hanging) as server:
        site.having(words={"base_url": server.url, "model": "m", "answer_s": 0.5, "timeout_s": 60})
        found = site.get(path_of(site.user))
    assert (found.status, found.document["made_by"]) == (200, "template")
    assert site.metrics.registry.get_sample_value("interest_words_fallbacks_total", {"why": "late"}) == 1


def test_more_requests_than_are_answered_at_once_are_told_to_come_again(site: Site) -> None:
    gate = Gate(said("You like [T1]."))
    with FakeOpenAI(usual=gate) as server:
        site.having(words={"base_url": server.url, "model": "m"}, web={"at_once": 2})

        async def use(url: str, client: aiohttp.ClientSession) -> list[Got]:
            two = [asyncio.create_task(got(client, url + path_of(site.user))) for _ in range(2)]
            asked = site.metrics.cache.labels("miss")._value
            await asyncio.to_thread(wait_for, "both to be made", lambda: asked.get() == 2 or None)
            third = await got(client, url + path_of(site.user))
            healthy = await got(client, url + "/healthz")
            gate.open.set()
            return [*await asyncio.gather(*two), third, healthy, await got(client, url + path_of(site.user))]

        answers = site.during(use)
        assert len(server.requests) == 1
    assert [one.status for one in answers] == [200, 200, 503, 200, 200]
    assert (answers[2].document["error"], answers[2].headers["Retry-After"]) == ("busy", "1")
    assert {answers[place].document["made_by"] for place in (0, 1, 4)} == {"m"}


def test_with_a_token_only_who_sends_it(site: Site) -> None:
    site.having(web={"token": TOKEN})
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    wrong = [{}, {"Authorization": TOKEN}, {"Authorization": f"Basic {TOKEN}"}, {"Authorization": "Bearer tt\xe9"}]
    wrong += [{"Authorization": f"Bearer {TOKEN[:-1]}"}, {"Authorization": f"Bearer {TOKEN}t"}]

    async def use(url: str, client: aiohttp.ClientSession) -> None:
        for headers in wrong:
            for path in (path_of(site.user), "/metrics", "/nowhere"):
                refused = await got(client, url + path, headers=headers)
                assert (refused.status, refused.headers["WWW-Authenticate"]) == (401, "Bearer")
                assert refused.document["error"] == "no_token"
        assert (await got(client, url + path_of(site.user), headers=bearer)).status == 200
        assert (await got(client, url + path_of(site.user), headers=bearer | {"Host": "pages.example"})).status == 200
        assert (await got(client, url + "/metrics", headers=bearer)).status == 200
        assert (await got(client, url + "/healthz")).status == 200

    site.during(use)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("localhost:9180", 200),
        ("127.0.0.1", 200),
        ("[::1]:9180", 200),
        ("evil.example", 421),
        ("evil.example:9180", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost.evil.example", 421),
    ],
)
def test_without_a_token_only_names_of_this_machine(site: Site, host: str, status: int) -> None:
    assert site.get(path_of(site.user), headers={"Host": host}).status == status


def test_metrics_name_nobody(site: Site) -> None:
    async def use(url: str, client: aiohttp.ClientSession) -> str:
        await got(client, url + path_of(site.user))
        await got(client, url + f"/nowhere/{site.user}")
        return (await got(client, url + "/metrics")).body.decode()

    text = site.during(use)
    assert site.user not in text
    for line in (
        'interest_web_requests_total{outcome="answered",page="explanation"} 1.0',
        'interest_web_requests_total{outcome="not_found",page="other"} 1.0',
        'interest_web_seconds_count{page="explanation"} 1.0',
        'interest_words_cache_lookups_total{found="miss"} 1.0',
        'interest_words_explanations_total{made_by="template"} 1.0',
        "interest_web_at_once 0.0",
    ):
        assert line in text.splitlines()


def test_no_log_names_a_user(
    site: Site, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)

    def fail(*_: object) -> None:
        raise ZeroDivisionError(site.user)

    async def use(url: str, client: aiohttp.ClientSession) -> Got:
        await got(client, url + path_of(site.user))
        await got(client, url + path_of(site.user) + "/x")
        reader, writer = await asyncio.open_connection("127.0.0.1", URL(url).port)
        writer.write(f"GET /users/{site.user}/explanation \x01 HTTP/9\r\nbroken {site.user}\r\n\r\n".encode())
        assert b"400" in await reader.readline()
        writer.close()
        monkeypatch.setattr("stream_app.words.explainer.facts_of", fail)
        await asyncio.to_thread(site.town.user, site.user, {"Drama": 1.0}, version=2)
        return await got(client, url + path_of(site.user))

    failed = site.during(use)
    assert (failed.status, failed.document["error"]) == (500, "failed")
    printed = capfd.readouterr()
    said_anywhere = caplog.text + printed.out + printed.err
    assert "ZeroDivisionError" in said_anywhere
    assert site.user not in said_anywhere
    assert site.user.encode() not in failed.body


def test_a_client_that_says_nothing_is_hung_up_on(site: Site) -> None:
    site.having(web={"idle_s": 0.3})

    async def use(url: str, _client: aiohttp.ClientSession) -> None:
        for beginning in (b"", b"GET /healthz HTTP/1.1\r\nHo"):
            reader, writer = await asyncio.open_connection("127.0.0.1", URL(url).port)
            writer.write(beginning)
            assert await asyncio.wait_for(reader.read(), 60) == b""
            writer.close()

    site.during(use)


# -- the commands


def interest(site: Site, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "stream_app", *arguments],
        env=environment(site.settings, os.environ) | {"COLUMNS": "100"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_process_serves_and_ends_when_told_to(site: Site, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("wb") as file:
        command = [sys.executable, "-m", "stream_app", "web", "--json-logs"]
        process = subprocess.Popen(command, env=environment(site.settings, os.environ), stderr=file)
    try:
        lines = wait_for(
            "it to serve", lambda: [line for line in log.read_text().splitlines() if '"url"' in line] or None
        )
        url = json.loads(lines[0])["url"]

        async def ask() -> Got:
            async with aiohttp.ClientSession() as client:
                return await got(client, url + path_of(site.user))

        assert asyncio.run(ask()).status == 200
        taken = interest(site, "web", "--port", str(URL(url).port))
        assert taken.returncode == 1
        assert "cannot listen" in taken.stderr
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
    assert site.user not in log.read_text()


@pytest.mark.parametrize("key", ["", KEY], ids=["plain", "pseudonyms"])
def test_interest_explain(site: Site, key: str) -> None:
    site.settings = site.settings.model_copy(update={"pseudonym_key": SecretStr(key)})
    user = unique("person")
    site.town.user(user, {"Drama": 0.75, "War": 0.25}, clicks=3)
    shown = interest(site, "explain", user)
    assert shown.returncode == 0, shown.stderr
    words = " ".join(shown.stdout.replace("│", " ").split())
    assert "You are most interested in Drama (75%) and War (25%). In the 24 hours up to your latest activity" in words
    assert "topic Drama 75.0% topic War 25.0% window 24h 3 clicks, 0 ratings, 0 follows" in words
    done = interest(site, "explain", user, "--language", "zh", "--json")
    document = json.loads(done.stdout)
    assert document["text"] == "你最感兴趣的是Drama（75%）和War（25%）。在最近一次活动前的24小时内，你有3次点击。"
    assert set(document) == {"text", "made_by", "version", "made_at", "language"}


def test_interest_explain_of_nobody_says_so(site: Site) -> None:
    done = interest(site, "explain", "nobody")
    assert done.returncode == 1
    assert "knows no user 'nobody'" in done.stderr


def test_interest_explain_with_a_model(site: Site) -> None:
    with FakeOpenAI(usual=said("You like [T1] best.")) as server:
        site.having(words={"base_url": server.url, "model": "small-model"})
        done = interest(site, "explain", site.user)
    assert done.returncode == 0, done.stderr
    assert "You like Drama best." in done.stdout
    assert "by small-model" in done.stdout

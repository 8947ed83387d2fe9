"""A worker on its way through faults logs JSON, little of it, and nothing that tells who its users are."""

import json
from collections import Counter
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from stream_app.faust_slab.fatal import EXIT_STOPPED
from stream_app.local import LocalKafka, LocalValkey
from stream_app.repeats import SHOWN
from tests.bench.ground import unique
from tests.bench.model import catalogue_model
from tests.failure.crew import Member, make_topics, member_settings
from tests.failure.nursery import Nursery
from tests.failure.service import Neighbour, new_user, now_ms, wait_for

PARTITIONS = 2
ITEM, TITLE_LIKE, FOLLOWED = "item-of-somebody", "a secret surface", "followed-by-somebody"
RETRIES = 3 * SHOWN
AWAY = "Redis does not take writes; they are tried again"


def test_faults_are_told_without_the_users_and_not_too_often(
    kafka: LocalKafka, nursery: Nursery, tmp_path: Path
) -> None:
    users = [new_user() for _ in range(40)]
    with LocalValkey(tmp_path / "redis") as redis:
        settings = member_settings(
            kafka.bootstrap, redis.url, catalogue_model(tmp_path / "models", 40), unique("logs"), tmp_path, PARTITIONS,
            redis={"give_up_s": 120.0, "timeout_s": 1.0},
            accept={"flood_min_events": 300, "flood_share": 0.5},
        )  # fmt: skip
        make_topics(settings)
        service = Neighbour(settings)
        worker = Member(settings, tmp_path / "worker.log", nursery)
        worker.told = {"INTEREST_LOG__LEVEL": "debug", "INTEREST_LOG__JSON_LINES": "true"}
        worker.start()
        with closing(service), ExitStack() as at_the_end:
            at_the_end.callback(worker.terminate)
            worker.wait_ready()
            for user in users:
                service.send("click", user, item_id=ITEM, surface=TITLE_LIKE)
                service.send("follow", user, target_id=FOLLOWED, target_type="user")
                service.send("rating", user, item_id=ITEM, ts=now_ms() - 40 * 86_400_000)  # too late for any window
                service.send("click", user, ts="soon", item_id=ITEM)  # bad: of a wrong type
                service.send_raw("click", user.encode(), b'{"user_id": "%s"' % user.encode())  # bad: no JSON
            service.events_of(users[-1], 3)

            redis.kill()
            for user in users:
                service.send("click", user)
            service.flush()
            wait_for("retries", lambda: _retries(worker) >= RETRIES or None)
            redis.restart()
            service.events_of(users[0], 1)
            service.send("erasure", users[1])
            service.until_committed()

            for _ in range(20):
                for user in users:
                    service.send_raw("rating", user.encode(), b'{"user_id": "%s", "rating": []}' % user.encode())
            service.flush()
            assert worker.wait_exit(60.0) == EXIT_STOPPED

    text = worker.log_text()
    lines: list[dict[str, Any]] = [json.loads(line) for line in text.splitlines()]
    assert {line["level"] for line in lines} >= {"info", "warning", "critical"}
    assert all(line["worker"] and line["generation"] == 1 and line["event"] for line in lines)
    assert (lines[-1]["event"], lines[-1]["exit_code"]) == ("worker stopped", EXIT_STOPPED)
    assert "of the last minute's" in lines[-1]["why"]
    assert any(line["event"].startswith("Redis has lost something") for line in lines)
    for told in (*users, ITEM, TITLE_LIKE, FOLLOWED):
        assert told not in text
    often = Counter((line["event"], line["logger"]) for line in lines if line["level"] == "warning")
    assert 1 <= often[AWAY, "stream_app.sinks.redis"] <= 2 * (SHOWN + 1)
    assert max(often.values()) <= 2 * (SHOWN + 1)


def _retries(worker: Member) -> float:
    scrape = worker.scrape()
    return scrape.total("interest_redis_retries_total") if scrape else 0.0

"""The demo from end to end, as a person runs it, on a small data set in MovieLens's format."""

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from model_store.registry import ModelRegistry
from stream_app.local import LocalKafka, LocalValkey
from tests.bench.model import VERSION, catalogue_model

USERS, ITEMS, RATINGS = 60, 40, 1_500
GENRES = ("unknown", "Action", "Comedy", "Drama")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `u.data`, `u.item` and `u.genre`: users who like one genre each, no two ratings of one item."""
    folder, rng = tmp_path_factory.mktemp("data"), random.Random(7)
    (folder / "u.genre").write_text("".join(f"{genre}|{place}\n" for place, genre in enumerate(GENRES)))
    flags = [[int(place == 1 + item % 3) for place in range(len(GENRES))] for item in range(ITEMS)]
    lines = (f"{item + 1}|Film {item + 1}|||{'|'.join(map(str, flags[item]))}\n" for item in range(ITEMS))
    (folder / "u.item").write_text("".join(lines))
    pairs = rng.sample([(user, item) for user in range(USERS) for item in range(ITEMS)], RATINGS)
    rows = (
        f"{user + 1}\t{item + 1}\t{5 if user % 3 == item % 3 else rng.randint(1, 3)}\t{880_000_000 + 60 * place}\n"
        for place, (user, item) in enumerate(pairs)
    )
    (folder / "u.data").write_text("".join(rows))
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the demos of this module keep their model: the second one finds the first one's."""
    return tmp_path_factory.mktemp("home")


def interest(*arguments: str, cwd: Path, **variables: str) -> "subprocess.Popen[str]":
    argv = [sys.executable, "-m", "stream_app", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    return subprocess.Popen(argv, cwd=cwd, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_every_event_is_accounted_for_and_users_can_be_shown(
    kafka: LocalKafka, tmp_path: Path, data: Path, home: Path
) -> None:
    with LocalValkey(tmp_path / "redis") as redis:
        servers = ["--redis", redis.url]
        options = ["--events", "2000", "--rate", "1500", "--data", str(data), "--json", "--kafka", kafka.bootstrap]
        demo = interest("demo", *options, *servers, cwd=home)
        output, messages = demo.communicate(timeout=240)
        assert demo.returncode == 0, messages
        account = json.loads(output)
        assert account["complete"]
        assert (account["sent"], account["applied"]) == (2000, 2000)
        assert "follows are simulated" in messages
        assert "no redistribution" in messages
        show = interest("show", "1", "--json", *servers, cwd=home)
        person = json.loads(show.communicate(timeout=60)[0])
        assert sum(person["topics"].values()) == pytest.approx(1, abs=1e-3)
        assert set(person["topics"]) <= set(GENRES)
        panel, _ = interest("show", "1", *servers, cwd=home).communicate(timeout=60)
        assert "user 1" in panel
        assert "Film " in panel
        nobody = interest("show", "nobody", *servers, cwd=home)
        assert "knows no user" in nobody.communicate(timeout=60)[1]
        assert nobody.returncode == 1


@pytest.fixture
def own_events(tmp_path: Path) -> Path:
    """A file of a user's own, which calls items products: clicks of users who like one tag each, one follow, and one
    click from before 1970."""
    rng = random.Random(11)
    things = [
        {"product": f"p{item}", "title": f"Thing {item}", "tags": [GENRES[1 + item % 3]]} for item in range(ITEMS)
    ]
    lines: list[dict[str, Any]] = [*things]
    for place in range(RATINGS):
        user = rng.randrange(USERS)
        item = rng.randrange(ITEMS // 3) * 3 + (user % 3 if rng.random() < 0.8 else rng.randrange(3))
        lines.append({"user_id": f"c{user}", "product": f"p{item}", "ts": 1_760_000_000 + 60 * place})
    lines.append(
        {"user_id": "c1", "target_id": "Drama", "target_type": "topic", "action": "follow", "ts": 1_770_000_000}
    )
    lines.append({"user_id": "c1", "product": "p1", "ts": -5})
    file = tmp_path / "shop.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


def test_own_events_get_a_model_of_their_own_where_another_is_served(
    kafka: LocalKafka, tmp_path: Path, own_events: Path
) -> None:
    """And the store with the other one, from which somebody's workers serve, is as it was."""
    theirs = tmp_path / ".interest" / "models"
    catalogue_model(theirs, ITEMS)
    with LocalValkey(tmp_path / "redis") as redis:
        servers = ["--kafka", kafka.bootstrap, "--redis", redis.url]
        options = ["--data", str(own_events), "--field", "item_id=product", "--rate", "1500", "--json", "--no-web"]
        demo = interest("demo", *options, *servers, cwd=tmp_path)
        output, messages = demo.communicate(timeout=240)
        assert demo.returncode == 0, messages
        account = json.loads(output)
        assert account["complete"]
        assert (account["applied"], account["dead_lettered"]) == (RATINGS + 1, 1)
        show = interest("show", "c1", "--json", "--redis", redis.url, cwd=tmp_path)
        shown, why = show.communicate(timeout=60)
        assert show.returncode == 0, why
    person = json.loads(shown)
    assert set(person["topics"]) <= set(GENRES)
    assert person["windows"]["30d"]["follows"] == 1
    assert "simulated" not in messages
    assert f"serves {VERSION}, of other data than shop, and is left as it is" in messages
    assert ModelRegistry(str(theirs)).list() == (VERSION,)
    (own,) = ModelRegistry(str(tmp_path / ".interest" / "shop" / "models")).list()
    assert own.startswith("shop-")


PRODUCTION = {
    "INTEREST_KAFKA__BOOTSTRAP": "kafka.example:9093",
    "INTEREST_KAFKA__REPLICATION": "3",
    "INTEREST_KAFKA__SECURITY__PROTOCOL": "SASL_SSL",
    "INTEREST_KAFKA__SECURITY__USERNAME": "worker",
    "INTEREST_KAFKA__SECURITY__PASSWORD": "for-production",
    "INTEREST_REDIS__URL": "rediss://redis.example:6379/0",
    "INTEREST_REDIS__CLUSTER": "true",
    "INTEREST_REDIS__USERNAME": "interest",
    "INTEREST_REDIS__PASSWORD": "for-production",
}


def test_interrupted_demo_leaves_nothing_running(data: Path, home: Path) -> None:
    """With servers of its own, which are none of those that the environment speaks of; runs after the test above, whose
    model it finds."""
    demo = interest("demo", "--rate", "50", "--data", str(data), cwd=home, **PRODUCTION)
    assert demo.stdout is not None
    for line in demo.stdout:
        if " events/s" in line:
            break
    tree = psutil.Process(demo.pid).children(recursive=True)
    assert len(tree) >= 3
    demo.send_signal(signal.SIGINT)
    demo.communicate(timeout=60)
    assert demo.returncode == 130
    _, alive = psutil.wait_procs(tree, timeout=10)
    assert alive == []
    assert not any(path.is_dir() for path in (home / ".interest" / "demo").iterdir())


def test_worker_that_cannot_start_is_explained(kafka: LocalKafka, tmp_path: Path, data: Path, home: Path) -> None:
    """The demo ends with the worker's own words; here about a model that is promoted and not there."""
    models = tmp_path / "models"
    models.mkdir()
    (models / "current.json").write_text('{"version": "m-1"}')
    with LocalValkey(tmp_path / "redis") as redis:
        servers = ["--kafka", kafka.bootstrap, "--redis", redis.url]
        demo = interest("demo", "--data", str(data), "--models", str(models), *servers, cwd=home)
        _, messages = demo.communicate(timeout=120)
    assert demo.returncode == 1
    assert "the worker ended with status 1" in messages
    assert "m-1" in messages
    assert "Traceback" not in messages

"""What was loaded as a secret is not printed, whoever words the text and however the process ends."""

import json
import subprocess
import sys

import pytest

from stream_app import masking
from stream_app.settings import load

CANARY = "c'anary\\7\tQx"


@pytest.fixture(autouse=True)
def _forget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masking, "_secrets", set())


@pytest.mark.parametrize("spell", [str, repr, lambda text: f"before{text}after"])
def test_a_secret_is_hidden_however_it_is_spelt(spell: object) -> None:
    masking.keep_secret(CANARY)
    text = masking.hidden(spell(CANARY))  # type: ignore[operator]
    assert masking.MASK in text
    assert "anary" not in text


def test_json_spells_it_otherwise() -> None:
    masking.keep_secret(CANARY)
    assert "anary" not in masking.hidden(json.dumps({"why": CANARY}))


def test_of_a_url_the_password_is_hidden_as_written_and_as_meant() -> None:
    masking.keep_secret("rediss://user:p%40ss-7Qx@host:6379/0")
    assert masking.hidden("p%40ss-7Qx or p@ss-7Qx at host") == f"{masking.MASK} or {masking.MASK} at host"


def test_what_is_loaded_is_hidden_at_every_depth() -> None:
    load(
        kafka={"security": {"protocol": "SASL_SSL", "username": "u", "password": "kafka-7Qx"}},
        redis={"url": "redis://:url-7Qx@h/0", "password": "redis-7Qx"},
    )
    assert "7Qx" not in masking.hidden("kafka-7Qx, url-7Qx, redis-7Qx")


@pytest.mark.parametrize("ends", ["cli", "stop_process"])
def test_a_crash_does_not_tell(ends: str) -> None:
    crash = f"""
from stream_app import cli, masking
from stream_app.faust_slab.fatal import stop_process
masking.keep_secret({CANARY!r})
def fails(): raise KeyError({CANARY!r})
cli.app = fails
if {ends!r} == "cli":
    cli.main()
stop_process("here", KeyError({CANARY!r}))
"""
    done = subprocess.run([sys.executable, "-c", crash], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == (1 if ends == "cli" else 70), done.stderr
    assert masking.MASK in done.stderr
    # The source lines of the traceback are not the secret's doing; `-c` has none.
    assert "anary" not in done.stdout + done.stderr

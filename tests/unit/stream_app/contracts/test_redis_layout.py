"""Keys: one slot for a user, one user for a key."""

import re
import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from stream_app.contracts.recommendations import recommendation_id
from stream_app.contracts.redis_layout import MODEL_KEY, interest_key, interest_keys, recommendation_key, user_of

IDS = st.one_of(st.text("}{%7D25a", min_size=1), st.text(min_size=1, max_size=20)).map(
    lambda text: text.encode(errors="ignore") or b"x"
)

HOSTILE = [
    b"*",
    b"?",
    b"[a-z]",
    b"}{",
    b"{}",
    b"}:{",
    b"model",
    b"interest:{a}",
    b"rec:{a}",
    b"}",
    b"%7D",
    b"a\\",
    b"a" * 256,
]


def hash_tag(key: bytes) -> bytes:
    """What Redis Cluster hashes of a key (its specification, "Hash tags")."""
    found = re.search(rb"\{([^}]+)\}", key[key.index(b"{") :], re.DOTALL)
    return found[1] if found and found.start() == 0 else key


def test_plain_id_stands_literally_between_braces() -> None:
    assert interest_key(b"user-42") == b"interest:{user-42}"
    assert recommendation_key(b"user-42") == b"rec:{user-42}"


@given(IDS)
def test_keys_of_a_user_share_a_slot(user: bytes) -> None:
    assert hash_tag(interest_key(user)) == hash_tag(recommendation_key(user))
    assert interest_keys([user]) == [interest_key(user)]


@given(IDS)
def test_a_key_tells_its_user(user: bytes) -> None:
    assert user_of(interest_key(user)) == user


@given(st.lists(st.one_of(IDS, st.sampled_from(HOSTILE)), unique=True, min_size=2, max_size=8))
def test_no_key_of_one_user_is_any_key_of_another_or_the_models(users: list[bytes]) -> None:
    keys = [key(user) for user in users for key in (interest_key, recommendation_key)]
    assert len({*keys, MODEL_KEY}) == len(keys) + 1
    assert all(key.startswith((b"interest:{", b"rec:{")) and key.endswith(b"}") for key in keys)


def test_recommendation_id_is_a_function_of_the_state() -> None:
    assert recommendation_id("u", 0, 1) == recommendation_id("u", 0, 1)
    assert len({recommendation_id("u", erased, number) for erased in (0, 5) for number in (1, 2)}) == 4


def test_reader_loads_neither_faust_nor_tensorflow() -> None:
    heavy = "faust aiokafka tensorflow numba pydantic"
    script = f"import sys, stream_app.client; print([m for m in {heavy.split()} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

"""Keys: one slot for a user, one user for a key."""

import re
import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from stream_app.contracts.generations import SERVING_KEY
from stream_app.contracts.recommendations import recommendation_id
from stream_app.contracts.redis_layout import (
    everybody,
    interest_key,
    interest_keys,
    model_key,
    recommendation_key,
    user_of,
)

IDS = st.one_of(st.text("}{%7D25a", min_size=1), st.text(min_size=1, max_size=20)).map(
    lambda text: text.encode(errors="ignore") or b"x"
)

GENERATIONS = st.integers(1, 12)

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
    b"g2:{a}",
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


def test_later_generations_have_a_prefix_before_the_brace() -> None:
    assert interest_key(b"user-42", 2) == b"interest:g2:{user-42}"
    assert recommendation_key(b"user-42", 12) == b"rec:g12:{user-42}"
    assert (model_key(), model_key(2)) == (b"interest:model", b"interest:g2:model")
    assert (everybody(), everybody(2)) == (b"interest:{*}", b"interest:g2:{*}")


@given(IDS, GENERATIONS)
def test_keys_of_a_user_share_a_slot_in_all_generations(user: bytes, generation: int) -> None:
    assert hash_tag(interest_key(user, generation)) == hash_tag(recommendation_key(user))
    assert hash_tag(interest_key(user, generation)) == hash_tag(recommendation_key(user, generation))
    assert interest_keys([user], generation) == [interest_key(user, generation)]


@given(IDS, GENERATIONS)
def test_a_key_tells_its_user(user: bytes, generation: int) -> None:
    assert user_of(interest_key(user, generation)) == user


@given(st.lists(st.one_of(IDS, st.sampled_from(HOSTILE)), unique=True, min_size=2, max_size=8))
def test_no_key_of_one_user_is_any_key_of_another_or_of_another_generation_or_no_users(users: list[bytes]) -> None:
    generations = range(1, 4)
    keys = [
        key(user, generation)
        for user in users
        for key in (interest_key, recommendation_key)
        for generation in generations
    ]
    assert len({*keys, SERVING_KEY, *map(model_key, generations)}) == len(keys) + 4
    assert all(key.startswith((b"interest:", b"rec:")) and key.endswith(b"}") for key in keys)


def test_recommendation_id_is_a_function_of_the_state() -> None:
    assert recommendation_id("u", 0, 1) == recommendation_id("u", 0, 1)
    assert len({recommendation_id("u", erased, number) for erased in (0, 5) for number in (1, 2)}) == 4


def test_generations_number_their_recommendations_apart() -> None:
    assert recommendation_id("u", 0, 1, 1) == recommendation_id("u", 0, 1) == "u:0:1"
    assert recommendation_id("u", 0, 1, 2) == "u:0:1:g2"


def test_reader_loads_neither_faust_nor_tensorflow() -> None:
    heavy = "faust aiokafka tensorflow numba pydantic"
    script = f"import sys, stream_app.client; print([m for m in {heavy.split()} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

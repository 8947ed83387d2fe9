"""Knowledge of an item, there and back; and what is none."""

import base64

import numpy as np
import pytest

from stream_app.contracts.knowledge import Knowledge, decode, deleted, encode, packed, unpacked

WHOLE = Knowledge(
    item_id="i7", made_at=5, title="火星救援", content_hash="ab", encoder="hashing:512", creator_id="c", published_at=3,
    vector=packed(np.ones(4, np.float32)), origin=packed(np.zeros(4, np.float32)),
    topics={"Sci-Fi": 0.75, "Drama": 0.25}, audience="Who likes it", mood="tense",
    related=("space", "survival"), source="tags",
)  # fmt: skip


@pytest.mark.parametrize("knowledge", [WHOLE, deleted("i7", 5), Knowledge("i8", 1)])
def test_it_comes_back(knowledge: Knowledge) -> None:
    assert decode(encode(knowledge)) == knowledge


def test_what_is_not_known_takes_no_room() -> None:
    assert encode(deleted("i7", 5)) == b'{"item_id":"i7","made_at":5,"deleted":true}'


def test_fields_of_a_later_release_are_passed_over() -> None:
    assert decode(b'{"item_id":"i7","made_at":5,"mass":[1,2]}') == Knowledge("i7", 5)


@pytest.mark.parametrize(
    "value",
    [b"", b"[]", b"null", b'{"item_id":7,"made_at":5}', b'{"item_id":"i7"}', b"\xff\xfe", b"[" * 100_000,
     b'{"item_id":"i7","made_at":5,"topics":{"a":"b"}}'],
)  # fmt: skip
def test_what_is_no_knowledge_is_said_to_be_none(value: bytes) -> None:
    with pytest.raises(ValueError, match="no knowledge of an item"):
        decode(value)


def test_a_vector_keeps_three_digits() -> None:
    vector = np.random.default_rng(0).normal(size=384).astype(np.float32)
    text = packed(vector)
    np.testing.assert_allclose(unpacked(text), vector, rtol=1e-3, atol=1e-6)
    assert len(text) == 1024
    assert base64.b64decode(text)[:2] == np.float16(vector[0]).tobytes()
    assert not len(unpacked(""))


@pytest.mark.parametrize(
    "text", ["?", "YQ==", packed(np.array([np.nan], np.float32)), packed(np.array([np.inf], np.float32))]
)
def test_what_is_no_vector_is_said_to_be_none(text: str) -> None:
    with pytest.raises(ValueError, match="vector"):
        unpacked(text)

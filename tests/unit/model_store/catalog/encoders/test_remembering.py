"""What is asked twice in a row is encoded once, and is the same."""

from collections.abc import Sequence

import numpy as np

from model_store.catalog.encoders.hashing import HashingEncoder
from model_store.catalog.encoders.port import Float32
from model_store.catalog.encoders.remembering import RememberingEncoder


class Counting(HashingEncoder):
    texts: list[str] = []  # noqa: RUF012  # one test, one list

    def encode(self, texts: Sequence[str]) -> Float32:
        self.texts.extend(texts)
        return super().encode(texts)


def test_only_new_texts_are_encoded_and_the_latest_are_kept() -> None:
    inner = Counting(32)
    encoder = RememberingEncoder(inner, 3)
    asked: list[list[str]] = [["a", "b", "a"], ["b", "c"], [], ["a", "b", "c"], ["d"], ["d", "a"]]
    for texts in asked:
        np.testing.assert_array_equal(encoder.encode(texts), HashingEncoder(32).encode(texts))
    assert inner.texts == ["a", "b", "c", "d", "a"]
    assert (encoder.name, encoder.dimension) == ("hashing:32", 32)

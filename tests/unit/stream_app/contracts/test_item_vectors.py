"""The cosine of elements and question orders as the score does, and tells it."""

import numpy as np
import pytest

from model_store.state.layout import DIM
from stream_app.contracts.item_vectors import elements, lengths, question, score


def test_items_come_in_the_order_of_their_scores_which_are_told() -> None:
    rng = np.random.default_rng(3)
    vectors = (rng.normal(size=(500, DIM)) * rng.lognormal(size=(500, 1))).astype(np.float32)
    bias = rng.normal(scale=3, size=500).astype(np.float32)
    user = rng.normal(size=DIM).astype(np.float32)
    naive = [sum(float(a) * float(b) for a, b in zip(user, row, strict=True)) for row in vectors]
    truth = np.array(naive) + bias
    bound = 2 * float(lengths(vectors, bias).max())
    rows, asked = elements(vectors, bias, bound).astype(np.float64), question(user)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), bound, rtol=1e-6)
    cosines = rows @ asked / np.linalg.norm(rows, axis=1) / np.linalg.norm(asked)
    assert np.argsort(-cosines).tolist() == np.argsort(-truth).tolist()
    found = [score((1 + cosine) / 2, asked, bound) for cosine in cosines]
    np.testing.assert_allclose(found, truth, atol=1e-4)


def test_a_length_is_of_vector_and_bias_and_must_fit() -> None:
    vectors, bias = np.zeros((1, DIM), np.float32), np.array([4], np.float32)
    vectors[0, 5] = 3
    assert lengths(vectors, bias).tolist() == [5.0]
    assert elements(vectors, bias, 5.0)[0, -2:].tolist() == [4.0, 0.0]
    with pytest.raises(ValueError, match="longer than the bound"):
        elements(vectors, bias, 4.9)

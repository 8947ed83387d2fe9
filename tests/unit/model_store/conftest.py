"""TensorFlow as a worker has it."""

import pytest

from model_store.encoder.runtime import use_threads


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """On one thread sums come in one order, and a test's figures stay what they were."""
    use_threads(1)

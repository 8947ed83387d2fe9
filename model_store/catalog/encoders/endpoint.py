"""Vectors from any service that speaks OpenAI's embeddings protocol."""

from collections.abc import Sequence
from typing import Annotated

import msgspec
import numpy as np
import numpy.typing as npt

from model_store.catalog.encoders.words import has_word, readable
from model_store.catalog.errors import MisconfiguredError, RefusedError
from model_store.catalog.remote import Access, Closing, Remote, Retries

Float32 = npt.NDArray[np.float32]

_LONGEST = 8_000  # characters: a usual limit is 8,192 tokens, and a token is seldom less than a character
_PROBE = "dimension"


class _Vector(msgspec.Struct, frozen=True):
    index: Annotated[int, msgspec.Meta(ge=0)]
    embedding: list[float]


class _Vectors(msgspec.Struct, frozen=True):
    data: list[_Vector]


class EndpointEncoder(Closing):
    """A model behind an endpoint. Thread-safe; close it, or use it in a `with`.

    A call blocks for `ceil(n / batch)` requests, each of at most `attempts` times `timeout_s` and the waits between
    them.
    """

    def __init__(
        self, access: Access, retries: Retries | None = None, batch: int = 64, dimension: int | None = None
    ) -> None:
        """`dimension`: of its vectors, where known; else learnt from the first answer. Does not connect. Raises
        MisconfiguredError."""
        self._remote = Remote(access)
        self._retries = retries or Retries()
        self._batch = batch
        self._dimension = dimension

    def __repr__(self) -> str:
        return f"EndpointEncoder({self._remote.access!r})"

    def close(self) -> None:
        self._remote.close()

    @property
    def name(self) -> str:
        return f"endpoint:{self._remote.access.model}"

    @property
    def dimension(self) -> int:
        """See the port. Where it is neither given nor learnt yet, one word is encoded, which may raise what `encode`
        raises."""
        if self._dimension is None:
            self.encode([_PROBE])
        assert self._dimension is not None  # an answer without a vector is refused
        return self._dimension

    def encode(self, texts: Sequence[str]) -> Float32:
        """See the port. RefusedError over several texts says nothing of each of them: ask for one by one then."""
        rows = [row for row, text in enumerate(texts) if has_word(text)]
        parts = [self._encoded([texts[row] for row in part]) for part in _parts(rows, self._batch)]
        vectors = np.zeros((len(texts), self.dimension if not parts else parts[0].shape[1]), np.float32)
        if parts:
            vectors[rows] = np.concatenate(parts)
        return vectors

    def _encoded(self, texts: Sequence[str]) -> Float32:
        sent = [readable(text, _LONGEST) for text in texts]
        vectors = _read(self._retries.call(lambda: self._ask(sent)), len(sent))
        if self._dimension is None:
            self._dimension = vectors.shape[1]
        if vectors.shape[1] != self._dimension:
            raise MisconfiguredError(f"{self.name} has {vectors.shape[1]} dimensions, not {self._dimension}")
        return vectors

    def _ask(self, texts: Sequence[str]) -> bytes:
        model = self._remote.access.model
        return self._remote.ask(
            lambda client: client.embeddings.with_streaming_response.create(
                model=model, input=texts, encoding_format="float"
            )
        )


def _parts(rows: Sequence[int], size: int) -> list[Sequence[int]]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def _read(body: bytes, count: int) -> Float32:
    """float32 [count, d] of length 1 from an answer's body. Raises RefusedError for one that does not hold that."""
    try:
        found = sorted(msgspec.json.decode(body, type=_Vectors).data, key=lambda one: one.index)
        vectors = np.array([one.embedding for one in found], np.float64)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise RefusedError(f"the answer is no list of vectors of one length: {error}"[:300]) from error
    if [one.index for one in found] != list(range(count)):
        raise RefusedError(f"{len(found)} vectors for {count} texts, or not one for each")
    with np.errstate(over="ignore"):
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True) if vectors.ndim == 2 else np.zeros(1)
    if not (np.isfinite(lengths).all() and (lengths > 0).all()):
        raise RefusedError("a vector is empty, zero or not finite")
    return (vectors / lengths).astype(np.float32)

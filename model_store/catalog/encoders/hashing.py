"""Vectors out of nothing but the letters: hashed words and character n-grams, for where no model is installed.

Each feature of a text is hashed to one column and a sign (Weinberger et al., Feature Hashing for Large Scale Multitask
Learning, 2009), so no vocabulary is kept. Words that share n-grams are near to one another, synonyms are not.

Chinese and Japanese write no spaces between words, and Korean few that help. In such scripts pairs of characters stand
for words; the rest is the same.
"""

import itertools
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model_store.catalog.encoders.words import readable
from model_store.state.hashing import hash_ids

Float32 = npt.NDArray[np.float32]

DIMENSION = 512

_LONGEST = 10_000
# Han, kana and Hangul with their extensions, and the scripts of South East Asia that write no spaces either.
_UNSPACED = (
    r"\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3130-\u318f\u3400-\u4dbf"
    r"\u4e00-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\U00020000-\U0003ffff"
)
_MARKS = r"\u0300-\u036f\u0900-\u0963\u0966-\u0dff"  # are part of a word; Python counts them as no letters
_RUN = re.compile(rf"(?P<unspaced>[{_UNSPACED}]+)|(?P<word>(?:(?![{_UNSPACED}])[^\W_]|[{_MARKS}])+)")
# What a feature counts for. One word has many n-grams and should not drown the others; a pair of Chinese characters is
# most often a word, one alone says little.
_WORD, _PAIR, _NGRAM = 1.0, 0.5, 0.3
_WORD_NGRAMS = (3, 4)
_UNSPACED_NGRAMS = {1: 0.3, 2: 1.0, 3: 0.5}


@dataclass(frozen=True, slots=True)
class HashingEncoder:
    """The same vectors in every process and on every machine, at 15,000 titles a CPU second."""

    dimension: int = DIMENSION

    def __post_init__(self) -> None:
        if self.dimension < 1:
            raise ValueError(f"dimension must be positive, got {self.dimension}")

    @property
    def name(self) -> str:
        return f"hashing:{self.dimension}"

    def encode(self, texts: Sequence[str]) -> Float32:
        """See the port. Raises nothing; of a text the first 10,000 characters count."""
        vectors = np.zeros((len(texts), self.dimension))
        for vector, text in zip(vectors, texts, strict=True):
            self._fill(vector, features(text))
        return vectors.astype(np.float32)

    def _fill(self, vector: npt.NDArray[np.float64], weights: dict[str, float]) -> None:
        if not weights:
            return
        hashes = hash_ids(list(weights)).hash
        signs = np.where(hashes >> np.uint64(63), -1.0, 1.0)
        np.add.at(vector, hashes % np.uint64(self.dimension), signs * np.fromiter(weights.values(), np.float64))
        length = np.sqrt(vector @ vector)
        if length:  # two features of one column may cancel out
            vector /= length


def features(text: str) -> dict[str, float]:
    """Weights of a text's features: what one counts for, times 1 + ln of how often it occurs."""
    counts: Counter[tuple[str, float]] = Counter()
    words: list[str] = []
    for run in _RUN.finditer(readable(text, _LONGEST).casefold()):
        if run["word"]:
            words.append(run["word"])
        else:
            counts.update(_of_unspaced(run["unspaced"]))
    counts.update(_of_words(words))
    return {feature: weight * (1 + math.log(count)) for (feature, weight), count in counts.items()}


def _of_unspaced(run: str) -> Iterator[tuple[str, float]]:
    for size, weight in _UNSPACED_NGRAMS.items():
        for gram in _ngrams(run, size):
            yield f"u {gram}", weight


def _of_words(words: Sequence[str]) -> Iterator[tuple[str, float]]:
    for word in words:
        yield f"w {word}", _WORD
        for size in _WORD_NGRAMS:
            for gram in _ngrams(f"<{word}>", size):
                yield f"n {gram}", _NGRAM
    for first, second in itertools.pairwise(words):
        yield f"p {first} {second}", _PAIR


def _ngrams(text: str, size: int) -> Iterator[str]:
    return (text[start : start + size] for start in range(len(text) - size + 1))

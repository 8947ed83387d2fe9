"""Hashed features against a naive oracle and values computed by hand; texts in two scripts against what they mean."""

import math
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_store.catalog.encoders.hashing import HashingEncoder, features

ENCODER = HashingEncoder()
ENGLISH = {
    "running": ["Marathon training for beginners", "How to train for your first marathon", "Marathon running shoes"],
    "cooking": ["Easy braised pork recipe", "A recipe for braised beef", "Pork dumplings: the family recipe"],
    "money": [
        "Central bank cuts interest rates",
        "What interest rates mean for your bank",
        "Interest rates fall again",
    ],
}
CHINESE = {
    "running": ["初学者马拉松训练计划", "如何训练第一次马拉松", "马拉松跑步鞋推荐"],
    "cooking": ["红烧肉的家常做法", "家常红烧牛肉做法大全", "红烧排骨做法"],
    "money": ["央行宣布下调贷款利率", "贷款利率下调意味着什么", "银行贷款利率再次下调"],
}
KOREAN = {
    "running": ["초보자를 위한 마라톤 훈련", "첫 마라톤을 위한 훈련법"],
    "cooking": ["돼지고기 김치찌개 만들기", "김치찌개를 맛있게 만드는 법"],
}


def fnv(text: str) -> int:
    """FNV-1a with MurmurHash3's finaliser, digit by digit."""
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = (value ^ byte) * 0x100000001B3 % 2**64
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        value = (value ^ (value >> 33)) * factor % 2**64
    return value ^ (value >> 33)


def naive(text: str, dimension: int) -> list[float]:
    """ASCII text: words of letters and digits, nothing vectorised."""
    words = "".join(c if c.isalnum() else " " for c in text.lower()).split()
    counts: Counter[str] = Counter()
    for i, word in enumerate(words):
        counts["w " + word] += 1
        bounded = "<" + word + ">"
        for size in (3, 4):
            for start in range(len(bounded) - size + 1):
                counts["n " + bounded[start : start + size]] += 1
        if i:
            counts["p " + words[i - 1] + " " + word] += 1
    weights = {"w": 1.0, "n": 0.3, "p": 0.5}
    vector = [0.0] * dimension
    for feature, count in counts.items():
        hashed = fnv(feature)
        vector[hashed % dimension] += (-1 if hashed >> 63 else 1) * weights[feature[0]] * (1 + math.log(count))
    length = math.sqrt(sum(value * value for value in vector))
    return [value / length for value in vector] if length else vector


@settings(max_examples=150)
@given(text=st.text(alphabet="abcdeXYZ019 .,-_'\t", max_size=60), dimension=st.sampled_from([1, 7, 64, 512]))
def test_as_a_naive_oracle_says(text: str, dimension: int) -> None:
    vector = HashingEncoder(dimension).encode([text])[0]
    np.testing.assert_allclose(vector, naive(text, dimension), atol=1e-6)


def test_features_by_hand() -> None:
    assert features("Go, GO") == {
        "w go": 1 + math.log(2),
        "n <go": pytest.approx(0.3 * (1 + math.log(2))),
        "n go>": pytest.approx(0.3 * (1 + math.log(2))),
        "n <go>": pytest.approx(0.3 * (1 + math.log(2))),
        "p go go": 0.5,
    }
    assert features("马拉松") == {
        "u 马": 0.3, "u 拉": 0.3, "u 松": 0.3, "u 马拉": 1.0, "u 拉松": 1.0, "u 马拉松": 0.5,
    }  # fmt: skip


def test_scripts_side_by_side() -> None:
    assert set(features("看NBA直播")) == {
        "u 看", "u 直", "u 播", "u 直播", "w nba", "n <nb", "n nba", "n ba>", "n <nba", "n nba>",
    }  # fmt: skip
    assert "w हिन्दी" in features("हिन्दी")  # vowel signs are part of the word
    assert "w ё" in features("Ё")
    assert features("ＡＢＣ") == features("abc")  # full width


@pytest.mark.parametrize("titles", [ENGLISH, CHINESE, KOREAN], ids=["English", "Chinese", "Korean"])
def test_related_titles_are_nearer_than_unrelated_ones(titles: dict[str, list[str]]) -> None:
    about = [topic for topic, some in titles.items() for _ in some]
    vectors = ENCODER.encode([title for some in titles.values() for title in some])
    cosines = vectors @ vectors.T - 2 * np.eye(len(about), dtype=np.float32)
    assert [about[nearest] for nearest in cosines.argmax(axis=1)] == about
    same = np.array([[a == b for b in about] for a in about]) & ~np.eye(len(about), dtype=bool)
    other = np.array([[a != b for b in about] for a in about])
    assert np.median(cosines[same]) > cosines[other].max()


def test_texts_without_a_word_are_zeros_and_the_others_of_length_one() -> None:
    vectors = ENCODER.encode(["", "  ", "…!?", "\ud800", "🎉", "a", "1999", "的", "the the"])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), [0] * 5 + [1] * 4, atol=1e-6)
    assert vectors.dtype == np.float32
    assert ENCODER.encode([]).shape == (0, 512)


def test_a_text_does_not_depend_on_its_neighbours_nor_on_what_surrounds_it() -> None:
    texts = [title for some in (*ENGLISH.values(), *CHINESE.values()) for title in some]
    alone = np.concatenate([ENCODER.encode([text]) for text in texts])
    np.testing.assert_array_equal(ENCODER.encode(texts), alone)


def test_another_process_makes_the_same_vectors() -> None:
    """Python's own hash differs from process to process."""
    code = (
        "from model_store.catalog.encoders.hashing import HashingEncoder;"
        "print(HashingEncoder(64).encode(['Marathon 马拉松']).tobytes().hex())"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == HashingEncoder(64).encode(["Marathon 马拉松"]).tobytes().hex()


def test_a_dimension_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="dimension"):
        HashingEncoder(0)

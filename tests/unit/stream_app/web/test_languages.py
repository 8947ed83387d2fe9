import pytest

from stream_app.web.languages import preferred


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"),
        ("zh", "zh"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("ZH-Hans-CN", "zh"),
        ("en-GB,en;q=0.9,zh;q=0.8", "en"),
        ("en;q=0.5, zh;q=0.8", "zh"),
        ("de, fr;q=0.9", "en"),
        ("de, zh;q=0.1", "zh"),
        ("*", "en"),
        ("en;q=0, *", "zh"),
        ("en;q=0, zh;q=0", "en"),
        ("zh;q=nonsense, en;q=0.1", "en"),
        ("zh;q=nan", "en"),
        (";;;,,,q=1", "en"),
        (",".join(["de"] * 5_000), "en"),
    ],
)
def test_the_language_that_comes_first(header: str, language: str) -> None:
    assert preferred(header) == language

"""What is kept of explanations, and for how long."""

from stream_app.words.cache import Cache
from stream_app.words.explanation import Explanation, Stand

NOW = Stand(1, 7, "model-7")


def text(words: str) -> Explanation:
    return Explanation(words, "template", 7, 0, "en")


def test_that_of_this_very_stand_alone() -> None:
    cache = Cache(10, 60.0, lambda: 0.0)
    cache.put("ann", "en", NOW, text("a"))
    assert cache.get("ann", "en", NOW) == text("a")
    for other in (Stand(2, 7, "model-7"), Stand(1, 8, "model-7"), Stand(1, 6, "model-7"), Stand(1, 7, "model-8")):
        assert cache.get("ann", "en", other) is None
    assert cache.get("ann", "zh", NOW) is None
    assert cache.get("bob", "en", NOW) is None


def test_a_newer_stand_takes_the_place_of_the_older() -> None:
    cache = Cache(10, 60.0, lambda: 0.0)
    for version in range(5):
        cache.put("ann", "en", Stand(1, version, "model-7"), text(str(version)))
    assert len(cache) == 1
    assert cache.get("ann", "en", Stand(1, 4, "model-7")) == text("4")


def test_who_was_not_asked_for_the_longest_goes_first() -> None:
    cache = Cache(2, 60.0, lambda: 0.0)
    cache.put("ann", "en", NOW, text("a"))
    cache.put("bob", "en", NOW, text("b"))
    assert cache.get("ann", "en", NOW)
    cache.put("cat", "en", NOW, text("c"))
    assert [bool(cache.get(user, "en", NOW)) for user in ("ann", "bob", "cat")] == [True, False, True]
    assert len(cache) == 2


def test_nothing_is_kept_for_ever() -> None:
    now = [0.0]
    cache = Cache(10, 60.0, lambda: now[0])
    cache.put("ann", "en", NOW, text("a"))
    now[0] = 59.9
    assert cache.get("ann", "en", NOW)
    now[0] = 60.0
    assert cache.get("ann", "en", NOW) is None


def test_who_is_gone_is_forgotten_in_all_languages() -> None:
    cache = Cache(10, 60.0, lambda: 0.0)
    for user in ("ann", "bob"):
        cache.put(user, "en", NOW, text("a"))
        cache.put(user, "zh", NOW, text("a"))
    cache.forget("ann")
    cache.forget("nobody")
    assert len(cache) == 2
    assert cache.get("bob", "zh", NOW)

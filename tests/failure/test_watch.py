"""The watcher of versions is no yes-man."""

from tests.failure.watch import Versions


def test_a_version_that_goes_backwards_is_seen() -> None:
    versions = Versions()
    versions.see({"a": None, "b": (1, 7)})
    versions.see({"a": (1, 1), "b": (1, 7)})
    versions.see({"a": (2, 0), "b": (1, 6)})
    versions.see({"a": None, "b": (1, 6)})
    assert versions.regressed == ["b: (1, 7) became (1, 6)", "a: (2, 0) became None"]

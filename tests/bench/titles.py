"""Made-up titles out of a fixed vocabulary, all different; nothing of them is of any data set."""

from collections.abc import Iterator

_FIRST = (
    "Silent", "Golden", "Broken", "Hidden", "Distant", "Burning", "Frozen", "Last", "Crooked", "Restless", "Gentle",
    "Hollow", "Crimson", "Forgotten", "Wandering", "Stolen",
)  # fmt: skip
_SECOND = (
    "River", "Garden", "Empire", "Harbour", "Mountain", "Letter", "Orchestra", "Witness", "Island", "Engine", "Winter",
    "Kitchen", "Detective", "Lighthouse", "Voyage", "Market",
)  # fmt: skip
_THIRD = (
    "in Autumn", "of the North", "without a Name", "at Midnight", "by the Sea", "under Water", "after the War",
    "for Two", "in the City", "of Glass", "and the Fox", "on Trial", "beyond the Hills", "in Love", "of Ashes",
    "at Dawn",
)  # fmt: skip


def titles(count: int) -> Iterator[str]:
    """Five words or so each; where the vocabulary is used up they have parts."""
    for number in range(count):
        rest, first = divmod(number, len(_FIRST))
        rest, second = divmod(rest, len(_SECOND))
        rest, third = divmod(rest, len(_THIRD))
        yield f"The {_FIRST[first]} {_SECOND[second]} {_THIRD[third]}" + (f", Part {rest + 1}" if rest else "")

"""How many texts are described at once."""

from dataclasses import dataclass

FIRST = 32
GROWTH = 2


@dataclass(frozen=True, slots=True)
class Pace:
    """A text that was just edited waits for those that are under way: they should take no longer than `longest_s`."""

    most: int
    longest_s: float = 2.0
    texts: int = FIRST

    @property
    def size(self) -> int:
        return min(self.texts, self.most)

    def after(self, texts: int, took_s: float) -> "Pace":
        """The next one, where so many texts took so long."""
        fit = int(texts * self.longest_s / took_s) if took_s > 0 else self.most
        return Pace(self.most, self.longest_s, max(1, min(fit, GROWTH * texts, self.most)))

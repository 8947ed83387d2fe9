"""What a version says of itself, `model.json`; nothing here needs TensorFlow."""

from pathlib import Path
from typing import Any

import msgspec

from model_store import manifest
from model_store.manifest import ModelError
from model_store.state.memory import Decays

CARD = "model.json"


class Card(msgspec.Struct, frozen=True):
    """What `model.json` holds: the parts of a model that are not arrays, and where it came from.

    `interests`: how many of a user's the readout tells apart.

    `made`: free notes for people (data set, its terms, seed, figures); nothing that serves reads them.
    """

    generation: int
    topics: tuple[str, ...]
    rank_half_lives_events: tuple[float, ...]
    time_half_lives_ms: tuple[float, ...]
    content_half_life_ms: float
    made: dict[str, Any] = {}
    made_at_ms: int = 0
    interests: int = 1
    context_half_life_ms: float = 0.0

    @property
    def decays(self) -> Decays:
        """The half-lives, as `state.advance` takes them."""
        return Decays(
            self.rank_half_lives_events, self.time_half_lives_ms, self.content_half_life_ms, self.context_half_life_ms
        )


def read_card(folder: Path) -> Card:
    """The notes of the version in `folder`, without loading it."""
    try:
        return msgspec.json.decode((folder / CARD).read_bytes(), type=Card)
    except (FileNotFoundError, *manifest.UNREADABLE) as error:
        raise ModelError(f"{folder / CARD} cannot be read ({error}): fetch or train the version again") from error

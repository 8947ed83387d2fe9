"""The scenarios by name: how each is drawn, configured and played."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stream_app.scenarios.nature import Nature
from stream_app.scenarios.news import NEWS
from stream_app.scenarios.shop import SHOP
from stream_app.scenarios.social import SOCIAL
from stream_app.scenarios.story import Story
from stream_app.scenarios.world import tell

SEED = 1


@dataclass(frozen=True, slots=True)
class Scenario:
    """A world and how it is shown. `rate`: events a second, at which an item lives long enough to be looked at."""

    nature: Nature
    rate: float

    @property
    def name(self) -> str:
        return self.nature.name

    @property
    def settings_file(self) -> Path:
        """TOML, as `INTEREST_CONFIG` takes it."""
        return Path(__file__).with_name(f"{self.name}.toml")

    def story(self, seed: int = SEED) -> Story:
        """Takes some seconds."""
        return tell(self.nature, seed)


SCENARIOS: Mapping[str, Scenario] = {
    "shop": Scenario(SHOP, rate=500.0),
    "social": Scenario(SOCIAL, rate=500.0),
    "news": Scenario(NEWS, rate=500.0),
}

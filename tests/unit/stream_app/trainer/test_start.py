"""The trainer learns as its settings say, and unless they say otherwise as was measured."""

from model_store.training.online.learner import OnlineRecipe
from stream_app.settings import Trainer
from stream_app.trainer.start import recipe_of


def test_without_settings_it_is_the_recipe_that_was_measured() -> None:
    assert recipe_of(Trainer()) == OnlineRecipe()


def test_each_setting_is_the_part_of_the_recipe_that_it_names() -> None:
    said = {"rate": 0.01, "table_rate": 0.02, "passes": 3, "replays": 4, "rounds_kept": 5, "seed": 6}
    assert recipe_of(Trainer.model_validate(said)) == OnlineRecipe(
        rate=0.01, table_rate=0.02, passes=3, replays=4, rounds_kept=5, seed=6
    )

"""The scenarios' settings files: they are settings, and differ in what the scenarios are about."""

from pathlib import Path

import pytest

from model_store.state.memory import DAY_MS, HOUR_MS, Decays
from stream_app.commands.options import settings_of
from stream_app.scenarios.known import SCENARIOS
from stream_app.settings import Settings, Training, environment, load


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> dict[str, Settings]:
    """Of each scenario, as a command reads them that is given the file."""
    monkeypatch.setenv("INTEREST_CONFIG", "")
    return {name: settings_of(config=scenario.settings_file) for name, scenario in SCENARIOS.items()}


def half_lives(settings: Settings) -> Decays:
    return settings.training.half_lives(Decays())


def test_news_is_forgotten_within_the_day_and_a_purchase_after_months(settings: dict[str, Settings]) -> None:
    assert half_lives(settings["news"]) == Decays((0.7, 3.0, 15.0), (HOUR_MS / 2, DAY_MS), 6 * HOUR_MS)
    assert half_lives(settings["shop"]) == Decays((1.0, 10.0, 100.0), (7 * DAY_MS, 90 * DAY_MS), 60 * DAY_MS)
    lanes = [half_lives(settings[name]).time_half_lives_ms for name in ("news", "social", "shop")]
    assert lanes == sorted(lanes)


def test_news_is_recommended_soonest_and_taken_off_soonest(settings: dict[str, Settings]) -> None:
    every = [settings[name].recommend.min_interval_s for name in ("news", "social", "shop")]
    assert every == sorted(every)
    assert len(set(every)) == 3
    assert settings["news"].models.poll_s < settings["shop"].models.poll_s


def test_a_follow_of_somebody_silent_needs_to_move_less(settings: dict[str, Settings]) -> None:
    assert settings["social"].recommend.min_drift < settings["shop"].recommend.min_drift


def test_scenarios_share_nothing_on_disk_and_read_items_alike(settings: dict[str, Settings]) -> None:
    assert len({each.models.url for each in settings.values()}) == 3
    assert len({each.data_dir for each in settings.values()}) == 3
    assert {each.catalog.encoder.kind for each in settings.values()} == {"hashing"}


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_a_process_that_is_given_them_by_environment_has_just_these(
    name: str, settings: dict[str, Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in environment(settings[name], {}).items():
        monkeypatch.setenv(variable, value)
    monkeypatch.delenv("INTEREST_CONFIG")
    assert load() == settings[name]


def test_half_lives_that_are_not_given_are_the_data_sets_own() -> None:
    own = Decays((1.0, 2.0, 3.0), (4.0, 5.0), 6.0)
    assert Training().half_lives(own) == own
    assert Training(content_half_life_s=7).half_lives(own) == Decays((1.0, 2.0, 3.0), (4.0, 5.0), 7000.0)
    assert Training(time_half_lives_s=(1, 2)).half_lives(own).time_half_lives_ms == (1000, 2000)
    assert Training(rank_half_lives_events=(9, 8, 7)).half_lives(own).rank_half_lives_events == (9, 8, 7)


def test_a_copy_of_a_file_is_a_file_of_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "mine.toml"
    copy.write_text(SCENARIOS["news"].settings_file.read_text() + "\n[metrics]\nport = 9200\n")
    monkeypatch.setenv("INTEREST_CONFIG", str(copy))
    assert (load().metrics.port, load().models.poll_s) == (9200, 1.0)

"""Settings are documented from the code, what is in force is shown with its origin, a misspelt name is refused."""

import re
from pathlib import Path

import pytest
from pydantic_settings import SettingsError
from typer.testing import CliRunner

from stream_app import cli, handbook
from stream_app.settings import Settings, environment, load
from stream_app.variables import Setting, settings_in

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "deploy" / "docs" / "settings.md"
SETTINGS = list(settings_in(Settings))
SECRET = "hunter2-hunter2-hunter2-hunter2-hunter2"


def test_the_page_is_what_the_code_gives() -> None:
    assert PAGE.read_text() == handbook.page(), "interest settings --markdown > deploy/docs/settings.md"


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.key)
def test_each_setting_says_what_it_is_and_when_to_change_it(setting: Setting) -> None:
    what, why = handbook.meaning_of(setting)
    assert what.endswith((".", "`"))
    assert why.endswith((".", "`"))
    unit = handbook.unit_of(setting.path[-1])
    assert unit is None or re.search(rf"\b{unit}s?\b", what, re.IGNORECASE), f"{what} does not name its unit, {unit}"


def test_a_setting_with_nothing_said_is_noticed() -> None:
    """As the check above would be worthless if the library stopped reading what stands below a field."""
    bare = Setting(("nothing",), Settings.model_fields["kafka"], Settings)
    assert handbook.meaning_of(bare) == ("", "")


def test_the_variables_are_those_that_the_settings_are_read_from() -> None:
    settings = load()
    told = set(environment(settings, {}))
    assert told <= {setting.variable for setting in SETTINGS}
    assert {setting.variable for setting in SETTINGS} - told == {
        setting.variable for setting in SETTINGS if setting.default is None
    }


def test_what_workers_must_agree_on_is_marked() -> None:
    marked = set(re.findall(r"<br>`([a-z_.]+)`.*\*\*All alike\.\*\*", PAGE.read_text()))
    assert {"kafka.partitions", "redis.url", "accept.max_value_bytes", "pseudonym_key"} <= marked
    assert not {"kafka.heartbeat_s", "accept.flood_share", "log.level"} & marked


def test_each_value_is_shown_with_its_origin_and_no_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file, mounted = tmp_path / "mine.toml", tmp_path / "secrets"
    file.write_text('[kafka]\ngroup = "from-file"\npartitions = 3\n')
    mounted.mkdir()
    (mounted / "INTEREST_WEB__TOKEN").write_text(SECRET)
    monkeypatch.setenv("INTEREST_CONFIG", str(file))
    monkeypatch.setenv("INTEREST_SECRETS", str(mounted))
    monkeypatch.setenv("INTEREST_KAFKA__PARTITIONS", "5")
    monkeypatch.setenv("INTEREST_REDIS__URL", f"redis://ann:{SECRET}@host:6379/0")
    monkeypatch.setenv("INTEREST_FLUSH", '{"duty": 0.5}')
    result = CliRunner().invoke(cli.app, ["settings", "--changed"])
    rows = {words[0]: words[1:] for line in result.output.splitlines()[1:] if (words := line.split())}
    assert rows == {
        "kafka.group": ["from-file", "file"],
        "kafka.partitions": ["5", "environment"],
        "redis.url": ["redis://ann:**********@host:6379/0", "environment"],
        "flush.duty": ["0.5", "environment"],
        "web.token": ["**********", "secrets"],
    }


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("INTEREST_REDIS__GIVEUP_S", "INTEREST_REDIS__GIVE_UP_S"),
        ("INTEREST_REDSI__GIVE_UP_S", "INTEREST_REDIS__GIVE_UP_S"),
        ("INTEREST_KAFKA_BOOTSTRAP", "INTEREST_KAFKA__BOOTSTRAP"),
        ("INTEREST_METRICS_PORT", "INTEREST_METRICS__PORT"),
        ("interest_log__levle", "INTEREST_LOG__LEVEL"),
        ("INTEREST_ZZZZZZZZZZZZZZZZZZZZZZZZ", "nothing is called so"),
    ],
)
def test_a_misspelt_variable_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, meant: str) -> None:
    monkeypatch.setenv(name, "3")
    with pytest.raises(SettingsError, match=meant):
        load()


def test_a_misspelt_secret_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "INTEREST_REDIS__PASWORD").write_text("3")
    (tmp_path / "tls.crt").write_text("of somebody else")
    monkeypatch.setenv("INTEREST_SECRETS", str(tmp_path))
    with pytest.raises(SettingsError, match="INTEREST_REDIS__PASSWORD"):
        load()


def test_what_kubernetes_sets_for_services_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service called `interest-web` puts these into every pod of its namespace."""
    for name, value in {
        "INTEREST_WEB_SERVICE_HOST": "10.0.0.1",
        "INTEREST_WEB_SERVICE_PORT_HTTP": "9180",
        "INTEREST_WEB_PORT": "tcp://10.0.0.1:9180",
        "INTEREST_WEB_PORT_9180_TCP_ADDR": "10.0.0.1",
    }.items():
        monkeypatch.setenv(name, value)
    assert load().web.port == 9180

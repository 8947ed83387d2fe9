"""`interest taxonomy` on a small data set, without a language model."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from model_store.catalog.annotators.taxonomy import load
from stream_app.cli import app
from stream_app.commands.errors import CommandError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    ratings = "1::0001::8::1362062307\n1::0002::7::1362062308\n2::0001::9::1362062309\n"
    (tmp_path / "10K_ratings.dat").write_text(ratings)
    (tmp_path / "10K_movies.dat").write_text("0001::Up (2009)::Comedy|Drama\n0002::Alien (1979)::Horror|Drama\n")
    return tmp_path


def test_the_commonest_topics_are_written_for_editing_and_edits_are_not_overwritten(folder: Path) -> None:
    file = folder / "topics.toml"
    run = CliRunner().invoke(app, ["taxonomy", str(folder), str(file)])
    assert run.exit_code == 0, run.output
    assert load(file).names[0] == "Drama"
    assert set(load(file).names) == {"Drama", "Comedy", "Horror"}
    file.write_text(file.read_text().replace("Items tagged Drama.", "Tears."))
    again = CliRunner().invoke(app, ["taxonomy", str(folder), str(file)])
    assert isinstance(again.exception, CommandError)
    assert "--force" in str(again.exception)
    assert "Tears." in file.read_text()
    assert CliRunner().invoke(app, ["taxonomy", str(folder), str(file), "--force"]).exit_code == 0
    assert "Tears." not in file.read_text()

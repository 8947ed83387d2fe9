"""Loaders of public data sets in their publishers' formats; each takes a folder of the user's.

`load(folder)` looks at the files in a folder to see which set it is. Several snapshots in one folder
(MovieTweetings): name the one you mean, else the largest is taken.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model_store.training.interactions import Interactions, ItemFacts, Log, assemble, hourly

_RESEARCH = "research use only, no redistribution (GroupLens terms); cite Harper and Konstan, 2015"
_SCALE = 5.0
_SHUFFLE_SEED = 20111


class DataSetError(ValueError):
    """A folder that cannot be read as a data set. The message says what is missing or wrong."""


@dataclass(frozen=True, slots=True)
class DataSet:
    """A known set: `marks` are the file names (or patterns) that give it away."""

    name: str
    marks: tuple[str, ...]
    load: Callable[[Path], Interactions]

    def is_in(self, folder: Path) -> bool:
        """Whether all marks are in the folder."""
        return all(any(folder.glob(mark)) for mark in self.marks)


def detect(folder: Path) -> DataSet:
    """The set that lies in `folder`; `DataSetError` lists what is known if none does."""
    if not folder.is_dir():
        raise DataSetError(f"{folder} is not a folder: name the folder that holds the data set's files")
    for known in KNOWN:
        if known.is_in(folder):
            return known
    wanted = "; ".join(f"{known.name}: {', '.join(known.marks)}" for known in KNOWN)
    raise DataSetError(f"{folder} holds no data set known here. Looked for {wanted}")


def load(folder: Path, name: str | None = None) -> Interactions:
    """Read the set in `folder`: the one called `name`, else the first that is recognised. Raises `DataSetError`."""
    chosen = _called(name, folder) if name else detect(folder)
    try:
        return chosen.load(folder)
    except DataSetError:
        raise
    except (ValueError, LookupError) as problem:
        why = f"{type(problem).__name__}: {problem}"[:200]
        raise DataSetError(
            f"{folder} has files of {chosen.name} that cannot be read ({why}): are they whole?"
        ) from problem


def _called(name: str, folder: Path) -> DataSet:
    known = {dataset.name: dataset for dataset in KNOWN}
    if name not in known:
        raise DataSetError(f"no data set is called {name!r}: one of {', '.join(known)}")
    if not folder.is_dir() or not known[name].is_in(folder):
        raise DataSetError(f"{folder} does not hold {name}, which has the files {', '.join(known[name].marks)}")
    return known[name]


def movielens_100k(folder: Path) -> Interactions:
    """`u.data` (user, item, rating, seconds; tabs) and `u.item` (latin-1, 19 genre flags at the end of a line)."""
    rows = [line.split("\t") for line in _lines(folder / "u.data")]
    genres = [line.split("|")[0] for line in _lines(folder / "u.genre") if line]
    items = [line.split("|") for line in _lines(folder / "u.item", "latin-1")]
    topics = {row[0]: _flagged(row[-len(genres) :], genres) for row in items}
    return assemble("ml-100k", _RESEARCH, _rating_log(rows), ItemFacts({row[0]: row[1] for row in items}, topics))


def movielens_100k_recbole(folder: Path) -> Interactions:
    """The same ratings as in the `recbole` wheel: `ml-100k.inter` and `ml-100k.item` (tabs, one header line)."""
    rows = [line.split("\t") for line in list(_lines(folder / "ml-100k.inter"))[1:]]
    items = [line.split("\t") for line in list(_lines(folder / "ml-100k.item"))[1:]]
    titles = {row[0]: f"{row[1]} ({row[2]})" if row[2] else row[1] for row in items}
    topics = {row[0]: _named(row[3].split()) for row in items}
    return assemble("ml-100k", _RESEARCH, _rating_log(rows), ItemFacts(titles, topics))


def movietweetings_100k(folder: Path) -> Interactions:
    """`100K_ratings.dat` and `100K_movies.dat`: `user::movie::rating (0-10)::seconds`."""
    return _movietweetings(folder, "100K")


def movietweetings_10k(folder: Path) -> Interactions:
    """The first 10,000 ratings of the same: `10K_ratings.dat` and `10K_movies.dat`."""
    return _movietweetings(folder, "10K")


def movielens_1m(folder: Path) -> Interactions:
    """The publisher's `ratings.dat` and `movies.dat`: `user::movie::rating::seconds`."""
    rows = [line.split("::") for line in _lines(folder / "ratings.dat")]
    return assemble("ml-1m", _RESEARCH, _rating_log(rows), _movies(folder / "movies.dat", "latin-1"))


def movielens_1m_reconstructed(folder: Path) -> Interactions:
    """`ml-1m.txt` (order only) with the times of `events_reconstructed.parquet`, a third of which are interpolated."""
    columns = _parquet(folder / "events_reconstructed.parquet")
    rating = np.asarray(columns["rating"], np.float32)
    log = Log(
        users=[str(user) for user in columns["user_id"]],
        items=[str(movie) for movie in columns["movie_id"]],
        ts_ms=np.asarray(columns["timestamp"], np.int64) * 1000,
        rating=np.where(rating < 0, np.nan, rating).astype(np.float32),
        scale_max=_SCALE,
        times="reconstructed",
    )
    return assemble("ml-1m-reconstructed", _RESEARCH, log, _movies(folder / "movies.dat", "latin-1"))


def movielens_1m_order(folder: Path) -> Interactions:
    """`ml-1m.txt`, the benchmark file of sequential recommenders: `user item` a line, order only; made-up times."""
    rows = [line.split() for line in _lines(folder / "ml-1m.txt")]
    return assemble("ml-1m-order", _RESEARCH, _order_log([(user, item) for user, item in rows]), ItemFacts())


def amazon_beauty(folder: Path) -> Interactions:
    """`Beauty.txt`: `user item item ...` a line, order only; made-up times. Topics are the commonest attributes."""
    rows = [line.split() for line in _lines(folder / "Beauty.txt")]
    pairs = [(row[0], item) for row in rows for item in row[1:]]
    attributes = json.loads((folder / "Beauty_item2attributes.json").read_text())
    topics = {item: [f"attribute {number}" for number in numbers] for item, numbers in attributes.items()}
    return assemble("amazon-beauty", "none stated", _order_log(pairs), ItemFacts(topics=topics))


def lastfm(folder: Path) -> Interactions:
    """HetRec 2011: `user_artists.dat`, friends as follows, tags as topics.

    Listens have no order (the file sorts them by count): they are shuffled with a fixed seed, an hour apart. What is
    measured on it is taste, not what comes next.
    """
    listens = [line.split("\t")[:2] for line in list(_lines(folder / "user_artists.dat"))[1:]]
    order = np.random.default_rng(_SHUFFLE_SEED).permutation(len(listens))
    names = [line.split("\t") for line in list(_lines(folder / "artists.dat"))[1:]]
    friends = [line.split("\t")[:2] for line in list(_lines(folder / "user_friends.dat"))[1:]]
    return assemble(
        "lastfm-hetrec2011",
        "non-commercial use, no redistribution",
        _order_log([(listens[row][0], listens[row][1]) for row in order]),
        ItemFacts({row[0]: row[1] for row in names}, _lastfm_tags(folder)),
        tuple((user, friend) for user, friend in friends),
    )


def ciao(folder: Path) -> Interactions:
    """`rating.txt` (user, item, category, rating, helpfulness, seconds; days only) and `trust.txt` as follows."""
    table = np.loadtxt(folder / "rating.txt", ndmin=2)
    trust = np.loadtxt(folder / "trust.txt", ndmin=2).astype(np.int64)
    ids = table[:, :3].astype(np.int64)
    log = Log(
        users=[str(user) for user in ids[:, 0]],
        items=[str(item) for item in ids[:, 1]],
        ts_ms=table[:, 5].astype(np.int64) * 1000,
        rating=table[:, 3].astype(np.float32),
        scale_max=_SCALE,
    )
    topics = {str(item): [f"category {category}"] for item, category in ids[:, 1:3]}
    follows = tuple((str(follower), str(followee)) for follower, followee in trust)
    return assemble("ciao", "none stated", log, ItemFacts(topics=topics), follows)


KNOWN: tuple[DataSet, ...] = (
    DataSet("ml-100k", ("u.data", "u.item", "u.genre"), movielens_100k),
    DataSet("ml-100k-recbole", ("ml-100k.inter", "ml-100k.item"), movielens_100k_recbole),
    DataSet("movietweetings-100k", ("100K_ratings.dat", "100K_movies.dat"), movietweetings_100k),
    DataSet("movietweetings-10k", ("10K_ratings.dat", "10K_movies.dat"), movietweetings_10k),
    DataSet("ml-1m", ("ratings.dat", "movies.dat"), movielens_1m),
    DataSet("ml-1m-reconstructed", ("events_reconstructed.parquet", "movies.dat"), movielens_1m_reconstructed),
    DataSet("ml-1m-order", ("ml-1m.txt",), movielens_1m_order),
    DataSet("amazon-beauty", ("Beauty.txt", "Beauty_item2attributes.json"), amazon_beauty),
    DataSet("lastfm", ("user_artists.dat", "artists.dat", "user_friends.dat"), lastfm),
    DataSet("ciao", ("rating.txt", "trust.txt"), ciao),
)


def _movietweetings(folder: Path, snapshot: str) -> Interactions:
    rows = [line.split("::") for line in _lines(folder / f"{snapshot}_ratings.dat")]
    log = _rating_log(rows, scale_max=10.0)
    return assemble(f"movietweetings-{snapshot.lower()}", "MIT, cite Dooms et al., 2013", log,
                    _movies(folder / f"{snapshot}_movies.dat", "utf-8"))  # fmt: skip


def _lines(path: Path, encoding: str = "utf-8") -> Iterator[str]:
    with path.open(encoding=encoding) as file:
        for line in file:
            if line.strip():
                yield line.rstrip("\n")


def _rating_log(rows: list[list[str]], scale_max: float = _SCALE) -> Log:
    """Rows of user, item, rating, seconds."""
    return Log(
        users=[row[0] for row in rows],
        items=[row[1] for row in rows],
        ts_ms=np.array([int(float(row[3])) for row in rows], np.int64) * 1000,
        rating=np.array([float(row[2]) for row in rows], np.float32),
        scale_max=scale_max,
    )


def _order_log(pairs: list[tuple[str, str]]) -> Log:
    users = [user for user, _ in pairs]
    unknown = np.full(len(pairs), np.nan, np.float32)
    return Log(users, [item for _, item in pairs], hourly(users), unknown, 1.0, "synthetic")


def _movies(path: Path, encoding: str) -> ItemFacts:
    """`movie::title::genre|genre`."""
    rows = [line.split("::") for line in _lines(path, encoding)]
    topics = {row[0]: _named(row[2].split("|")) if len(row) > 2 else [] for row in rows}
    return ItemFacts({row[0]: row[1] for row in rows}, topics)


def _flagged(flags: list[str], names: list[str]) -> list[str]:
    return _named([name for name, flag in zip(names, flags, strict=True) if flag == "1"])


def _named(topics: list[str]) -> list[str]:
    """Topics that say something."""
    return [topic for topic in topics if topic and topic not in ("unknown", "(no genres listed)")]


def _lastfm_tags(folder: Path) -> dict[str, list[str]]:
    """For each artist the tags that users gave it, commonest first, at most five."""
    names = dict(line.split("\t")[:2] for line in list(_lines(folder / "tags.dat", "latin-1"))[1:])
    counts: dict[str, dict[str, int]] = {}
    for line in list(_lines(folder / "user_taggedartists.dat"))[1:]:
        _, artist, tag = line.split("\t")[:3]
        of_artist = counts.setdefault(artist, {})
        of_artist[names[tag]] = of_artist.get(names[tag], 0) + 1
    return {artist: sorted(tags, key=lambda tag: (-tags[tag], tag))[:5] for artist, tags in counts.items()}


def _parquet(path: Path) -> Mapping[str, list[float]]:
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise DataSetError(f"{path} needs pyarrow to read: pip install 'interest-updater[dev]'") from error
    columns: Mapping[str, list[float]] = parquet.read_table(path).to_pydict()
    return columns

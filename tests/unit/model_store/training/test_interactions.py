"""One shape for every data set, and the loaders, on files written here in the publishers' formats."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_store.training import datasets
from model_store.training.interactions import Interactions, ItemFacts, Log, assemble, spread_ties


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), min_size=1, max_size=30))
def test_ties_move_apart_in_file_order(rows: list[tuple[int, int]]) -> None:
    user = np.array([row[0] for row in rows], np.int32)
    ts_ms = np.array([row[1] for row in rows], np.int64)
    expected: dict[int, int] = {}
    for index in sorted(range(len(rows)), key=lambda i: (rows[i][1], i)):
        last = max((expected[other] for other in expected if rows[other][0] == rows[index][0]), default=-1)
        expected[index] = max(rows[index][1], last + 1)
    assert spread_ties(user, ts_ms).tolist() == [expected[index] for index in range(len(rows))]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 9)), min_size=1, max_size=30))
def test_last_and_without_last_against_plain_lists(rows: list[tuple[int, int, int]]) -> None:
    data = _assembled([(f"u{user}", f"i{item}", ts) for user, item, ts in rows])
    for back in range(3):
        for number in range(len(data.users)):
            items = [int(item) for user, item in zip(data.user, data.item, strict=True) if user == number]
            assert data.last(back)[number] == (items[-1 - back] if len(items) > back else -1)
            kept = data.without_last(back)
            assert kept.item[kept.user == number].tolist() == items[: len(items) - back]


def _assembled(rows: list[tuple[str, str, int]]) -> Interactions:
    unknown = np.full(len(rows), np.nan, np.float32)
    times = np.array([row[2] for row in rows], np.int64)
    return assemble(
        "made", "none", Log([row[0] for row in rows], [row[1] for row in rows], times, unknown, 5), ItemFacts()
    )


def test_facts_about_items_reach_their_columns() -> None:
    log = Log(["u", "v"], ["b", "a"], np.array([2, 1]), np.array([5, 1], np.float32), 5.0)
    facts = ItemFacts({"a": "Alien", "c": "Cube"}, {"a": ["Horror"], "b": ["Drama", "Horror"]})
    data = assemble("made", "none", log, facts)
    assert data.items == ("b", "a", "c")
    assert data.titles == ("b", "Alien", "Cube")
    assert data.topics == ("Drama", "Horror")
    assert data.item_topics.tolist() == [[1, 1], [0, 1], [0, 0]]
    assert data.rating.tolist() == pytest.approx([0.2, 1.0])  # in order of time


def test_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="holds no interactions"):
        _assembled([])


def _write(folder: Path, **files: str) -> Path:
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(content, encoding="latin-1" if "item" in name else "utf-8")
    return folder


FLAGS = "|".join(["0"] * 2)


def test_movielens_100k_in_both_formats(tmp_path: Path) -> None:
    (tmp_path / "publisher").mkdir()
    (tmp_path / "recbole").mkdir()
    _write(
        tmp_path / "publisher",
        u__data="1\t10\t4\t881250949\n2\t20\t1\t881250940\n",
        u__genre="unknown|0\nDrama|1\nSci-Fi|2\n\n",
        u__item="10|Amélie (2001)|01-Jan-2001||url|0|1|0\n20|Cube (1997)|||url|0|1|1\n",
    )
    _write(
        tmp_path / "recbole",
        **{
            "ml-100k__inter": "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
            "1\t10\t4\t881250949\n2\t20\t1\t881250940\n",
            "ml-100k__item": "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
            "10\tAmelie\t2001\tDrama\n20\tCube\t1997\tDrama Sci-Fi\n",
        },
    )
    publisher, recbole = datasets.load(tmp_path / "publisher"), datasets.load(tmp_path / "recbole")
    for data in (publisher, recbole):
        assert data.name == "ml-100k"
        assert [data.users[user] for user in data.user] == ["2", "1"]
        assert [data.items[item] for item in data.item] == ["20", "10"]
        assert data.ts_ms.tolist() == [881250940000, 881250949000]
        assert data.rating.tolist() == pytest.approx([0.2, 0.8])
        assert data.topics == ("Drama", "Sci-Fi")
        assert data.item_topics[data.items.index("20")].tolist() == [1, 1]
        assert data.times == "recorded"
    assert publisher.titles[publisher.items.index("10")] == "Amélie (2001)"
    assert recbole.titles[recbole.items.index("20")] == "Cube (1997)"


@pytest.mark.parametrize(
    ("ratings", "movies", "rating", "name", "scale"),
    [
        ("100K_ratings.dat", "100K_movies.dat", 8, "movietweetings-100k", 10),
        ("10K_ratings.dat", "10K_movies.dat", 8, "movietweetings-10k", 10),
        ("ratings.dat", "movies.dat", 4, "ml-1m", 5),
    ],
)
def test_double_colon_sets(tmp_path: Path, ratings: str, movies: str, rating: int, name: str, scale: int) -> None:
    (tmp_path / ratings).write_text(f"1::7::{rating}::1365029107\n")
    (tmp_path / movies).write_text("7::M (1931)::Crime|Drama\n")
    data = datasets.load(tmp_path)
    assert (data.name, data.scale_max, data.titles) == (name, scale, ("M (1931)",))
    assert data.rating.tolist() == pytest.approx([0.8])
    assert data.topics == ("Crime", "Drama")
    assert data.ts_ms.tolist() == [1365029107000]


def test_sets_without_times_say_so(tmp_path: Path) -> None:
    for folder in ("order", "beauty", "lastfm"):
        (tmp_path / folder).mkdir()
    order = datasets.load(_write(tmp_path / "order", **{"ml-1m__txt": "1 5\n1 6\n2 5\n"}))
    beauty = datasets.load(
        _write(
            tmp_path / "beauty",
            Beauty__txt="1 4 5\n2 5\n",
            Beauty_item2attributes__json='{"4": [1, 2], "5": [2]}',
        )
    )
    lastfm = datasets.load(
        _write(
            tmp_path / "lastfm",
            user_artists__dat="userID\tartistID\tweight\n2\t51\t9\n3\t52\t8\n",
            artists__dat="id\tname\turl\tpictureURL\n51\tA\tu\tp\n52\tB\tu\tp\n",
            user_friends__dat="userID\tfriendID\n2\t3\n3\t2\n",
            tags__dat="tagID\ttagValue\n1\tmetal\n",
            user_taggedartists__dat="userID\tartistID\ttagID\tday\tmonth\tyear\n2\t51\t1\t1\t4\t2009\n",
        )
    )
    for data in (order, beauty, lastfm):
        assert data.times == "synthetic"
        assert np.isnan(data.rating).all()
    assert [order.items[item] for item in order.item[order.user == 0]] == ["5", "6"]
    assert beauty.item_topics[beauty.items.index("4")].tolist() == [1, 1]
    assert set(lastfm.follows) == {("2", "3"), ("3", "2")}
    assert lastfm.titles[lastfm.items.index("52")] == "B"
    assert lastfm.topics == ("metal",)


def test_ciao_has_trust(tmp_path: Path) -> None:
    data = datasets.load(
        _write(
            tmp_path,
            rating__txt="  1.0e+000  2.0e+000  3.0e+000  5.0e+000  1.0e+000  1.2988764e+009\n",
            trust__txt="  1.0000000e+000  2.0000000e+000\n  1.0e+000  3.0e+000\n",
        )
    )
    assert data.follows == (("1", "2"), ("1", "3"))
    assert data.topics == ("category 3",)
    assert data.ts_ms.tolist() == [1298876400000]


def test_unknown_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no data set known here.*u\.data"):
        datasets.load(tmp_path)
    with pytest.raises(ValueError, match="not a folder"):
        datasets.load(tmp_path / "missing")
    with pytest.raises(ValueError, match="does not hold ciao"):
        datasets.load(tmp_path, "ciao")
    with pytest.raises(ValueError, match="one of ml-100k"):
        datasets.load(tmp_path, "netflix")


@pytest.mark.parametrize("line", ["1\t5", "1\t5\tgood\t880000000", "1\t5\t4\t"])
def test_files_that_broke_off_are_named(tmp_path: Path, line: str) -> None:
    folder = _write(tmp_path, u__data=line, u__item="5|Film|||0|1", u__genre="unknown|0\nAction|1")
    with pytest.raises(datasets.DataSetError, match=r"files of ml-100k that cannot be read .* are they whole"):
        datasets.load(folder)

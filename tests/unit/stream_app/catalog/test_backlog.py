"""What waits to be described, against a plain list of all that was ever heard."""

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from stream_app.catalog.backlog import Backlog, Entry

PARTITIONS = (0, 1)
HEARD = st.tuples(st.just("put"), st.sampled_from("abcdef"), st.booleans())
STEPS = st.one_of(
    HEARD,
    HEARD,
    st.tuples(st.just("drop"), st.sampled_from("abcdef")),
    st.tuples(st.just("take"), st.integers(1, 4)),
    st.tuples(st.just("done")),
)


@dataclass
class Naive:
    """`heard`: every entry with its state: waiting, taken or done; `told`: before which all is put or done."""

    heard: list[Entry] = field(default_factory=list)
    state: dict[int, str] = field(default_factory=dict)
    nexts: dict[int, int] = field(default_factory=lambda: dict.fromkeys(PARTITIONS, 0))
    told: dict[int, int] = field(default_factory=lambda: dict.fromkeys(PARTITIONS, 0))

    def latest(self) -> list[Entry]:
        of = {entry.item: entry for entry in self.heard}
        return [entry for entry in of.values() if self.state[id(entry)] != "done"]

    def end(self, item: str) -> None:
        self.state |= {id(entry): "done" for entry in self.heard if entry.item == item}

    def committable(self) -> dict[int, int]:
        left = self.latest()
        return {
            one: min([self.told[one], *(entry.offset for entry in left if entry.partition == one)])
            for one in PARTITIONS
        }


def partition_of(item: str) -> int:
    return ord(item) % 2


@given(st.lists(STEPS, max_size=60))
def test_what_is_taken_counted_and_committed_is_as_a_list_has_it(steps: list[tuple[object, ...]]) -> None:
    backlog, naive, taken = Backlog(naive_starts()), Naive(), list[Entry]()
    for step in steps:
        match step:
            case ("put", str(item), bool(edits)):
                partition = partition_of(item)
                entry = Entry(item, partition, naive.nexts[partition])
                naive.end(item)
                naive.heard.append(entry)
                naive.state[id(entry)] = "waiting"
                naive.nexts[partition] += 1
                backlog.put(entry, edits=edits)
                if offset_is_told(entry):
                    backlog.heard({partition: naive.nexts[partition]})
                    naive.told[partition] = naive.nexts[partition]
            case ("drop", str(item)):
                naive.end(item)
                backlog.drop([item])
            case ("take", int(most)):
                found = backlog.take(most)
                waiting = [entry for entry in naive.latest() if naive.state[id(entry)] == "waiting"]
                assert len(found) == len(set(found)) == min(most, len(waiting))
                assert set(found) <= set(waiting)
                naive.state |= {id(entry): "taken" for entry in found}
                taken += found
            case _:
                backlog.done(taken)
                naive.state |= {id(entry): "done" for entry in taken}
                taken = []
        assert backlog.committable() == naive.committable()
        assert len(backlog) == len(naive.latest())
        assert [entry for entry in naive.heard if backlog.counts(entry)] == sorted_as_heard(naive)


def offset_is_told(entry: Entry) -> bool:
    return entry.offset % 3 != 1


def naive_starts() -> dict[int, int]:
    return dict.fromkeys(PARTITIONS, 0)


def sorted_as_heard(naive: Naive) -> list[Entry]:
    left = naive.latest()
    return [entry for entry in naive.heard if entry in left]


def test_edits_go_before_new_items_and_neither_waits_for_ever() -> None:
    backlog = Backlog({0: 0})
    for offset in range(20):
        backlog.put(Entry(f"new{offset}", 0, offset), edits=False)
    for offset in range(20, 26):
        backlog.put(Entry(f"edit{offset}", 0, offset), edits=True)
    assert [entry.item for entry in backlog.take(4)] == ["edit20", "edit21", "new0", "new1"]
    assert [entry.item for entry in backlog.take(8)][:4] == ["edit22", "edit23", "edit24", "edit25"]
    assert [entry.item for entry in backlog.take(1)] == ["new6"]


def test_a_later_word_takes_the_turn_of_the_earlier_one() -> None:
    backlog = Backlog({0: 0})
    for offset, item in enumerate("abcab"):
        backlog.put(Entry(item, 0, offset), edits=False)
    assert [(entry.item, entry.offset) for entry in backlog.take(3)] == [("a", 3), ("b", 4), ("c", 2)]
    backlog.put(Entry("a", 0, 5), edits=False)  # while the one before is under way
    assert [(entry.item, entry.offset) for entry in backlog.take(3)] == [("a", 5)]

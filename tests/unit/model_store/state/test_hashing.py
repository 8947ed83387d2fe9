"""Hashes against published test vectors and a plain Python version; partitions against Kafka's own client."""

from hypothesis import given
from hypothesis import strategies as st
from kafka.partitioner.default import murmur2

from model_store.state.hashing import hash_id, hash_ids, partition_of

MASK = (1 << 64) - 1


def _plain(text: str) -> int:
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = ((value ^ byte) * 0x100000001B3) & MASK
    value ^= value >> 33
    value = (value * 0xFF51AFD7ED558CCD) & MASK
    value ^= value >> 33
    value = (value * 0xC4CEB9FE1A85EC53) & MASK
    return (value ^ (value >> 33)) or 1


texts = st.text(st.characters(codec="utf-8"), max_size=40)


@given(st.lists(texts, max_size=20))
def test_hashes_equal_the_plain_version_for_any_ids(ids: list[str]) -> None:
    column = hash_ids(ids)
    assert column.hash.tolist() == [_plain(text) for text in ids]
    assert column.byte_length.tolist() == [len(text.encode()) for text in ids]
    control = {*range(0x20), 0x7F}
    assert column.clean.tolist() == [not control & set(text.encode()) for text in ids]


@given(texts)
def test_one_id_hashes_as_in_a_column(text: str) -> None:
    assert hash_id(text) == _plain(text)


@given(st.binary(max_size=64), st.integers(1, 100))
def test_partitions_are_those_of_kafkas_python_client(key: bytes, partitions: int) -> None:
    assert partition_of(key, partitions) == (murmur2(key) & 0x7FFFFFFF) % partitions

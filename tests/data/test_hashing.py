"""Sets of hashes behave like sets, whatever the chunks, and stay small."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from seq2seq.data.hashing import DistinctCount, HashSet, hashes_of


@given(st.lists(st.lists(st.integers(1, 2**64 - 1) | st.integers(1, 40).map(lambda i: i * 1024))))
def test_a_hash_is_new_exactly_once(chunks):
    table, seen = HashSet(), set()
    for chunk in chunks:
        new = table.add(np.array(chunk, dtype=np.uint64))
        for number, is_new in zip(chunk, new, strict=True):
            assert is_new == (number not in seen)
            seen.add(number)
    assert len(table) == len(seen)
    assert set(table.hashes.tolist()) == seen


@given(st.sets(st.integers(1, 2**64 - 1) | st.integers(1, 40).map(lambda i: i * 1024)), st.data())
def test_a_set_has_what_was_added_and_nothing_else(inside, data):
    table = HashSet()
    table.add(np.array(sorted(inside), dtype=np.uint64))
    asked = data.draw(st.lists(st.integers(1, 40).map(lambda i: i * 1024) | st.sampled_from([7, *inside])))
    assert table.has(np.array(asked, dtype=np.uint64)).tolist() == [number in inside for number in asked]


def test_a_large_set_takes_few_bytes_for_each_hash():
    table = HashSet()
    numbers = np.random.default_rng(1).integers(1, 2**63, 300_000, dtype=np.uint64)
    for chunk in np.split(numbers, 30):
        assert table.add(chunk).all()
        assert not table.add(chunk[::-1]).any()
    assert table._table.nbytes <= 27 * len(table)


def test_equal_texts_have_equal_hashes_everywhere_and_others_do_not():
    assert hashes_of(["", "a", "b", "a"]).tolist()[1] == hashes_of(["a"]).tolist()[0]
    assert len(set(hashes_of([str(i) for i in range(10_000)]).tolist())) == 10_000


def test_distinct_texts_are_counted_exactly_while_they_are_few_and_then_estimated():
    few, many = DistinctCount(100), DistinctCount(1000)
    few.add(hashes_of(["a", "b", "a"]))
    assert (few.count, few.exact) == (2, True)
    for _ in range(2):
        for start in range(0, 40_000, 1000):
            many.add(hashes_of([str(i) for i in range(start, start + 1000)]))
    assert not many.exact
    assert abs(many.count / 40_000 - 1) < 0.15
    assert len(many._set) <= 1000

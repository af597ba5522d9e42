"""Cleaning training pairs: every pair read is kept or counted under one reason."""

import pytest

from seq2seq.data.cleaning import RATIO_ALLOWANCE, Cleaner, CleaningConfig


@pytest.fixture
def cleaner():
    return Cleaner(CleaningConfig(max_length=20, max_ratio=2.0))


def test_outer_and_repeated_spaces_are_removed(cleaner):
    assert cleaner.text(("  a  b ", "c   d")) == ("a b", "c d")


def test_no_break_spaces_inside_a_sentence_are_kept(cleaner):
    assert cleaner.text(("« Oui »", "“Yes”")) == ("« Oui »", "“Yes”")


@pytest.mark.parametrize("pair", [("", "a"), ("a", ""), ("", ""), ("  ", "a"), ("a", "\u00a0")])
def test_pairs_with_an_empty_side_are_dropped_and_counted(cleaner, pair):
    assert cleaner.text(pair) is None
    assert cleaner.counts["empty"] == 1


@pytest.mark.parametrize(
    ("source", "target", "reason"),
    [
        (20, 20, "kept"),
        (21, 20, "too_long"),
        (20, 21, "too_long"),
        (1, 2 + RATIO_ALLOWANCE, "kept"),
        (1, 3 + RATIO_ALLOWANCE, "uneven"),
        (3 + RATIO_ALLOWANCE, 1, "uneven"),
        (0, 3, "empty"),
    ],
)
def test_lengths_in_pieces_decide_at_their_exact_limits(cleaner, source, target, reason):
    assert cleaner.keeps([4] * source, [4] * target) is (reason == "kept")
    assert cleaner.counts[reason] == 1


def test_the_counts_add_up(cleaner):
    pairs = [("a", "b"), ("", "b"), ("a " * 30, "b " * 30), ("a", "b " * 15), ("a b", "c d")]
    for pair in pairs:
        cleaned = cleaner.text(pair)
        if cleaned:
            cleaner.keeps(*(side.split() for side in cleaned))
    assert cleaner.counts == {"read": 5, "empty": 1, "too_long": 1, "uneven": 1, "kept": 2}
    assert cleaner.summary() == "5 read, 2 kept, 1 empty, 1 too long, 1 uneven"

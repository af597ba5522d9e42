"""Cleaning training pairs: every pair read is kept or counted under one reason."""

import dataclasses
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import compose

from seq2seq.config import parse
from seq2seq.data.cleaning import OFF, RATIO_ALLOWANCE, Cleaner, CleaningConfig, EarlierPairs, EvaluationText
from seq2seq.errors import ConfigError

PLAIN = CleaningConfig(max_length=20, max_ratio=2.0, **OFF)


def evaluation_text(pairs, languages=("en", "de")):
    text = EvaluationText()
    text.add(languages, pairs)
    return text


def cleaner(evaluation=(), languages=("en", "de"), **changes):
    config = dataclasses.replace(PLAIN, **changes)
    return Cleaner(config, *languages, evaluation_text(evaluation, languages), EarlierPairs(config.duplicates))


def test_outer_and_repeated_spaces_are_removed():
    assert cleaner().clean([("  a  b ", "c   d")]) == [("a b", "c d")]


def test_no_break_spaces_inside_a_sentence_are_kept():
    assert cleaner().clean([("« Oui »", "“Yes”")]) == [("« Oui »", "“Yes”")]


@pytest.mark.parametrize("pair", [("", "a"), ("a", ""), ("", ""), ("  ", "a"), ("a", "\u00a0")])
def test_pairs_with_an_empty_side_are_dropped_and_counted(pair):
    cleaning = cleaner()
    assert cleaning.clean([pair]) == ["empty"]
    assert cleaning.counts["empty"] == 1


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
def test_lengths_in_pieces_decide_at_their_exact_limits(source, target, reason):
    cleaning = cleaner()
    assert cleaning.decide([4] * source, [4] * target) == reason
    assert cleaning.counts[reason] == 1


def test_without_limits_any_length_is_kept():
    assert cleaner(max_length=None, max_ratio=None).decide([4], [4] * 5000) == "kept"


def test_the_counts_add_up():
    cleaning = cleaner()
    pairs = [("a", "b"), ("", "b"), ("a " * 30, "b " * 30), ("a", "b " * 15), ("a b", "c d")]
    for cleaned in cleaning.clean(pairs):
        if not isinstance(cleaned, str):
            cleaning.decide(*(side.split() for side in cleaned))
    assert cleaning.counts == {"read": 5, "empty": 1, "too_long": 1, "uneven": 1, "kept": 2}
    assert cleaning.summary() == "5 read, 2 kept, 1 empty, 1 too long, 1 uneven"


FILTERS = [
    ({"max_characters": 10}, ("a" * 10, "b" * 10), ("a" * 11, "b"), "too_many_characters"),
    ({"max_character_ratio": 2.0}, ("ab", "c" * 24), ("ab", "c" * 25), "uneven_characters"),
    ({"drop_control_characters": True}, ("a b", "c"), ("a\u202eb", "c"), "control_characters"),
    ({"drop_identical": True}, ("one", "eins"), ("Taxi!", "taxi"), "identical"),
    ({"drop_identical": True}, ("!", "?"), ("!", "!"), "identical"),
    ({"min_script_share": 0.5}, ("ab да", "ab"), ("a да", "ab"), "wrong_script"),
    ({"max_sign_difference": 2}, ("a", "b..."[:-1]), ("a", "b..."), "punctuation"),
    ({"max_number_mismatch": 0.5}, ("10:30", "22:30"), ("in 1999", "in 1998"), "numbers"),
    ({"max_number_mismatch": 0.5}, ("7 of 12", "sieben von 12"), ("12", "zwölf"), "numbers"),
]


@pytest.mark.parametrize(("values", "good", "bad", "name"), FILTERS)
def test_a_filter_that_is_on_drops_what_it_should_and_counts_it(values, good, bad, name):
    cleaning = cleaner(**values)
    assert cleaning.clean([good, bad]) == [good, name]
    assert cleaning.counts[name] == 1
    assert name not in cleaner().counts
    assert cleaner().clean([good, bad]) == [good, bad]


def test_the_first_filter_in_the_order_of_the_counts_gets_the_pair():
    cleaning = cleaner(drop_identical=True, max_characters=3, duplicates="pair", decontaminate="either")
    assert cleaning.clean([("long", "long"), ("abc", "abc")]) == ["too_many_characters", "identical"]
    names = ["read", "empty", "too_many_characters", "identical", "contaminated", "duplicate", "too_long", "uneven"]
    assert [*cleaning.counts] == [*names, "kept"]


def test_nothing_is_asked_of_a_language_whose_script_is_not_known():
    assert cleaner(languages=("xx", "yy"), min_script_share=1.0).clean([("да", "ab")]) == [("да", "ab")]


PAIRS = [("a", "x"), ("a", "y"), ("b", "x"), ("a", "x"), ("A", "x")]


@pytest.mark.parametrize(
    ("setting", "dropped"),
    [("keep", []), ("pair", [3]), ("source", [1, 3]), ("target", [2, 3, 4]), ("either", [1, 2, 3, 4])],
)
@pytest.mark.parametrize("chunk", [1, 2, 5])
def test_duplicates_are_found_across_chunks(setting, dropped, chunk):
    earlier = EarlierPairs(setting)
    # In turn, as two corpora of the same languages would.
    cleaners = [Cleaner(dataclasses.replace(PLAIN, duplicates=setting), "en", "de", EvaluationText(), earlier)] * 2
    starts = enumerate(range(0, 5, chunk))
    found = [result for turn, start in starts for result in cleaners[turn % 2].clean(PAIRS[start : start + chunk])]
    assert [place for place, outcome in enumerate(found) if outcome == "duplicate"] == dropped
    assert earlier.duplicates == {"pairs": 1, "exact": True}


@pytest.mark.parametrize(
    ("setting", "dropped"), [("none", []), ("source", [0, 2]), ("target", [1, 2]), ("either", [0, 1, 2])]
)
def test_pairs_of_other_splits_are_found_whatever_their_looks(setting, dropped):
    evaluation = [("A dog!", "Ein Hund."), ("...", "!")]
    pairs = [("a  DOG", "Katze"), ("cat", "ein Hund"), ("“A dog”", "EIN HUND"), ("...", "?"), ("cat", "Katze")]
    cleaning = cleaner(evaluation, decontaminate=setting)
    found = cleaning.clean(pairs)
    assert [place for place, outcome in enumerate(found) if outcome == "contaminated"] == dropped
    assert cleaning.overlap == {"source": 2, "target": 2, "either": 3, "both": 1}


def test_evaluation_text_is_known_by_its_language_whichever_side_it_was_on():
    text = evaluation_text([("Ein Hund.", "Un chien.")], ("de", "fr"))
    text.add(("en", "de"), [("A dog!", "Eine Katze.")])
    cleaning = Cleaner(
        dataclasses.replace(PLAIN, decontaminate="either"), "de", "en", text, EarlierPairs(PLAIN.duplicates)
    )
    pairs = [("ein Hund", "a cat"), ("eine Katze", "a dog"), ("un chien", "ein Hund"), ("Haus", "house")]
    assert cleaning.clean(pairs) == ["contaminated", "contaminated", *pairs[2:]]
    assert cleaning.overlap == {"source": 2, "target": 1, "either": 2, "both": 1}


@settings(deadline=None)
@given(st.lists(st.tuples(st.text(max_size=8), st.text(max_size=8))))
def test_every_pair_is_kept_or_counted_once_whatever_it_holds(pairs):
    config = parse(CleaningConfig, compose("cleaning=noisy")["cleaning"])
    text = evaluation_text(pairs[:1], ("en", "zh"))
    cleaning = Cleaner(config, "en", "zh", text, EarlierPairs(config.duplicates))
    found = cleaning.clean(pairs)
    dropped = sum(count for name, count in cleaning.counts.items() if name != "read")
    assert cleaning.counts["read"] == len(pairs) == dropped + sum(isinstance(outcome, tuple) for outcome in found)


def test_the_identity_of_the_first_version_s_settings_is_what_it_was():
    assert PLAIN.identity() == {"max_length": 20, "max_ratio": 2.0}
    changed = {
        "max_characters": 9,
        "max_character_ratio": 2.0,
        "drop_control_characters": True,
        "drop_identical": True,
        "min_script_share": 0.1,
        "max_sign_difference": 3,
        "max_number_mismatch": 0.1,
        "language_confidence": 0.5,
        "decontaminate": "source",
        "duplicates": "pair",
    }
    assert changed.keys() == OFF.keys()
    for name, value in changed.items():
        assert dataclasses.replace(PLAIN, **{name: value}).identity() == {**PLAIN.identity(), name: value}


def test_the_default_preset_drops_what_it_always_did_and_none_drops_nothing():
    identity = parse(CleaningConfig, compose("cleaning=default")["cleaning"]).identity()
    assert identity == {"max_length": 256, "max_ratio": 3.0}
    assert parse(CleaningConfig, compose("cleaning=none")["cleaning"]).identity() == {
        "max_length": None,
        "max_ratio": None,
    }


@pytest.mark.parametrize(
    "value",
    [
        {"max_characters": 0},
        {"max_character_ratio": 0.9},
        {"drop_identical": 1},
        {"min_script_share": 1.1},
        {"max_sign_difference": -1},
        {"max_number_mismatch": -0.1},
        {"language_confidence": 0.0},
        {"decontaminate": False},
        {"duplicates": "drop"},
    ],
)
def test_a_setting_out_of_range_is_refused_by_name(value):
    [name] = value
    with pytest.raises(ConfigError, match=f"`{name}` must be"):
        parse(CleaningConfig, dataclasses.asdict(PLAIN) | value)


def test_the_missing_library_for_languages_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "py3langid", None)
    with pytest.raises(ConfigError, match=r"`cleaning\.language_confidence` must be null .*pip install"):
        cleaner(language_confidence=0.5)


def test_a_side_in_another_language_is_dropped_where_that_is_asked():
    german = "Das ist ein ganz gewöhnlicher deutscher Satz über das Wetter."
    english = "This is a perfectly ordinary English sentence about the weather."
    cleaning = cleaner(language_confidence=0.5)
    assert cleaning.clean([(english, german), (german, german)]) == [(english, german), "wrong_language"]
    assert cleaner(languages=("xx", "de"), language_confidence=0.5).clean([("abc", german)]) == [("abc", german)]

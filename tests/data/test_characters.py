"""Scripts, signs, numbers, and the form in which sentences are compared."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seq2seq.data.characters import CONTROL, SIGN, kinds, normalised, numbers_in, scripts_of, share_of_letters


@pytest.mark.parametrize(
    ("language", "text", "share"),
    [
        ("de", "Straße, ½ kg – 3 €", 1.0),
        ("ru", "Привет", 1.0),
        ("ru", "hello", 0.0),
        ("en", "ab да", 0.5),
        ("ja", "東京タワーへ行く", 1.0),
        ("zh", "ＡＢ中国", 0.5),
        ("hi", "हिन्दी", 1.0),
        ("sr", "да da", 1.0),
        ("sr_Latn", "да da", 0.5),
        ("en", "12:30 !?", 1.0),
    ],
)
def test_letters_are_told_by_their_script(language, text, share):
    assert share_of_letters(kinds(text), scripts_of(language)) == share


def test_a_language_in_no_list_has_no_known_script():
    assert scripts_of("xx") is None


def test_characters_that_no_text_should_hold_are_recognised():
    codes = (0x00, 0x7F, 0xD800, 0xE000, 0x202E, 0xFFFD, 0xFFFF)
    assert set(kinds("".join(map(chr, codes)))) == {CONTROL}


def test_joiners_soft_hyphens_and_all_that_is_written_are_not_control_characters():
    assert CONTROL not in kinds("a\u200c\u200d\u00ad\u00a0 ß漢9½.")
    assert kinds("a.b€").count(SIGN) == 2


@given(st.text())
def test_every_character_has_one_kind(text):
    assert len(kinds(text)) == len(text)


def test_letters_marks_and_digits_are_kept_and_all_other_characters_part_words():
    for start in range(0, 0x110000, 0x1000):
        text = "x".join(map(chr, range(start, start + 0x1000)))
        folded = unicodedata.normalize("NFKC", text).casefold()
        plain = (character if unicodedata.category(character)[0] in "LMN" else " " for character in folded)
        assert normalised(text) == " ".join("".join(plain).split())


@given(st.text())
def test_the_normalised_form_is_its_own(text):
    once = normalised(text)
    assert once == once.strip()
    assert all(unicodedata.category(character)[0] in "LMN" or character == " " for character in once)


@pytest.mark.parametrize(
    ("one", "other"),
    [("Hello,  World!", "hello world"), ("ﬁne", "FINE"), ("Straße", "STRASSE"), ("“A” – b", "a b"), ("...", "")],
)
def test_looks_are_forgotten(one, other):
    assert normalised(one) == normalised(other)


def test_words_and_accents_are_not_forgotten():
    assert len({normalised(text) for text in ("schon", "schön", "a b", "ab", "हि", "ह")}) == 6


def test_numbers_are_compared_without_their_signs_and_in_any_digits():
    assert numbers_in("1,000.50 and 7") == numbers_in("1.000,50 und sieben") == ["000", "50"]
    assert numbers_in("١٢٣") == ["123"]
    assert numbers_in("9" * 5000) == ["9" * 5000]

"""Lines that are too long: cut where it harms least, and put together again."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seq2seq.translation.splitting import join, separators, split


def words(texts: Sequence[str]) -> list[int]:
    return [len(text.split()) for text in texts]


def characters(texts: Sequence[str]) -> list[int]:
    return [len(text) for text in texts]


@pytest.mark.parametrize(
    ("text", "most", "parts"),
    [
        ("One two. Three four! Five?", 2, ["One two.", "Three four!", "Five?"]),
        ("One two. Three four! Five?", 4, ["One two. Three four!", "Five?"]),
        ('He said "one." Then two.', 3, ['He said "one."', "Then two."]),
        ("One two, three: four", 2, ["One two,", "three: four"]),
        ("One costs 3.50 at 10:30 today", 3, ["One costs 3.50", "at 10:30 today"]),
        ("One", 9, ["One"]),
    ],
)
def test_a_line_is_cut_after_sentences_else_after_clauses_else_at_spaces(
    text: str, most: int, parts: list[str]
) -> None:
    assert [part.text for part in split(text, most, words)] == parts


@pytest.mark.parametrize(
    ("text", "most", "parts"),
    [
        ("你好吗？我很好。再见", 5, ["你好吗？", "我很好。", "再见"]),
        ("他说「好。」我走了", 6, ["他说「好。」", "我走了"]),
        ("一二三，四五六", 4, ["一二三，", "四五六"]),
        ("abcdefgh", 3, ["ab", "cd", "ef", "gh"]),
        ("aaae\u0301aaa", 4, ["aaae\u0301"[:5], "aaa"]),
    ],
)
def test_a_line_without_spaces_is_cut_after_marks_else_anywhere_but_within_a_letter(
    text: str, most: int, parts: list[str]
) -> None:
    found = [part.text for part in split(text, most, lambda texts: [len(t.replace("\u0301", "")) for t in texts])]
    assert found == parts


@settings(deadline=None)
@given(st.text(st.sampled_from("ab .,!?。，」\"')\u0301\u200d😀"), max_size=80), st.integers(1, 9))
def test_nothing_but_spaces_is_lost_and_every_part_fits_or_is_one_character(text: str, most: int) -> None:
    text = text.strip()
    parts = split(text, most, characters)
    assert all(text[part.start : part.start + len(part.text)] == part.text for part in parts)
    assert [part.start for part in parts] == sorted({part.start for part in parts})
    assert "".join(part.text for part in parts).replace(" ", "") == text.replace(" ", "")
    assert all(len(part.text) <= max(1, most) for part in parts)


def test_parts_are_joined_with_spaces_but_not_in_scripts_without_them() -> None:
    assert join(["Ein Hund.", "", "Er läuft."]) == "Ein Hund. Er läuft."
    assert join(["你好。", "我", "dog", "。"]) == "你好。我 dog 。"
    assert join(["안녕", "하세요"]) == "안녕 하세요"
    assert separators(["", "a", "", "b"]) == ["", "", "", " "]
    assert join([]) == join(["", ""]) == ""

"""Word alignments: read as written down, counted as the tokenizer counts, refused where they cannot be true."""

from __future__ import annotations

import gzip
import lzma
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from seq2seq.data.alignment import (
    Link,
    format_links,
    links_after_cleaning,
    parse_links,
    piece_links,
    words_of,
    words_of_pieces,
)
from seq2seq.data.cleaning import OFF, Cleaner, CleaningConfig, EarlierPairs, EvaluationText
from seq2seq.data.corpora import Files, GrammarCorpus, Multi30k
from seq2seq.data.tokenizer import TokenizerConfig, train_tokenizer
from seq2seq.errors import DataError

NO_BREAK = "\u00a0"
SPACES = ["\u00a0", "\u1680", "\u2003", "\u202f", "\u3000"]
"""What Python splits at and the tokenizer does not."""

words = st.text(st.sampled_from(["a", "b", "ß", "犬", *SPACES]), min_size=1, max_size=4)
sentences = st.lists(words, min_size=1, max_size=8).map(" ".join)

# --- One line ---


def test_sure_and_possible_links_are_told_apart():
    assert parse_links("0-1 2p0 1?1", 3, 2, "here") == [Link(0, 1), Link(2, 0, sure=False), Link(1, 1, sure=False)]


@pytest.mark.parametrize("line", ["", " ", "\t"])
def test_an_empty_line_has_no_links(line):
    assert parse_links(line, 0, 0, "here") == []


def test_a_link_that_is_written_twice_counts_once():
    assert parse_links("1-1 0-0  1-1", 2, 2, "here") == [Link(1, 1), Link(0, 0)]


@pytest.mark.parametrize(
    "text", ["0", "0-", "-0", "0--0", "a-b", "0-0-0", "0/0", "1.0-1", "٠-٠", "0-0,1-1", "9999999-0"]
)
def test_what_is_no_link_is_refused_with_its_place(text):
    with pytest.raises(DataError, match=r"^t\.align, line 7 must hold links such as 0-0 or 1p2, .* but has "):
        parse_links(f"0-0 {text}", 2, 2, "t.align, line 7")


@pytest.mark.parametrize("text", ["2-0", "0-3", "2p3"])
def test_a_link_outside_the_sentence_is_refused_with_the_numbers(text):
    with pytest.raises(
        DataError, match=rf"t, line 7 must link .* have 2 and 3 words, .* but has '{text}'; if it counts"
    ):
        parse_links(f"1-2 {text}", 2, 3, "t, line 7")


@given(st.lists(st.builds(Link, st.integers(0, 99), st.integers(0, 99), st.booleans()), unique=True))
def test_links_come_back_as_they_were_written(links):
    assert parse_links(format_links(links), 100, 100, "here") == links


# --- Words and pieces ---


@pytest.fixture(scope="module", params=["unigram", "bpe"])
def tokenizer(request, tmp_path_factory):
    config = TokenizerConfig(
        type=request.param, vocab_size=20, joint=True, character_coverage=1.0, byte_fallback=False, sample=1000
    )
    text = ["abba ab baßa", "ßab abb", "a b ß", "bab aßa babba", "".join(SPACES)] * 10
    return train_tokenizer(text, config, tmp_path_factory.mktemp("alignment") / "tokenizer.model")


@given(sentence=sentences)
def test_words_are_counted_as_the_tokenizer_starts_them(tokenizer, sentence):
    [ids] = tokenizer.encode([sentence])
    pieces = tokenizer.pieces(ids)
    assert sorted(set(words_of_pieces(pieces))) == list(range(len(words_of(sentence))))


def test_a_no_break_space_is_part_of_its_word():
    assert words_of(f" 10{NO_BREAK}km  weit ") == [f"10{NO_BREAK}km", "weit"]


def test_every_piece_of_a_word_is_linked_with_every_piece_of_the_other():
    links = piece_links([Link(0, 1), Link(1, 0, sure=False)], ["▁so", "me", "▁where"], ["▁da", "▁ir", "gend", "wo"])
    assert links == [Link(s, t) for s in (0, 1) for t in (1, 2, 3)] + [Link(2, 0, sure=False)]


def test_a_lone_mark_is_the_first_piece_of_its_word():
    assert words_of_pieces(["▁", "犬", "▁a", "▁", "<0xE7>", "b"]) == [0, 0, 1, 2, 2, 2]


# --- Cleaning ---


def clean(raw):
    config = CleaningConfig(max_length=99, max_ratio=9.0, **OFF)
    [pair] = Cleaner(config, "en", "de", EvaluationText(), EarlierPairs(config.duplicates)).clean([raw])
    assert isinstance(pair, tuple)
    return pair


def test_links_follow_their_words_when_cleaning_removes_one_that_was_only_space():
    raw = (f"{NO_BREAK} ein  Haus", f"  a house {NO_BREAK}")
    links = [Link(0, 0), Link(1, 0), Link(2, 1), Link(2, 2)]
    assert links_after_cleaning(links, raw, clean(raw)) == [Link(0, 0), Link(1, 1)]


@given(inner=st.lists(words, min_size=1, max_size=5), outer=st.lists(st.sampled_from([" ", *SPACES]), max_size=5))
def test_a_link_names_the_same_word_before_and_after_cleaning(inner, outer):
    core = ["x", *inner, "y"]
    raw = ("".join(outer) + " ".join(core), " ".join(core))
    first = next(place for place, word in enumerate(words_of(raw[0])) if word.endswith("x"))
    diagonal = [Link(first + place, place) for place in range(len(core))]
    noise = [Link(place, 0) for place in range(first)]
    assert links_after_cleaning(noise + diagonal, raw, clean(raw)) == [Link(i, i) for i in range(len(core))]


# --- Files ---


@pytest.fixture
def folder(tmp_path):
    """Two splits of English and German, one of them with links from English to German."""
    for split, count in (("train", 2), ("val", 1)):
        (tmp_path / f"{split}.en").write_text("one red house\n" * count)
        (tmp_path / f"{split}.de").write_text("ein Haus\n" * count)
    (tmp_path / "train.en-de.align").write_text("0-0 2-1\n1p1\n")
    return tmp_path


def files(folder: Path, source: str = "en", target: str = "de") -> Files:
    return Files(source=source, target=target, root=str(folder))


def lines(folder: Path, split: str = "train", source: str = "en", target: str = "de") -> list[str]:
    found = files(folder, source, target).alignments(split)
    assert found is not None
    return list(found)


def test_links_stand_beside_the_text_they_belong_to(folder):
    assert lines(folder) == ["0-0 2-1", "1p1"]
    assert files(folder).alignments("validation") is None
    assert files(folder).splits() == ("train", "validation")


def test_links_of_the_opposite_direction_are_turned_round(folder):
    assert lines(folder, "train", "de", "en") == ["0-0 1-2", "1p1"]


def test_the_file_for_the_direction_asked_for_comes_first(folder):
    (folder / "train.de-en.align").write_text("1-1\n1-2\n")
    assert lines(folder) == ["0-0 2-1", "1p1"]
    assert lines(folder, "train", "de", "en") == ["1-1", "1-2"]


@pytest.mark.parametrize("name", ["validation", "valid", "val", "dev"])
def test_links_are_found_under_all_names_of_a_split(folder, name):
    (folder / f"{name}.en-de.align").write_text("0-0\n")
    assert lines(folder, "validation") == ["0-0"]


def test_two_files_of_links_for_one_split_are_refused(folder):
    for names in (("train.en-de.align", "train.en-de.align.gz"), ("dev.en-de.align", "val.en-de.align")):
        for name in names:
            (folder / name).touch()
        with pytest.raises(DataError, match=r"must not both exist, because they name the same split"):
            files(folder).alignments("train" if "train" in names[0] else "dev")
        (folder / names[1]).unlink()


@pytest.mark.parametrize(
    ("suffix", "pack"),
    [(".gz", gzip.compress), (".xz", lzma.compress), (".zst", zstandard.ZstdCompressor().compress)],
    ids=["gzip", "xz", "zstandard"],
)
def test_packed_links_are_read(folder, suffix, pack):
    plain = folder / "train.en-de.align"
    (folder / f"{plain.name}{suffix}").write_bytes(pack(plain.read_bytes()))
    plain.unlink()
    assert lines(folder) == ["0-0 2-1", "1p1"]


@pytest.mark.parametrize(("content", "count"), [("", 0), ("0-0\n", 1), ("0-0\n" * 5, 5)])
def test_links_of_more_or_fewer_lines_than_the_text_are_refused_with_both_counts(folder, content, count):
    (folder / "train.en-de.align").write_text(content)
    with pytest.raises(DataError, match=rf"train\.en-de\.align must .* but has {count} lines for 2 pairs"):
        lines(folder)


@pytest.mark.parametrize(("source", "target"), [("en", "de"), ("de", "en")])
def test_a_link_outside_its_sentence_is_refused_in_the_words_of_the_file(folder, source, target):
    (folder / "train.en-de.align").write_text("0-0\n1-0 0-2\n")
    with pytest.raises(DataError, match=r"train\.en-de\.align, line 2 must .* have 3 and 2 words, .* but has '0-2'"):
        lines(folder, "train", source, target)


def test_the_fingerprint_follows_the_links_and_is_the_old_one_without_them(folder):
    linked = files(folder).fingerprint()
    (folder / "train.en-de.align").write_text("0-0\n\n")
    changed = files(folder).fingerprint()
    (folder / "train.en-de.align").unlink()
    plain = files(folder).fingerprint()
    assert len({str(one) for one in (linked, changed, plain)}) == 3
    assert {split: list(names) for split, names in plain["files"].items()} == {
        "train": ["train.en", "train.de"],
        "validation": ["val.en", "val.de"],
    }


def test_multi30k_has_the_links_of_its_folder_and_none_from_the_hub(folder, monkeypatch):
    monkeypatch.delenv("SEQ2SEQ_DATA", raising=False)
    local = Multi30k(source="en", target="de", root=str(folder)).alignments("train")
    assert local is not None
    assert list(local) == ["0-0 2-1", "1p1"]
    assert Multi30k(source="en", target="de", root=None).alignments("train") is None


def test_a_corpus_has_no_links_unless_it_says_so():
    corpus = GrammarCorpus(source="en", target="de", seed=1, train=1, validation=1, test=1)
    assert corpus.alignments("train") is None

"""Links on their way from files to batches: whatever is dropped, shuffled or moved, they keep to their words."""

from __future__ import annotations

import gzip
import json
import random
import tempfile
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seq2seq.data import encoding as module
from seq2seq.data.alignment import Link, format_links
from seq2seq.data.batching import Batch, Position, TrainingBatches, make_batch, pack
from seq2seq.data.cleaning import OFF, CleaningConfig
from seq2seq.data.corpora import Corpus, Files
from seq2seq.data.prepare import prepare
from seq2seq.data.store import Prepared, PreparedData
from seq2seq.data.tokenizer import EOS, Tokenizer, TokenizerConfig
from seq2seq.errors import DataError

TOKENIZER = TokenizerConfig(
    type="bpe", vocab_size=28, joint=True, character_coverage=1.0, byte_fallback=False, sample=1000
)
CLEANING = CleaningConfig(max_length=30, max_ratio=3.0, **OFF)
FILLER = [("0 abba abab babb", "baba bbaa abba 0")] * 5
"""Pairs that every corpus below begins with, so that there is always something to make pieces of."""

Example = tuple[str, str, list[Link]]


def write(root: Path, split: str, examples: Sequence[Example], direction: str = "en-de") -> None:
    """Write a split with the links of its examples, turned round where ``direction`` is."""
    columns = zip(*examples, strict=True)
    for language, column in zip(("en", "de"), columns, strict=False):
        (root / f"{split}.{language}").write_text("".join(f"{line}\n" for line in column), encoding="utf-8")
    lines = (
        format_links(links if direction == "en-de" else [Link(b, a, sure) for a, b, sure in links])
        for _, _, links in examples
    )
    (root / f"{split}.{direction}.align").write_text("".join(f"{line}\n" for line in lines))


def filler() -> list[Example]:
    return [(source, target, [Link(3, 0), Link(0, 3)]) for source, target in FILLER]


def corpus(root: Path, examples: Sequence[Example] = (), direction: str = "en-de") -> Path:
    root.mkdir()
    write(root, "train", [*filler(), *examples], direction)
    write(root, "valid", [("ab ba", "ba", [Link(1, 0), Link(0, 0, sure=False)])], direction)
    write(root, "test", [("a b c", "b a", [Link(0, 1), Link(1, 0, sure=False)]), ("", "a", [])], direction)
    return root


def prepared(root: Path, source: str = "en", target: str = "de", **changes: Path) -> PreparedData:
    files = Files(source=source, target=target, root=str(root))
    where = changes.get("into", root.parent / "prepared")
    return prepare(files, CLEANING, TOKENIZER, root=where, report=lambda line: None)


def word_links(tokenizer: Tokenizer, source: list[int], target: list[int], links: list[list[int]]) -> list[Link]:
    """The links between words that those between pieces, as (target position, source position), stand for.

    Each must link all pieces of one word with all of the other.
    """
    starts = [
        [place for place, piece in enumerate(tokenizer.pieces(ids)) if piece.startswith("▁")] + [len(ids)]
        for ids in (source, target)
    ]
    words = [
        Link(i, j)
        for i in range(len(starts[0]) - 1)
        for j in range(len(starts[1]) - 1)
        if [starts[1][j], starts[0][i]] in links
    ]
    spelled = [
        [t, s] for i, j, _ in words for s in range(*starts[0][i : i + 2]) for t in range(*starts[1][j : j + 2])
    ]
    assert sorted(spelled) == sorted(links)
    return words


def read(batch: Batch, tokenizer: Tokenizer) -> Iterator[tuple[str, str, list[Link]]]:
    """The text of each pair in a batch and the links between its words."""
    assert batch.target is not None
    assert batch.links is not None
    for row in range(len(batch.source)):
        source, target = (
            ids[: ids.index(EOS)] for ids in (batch.source[row].tolist(), batch.target[row, 1:].tolist())
        )
        links = batch.links[batch.links[:, 0] == row, 1:].tolist()
        left, right = tokenizer.decode([source, target])
        yield left, right, word_links(tokenizer, source, target, links)


def batches_of(data: PreparedData, max_tokens: int = 64) -> TrainingBatches:
    return TrainingBatches(*data.ids("train"), max_tokens=max_tokens, multiple=4, seed=1, links=data.links("train"))


# --- From files to batches ---

words = st.text(st.sampled_from(["a", "b", "\u00a0", "\u3000"]), min_size=1, max_size=4)


@st.composite
def examples(draw: st.DrawFn) -> list[Example]:
    """Sentences of random words and links; some are empty, some too long, some begin or end with odd spaces."""
    found = []
    for number in range(draw(st.integers(1, 8))):
        sides = [draw(st.lists(words, max_size=draw(st.sampled_from([0, 4, 20])))) for _ in range(2)]
        if all(sides):
            sides = [[f"{number}", *side, "b"] for side in sides]
        choice = st.tuples(*(st.integers(0, max(0, len(side) - 1)) for side in sides), st.booleans())
        links = draw(st.lists(choice, max_size=6)) if all(sides) else []
        # A pair of words with a sure link has no possible one beside it.
        merged = {link[:2]: link[2] for link in links}
        found.append((" ".join(sides[0]), " ".join(sides[1]), [Link(*key, sure) for key, sure in merged.items()]))
    return found


@settings(max_examples=30, deadline=None)
@given(examples=examples(), swapped=st.booleans(), max_tokens=st.sampled_from([40, 64, 1000]))
def test_batches_hold_the_sure_links_of_the_file(examples: list[Example], swapped: bool, max_tokens: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = corpus(Path(folder, "corpus"), examples, "de-en" if swapped else "en-de")
        data = prepared(root)
        stream = batches_of(data, max_tokens)
        expected = {
            (source, target): sorted(Link(i, j) for i, j, sure in links if sure)
            for source, target, links in [*filler(), *examples]
        }
        for epoch in range(2):
            seen = 0
            for batch, _ in islice(stream.start(Position(epoch, 0)), len(stream.plan(epoch))):
                for source, target, links in read(batch, data.source_tokenizer):
                    assert sorted(links) == expected[source, target]
                    seen += 1
            assert seen == data.manifest["cleaning"]["counts"]["kept"]


def test_links_of_dropped_pairs_are_dropped_with_them(tmp_path):
    bad = [("", "a", []), ("a " * 40, "b " * 40, [Link(39, 39)]), ("a", "ab " * 20, [Link(0, 19)])]
    good = ("1 ab ba", "ba 1 ab", [Link(1, 2)])
    data = prepared(corpus(tmp_path / "corpus", [*bad, good]))
    assert (
        data.manifest["cleaning"]["counts"] | {"kept": 6, "empty": 1, "too_long": 1, "uneven": 1}
        == (data.manifest["cleaning"]["counts"])
    )
    links = data.links("train")
    assert links is not None
    assert len(links) == len(data.ids("train")[0]) == 6
    [*_, (source, target, found)] = read(
        make_batch(*data.ids("train"), np.arange(6), links=links), data.source_tokenizer
    )
    assert (source, target, found) == good


def test_no_break_spaces_do_not_shift_the_links(tmp_path):
    raw = ("\u00a0 1\u00a0a b", "b\u3000a 1 \u2003", [Link(1, 1), Link(2, 0), Link(0, 0)])
    data = prepared(corpus(tmp_path / "corpus", [raw]))
    batch = make_batch(*data.ids("train"), np.array([len(FILLER)]), links=data.links("train"))
    [(source, target, links)] = read(batch, data.source_tokenizer)
    assert (source, target) == ("1\u00a0a b", "b\u3000a 1")
    assert sorted(links) == [Link(0, 1), Link(1, 0)]


def test_a_sentence_with_the_tokenizers_own_sign_for_a_space_has_no_links_to_train_on(tmp_path):
    data = prepared(corpus(tmp_path / "corpus", [("1 a▁b ab", "1 ab", [Link(2, 1)])]))
    links = data.links("train")
    assert links is not None
    assert [len(links[row]) > 0 for row in range(len(links))] == [True] * len(FILLER) + [False]


def test_chunks_leave_no_seams_in_the_links(tmp_path, monkeypatch):
    draw = random.Random(1)
    many = [(f"{i % 10} ab ba", "ab a", [Link(draw.randrange(3), draw.randrange(2))]) for i in range(20)]
    root = corpus(tmp_path / "corpus", many)
    whole = prepared(root).links("train")
    monkeypatch.setattr(module, "CHUNK", 3)
    chunked = prepared(root, into=tmp_path / "again").links("train")
    assert whole is not None
    assert chunked is not None
    assert np.array_equal(whole.ids, chunked.ids)
    assert np.array_equal(whole.offsets, chunked.offsets)
    assert whole.ids.dtype == np.uint16


# --- What is prepared ---


def test_validation_has_links_to_measure_with_and_raw_text_has_its_lines(tmp_path):
    data = prepared(corpus(tmp_path / "corpus"))
    batch = make_batch(*data.ids("validation"), np.array([0]), links=data.links("dev"))
    assert list(read(batch, data.source_tokenizer)) == [("ab ba", "ba", [Link(1, 0)])]
    assert data.alignments("dev") == ["1-0 0p0"]
    assert data.alignments("test") == ["0-1 1p0", ""]
    assert data.alignments("train") is data.links("test") is None


@pytest.mark.parametrize("written", ["en-de", "de-en"])
def test_lines_beside_raw_text_lead_from_source_to_target(tmp_path, written):
    root = corpus(tmp_path / "corpus", direction=written)
    assert prepared(root).alignments("test") == ["0-1 1p0", ""]
    assert prepared(root, "de", "en").alignments("test") == ["1-0 0p1", ""]


def test_the_manifest_names_the_splits_that_have_links(tmp_path):
    root = corpus(tmp_path / "corpus")
    (root / "valid.en-de.align").unlink()
    data = prepared(root)
    aligned = {split: entry.get("aligned") for split, entry in data.manifest["splits"].items()}
    assert aligned == {"train": True, "test": True, "validation": None}
    assert data.links("validation") is data.alignments("validation") is None
    assert data.manifest["files"].keys() == {path.name for path in data.folder.iterdir()} - {"manifest.json"}


def test_without_links_the_store_is_what_it_was(tmp_path):
    root = corpus(tmp_path / "corpus")
    for path in root.glob("*.align"):
        path.unlink()
    data = prepared(root)
    sides = [f"{split}.{code}" for split in ("train", "validation") for code in ("en", "de")]
    arrays = [f"{side}.{part}.npy" for side in sides for part in ("ids", "offsets")]
    text = [f"{split}.{code}.txt" for split in ("test", "validation") for code in ("en", "de")]
    assert data.manifest["files"].keys() == {"tokenizer.model", "statistics.json", *arrays, *text}
    assert "aligned" not in json.dumps(data.manifest["splits"])
    assert [data.links(split) for split in data.splits] == [data.alignments(split) for split in data.splits]
    assert data.links("train") is None


def test_changed_links_are_prepared_anew(tmp_path):
    root = corpus(tmp_path / "corpus")
    first = prepared(root)
    assert prepared(root).folder == first.folder
    write(root, "test", [("a b c", "b a", [Link(2, 1)]), ("", "a", [])])
    assert prepared(root).alignments("test") == ["2-1", ""]


@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_links_that_cannot_be_true_leave_nothing_behind(tmp_path, split):
    root = corpus(tmp_path / "corpus")
    plain = root / f"{split}.en-de.align"
    (root / f"{plain.name}.gz").write_bytes(gzip.compress(b"0-99\n" + plain.read_bytes().split(b"\n", 1)[1]))
    plain.unlink()
    with pytest.raises(DataError, match=rf"{split}\.en-de\.align\.gz, line 1 must link .* but has '0-99'"):
        prepared(root)
    assert list((tmp_path / "prepared").iterdir()) == []


def test_links_of_a_corpus_of_ones_own_are_checked_too(tmp_path):
    class Mine(Files):
        def alignments(self, split: str) -> Iterator[str]:
            return iter(["0-0"] * 4 + ["0-9"] if split == "train" else ["0-0"] * 2)

    root = corpus(tmp_path / "corpus")
    (root / "valid.en").unlink()
    mine: Corpus = Mine(source="en", target="de", root=str(root))
    with pytest.raises(DataError, match=r"links of pair 5 of split 'train' must .* 4 and 4 words, .* has '0-9'"):
        prepare(mine, CLEANING, TOKENIZER, root=tmp_path / "prepared", report=lambda line: None)


def test_a_prepared_folder_takes_its_links_along(tmp_path):
    original = prepared(corpus(tmp_path / "corpus"))
    expected = original.links("train")
    copied = Prepared(folder=str(original.folder.rename(tmp_path / "copied")))
    data = prepare(copied, CLEANING, TOKENIZER, root=tmp_path / "unused", report=lambda line: None)
    found = data.links("train")
    assert expected is not None
    assert found is not None
    assert np.array_equal(found.ids, expected.ids)
    lines = copied.alignments("test")
    assert lines is not None
    assert list(lines) == ["0-1 1p0", ""]
    assert copied.alignments("train") is None


# --- Batches ---


def test_a_link_names_the_step_that_predicts_its_target_piece():
    source, target = pack([[9, 9, 7], [5]]), pack([[8, 6], [4]])
    links = pack([[2, 0, 0, 1], [0, 0]])
    batch = make_batch(source, target, np.array([1, 0]), links=links)
    assert batch.target is not None
    assert batch.links is not None
    assert batch.links.dtype == torch.int64
    assert batch.links.tolist() == [[0, 0, 0], [1, 0, 2], [1, 1, 0]]
    row, t, s = batch.links.T
    assert batch.target[:, 1:][row, t].tolist() == [4, 8, 6]
    assert batch.source[row, s].tolist() == [5, 7, 9]


def test_pairs_without_links_have_none_and_data_without_links_has_no_tensor():
    source, target = pack([[4], [5]]), pack([[6], [7]])
    none = make_batch(source, target, np.array([1, 0]), links=pack([[], []])).links
    assert none is not None
    assert none.shape == (0, 3)
    assert make_batch(source, target, np.array([1, 0])).links is None


sides = st.lists(st.lists(st.integers(4, 99), min_size=1, max_size=9), min_size=1, max_size=40)


@settings(max_examples=60)
@given(source=sides, seed=st.integers(0, 2**32), start=st.integers(0, 10))
def test_a_batch_holds_the_links_of_its_own_pairs_from_wherever_it_starts(source, seed, start):
    draw = random.Random(seed)
    target = [[10 * number + 1000] + [9] * draw.randrange(8) for number in range(len(source))]
    links = [
        [(draw.randrange(len(s)), draw.randrange(len(t))) for _ in range(draw.randrange(5))]
        for s, t in zip(source, target, strict=True)
    ]
    flat = pack([[place for link in pair for place in link] for pair in links])
    batches = TrainingBatches(pack(source), pack(target), max_tokens=60, multiple=4, seed=seed, links=flat)
    whole = list(islice(batches.start(Position()), start + 3))
    position = ([Position()] + [after for _, after in whole])[start]
    for (batch, _), (expected, _) in zip(islice(batches.start(position), 3), whole[start:], strict=True):
        assert batch.target is not None
        assert batch.links is not None
        assert torch.equal(batch.links, expected.links)
        numbers = ((batch.target[:, 1] - 1000) // 10).tolist()
        assert batch.links.tolist() == [[row, t, s] for row, pair in enumerate(numbers) for s, t in links[pair]]

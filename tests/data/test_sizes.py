"""Corpora say about how many pairs a split has, so that the time left can be told."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from seq2seq.data.corpora import TRAIN, Corpus, Files, GrammarCorpus, Multi30k, Paths
from seq2seq.data.corpora.mixture import View
from seq2seq.data.formats import count_pairs
from seq2seq.errors import DataError

LINES = ["one", "", "three words here"]


def paths(train: str | tuple[str, str]) -> Paths:
    return Paths(
        source="en",
        target="de",
        train=train,
        validation=None,
        test=None,
        columns=(1, 2),
        fields=None,
        errors="strict",
    )


@pytest.mark.parametrize("end", ["", "\n"])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_the_lines_of_a_file_are_counted_with_or_without_the_last_end(tmp_path: Path, suffix: str, end: str) -> None:
    text = ("\n".join(LINES) + end).encode()
    path = tmp_path / f"train.en{suffix}"
    path.write_bytes(gzip.compress(text) if suffix else text)
    assert count_pairs(path) == 3


def test_an_empty_file_has_no_lines(tmp_path: Path) -> None:
    (tmp_path / "empty.tsv").touch()
    assert count_pairs(tmp_path / "empty.tsv") == 0


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "train.en.gz").write_bytes(gzip.compress(b"text " * 1000)[:40])
    with pytest.raises(DataError, match=r"train\.en\.gz cannot be read to its end"):
        count_pairs(tmp_path / "train.en.gz")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for language in ("en", "de"):
        (tmp_path / f"train.{language}").write_text("\n".join(LINES) + "\n")
    for shard in range(2):
        (tmp_path / f"part-{shard}.tsv").write_text("a\tb\n" * 4)
    (tmp_path / "memory.tmx").write_text('<tmx version="1.4"><body></body></tmx>')
    return tmp_path


def test_every_corpus_that_can_know_its_size_does(folder: Path) -> None:
    corpora: list[tuple[Corpus, int | None]] = [
        (Files(source="en", target="de", root=str(folder)), 3),
        (Multi30k(source="en", target="de", root=str(folder)), 3),
        (GrammarCorpus(source="en", target="de", seed=1, train=7, validation=2, test=2), 7),
        (paths(str(folder / "part-*.tsv")), 8),
        (paths((str(folder / "train.en"), str(folder / "train.de"))), 3),
        (paths(str(folder / "memory.tmx")), None),
    ]
    for corpus, size in corpora:
        assert corpus.size(TRAIN) == size, corpus.describe()
        assert View(corpus, "data.corpora.x", swapped=True).size(TRAIN) == size

"""The data report says what the manifest says, is harmless whatever the corpus holds, and stays small."""

from __future__ import annotations

import dataclasses
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from seq2seq.data.cleaning import OFF, CleaningConfig
from seq2seq.data.corpora import Files
from seq2seq.data.prepare import prepare
from seq2seq.data.statistics import Examples, coverage, read_statistics
from seq2seq.data.store import PreparedData
from seq2seq.data.tokenizer import TokenizerConfig
from seq2seq.data_report import LONGEST, length_chart, page_of, tables_of, write_data_report
from seq2seq.errors import DataError

TOKENIZER = TokenizerConfig(
    type="bpe", vocab_size=150, joint=True, character_coverage=1.0, byte_fallback=False, sample=1000
)
CLEANING = CleaningConfig(max_length=40, max_ratio=3.0, **OFF)
HOSTILE = [
    "<script>alert(1)</script>",
    '" onmouseover="alert(4)" x="',
    "</style><img src=x onerror=alert(3)>",
    "[x](javascript:alert(7)) ![x](https://example.org/x.png) | `code`",
    "\u202egnp.exe \u200b",
]


def prepared(root: Path, cleaning: CleaningConfig = CLEANING, joint: bool = True) -> PreparedData:
    root.mkdir(exist_ok=True)
    words = [f"sentence {number} of the corpus" for number in range(60)]
    bad = [f"{text} " * 30 for text in HOSTILE]
    source = [*words, *bad, *HOSTILE, words[3], "", "one two"]
    target = [*(word.upper() for word in words), *bad, *HOSTILE, words[3].upper(), "x", "one two " * 8]
    for split, left, right in (
        ("train", source, target),
        ("valid", words[:2], ["X", "Y"]),
        ("test", HOSTILE, HOSTILE),
    ):
        (root / f"{split}.en").write_text("".join(f"{line}\n" for line in left), encoding="utf-8")
        (root / f"{split}.de").write_text("".join(f"{line}\n" for line in right), encoding="utf-8")
    corpus = Files(source="en", target="de", root=str(root))
    tokenizer = dataclasses.replace(TOKENIZER, joint=joint)
    return prepare(corpus, cleaning, tokenizer, root=root.parent / "prepared", report=lambda line: None)


class Elements(HTMLParser):
    """Collects the elements of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attributes)))


def test_the_report_tells_of_filters_examples_lengths_pieces_and_origin(tmp_path: Path) -> None:
    data = prepared(tmp_path / "corpus")
    page = write_data_report(data)
    assert page == data.folder / "report.html"
    note = (data.folder / "report.md").read_text("utf-8")
    assert "| empty | a side has no text, or only spaces | 73 | 1 | 1.37% |" in note
    assert re.search(r"\| too long \| .* \| 72 \| 5 \|", note)
    assert "| share their source with another split | 7 |" in note
    assert "| repeat both sides of an earlier pair | 1 |" in note
    assert re.search(r"\| validation \| 2 \| \d+ \| 0.00% \|", note)
    assert "| test | 5 | – | – | – | – |" in note
    assert note.count("| too long | ") == 1 + 3
    for heading in ("Vocabulary", "The longest pairs", "The most uneven pairs", "Where it comes from"):
        assert f"## {heading}\n" in note
    text = page.read_text("utf-8")
    assert text.count("<figure>") == 2
    assert {tag for tag, _ in Elements(text).found} >= {"svg", "table", "nav", "section"}


def test_a_hostile_corpus_gives_a_harmless_report(tmp_path: Path) -> None:
    page = write_data_report(prepared(tmp_path / "corpus"))
    assert page is not None
    text = page.read_text("utf-8")
    elements = Elements(text).found
    assert not {tag for tag, _ in elements} & {"script", "img", "iframe", "link", "base", "object"}
    assert not [name for _, attributes in elements for name in attributes if name.startswith("on")]
    assert [attributes["href"][0] for tag, attributes in elements if tag == "a" and attributes["href"]]
    assert all(str(attributes["href"]).startswith("#") for tag, attributes in elements if tag == "a")
    assert "default-src 'none'" in text
    assert "\u202e" not in text
    note = page.with_name("report.md").read_text("utf-8")
    assert "<script" not in note
    assert "](" not in note.replace("\\](", "").replace("]\\(", "")


def test_a_report_is_small_whatever_the_length_of_the_lines(tmp_path: Path) -> None:
    root = tmp_path / "corpus"
    prepared(root)
    with (root / "train.en").open("a") as source, (root / "train.de").open("a") as target:
        source.write("word " * 200_000 + "\n")
        target.write("Wort " * 200_000 + "\n")
    corpus = Files(source="en", target="de", root=str(root))
    none = dataclasses.replace(CLEANING, max_length=None, max_ratio=None)
    data = prepare(corpus, none, TOKENIZER, root=tmp_path / "prepared", report=lambda line: None)
    page = write_data_report(data)
    assert page is not None
    assert page.stat().st_size < 200_000
    assert (data.folder / "statistics.json").stat().st_size < 200_000


def test_a_report_is_written_once_and_again_where_it_is_missing(tmp_path: Path) -> None:
    data = prepared(tmp_path / "corpus")
    page = write_data_report(data)
    assert page is not None
    before = page.stat().st_mtime_ns
    assert write_data_report(data) == page
    assert page.stat().st_mtime_ns == before
    page.unlink()
    assert write_data_report(data) == page
    assert page.is_file()
    assert PreparedData(data.folder).splits == data.splits


def test_a_folder_of_an_earlier_version_has_no_report(tmp_path: Path) -> None:
    data = prepared(tmp_path / "corpus")
    (data.folder / "statistics.json").unlink()
    assert write_data_report(data) is None


@pytest.mark.parametrize("text", ["{", "5", "[" * 200_000, "9" * 10_000], ids=lambda text: text[:9])
def test_statistics_that_cannot_be_read_are_refused_in_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "statistics.json").write_text(text)
    with pytest.raises(DataError, match=r"statistics\.json must hold the statistics of prepared data, but cannot"):
        read_statistics(tmp_path)


def test_statistics_of_a_large_mixture_are_read(tmp_path: Path) -> None:
    splits = {f"test.{number}": {"lengths": [1] * 1000} for number in range(300)}
    (tmp_path / "statistics.json").write_text(json.dumps({"splits": splits}))
    assert read_statistics(tmp_path) == {"splits": splits}


def test_a_vocabulary_for_each_language_is_reported_by_itself(tmp_path: Path) -> None:
    data = prepared(tmp_path / "corpus", joint=False)
    statistics = json.loads((data.folder / "statistics.json").read_text("utf-8"))
    assert [*statistics["coverage"]] == ["tokenizer.en.model", "tokenizer.de.model"]
    for steps in statistics["coverage"].values():
        assert sum(step["pieces"] for step in steps) == 150 - 4


def test_the_numbers_of_the_report_are_those_of_the_ids(tmp_path: Path) -> None:
    data = prepared(tmp_path / "corpus")
    statistics = json.loads((data.folder / "statistics.json").read_text("utf-8"))
    for split in ("train", "validation"):
        for side, sequences in zip(("source", "target"), data.ids(split), strict=True):
            found = statistics["splits"][split][side]
            assert found["lengths"] == np.bincount(sequences.lengths).tolist()
            assert found["pieces"] == len(sequences.ids)
    source, target = data.ids("train")
    longest = statistics["splits"]["train"]["longest"][0]
    assert max(longest["source_pieces"], longest["target_pieces"]) == max(source.lengths.max(), target.lengths.max())
    uneven = statistics["splits"]["train"]["most_uneven"][0]
    lengths = np.sort(np.stack([source.lengths, target.lengths]), axis=0) + 1
    found = sorted((uneven["source_pieces"] + 1, uneven["target_pieces"] + 1))
    assert found[1] / found[0] == (lengths[1] / lengths[0]).max()


def test_coverage_counts_every_piece_but_the_special_ones() -> None:
    uses = np.array([9, 9, 9, 9, 0, 1, 9, 10, 99, 1000, 123456])
    assert [step["pieces"] for step in coverage(uses)] == [1, 2, 2, 0, 1, 1]


def test_examples_are_few_and_drawn_from_all() -> None:
    examples = Examples()
    for number in range(1000):
        examples.add("empty", (str(number), "x" * 1000))
    assert len(examples.pairs["empty"]) == 3
    assert max(int(source) for source, _ in examples.pairs["empty"]) > 100
    assert max(len(target) for _, target in examples.pairs["empty"]) < 400


@pytest.mark.parametrize("longest", [0, 1, 5, 100, 513])
def test_lengths_are_drawn_in_few_bars(longest: int) -> None:
    chart = length_chart({"source": [1] * longest, "target": [2] * (longest // 2)}, title="train")
    assert bool(chart) is (longest > 0)
    assert chart.count("<rect") <= 32


@pytest.mark.parametrize("empty", [set(), {LONGEST}, {"Vocabulary", "The most uneven pairs"}])
def test_the_lengths_stand_before_the_longest_pairs_whatever_else_is_there(tmp_path: Path, empty: set[str]) -> None:
    data = prepared(tmp_path / "corpus")
    statistics = read_statistics(data.folder)
    assert statistics is not None
    tables = [
        dataclasses.replace(table, rows=[] if table.title in empty else table.rows)
        for table in tables_of(data.manifest, statistics)
    ]
    titles = re.findall("<h2>(.*?)</h2>", page_of(data.manifest, statistics, tables))
    expected = [table.title for table in tables]
    expected.insert(expected.index(LONGEST), "Lengths")
    assert titles == [title for title in expected if title not in empty and title != "Portions"]

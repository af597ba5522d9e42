"""Your own files by path: which are read, in which order, and what identifies them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from tiny import compose

from seq2seq.data.corpora import Paths
from seq2seq.errors import ConfigError, DataError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Shards of three formats and of plain text, in the current directory."""
    monkeypatch.chdir(tmp_path)
    Path("shards").mkdir()
    for shard in range(3):
        records = [{"en": f"en {shard}.{i}", "de": f"de {shard}.{i}"} for i in range(2)]
        lines = "".join(json.dumps(record) + "\n" for record in records)
        Path(f"shards/part-{shard}.jsonl.gz").write_bytes(gzip.compress(lines.encode(), mtime=0))
        for language in ("en", "de"):
            Path(f"shards/part-{shard}.{language}").write_text("".join(f"{r[language]}\n" for r in records))
    Path("validation.tsv").write_text("en v\tde v\n")
    Path("test.en.txt").write_text("en t\n")
    Path("test.de.txt").write_text("de t\n")
    return tmp_path


WHOLE = [(f"en {shard}.{i}", f"de {shard}.{i}") for shard in range(3) for i in range(2)]


def paths(train: Any = "shards/*.jsonl.gz", **given: Any) -> Paths:
    settings: dict[str, Any] = {"source": "en", "target": "de", "validation": None, "test": None}
    return Paths(**(settings | {"train": train, "columns": (1, 2), "fields": None, "errors": "strict"} | given))


BY_HAND = (["shards/part-0.en", "shards/part-[12].en"], ["shards/part-[01].de", "shards/part-2.de"])


@pytest.mark.parametrize(
    "train", ["shards/*.jsonl.gz", "**/part-?.jsonl.gz", ("shards/*.en", "shards/*.de"), BY_HAND]
)
@pytest.mark.usefixtures("folder")
def test_shards_are_read_in_the_order_of_their_names(train):
    assert list(paths(train).pairs("train")) == WHOLE


@pytest.mark.usefixtures("folder")
def test_several_patterns_of_a_side_are_read_in_the_order_given():
    later_first = ["shards/part-2.en", "shards/part-1.en"], ["shards/part-2.de", "shards/part-1.de"]
    assert list(paths(later_first).pairs("train")) == WHOLE[4:] + WHOLE[2:4]


def test_the_news_of_the_mixture_are_of_the_years_it_promises(tmp_path, monkeypatch):
    """Whoever has all test sets of WMT must not train on those of later years."""
    monkeypatch.setenv("SEQ2SEQ_DATA", str(tmp_path))
    (tmp_path / "wmt_news_deen").mkdir()
    names = ["news-test2008", "newssyscomb2009", *(f"newstest{year}" for year in range(2009, 2021))]
    for name in names:
        for language in ("de", "en"):
            text = gzip.compress(f"{name} {language}\n".encode())
            (tmp_path / "wmt_news_deen" / f"{name}.{language}.gz").write_bytes(text)
    settings = compose("data=deen_mix")["data"]["corpora"]["news"]
    news = paths(**{key: value for key, value in settings.items() if key != "_target_"})
    found = {split: [source.split()[0] for source, _ in news.pairs(split)] for split in news.splits()}
    assert found == {"train": names[:6], "validation": ["newstest2013"], "test": ["newstest2014"]}
    assert names[5] == "newstest2012"


@pytest.mark.usefixtures("folder")
def test_each_split_may_be_of_another_format():
    corpus = paths("shards/part-1.jsonl.gz", validation="validation.tsv", test=("test.en.txt", "test.de.txt"))
    assert corpus.splits() == ("train", "validation", "test")
    assert list(corpus.pairs("train")) == WHOLE[2:4]
    assert list(corpus.pairs("dev")) == [("en v", "de v")]
    assert list(corpus.pairs("test")) == [("en t", "de t")]
    assert corpus.describe() == "paths en-de (files: train 1, validation 1, test 2)"
    with pytest.raises(DataError, match="`split` must be one of train, but is 'test' instead"):
        paths().pairs("test").__next__()


def test_a_name_that_looks_like_a_pattern_is_a_name_where_there_is_such_a_file(folder):
    Path("a[1].tsv").write_text("a\tb\n")
    Path("a1.tsv").write_text("c\td\n")
    assert list(paths("a[1].tsv").pairs("train")) == [("a", "b")]


@pytest.mark.usefixtures("folder")
def test_the_settings_of_each_format_reach_its_reader():
    swapped = paths("validation.tsv", columns=(2, 1))
    assert list(swapped.pairs("train")) == [("de v", "en v")]
    assert next(paths(fields=("de", "en")).pairs("train")) == ("de 0.0", "en 0.0")


def test_what_was_let_pass_is_told_and_counted_once_for_each_split(folder):
    Path("bad.tsv").write_bytes(b"a\xff\tb\nc\xff\xff\td\n")
    corpus = paths("bad.tsv", errors="replace")
    for _ in range(2):
        assert len(list(corpus.pairs("train"))) == 2
    assert corpus.describe().endswith("; 2 texts of train had bytes that are no UTF-8 replaced")
    variants = [f'<tuv xml:lang="{code}"><seg>x</seg></tuv>' for code in ("en", "de", "fr")]
    units = "".join(f"<tu>{one}{other}</tu>" for one, other in (variants[:2], variants[1:]))
    Path("memory.tmx").write_text(f"<tmx>{units}</tmx>")
    corpus = paths("memory.tmx")
    assert list(corpus.pairs("train")) == [("x", "x")]
    assert corpus.describe().endswith("; 1 units of train without both languages were left out")


# --- The fingerprint ---


@pytest.mark.usefixtures("folder")
def test_the_fingerprint_does_not_depend_on_the_folder_or_on_names(folder):
    before = paths(validation="validation.tsv").fingerprint()
    Path("elsewhere").mkdir()
    for number, path in enumerate(sorted(Path("shards").glob("*.gz"))):
        path.rename(f"elsewhere/{number}.jsonl.gz")
    assert paths("elsewhere/*.gz", validation=str(folder / "validation.tsv")).fingerprint() == before


@pytest.mark.usefixtures("folder")
def test_the_fingerprint_follows_text_order_and_the_settings_that_are_used():
    one = paths("shards/part-0.jsonl.gz")
    prints = [
        one,
        paths("shards/part-1.jsonl.gz"),
        paths("shards/*.gz"),
        paths(fields=("en", "de")),
        paths(errors="replace"),
        paths("validation.tsv"),
        paths("validation.tsv", columns=(2, 1)),
        paths(("shards/*.en", "shards/*.de")),
        paths(("shards/*.de", "shards/*.en")),
        paths(("shards/part-0.en", "shards/part-0.de")),
        paths("shards/part-0.jsonl.gz", validation="shards/part-1.jsonl.gz"),
        paths("shards/part-0.jsonl.gz", test="shards/part-1.jsonl.gz"),
    ]
    texts = [json.dumps(corpus.fingerprint(), sort_keys=True) for corpus in prints]
    assert len(set(texts)) == len(texts)
    unused = paths("shards/part-0.jsonl.gz", columns=(7, 8))
    assert unused.fingerprint() == one.fingerprint()


# --- What is refused ---


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            {"train": None},
            r"`train` must name files, but is null .* data\.train=FILE .*\.jsonl, \.parquet, \.tmx, \.tsv",
        ),
        ({"columns": (2, 2)}, "`columns` must be two different ones, but both are 2"),
        ({"fields": ("en", "en")}, "`fields` must be two different ones, but both are 'en'"),
        ({"target": "en"}, "`target` must differ from the source language"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(given, words):
    with pytest.raises(ConfigError, match=words):
        paths(**given)


@pytest.mark.parametrize(
    ("train", "words"),
    [
        (
            "shards/*.jsonl.xz",
            r"`data\.train` must name files that exist, but 'shards/\*\.jsonl\.xz' matches none; .*part",
        ),
        ("shards/part-9.jsonl.gz", r"matches none; \S*/shards has .*; did you mean 'part-\d.jsonl.gz'"),
        ("shrads/*.tsv", r"matches none; \S+ has .*; did you mean 'shards'"),
        ("shards", r"`data\.train` must name files, but shards is a folder; give a pattern such as shards/\*\.tsv"),
        ("test.en.txt", r"test\.en\.txt must end in one of .*'data\.train=\[SOURCE_FILE,TARGET_FILE\]'"),
        ("shards/*", r"part-0\.de must end in one of"),
        (
            ("shards/*.en", "test.de.txt"),
            r"`data\.train` must .* shards/\*\.en matches 3 and test\.de\.txt matches 1",
        ),
        (
            ("shards/*.en", "absent.de"),
            r"`data\.train\[1\]` must name files that exist, but 'absent\.de' matches none",
        ),
        (("shards/*.en", "shards/*.en"), r"`data\.train` must name each file once"),
        ((BY_HAND[0], ["test.de.txt"]), r"\[shards/part-0\.en,shards/part-\[12\]\.en\] matches 3 and \[test"),
        ((["test.en.txt", "absent.en"], "test.de.txt"), r"`data\.train\[0\]\[1\]` must name files that exist"),
        (([], "test.de.txt"), r"`data\.train\[0\]` must name files, but is an empty list instead"),
        ((["shards/part-0.en", "shards/*.en"], "shards/*.de"), r"`data\.train` must name as many files"),
        (("validation.tsv", "test.de.txt"), r"validation\.tsv must be plain text of one language, because"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_paths_that_cannot_be_meant_are_refused_with_what_there_is(train, words):
    with pytest.raises(DataError, match=words):
        next(paths(train).pairs("train"))


@pytest.mark.usefixtures("folder")
def test_training_text_is_not_validated_or_tested_on():
    for split in ("validation", "test"):
        with pytest.raises(DataError, match=rf"part-2.* must not be in both `data\.train` and `data\.{split}`"):
            paths(**{split: "shards/part-2.jsonl.gz"}).fingerprint()
    assert paths(validation="validation.tsv", test="validation.tsv").fingerprint()


@pytest.mark.usefixtures("folder")
def test_no_text_is_read_twice():
    Path("shards/link.jsonl.gz").symlink_to("part-0.jsonl.gz")
    with pytest.raises(DataError, match=r"must name each file once, but .* are the same text"):
        next(paths().pairs("train"))
    Path("shards/link.jsonl.gz").unlink()
    Path("shards/part-0.jsonl").write_text("")
    with pytest.raises(DataError, match=r"but .*part-0\.jsonl and .*part-0\.jsonl\.gz are the same text"):
        next(paths("shards/*.jsonl*").pairs("train"))


@pytest.mark.usefixtures("folder")
def test_shards_of_different_length_are_refused_with_their_names():
    Path("shards/part-1.de").write_text("only one\n")
    with pytest.raises(DataError, match=r"part-1\.en and \S*part-1\.de must have the same .* have 2 and 1 lines"):
        list(paths(("shards/*.en", "shards/*.de")).pairs("train"))

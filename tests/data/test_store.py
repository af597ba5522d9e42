"""Prepared data: complete or not there, reused only where nothing changed, and every pair accounted for."""

import dataclasses
import gzip
import json
import os
import random
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from seq2seq.config import Component
from seq2seq.data import encoding as module
from seq2seq.data.batching import pack
from seq2seq.data.cleaning import OFF, CleaningConfig
from seq2seq.data.corpora import Files, Multi30k
from seq2seq.data.folders import remove_stale, temporary_name
from seq2seq.data.prepare import prepare
from seq2seq.data.sequences import Sequences, SequenceWriter
from seq2seq.data.store import Prepared, PreparedData, check_links
from seq2seq.data.tokenizer import TokenizerConfig
from seq2seq.disk.lock import started
from seq2seq.errors import ConfigError, DataError

CLEANING = CleaningConfig(max_length=60, max_ratio=3.0, **OFF)
TOKENIZER = TokenizerConfig(
    type="bpe", vocab_size=120, joint=True, character_coverage=1.0, byte_fallback=False, sample=1000
)


def text(language: str, count: int, seed: int) -> list[str]:
    draw = random.Random(f"{language} {seed}")
    syllables = ["ba", "ke", "lo", "mi", "stra", "ße"] if language == "de" else ["th", "ing", "wo", "rd", "a", "ly"]
    return [
        " ".join("".join(draw.choices(syllables, k=draw.randint(2, 3))) for _ in range(draw.randint(6, 9)))
        for _ in range(count)
    ]


def write_split(root: Path, split: str, source: list[str], target: list[str]) -> None:
    for language, lines in (("en", source), ("de", target)):
        (root / f"{split}.{language}").write_text("".join(line + "\n" for line in lines), encoding="utf-8")


@pytest.fixture
def corpus(tmp_path):
    root = tmp_path / "corpus"
    root.mkdir()
    for seed, (split, count) in enumerate((("train", 300), ("valid", 20), ("test", 10))):
        write_split(root, split, text("en", count, seed), text("de", count, seed))
    return root


class Bench:
    """Prepares the corpus under one root and keeps what was reported."""

    def __init__(self, corpus: Path, root: Path) -> None:
        self.corpus, self.root, self.lines = corpus, root, []

    def __call__(self, *, source="en", target="de", cleaning=CLEANING, tokenizer=TOKENIZER, report=None):
        corpus = Files(source=source, target=target, root=str(self.corpus))
        return prepare(corpus, cleaning, tokenizer, root=self.root, report=report or self.lines.append)

    def change(self, **values):
        return dataclasses.replace(TOKENIZER, **values)


@pytest.fixture
def bench(corpus, tmp_path):
    return Bench(corpus, tmp_path / "prepared")


# --- Sequences ---


@pytest.mark.parametrize(("vocab_size", "dtype"), [(2**16, np.uint16), (2**16 + 1, np.uint32)])
def test_sequences_come_back_from_disk_in_the_narrowest_type(tmp_path, vocab_size, dtype):
    chunks = [[[1, 2, 3], []], [], [[vocab_size - 1]]]
    with SequenceWriter(tmp_path / "s", vocab_size) as writer:
        for chunk in chunks:
            writer.append(chunk)
        assert writer.tokens == 4
    sequences = Sequences.open(tmp_path / "s", vocab_size)
    assert [ids.tolist() for ids in sequences] == [[1, 2, 3], [], [vocab_size - 1]]
    assert sequences.lengths.tolist() == [3, 0, 1]
    assert len(sequences) == 3
    assert (sequences.ids.dtype, sequences.offsets.dtype) == (dtype, np.int64)


def test_no_sequences_at_all_can_be_stored(tmp_path):
    with SequenceWriter(tmp_path / "s", 100):
        pass
    assert len(Sequences.open(tmp_path / "s", 100)) == 0


def test_an_index_outside_is_an_error(tmp_path):
    sequences = Sequences(np.zeros(2, dtype=np.uint16), np.array([0, 2]))
    for index in (-1, 1):
        with pytest.raises(IndexError):
            sequences[index]


def test_arrays_that_do_not_belong_together_or_hold_objects_are_refused(tmp_path):
    np.save(tmp_path / "s.ids.npy", np.zeros(3, dtype=np.uint16))
    np.save(tmp_path / "s.offsets.npy", np.array([0, 2]))
    with pytest.raises(DataError, match="must belong together"):
        Sequences.open(tmp_path / "s", 100)
    np.save(tmp_path / "s.ids.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(DataError, match="must be an array of token ids"):
        Sequences.open(tmp_path / "s", 100)


@pytest.mark.parametrize(
    ("ids", "offsets", "words"),
    [
        ([1, 2, 100], [0, 3], "must hold numbers below 100, but has 100"),
        ([1, 2, 3], [0, 2, 1, 3], "must belong together"),
        ([1, 2, 3], [1, 3], "must belong together"),
        ([1, 2, 3], [-3, 3], "must belong together"),
        ([1, 2, 3], [], "must belong together"),
        ([[1, 2, 3]], [0, 3], "no header of a flat array"),
        ([1, 2, 3], [[0, 3]], "no header of a flat array"),
        ([1, 2, 3], [0.0, 3.0], "no header of a flat array"),
    ],
)
def test_numbers_that_cannot_be_are_refused_before_anyone_uses_them(tmp_path, ids, offsets, words):
    np.save(tmp_path / "s.ids.npy", np.array(ids, dtype=np.uint16))
    np.save(
        tmp_path / "s.offsets.npy",
        np.array(offsets, dtype=float if 0.0 in offsets and type(offsets[0]) is float else np.int64),
    )
    with pytest.raises(DataError, match=words):
        Sequences.open(tmp_path / "s", 100)


@pytest.mark.parametrize(
    "content",
    [b"", b"PK\x03\x04", b"\x93NUMPY\x01\x00\xff\xff{", b"\x80\x04}.", b"\x93NUMPY\x01\x00\x76\x00" + b"(" * 118],
)
def test_no_file_in_the_place_of_an_array_makes_reading_fail_otherwise(tmp_path, content):
    (tmp_path / "s.ids.npy").write_bytes(content)
    np.save(tmp_path / "s.offsets.npy", np.array([0]))
    with pytest.raises(DataError, match="must be an array of token ids"):
        Sequences.open(tmp_path / "s", 100)


def test_an_array_that_is_shorter_than_its_header_says_is_refused(tmp_path):
    with SequenceWriter(tmp_path / "s", 100) as writer:
        writer.append([[1, 2, 3]])
    path = tmp_path / "s.ids.npy"
    path.write_bytes(path.read_bytes().replace(b"(3,)", b"(4,)"))
    with pytest.raises(DataError, match="has 134 bytes, but its header tells of 4 numbers"):
        Sequences.open(tmp_path / "s", 100)


@pytest.mark.parametrize(
    ("links", "words"),
    [
        ([[0, 0], [1]], "half a link"),
        ([[0, 0], [0, 2]], "links to pieces that are not in their sentences"),
        ([[3, 0], []], "links to pieces that are not in their sentences"),
        ([[0, 0]], "1 sequences for 2 pairs"),
    ],
)
def test_links_lead_to_pieces_of_their_own_sentences(tmp_path, links, words):
    source, target = pack([[5, 6, 7], [8]]), pack([[5], [6, 7]])
    check_links(pack([[2, 0, 0, 0], [0, 1]]), source, target, tmp_path / "train.links")
    with pytest.raises(DataError, match=words):
        check_links(pack(links), source, target, tmp_path / "train.links")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"files": {"train.en.ids.npy": "12"}}, "must be a number of pairs or bytes"),
        ({"files": {"../other": 3}}, "must be a plain name"),
        ({"key": ["x"]}, "must be text"),
        ({"aliases": {"a": 3}}, "what cannot be"),
        ({"splits": 3}, "what cannot be"),
    ],
)
def test_a_manifest_that_says_what_cannot_be_is_refused_in_one_line(bench, change, words):
    folder = bench().folder
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(DataError, match=words) as caught:
        PreparedData(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content", ["[" * 100_000, "1" * 5000, '{"format": 1, "files": "\\ud800"}', " " * 2**22 + "{}"]
)
def test_no_manifest_makes_reading_fail_with_anything_but_a_message(tmp_path, content):
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(DataError, match="must be the manifest of prepared data, but cannot be read"):
        PreparedData(tmp_path)


def test_text_that_has_lost_a_line_is_refused(bench):
    data = bench()
    path = data.folder / "test.en.txt"
    path.write_text("one line\n")
    with pytest.raises(DataError, match=r"test\.en\.txt must have \d+ lines, one a pair, but has 1"):
        data.text("test")


# --- What is prepared ---


def test_ids_decode_to_the_training_text_and_validation_keeps_its_order(bench):
    data = bench()
    for split, name, count in (("train", "train", 300), ("val", "valid", 20)):
        for side, tokenizer, language in zip(
            data.ids(split), (data.source_tokenizer, data.target_tokenizer), ("en", "de"), strict=True
        ):
            lines = (bench.corpus / f"{name}.{language}").read_text("utf-8").splitlines()
            assert tokenizer.decode([ids.tolist() for ids in side]) == lines
            assert len(side) == count


def test_evaluation_text_is_kept_raw_and_training_text_is_not(bench):
    odd = ["  two  spaces ", "", "½ ﬁ “quoted”"]
    write_split(bench.corpus, "test", odd, odd[::-1])
    data = bench()
    assert data.text("test") == (odd, odd[::-1])
    assert data.splits == ("train", "test", "validation")
    with pytest.raises(DataError, match="to have raw text, but is 'train'"):
        data.text("train")
    with pytest.raises(DataError, match="`split` must be one of train, validation to have token ids, but is 'test'"):
        data.ids("test")


def test_only_training_pairs_are_dropped_and_every_reason_is_counted(bench):
    for split in ("train", "valid"):
        source, target = text("en", 100, 7), text("de", 100, 7)
        source[3], target[5], source[8] = " ", "", "word " * 100
        source[9], target[9] = "a", "bake " * 20
        write_split(bench.corpus, split, source, target)
    data = bench()
    assert data.manifest["cleaning"]["counts"] == {"read": 100, "empty": 2, "too_long": 1, "uneven": 1, "kept": 96}
    assert [len(data.ids(split)[0]) for split in ("train", "validation")] == [96, 100]
    assert data.manifest["splits"]["validation"]["pairs"] == 100


def test_the_manifest_accounts_for_everything(bench):
    manifest = bench().manifest
    assert (manifest["source"], manifest["target"], manifest["corpus"]["name"]) == ("en", "de", "files")
    train = Sequences.open(next(bench.root.iterdir()) / "train.de", 100)
    assert manifest["splits"]["train"] == {
        "pairs": 300,
        "ids": True,
        "source_tokens": manifest["splits"]["train"]["source_tokens"],
        "target_tokens": int(train.lengths.sum()),
    }
    assert manifest["tokenizer"]["settings"] == dataclasses.asdict(TOKENIZER)
    assert manifest["versions"].keys() == {"seq2seq", "python", "numpy", "sentencepiece"}
    assert manifest["files"].keys() == {p.name for p in next(bench.root.iterdir()).iterdir()} - {"manifest.json"}


@pytest.mark.parametrize("joint", [True, False])
def test_languages_share_one_vocabulary_or_have_one_each(bench, joint):
    data = bench(tokenizer=bench.change(joint=joint, vocab_size=60))
    assert (data.source_tokenizer is data.target_tokenizer) is joint
    assert (data.source_tokenizer.sha256 == data.target_tokenizer.sha256) is joint


def test_the_direction_can_be_turned(bench):
    forth, back = bench(), bench(source="de", target="en")
    assert forth.text("test") == back.text("test")[::-1]
    assert forth.folder != back.folder


def test_the_sample_for_the_vocabulary_is_repeatable(bench, tmp_path):
    few = bench.change(sample=100)
    first = bench(tokenizer=few)
    bench.root = tmp_path / "again"
    second = bench(tokenizer=few)
    assert first.source_tokenizer.sha256 == second.source_tokenizer.sha256 != bench().source_tokenizer.sha256


def test_chunks_leave_no_seams(bench, monkeypatch):
    whole = bench()
    monkeypatch.setattr(module, "CHUNK", 7)
    bench.root = bench.root / "again"
    chunked = bench()
    for one, other in zip(whole.ids("train"), chunked.ids("train"), strict=True):
        assert np.array_equal(one.ids, other.ids)
        assert np.array_equal(one.offsets, other.offsets)


# --- What is refused ---


@pytest.mark.parametrize(("lines", "counts"), [([], "0 read, 0 kept"), (["", " "], "2 read, 0 kept, 2 empty")])
def test_training_text_without_a_pair_is_refused_with_the_counts(bench, lines, counts):
    write_split(bench.corpus, "train", lines, lines)
    with pytest.raises(DataError, match=f"must have training pairs, but none is left: {counts}"):
        bench()


def test_training_text_that_cleaning_drops_whole_is_refused_with_the_counts(bench):
    with pytest.raises(DataError, match="none is kept after cleaning: 300 read, 0 kept, 300 too long"):
        bench(cleaning=CleaningConfig(max_length=1, max_ratio=3.0, **OFF))


def test_an_empty_evaluation_split_is_refused(bench):
    write_split(bench.corpus, "test", [], [])
    with pytest.raises(DataError, match=r"split 'test' of .* must have pairs, but is empty"):
        bench()


def test_a_failed_preparation_leaves_nothing(bench):
    with (bench.corpus / "train.en").open("a") as handle:
        handle.write("one more line\n")
    with pytest.raises(DataError, match="301 and 300 lines"):
        bench()
    assert list(bench.root.iterdir()) == []


# --- Reuse ---


def test_the_same_preparation_is_reused_and_reported(bench):
    first = bench()
    before = (first.folder / "manifest.json").stat().st_mtime_ns
    assert bench().folder == first.folder
    assert (first.folder / "manifest.json").stat().st_mtime_ns == before
    assert bench.lines[-1] == f"Reusing prepared data in {first.folder}"


def test_changed_text_or_settings_are_prepared_anew(bench):
    folders = {
        bench().folder,
        bench(tokenizer=bench.change(vocab_size=110)).folder,
        bench(cleaning=CleaningConfig(max_length=50, max_ratio=3.0, **OFF)).folder,
    }
    write_split(bench.corpus, "test", ["other"], ["anders"])
    folders.add(bench().folder)
    assert len(folders) == 4


@pytest.mark.parametrize("damage", ["missing", "cut", "grown", "manifest"])
def test_a_damaged_folder_is_refused_and_prepared_again(bench, damage):
    folder = bench().folder
    victim = folder / ("manifest.json" if damage == "manifest" else "train.de.ids.npy")
    if damage == "missing":
        victim.unlink()
    else:
        content = victim.read_bytes()
        victim.write_bytes(content + b"x" if damage == "grown" else content[:-9])
    with pytest.raises(DataError, match=victim.name):
        PreparedData(folder)
    assert len(bench().ids("train")[1]) == 300
    assert "Preparing" in bench.lines[-4]


def test_a_folder_of_another_format_is_refused(bench):
    folder = bench().folder
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "format": 99}))
    with pytest.raises(DataError, match="must have format 1, but has format 99"):
        PreparedData(folder)


def test_the_second_of_two_that_prepare_at_once_uses_the_work_of_the_first(bench):
    winners = []

    def report(line):
        if not winners and line.startswith("Training pairs"):
            winners.append(None)
            winners.append(bench())

    data = bench(report=report)
    assert data.folder == winners[1].folder
    assert [path.name for path in bench.root.iterdir()] == [data.folder.name]


def test_folders_of_dead_processes_are_removed_and_those_of_living_ones_kept(bench):
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    host = socket.gethostname()
    dead, living = (f".tmp-{host}-{number}-01234567" for number in (process.pid, os.getpid()))
    elsewhere, foreign = f".tmp-another-{host}-{process.pid}-01234567", ".tmp-something"
    impossible, own = f".tmp-{host}-99999999999999999999-01234567", temporary_name(bench.root).name
    for name in (dead, living, elsewhere, foreign, impossible, own):
        (bench.root / name).mkdir(parents=True)
    data = bench()
    left = {path.name for path in bench.root.iterdir()}
    assert left == {living, elsewhere, foreign, impossible, own, data.folder.name}


@pytest.mark.skipif(started(os.getpid()) is None, reason="this system does not say when a process began")
def test_a_process_that_has_the_number_of_a_dead_one_keeps_nothing(tmp_path):
    own = temporary_name(tmp_path)
    own.mkdir()
    (tmp_path / f".tmp-{socket.gethostname()}-{os.getpid()}.1-01234567").mkdir()
    remove_stale(tmp_path)
    assert [*tmp_path.iterdir()] == [own]


# --- A prepared folder in the place of a corpus ---


def test_a_prepared_folder_stands_alone(bench, tmp_path):
    original = bench()
    copied = original.folder.rename(tmp_path / "copied")
    corpus = Prepared(folder=str(copied))
    data = prepare(corpus, CLEANING, TOKENIZER, root=tmp_path / "unused", report=bench.lines.append)
    assert data.folder == copied
    assert not (tmp_path / "unused").exists()
    assert bench.lines[-1] == f"Using files en-de from {bench.corpus}, prepared in {copied}"
    assert (corpus.source, corpus.target, corpus.resolve("dev")) == ("en", "de", "validation")


def test_another_tokenizer_of_the_same_size_is_noticed(bench):
    folder = bench().folder
    model = folder / "tokenizer.model"
    data = model.read_bytes()
    model.write_bytes(data.replace(b"e", b"f", 1))
    with pytest.raises(DataError, match=r"tokenizer\.model must be"):
        PreparedData(folder)


def test_a_prepared_folder_gives_the_pairs_it_was_made_from(bench):
    original = Files(source="en", target="de", root=str(bench.corpus))
    corpus = Prepared(folder=str(bench().folder))
    for split in original.splits():
        assert list(corpus.pairs(split)) == list(original.pairs(split))


def test_a_folder_that_is_not_prepared_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"must be a folder of prepared data, but has no manifest\.json"):
        Prepared(folder=str(tmp_path))
    with pytest.raises(ConfigError, match=r"`data\.folder` must name a prepared folder, but is null"):
        Component(Prepared, {"folder": None}, "data")()


# --- Real text ---


def test_the_real_multi30k_is_prepared_quickly_and_whole(tmp_path):
    root = os.environ.get("SEQ2SEQ_DATA")
    if not root:
        pytest.skip("SEQ2SEQ_DATA is not set, so there is no real text to prepare")
    corpus = Multi30k(source="en", target="de", root=None)
    config = dataclasses.replace(TOKENIZER, vocab_size=8000)
    started = time.monotonic()
    data = prepare(corpus, CLEANING, config, root=tmp_path, report=lambda line: None)
    assert time.monotonic() - started < 20
    assert data.manifest["cleaning"]["counts"]["read"] == 29000
    published = Path(root, "multi30k", "test_2016_flickr.de.gz")
    assert "".join(line + "\n" for line in data.text("test")[1]).encode() == gzip.decompress(published.read_bytes())

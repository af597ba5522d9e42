"""Corpora: the right text in the right direction, and clear words where there is none."""

import gzip
import itertools
import json
import os
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import datasets
import pytest
from tiny import choices, compose

from seq2seq.config import Component, parse
from seq2seq.data.corpora import Corpus, Files, GrammarCorpus, Multi30k, generated
from seq2seq.data.corpora.hub import HubDataset
from seq2seq.errors import ConfigError, DataError


@dataclass(frozen=True)
class Section:
    data: Component[Corpus]


@pytest.fixture(autouse=True)
def no_data_variable(monkeypatch):
    """Undo what the machine may have set; returns what it was."""
    given = os.environ.get("SEQ2SEQ_DATA")
    monkeypatch.delenv("SEQ2SEQ_DATA", raising=False)
    return given


@pytest.fixture
def folder(tmp_path):
    """A folder with en and de of three splits, fr of one, packed and plain."""
    root = tmp_path / "corpus"
    root.mkdir()
    (root / "README.md").write_text("about this corpus")
    for split, count in (("train", 3), ("val", 2), ("test_2016_flickr", 1)):
        for language in ("en", "de"):
            text = "".join(f"{language} {split} {i}\n" for i in range(count)).encode()
            (root / f"{split}.{language}.gz").write_bytes(gzip.compress(text))
    (root / "train.fr").write_text("fr 0\nfr 1\nfr 2\n")
    return root


# --- Every corpus ---


@pytest.mark.parametrize("name", choices("data"))
def test_every_shipped_configuration_gives_every_setting(name):
    assert issubclass(parse(Section, {"data": compose(f"data={name}")["data"]}).data.target, Corpus)


@pytest.mark.parametrize("build", [Files, Multi30k])
def test_source_and_target_must_differ(build):
    with pytest.raises(ConfigError, match="`target` must differ from the source language, but both are 'en'"):
        build(source="en", target="en", root="x")


def test_a_language_code_cannot_leave_the_folder():
    with pytest.raises(ConfigError, match="`source` must be a language code"):
        Files(source="../en", target="de", root="x")


# --- Files ---


def test_files_are_found_under_all_usual_names_of_splits(folder):
    corpus = Files(source="en", target="de", root=str(folder))
    assert corpus.splits() == ("train", "test_2016_flickr", "validation")
    assert {corpus.resolve(name) for name in ("validation", "valid", "val", "dev")} == {"validation"}
    assert list(corpus.pairs("dev")) == [("en val 0", "de val 0"), ("en val 1", "de val 1")]


def test_files_go_in_the_direction_asked_for(folder):
    assert next(Files(source="de", target="en", root=str(folder)).pairs("train")) == ("de train 0", "en train 0")


def test_a_split_without_one_of_the_languages_is_not_listed(folder):
    assert Files(source="en", target="fr", root=str(folder)).splits() == ("train",)


def test_an_unknown_split_is_refused_with_the_nearest_name(folder):
    with pytest.raises(
        DataError, match=r"`split` must be one of .*validation, but is 'vall' instead; did you mean 'val'"
    ):
        Files(source="en", target="de", root=str(folder)).pairs("vall")


def test_a_language_without_files_is_refused_with_those_there_are(folder):
    with pytest.raises(DataError, match=r"`data.target` must be a language of .*\(de, en, fr\), but is 'es' instead"):
        Files(source="en", target="es", root=str(folder)).splits()


def test_a_folder_without_training_text_is_refused(folder):
    for language in ("en", "de"):
        (folder / f"train.{language}.gz").unlink()
    with pytest.raises(DataError, match=r"must hold train\.en and train\.de"):
        Files(source="en", target="de", root=str(folder)).splits()


def test_two_files_for_one_split_are_refused(folder):
    (folder / "dev.en").write_text("x\ny\n")
    with pytest.raises(DataError, match=r"dev\.en and .*val\.en\.gz must not both exist"):
        Files(source="en", target="de", root=str(folder)).splits()


def test_a_missing_folder_and_a_folder_not_given_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"`data.root` must be an existing folder, but .*absent"):
        Files(source="en", target="de", root=str(tmp_path / "absent")).splits()
    with pytest.raises(ConfigError, match=r"`root` must name a folder .*give data\.root=FOLDER"):
        Files(source="en", target="de", root=None)


def test_the_fingerprint_follows_the_content_and_not_the_place(folder, tmp_path):
    before = Files(source="en", target="de", root=str(folder)).fingerprint()
    moved = folder.rename(tmp_path / "elsewhere")
    assert Files(source="en", target="de", root=str(moved)).fingerprint() == before
    (moved / "val.en.gz").write_bytes(gzip.compress(b"other\ntext\n"))
    assert Files(source="en", target="de", root=str(moved)).fingerprint() != before
    json.dumps(before)


# --- Multi30k ---


def test_multi30k_reads_a_given_folder_before_the_variable_before_the_hub(folder, tmp_path, monkeypatch):
    (tmp_path / "multi30k").mkdir()
    for language in ("en", "de"):
        (tmp_path / "multi30k" / f"train.{language}").write_text(f"variable {language}\n")
    monkeypatch.setenv("SEQ2SEQ_DATA", str(tmp_path))
    by_root = Multi30k(source="en", target="de", root=str(folder))
    by_variable = Multi30k(source="en", target="de", root=None)
    assert next(by_root.pairs("train")) == ("en train 0", "de train 0")
    assert next(by_variable.pairs("train")) == ("variable en", "variable de")
    monkeypatch.delenv("SEQ2SEQ_DATA")
    assert "hub" in Multi30k(source="en", target="de", root=None).describe()


def test_multi30k_test_is_the_set_of_2016(folder):
    corpus = Multi30k(source="en", target="de", root=str(folder))
    assert corpus.resolve("test") == "test_2016_flickr"
    assert list(corpus.pairs("test")) == [("en test_2016_flickr 0", "de test_2016_flickr 0")]


def test_multi30k_refuses_other_languages_with_the_full_key():
    component = Component(Multi30k, {"source": "xx", "target": "de", "root": None}, "data")
    with pytest.raises(ConfigError, match=r"`data.source` must be one of cs, de, en, fr, but is 'xx' instead"):
        component()


def test_multi30k_from_the_hub_refuses_languages_it_has_not_and_names_the_local_way():
    with pytest.raises(ConfigError, match=r"`target` must be de or en on the hub, but is 'fr' .*data\.root=FOLDER"):
        Multi30k(source="en", target="fr", root=None)


def test_a_variable_that_names_no_folder_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("SEQ2SEQ_DATA", str(tmp_path))
    with pytest.raises(DataError, match="because SEQ2SEQ_DATA is set, but is not there"):
        Multi30k(source="en", target="de", root=None)


@pytest.mark.parametrize(("source", "target"), [*itertools.permutations(["en", "de", "fr", "cs"], 2)])
def test_the_real_multi30k_is_whole_in_every_direction(no_data_variable, source, target):
    if not no_data_variable:
        pytest.skip("SEQ2SEQ_DATA is not set, so there is no real text to read")
    corpus = Multi30k(source=source, target=target, root=str(Path(no_data_variable, "multi30k")))
    sizes = {split: sum(1 for _ in corpus.pairs(split)) for split in corpus.splits()}
    without_czech = {} if "cs" in (source, target) else {"test_2017_flickr": 1000}
    assert sizes == {"train": 29000, "validation": 1014, "test_2016_flickr": 1000, **without_czech}


# --- The hub ---

ROWS = {"train": 3, "validation": 2, "test": 1}


def rows(split: str) -> list[dict[str, str]]:
    return [{"en": f"en {split} {i}", "de": f"de {split}\n{i}"} for i in range(ROWS[split])]


def write_flat(root: Path) -> None:
    for split, name in (("train", "train"), ("validation", "val"), ("test", "test")):
        (root / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows(split)))


def write_nested(root: Path) -> None:
    for split in ROWS:
        table = datasets.Dataset.from_dict({"id": [str(i) for i in range(ROWS[split])], "translation": rows(split)})
        table.to_parquet(root / f"{split}-00000-of-00001.parquet")


@pytest.fixture
def replica(tmp_path, monkeypatch):
    """A folder laid out like a dataset of the hub, and the library's cache kept away from the user's."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    root = tmp_path / "replica"
    root.mkdir()
    return root


def hub(root: Path, source: str = "en", target: str = "de") -> HubDataset:
    return HubDataset(
        str(root),
        revision="main",
        config=None,
        data_dir=None,
        fetch="download",
        source=source,
        target=target,
        split_names=Multi30k.aliases,
        way_out="Do this.",
    )


@pytest.mark.parametrize("write", [write_flat, write_nested])
def test_the_hub_is_read_in_both_shapes_of_row_and_both_directions(replica, write):
    write(replica)
    dataset = hub(replica)
    assert set(dataset.splits()) == {"train", "validation", "test_2016_flickr"}
    assert list(dataset.pairs("validation")) == [
        ("en validation 0", "de validation 0"),
        ("en validation 1", "de validation 1"),
    ]
    assert next(hub(replica, "de", "en").pairs("train")) == ("de train 0", "en train 0")


def test_the_fingerprint_of_hub_text_follows_the_text(replica, monkeypatch, tmp_path):
    write_flat(replica)
    before = hub(replica).fingerprint()
    assert hub(replica).fingerprint() == before
    (replica / "test.jsonl").write_text(json.dumps({"en": "changed", "de": "geändert"}) + "\n")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "another")
    after = hub(replica).fingerprint()
    assert {split for split in after["sha256"] if after["sha256"][split] != before["sha256"][split]} == {
        "test_2016_flickr"
    }


def test_a_language_without_a_column_is_refused_with_the_columns_there_are(replica):
    write_flat(replica)
    with pytest.raises(DataError, match="split train, must have a column 'fr', but has only de, en"):
        next(hub(replica, "en", "fr").pairs("train"))


@pytest.mark.parametrize("value", [None, 7])
def test_a_row_without_text_is_refused_with_its_number(replica, value):
    lines = [{"en": "a", "de": "b"}, {"en": "c", "de": None}]
    text = "".join(json.dumps({**line, "de": line["de"] if value is None else value}) + "\n" for line in lines)
    (replica / "train.jsonl").write_text(text)
    with pytest.raises(DataError, match=rf"row {2 if value is None else 1}: 'de' must be text, but is {value}"):
        list(hub(replica).pairs("train"))


@pytest.mark.parametrize(
    "error",
    [
        ConnectionError("Couldn't reach 'bentrevett/multi30k' on the Hub (LocalEntryNotFoundError)"),
        datasets.exceptions.DatasetNotFoundError("Dataset 'bentrevett/multi30k' doesn't exist on the Hub"),
        RuntimeError("Dataset scripts are no longer supported, but found multi30k.py"),
        ValueError("BuilderConfig 'x' not found. Available: ['default']"),
        datasets.exceptions.DatasetGenerationError("An error occurred while generating the dataset"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_hub_that_cannot_be_read_names_the_local_alternative(monkeypatch, error):
    def refuse(*arguments, **settings):
        raise error

    monkeypatch.setattr(datasets, "load_dataset_builder", refuse)
    with pytest.raises(DataError) as caught:
        Multi30k(source="en", target="de", root=None).splits()
    for part in ("bentrevett/multi30k", str(error).rstrip("."), "data.root=FOLDER", "SEQ2SEQ_DATA"):
        assert part in str(caught.value)


# --- The grammar ---


@pytest.fixture
def generator(monkeypatch):
    """A stand-in for the grammar, which has its own tests."""

    def generate(*, seed, train, validation, test):
        sizes = {"train": train, "validation": validation, "test": test}
        return {split: [(f"en {seed} {split} {i}", f"de {i}") for i in range(size)] for split, size in sizes.items()}

    monkeypatch.setattr(generated, "grammar", SimpleNamespace(generate=generate, VERSION=7))


def grammar(source: str = "en", target: str = "de", seed: int = 1) -> GrammarCorpus:
    return GrammarCorpus(source=source, target=target, seed=seed, train=5, validation=2, test=1)


@pytest.mark.usefixtures("generator")
def test_the_grammar_speaks_both_directions():
    assert next(grammar().pairs("val")) == ("en 1 validation 0", "de 0")
    assert next(grammar("de", "en").pairs("test")) == ("de 0", "en 1 test 0")
    assert len(list(grammar().pairs("train"))) == 5


@pytest.mark.usefixtures("generator")
def test_the_fingerprint_of_the_grammar_is_version_seed_and_sizes():
    assert grammar().fingerprint() == {
        "grammar": 7,
        "seed": 1,
        "sizes": {"train": 5, "validation": 2, "test": 1},
    }
    assert grammar(seed=2).fingerprint() != grammar().fingerprint()


def test_the_grammar_has_two_languages():
    with pytest.raises(ConfigError, match="`target` must be one of de, en, but is 'fr' instead"):
        grammar(target="fr")

"""Several corpora as one: every portion keeps its name, its direction and its splits."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seq2seq.config import Component
from seq2seq.data.cleaning import OFF, CleaningConfig
from seq2seq.data.corpora import MANY, TRAIN, Corpus, Files, GrammarCorpus, Mixture
from seq2seq.data.prepare import prepare
from seq2seq.data.statistics import read_statistics
from seq2seq.data.store import Prepared, PreparedData
from seq2seq.data.tokenizer import TokenizerConfig
from seq2seq.data_report import tables_of, write_data_report
from seq2seq.errors import ConfigError, DataError

CLEANING = CleaningConfig(max_length=60, max_ratio=3.0, **OFF)
TOKENIZER = TokenizerConfig(
    type="bpe", vocab_size=90, joint=True, character_coverage=1.0, byte_fallback=False, sample=1000
)
TEXTS = {
    "books": {
        "en": {"train": ["a red house", "two big dogs", "she reads a book"], "valid": ["a house"], "test": ["a dog"]},
        "de": {"train": ["ein rotes Haus", "zwei große Hunde", "sie liest"], "valid": ["ein Haus"], "test": ["Hund"]},
        "fr": {"train": ["une maison", "deux chiens", "elle lit"], "valid": ["la maison"], "test": ["un chien"]},
    },
    "news": {
        "en": {"train": ["the parliament sits", "a red house"], "valid": ["the news"]},
        "de": {"train": ["das Parlament tagt", "ein rotes Haus"], "valid": ["die Nachrichten"]},
    },
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for corpus, languages in TEXTS.items():
        (tmp_path / corpus).mkdir()
        for language, splits in languages.items():
            for split, lines in splits.items():
                (tmp_path / corpus / f"{split}.{language}").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path


def mixture(folder: Path, *directions: str, both_directions: bool = False, **more: Component[Corpus]) -> Mixture:
    """A mixture of corpora such as ``books:en-fr``, named by themselves where that is enough."""
    corpora: dict[str, Component[Corpus]] = {}
    for direction in directions:
        corpus, _, languages = direction.partition(":")
        source, target = (languages or "en-de").split("-")
        name = corpus if corpus not in corpora else f"{corpus}_{target}"
        settings = {"source": source, "target": target, "root": str(folder / corpus)}
        corpora[name] = Component(Files, settings, f"data.corpora.{name}")
    return Mixture(corpora=corpora | more, both_directions=both_directions)


Make = Callable[..., PreparedData]


@pytest.fixture
def make(folder: Path, tmp_path: Path) -> Make:
    """Prepares a mixture."""

    def prepared(
        *directions: str, both_directions: bool = False, cleaning: CleaningConfig = CLEANING, **tokenizer: Any
    ) -> PreparedData:
        corpus = mixture(folder, *directions, both_directions=both_directions)
        config = dataclasses.replace(TOKENIZER, **tokenizer)
        return prepare(corpus, cleaning, config, root=tmp_path / "prepared", report=lambda line: None)

    return prepared


def texts(data: PreparedData) -> list[tuple[str, str]]:
    """The training pairs of prepared data, as text."""
    return list(Prepared(folder=str(data.folder)).pairs(TRAIN))


# --- The corpus ---


def test_a_mixture_has_the_training_text_of_all_and_the_other_splits_of_each(folder: Path) -> None:
    corpus = mixture(folder, "books", "news")
    assert corpus.splits() == ("train", "test.books", "validation.books", "validation.news")
    assert [source for source, _ in corpus.pairs("train")] == [
        *TEXTS["books"]["en"]["train"],
        *TEXTS["news"]["en"]["train"],
    ]
    assert list(corpus.pairs("validation.news")) == [("the news", "die Nachrichten")]
    assert (corpus.source, corpus.target) == ("en", "de")


def test_one_name_means_that_split_of_every_portion(folder: Path) -> None:
    corpus = mixture(folder, "books", "news")
    assert corpus.resolve_all("dev") == corpus.resolve_all("validation") == ("validation.books", "validation.news")
    assert corpus.resolve_all("valid.news") == ("validation.news",)
    assert corpus.resolve_all("test") == ("test.books",)
    with pytest.raises(DataError, match=r"`split` must be one of .* but is 'tset' instead"):
        corpus.resolve_all("tset")


def test_both_directions_are_portions_of_their_own(folder: Path) -> None:
    corpus = mixture(folder, "books", both_directions=True)
    assert [*corpus.portions()] == ["books.en-de", "books.de-en"]
    assert list(corpus.pairs("test.books.de-en")) == [("Hund", "a dog")]
    assert corpus.languages("test.books.de-en") == ("de", "en")
    assert (corpus.source, corpus.target) == (MANY, MANY)


def test_links_turn_round_with_their_pair(folder: Path) -> None:
    (folder / "books" / "train.en-de.align").write_text("0-0 1p2\n\n0-0\n")
    corpus = mixture(folder, "books", both_directions=True)
    lines = [list(portion.alignments(TRAIN) or ()) for portion in corpus.portions().values()]
    assert lines == [["0-0 1p2", "", "0-0"], ["0-0 2p1", "", "0-0"]]


def test_aliases_of_a_portion_are_known(folder: Path) -> None:
    class Other(Files):
        aliases = {**Files.aliases, "challenge": "test"}  # noqa: RUF012  # of a test

    other = Component[Corpus](Other, {"source": "en", "target": "de", "root": str(folder / "books")})
    corpus = mixture(folder, "news", other=other)
    assert corpus.resolve("challenge.other") == "test.other"
    assert corpus.resolve_all("challenge") == ("test.other",)


def test_what_changes_a_portion_changes_the_fingerprint(folder: Path) -> None:
    found = [
        mixture(folder, "books").fingerprint(),
        mixture(folder, "books:en-fr").fingerprint(),
        mixture(folder, "books:de-en").fingerprint(),
        mixture(folder, "books", "news").fingerprint(),
        mixture(folder, "books", both_directions=True).fingerprint(),
    ]
    assert all(one != other for place, one in enumerate(found) for other in found[:place])
    assert found[0] == mixture(folder, "books").fingerprint()


def test_a_mixture_needs_corpora_with_plain_names(folder: Path) -> None:
    part = Component[Corpus](Files, {"source": "en", "target": "de", "root": str(folder / "books")})
    with pytest.raises(ConfigError, match="`corpora` must name one corpus or more"):
        Mixture(corpora={}, both_directions=False)
    with pytest.raises(ConfigError, match=r"`corpora` must have names of letters.* but has '\.\./books' instead"):
        Mixture(corpora={"../books": part}, both_directions=False)
    inner = Component[Corpus](Mixture, {"corpora": {"books": part}, "both_directions": False})
    with pytest.raises(
        ConfigError, match=r"`data\.corpora\.outer` must be a corpus in one direction .* but is mixture instead"
    ):
        Mixture(corpora={"outer": inner}, both_directions=False)


def test_a_mistake_in_a_portion_is_named_by_its_key(folder: Path) -> None:
    part = Component[Corpus](Files, {"source": "en", "target": "de", "root": None}, "data.corpora.books")
    with pytest.raises(ConfigError, match=r"`data\.corpora\.books\.root` must name a folder"):
        Mixture(corpora={"books": part}, both_directions=False)


# --- Prepared ---


def test_portions_stand_one_after_the_other_with_their_languages(make: Make) -> None:
    data = make("books", "news:de-en")
    assert [tuple(portion) for portion in data.portions] == [("books", "en", "de", 3), ("news", "de", "en", 2)]
    assert data.directions == (("en", "de"), ("de", "en"))
    assert texts(data)[3] == ("das Parlament tagt", "the parliament sits")
    assert data.languages("validation.news") == ("de", "en")
    assert data.text("validation.news") == (["die Nachrichten"], ["the news"])
    assert data.resolve_all("valid") == ("validation.books", "validation.news")


def test_sources_are_tagged_where_there_is_a_choice_of_target_languages(make: Make) -> None:
    data = make("books:en-de", "books:en-fr")
    tags = data.source_tokenizer.tags
    assert [*tags] == ["de", "fr"]
    source, target = data.ids("train")
    assert [int(source[i][0]) for i in range(6)] == [tags["de"]] * 3 + [tags["fr"]] * 3
    assert not any(tag in target.ids for tag in tags.values())
    for split, language in (("validation.books", "de"), ("validation.books_fr", "fr")):
        assert int(data.ids(split)[0][0][0]) == tags[language]
    assert texts(data)[5] == ("she reads a book", "elle lit")


def test_no_tag_where_there_is_no_choice(make: Make) -> None:
    data = make("books:en-de", "books:fr-de")
    assert (data.source, data.target) == (MANY, "de")
    assert data.source_tokenizer.tags == {}
    assert data.source_tokenizer.tag("de") == []


def test_no_text_gives_a_tag(make: Make) -> None:
    tokenizer = make("books:en-de", "books:en-fr").source_tokenizer
    [ids] = tokenizer.encode(["<2de> a house <2fr>"])
    assert not set(ids) & set(tokenizer.tags.values())
    assert tokenizer.decode([tokenizer.tag("fr") + ids]) == tokenizer.decode([ids])


def test_a_language_without_a_tag_is_refused(make: Make) -> None:
    tokenizer = make("books:en-de", "books:en-fr").source_tokenizer
    with pytest.raises(ConfigError, match=r"`target` must be the language .*de, fr, but is 'fra' instead.*'fr'"):
        tokenizer.tag("fra")
    with pytest.raises(ConfigError, match="but is null instead"):
        tokenizer.tag(None)


def test_each_side_may_have_a_vocabulary_of_its_own(make: Make) -> None:
    data = make("books", both_directions=True, joint=False, vocab_size=60)
    assert sorted(data.manifest["tokenizer"]["files"]) == ["tokenizer.source.model", "tokenizer.target.model"]
    assert [*data.source_tokenizer.tags] == ["de", "en"]
    assert data.target_tokenizer.tags == {}
    assert texts(data)[0] == ("a red house", "ein rotes Haus")


def test_links_keep_their_pieces_behind_a_tag(folder: Path, make: Make) -> None:
    (folder / "books" / "train.en-de.align").write_text("2-2\n1-1\n\n")
    data = make("books", both_directions=True)
    source, target = data.ids("train")
    links = data.links("train")
    assert links is not None
    for row, words in ((0, ("house", "Haus")), (1, ("big", "große")), (3, ("Haus", "house"))):
        places = links[row].tolist()
        sides = ((data.source_tokenizer, source, places[::2]), (data.target_tokenizer, target, places[1::2]))
        found = tuple(tokenizer.decode([ids[row][sorted(set(side))].tolist()])[0] for tokenizer, ids, side in sides)
        assert found == words
    assert len(links[2]) == len(links[5]) == 0


def test_portions_of_one_direction_share_what_is_a_duplicate(make: Make) -> None:
    cleaning = dataclasses.replace(CLEANING, duplicates="pair")
    assert [portion.pairs for portion in make("books", "news", cleaning=cleaning).portions] == [3, 1]
    assert [portion.pairs for portion in make("books", "news:de-en", cleaning=cleaning).portions] == [3, 2]


def test_a_sentence_of_any_evaluation_split_is_known_in_every_portion(folder: Path, make: Make) -> None:
    (folder / "books" / "test.de").write_text("Das Parlament tagt!\n")
    cleaning = dataclasses.replace(CLEANING, decontaminate="either")
    for direction in ("news:en-de", "news:de-en"):
        data = make("books", direction, cleaning=cleaning)
        assert data.manifest["portions"][1]["counts"]["contaminated"] == 1
        assert ("the parliament sits", "das Parlament tagt") not in texts(data)


def test_counts_of_the_whole_are_the_sums_of_the_portions(make: Make) -> None:
    data = make("books", "news", "books:fr-de", cleaning=dataclasses.replace(CLEANING, duplicates="target"))
    counts = data.manifest["cleaning"]["counts"]
    assert counts["read"] == 8
    assert counts["kept"] == sum(portion.pairs for portion in data.portions) == len(data.ids("train")[0])
    assert counts["duplicate"] == 1 + 0


def test_a_portion_of_which_nothing_is_left_is_named(folder: Path, make: Make) -> None:
    for language in ("en", "de"):
        (folder / "news" / f"train.{language}").write_text("\n\n")
    with pytest.raises(DataError, match=r"news must have training pairs, but none is left: 2 read, 0 kept, 2 empty"):
        make("books", "news")
    assert not list((folder / "prepared").glob("mixture*"))


def test_a_single_corpus_is_one_portion(tmp_path: Path) -> None:
    corpus = GrammarCorpus(source="en", target="de", seed=1, train=60, validation=5, test=5)
    config = dataclasses.replace(TOKENIZER, vocab_size=150)
    data = prepare(corpus, CLEANING, config, root=tmp_path, report=lambda line: None)
    [portion] = data.portions
    assert (portion.name, portion.source, portion.target) == ("grammar", "en", "de")
    assert data.resolve_all("valid") == ("validation",)
    del data.manifest["portions"]  # as earlier versions wrote it
    assert data.portions == (portion,)
    assert np.array_equal(data.ids("valid")[0].ids, data.ids("validation")[0].ids)


def test_the_order_of_corpora_is_part_of_the_key(make: Make) -> None:
    assert make("books", "news").folder != make("news", "books").folder


def change(data: PreparedData, **values: Any) -> None:
    manifest = json.loads((data.folder / "manifest.json").read_text())
    (data.folder / "manifest.json").write_text(json.dumps(manifest | values))


PORTION = {"name": "books", "source": "en", "target": "de", "pairs": 3}


@pytest.mark.parametrize(
    "values",
    [
        {"portions": [PORTION | {"pairs": 2}]},
        {"portions": [PORTION | {"pairs": 0}, PORTION | {"name": "b"}]},
        {"portions": [PORTION | {"pairs": "3"}]},
        {"portions": [PORTION | {"pairs": 1}, PORTION | {"pairs": 2}]},
        {"portions": [PORTION | {"name": "../books"}]},
        {"portions": [PORTION | {"source": "/etc"}]},
        {"portions": [{"name": "books"}]},
        {"portions": []},
        {"source": "../en"},
        {"source": None},
        {"aliases": {"dev": "../validation"}},
        {"aliases": None},
        {"corpus": {"name": "/books", "description": ""}},
        {"tokenizer": {"files": {}}},
        {"tokenizer": {"files": {"../tokenizer.model": "0"}}},
        {"splits": {"../x": {"pairs": 3, "ids": True}}},
        {"splits": {"train": {"pairs": 3, "ids": True, "languages": ["en"]}}},
        {"splits": {"train": {"pairs": 3, "ids": True, "languages": None}}},
    ],
    ids=str,
)
def test_a_manifest_that_says_what_cannot_be_is_refused(make: Make, values: dict[str, Any]) -> None:
    data = make("books")
    PreparedData(data.folder)
    change(data, **values)
    with pytest.raises(DataError, match=r"manifest\.json must be the manifest of prepared data, but says"):
        PreparedData(data.folder)


def test_more_pairs_than_there_are_ids_are_refused(make: Make) -> None:
    data = make("books")
    splits = data.manifest["splits"]
    change(data, portions=[PORTION | {"pairs": 9}], splits=splits | {"train": splits["train"] | {"pairs": 9}})
    with pytest.raises(DataError, match="must have 9 pairs of train, but has 3 sources and 3 targets instead"):
        PreparedData(data.folder).ids("train")


def test_the_data_report_tells_of_each_portion(make: Make) -> None:
    data = make("books", "news:de-en")
    write_data_report(data)
    note = (data.folder / "report.md").read_text(encoding="utf-8")
    assert "| books | en → de | 3 | 3 |" in note
    assert "| news | de → en | 2 | 2 |" in note
    [alone] = [table for table in tables_of(make("books").manifest, statistics_of(data)) if table.title == "Portions"]
    assert not alone.rows


def statistics_of(data: PreparedData) -> dict[str, Any]:
    statistics = read_statistics(data.folder)
    assert statistics is not None
    return statistics

"""Corpora of the hub, read from folders laid out like its repositories: no test needs a network."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import make_dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import datasets
import pytest
import yaml
from huggingface_hub import HfApi
from huggingface_hub.errors import LocalEntryNotFoundError
from hypothesis import given
from hypothesis import strategies as st

from seq2seq.config import Component, parse
from seq2seq.data.corpora import Corpus, HubCorpus
from seq2seq.data.corpora.held_out import LARGEST_SHARE, Cut, HeldOut
from seq2seq.data.corpora.hub import ROWS_AT_ONCE
from seq2seq.data.corpora.multi30k import Multi30k
from seq2seq.errors import ConfigError, DataError

CONFIGS = Path(__file__).parents[2] / "configs" / "data"
HUB = sorted(path.stem for path in CONFIGS.glob("*.yaml") if "HubCorpus" in path.read_text(encoding="utf-8"))
COMMIT = "0123456789abcdef0123456789abcdef01234567"
ROWS = {"train": ROWS_AT_ONCE + 3, "validation": 2, "test": 1}


def corpus(name: str, repository: Path | str, **settings: Any) -> HubCorpus:
    """A shipped corpus that reads a local folder instead of the hub."""
    values = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text(encoding="utf-8"))
    node = {**values, "repository": str(repository), "source": "en", "target": "de", **settings}
    component = _component(node)
    built = component()
    assert isinstance(built, HubCorpus)
    return built


def _component(node: dict[str, Any]) -> Component[Corpus]:
    section = make_dataclass("Section", [("data", Component[Corpus])], frozen=True)
    return parse(section, {"data": node}).data


def text(language: str, split: str, row: int) -> str:
    return f"{language} {split} {row}"


def write_parquet(folder: Path, name: str, rows: list[dict[str, Any]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    datasets.Dataset.from_list(rows).to_parquet(folder / name)


@pytest.fixture
def replica(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty repository, and the library's cache kept away from the user's."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    root = tmp_path / "replica"
    root.mkdir()
    return root


@pytest.fixture
def wmt(replica: Path) -> Path:
    """The layout of wmt/wmt14: configurations in the page's head, nested columns, a folder for each pair."""
    for split, rows in ROWS.items():
        write_parquet(
            replica / "de-en",
            f"{split}-00000-of-00001.parquet",
            [{"translation": {code: text(code, split, row) for code in ("de", "en")}} for row in range(rows)],
        )
    files = [{"split": split, "path": f"de-en/{split}-*"} for split in ROWS]
    describe(replica, {"de-en": files, "cs-en": [{"split": "train", "path": "cs-en/train-*"}]})
    return replica


def describe(root: Path, configs: dict[str, list[dict[str, str]]]) -> None:
    head = yaml.safe_dump(
        {"configs": [{"config_name": name, "data_files": files} for name, files in configs.items()]}
    )
    (root / "README.md").write_text(f"---\n{head}---\n", encoding="utf-8")


@pytest.mark.parametrize("fetch", ["stream", "download"])
def test_wmt_is_read_in_both_directions_from_one_configuration(wmt: Path, fetch: str) -> None:
    forth, back = corpus("wmt14", wmt, fetch=fetch), corpus("wmt14", wmt, fetch=fetch, source="de", target="en")
    assert set(forth.splits()) == set(ROWS)
    assert list(forth.pairs("dev")) == [
        ("en validation 0", "de validation 0"),
        ("en validation 1", "de validation 1"),
    ]
    assert list(back.pairs("test")) == [("de test 0", "en test 0")]
    assert sum(1 for _ in forth.pairs("train")) == ROWS["train"]


def test_a_stream_leaves_nothing_in_the_cache(wmt: Path, tmp_path: Path) -> None:
    assert sum(1 for _ in corpus("wmt14", wmt, fetch="stream").pairs("train")) == ROWS["train"]
    assert not list((tmp_path / "cache").rglob("*.arrow"))


@pytest.mark.parametrize(("fetch", "size"), [("stream", None), ("download", ROWS["train"])])
def test_rows_are_counted_where_they_are_at_hand(wmt: Path, fetch: str, size: int | None) -> None:
    assert corpus("wmt14", wmt, fetch=fetch).size("train") == size


def test_iwslt_is_found_by_folder_and_has_each_direction_itself(replica: Path) -> None:
    for pair in ("de-en", "en-de"):
        for split in ("train", "validation"):
            rows = [{"translation": {code: f"{pair} {code} {split}" for code in ("de", "en")}}]
            write_parquet(replica / f"iwslt2017-{pair}" / split, "0000.parquet", rows)
    settings: dict[str, Any] = {"fetch": "stream"}
    forth = corpus("iwslt2017", replica, **settings)
    assert set(forth.splits()) == {"train", "validation"}
    assert list(forth.pairs("train")) == [("en-de en train", "en-de de train")]
    back = corpus("iwslt2017", replica, source="de", target="en", **settings)
    assert list(back.pairs("train")) == [("de-en de train", "de-en en train")]


def test_flat_columns_and_foreign_columns_are_understood(replica: Path) -> None:
    write_parquet(replica / "de-en", "train-0.parquet", [{"id": 1, "de": "ja", "en": "yes", "fr": "oui"}])
    describe(replica, {"de-en": [{"split": "train", "path": "de-en/train-*"}]})
    assert list(corpus("wmt14", replica).pairs("train")) == [("yes", "ja")]


@pytest.mark.parametrize("fetch", ["stream", "download"])
@pytest.mark.parametrize("value", [None, "absent"])
def test_a_row_without_a_language_is_refused_with_its_number(replica: Path, fetch: str, value: str | None) -> None:
    rows: list[dict[str, Any]] = [{"translation": {"de": "ja", "en": "yes"}} for _ in range(ROWS_AT_ONCE + 2)]
    rows[ROWS_AT_ONCE] = {"translation": {"en": "yes"} if value else {"en": "yes", "de": None}}
    write_parquet(replica / "de-en", "train-0.parquet", rows)
    describe(replica, {"de-en": [{"split": "train", "path": "de-en/train-*"}]})
    with pytest.raises(DataError, match=rf"split train, row {ROWS_AT_ONCE + 1}: 'de' must be text, but is None"):
        list(corpus("wmt14", replica, fetch=fetch).pairs("train"))


def test_a_translation_that_is_text_is_refused(replica: Path) -> None:
    write_parquet(replica / "de-en", "train-0.parquet", [{"translation": "yes ja"}])
    describe(replica, {"de-en": [{"split": "train", "path": "de-en/train-*"}]})
    with pytest.raises(DataError, match="must have a column 'en', but has only translation"):
        list(corpus("wmt14", replica).pairs("train"))


def test_a_split_that_the_hub_lacks_is_refused_with_those_there_are(replica: Path) -> None:
    write_parquet(replica / "de-en", "train-0.parquet", [{"de": "ja", "en": "yes"}])
    describe(replica, {"de-en": [{"split": "train", "path": "de-en/train-*"}]})
    with pytest.raises(DataError, match="`split` must be one of train, but is 'test'"):
        list(corpus("wmt19", replica).pairs("test"))


def test_a_pair_that_there_is_not_is_refused_with_those_there_are() -> None:
    with pytest.raises(
        ConfigError, match=r"`data\.source` must be one of cs, de, en, fr, hi, ru, but is 'es' instead"
    ):
        _component({**_values("wmt14"), "source": "es"})()
    with pytest.raises(ConfigError, match=r"a pair that wmt14 has, .*\(cs-en, de-en, .*\), but cs-de is none"):
        _component({**_values("wmt14"), "source": "cs"})()


def _values(name: str) -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text(encoding="utf-8"))
    return values


@pytest.mark.parametrize("name", HUB)
def test_every_pair_of_a_shipped_corpus_goes_in_both_directions(name: str) -> None:
    values = _values(name)
    assert values["name"] == name
    assert len(set(values["pairs"])) == len(values["pairs"])
    for pair in values["pairs"]:
        source, target = pair.split("-")
        for one, other in ((source, target), (target, source)):
            built = _component({**values, "source": one, "target": other})()
            assert (built.source, built.target) == (one, other)


# --- Cutting ---


@pytest.fixture
def books(replica: Path) -> Path:
    """Training text only, some pairs of which occur twice."""
    rows = [{"id": str(i), "translation": {"de": f"Satz {i % 180}", "en": f"sentence {i % 180}"}} for i in range(200)]
    write_parquet(replica / "de-en", "train-0.parquet", rows)
    describe(replica, {"de-en": [{"split": "train", "path": "de-en/train-*"}]})
    return replica


def splits_of(built: HubCorpus) -> dict[str, list[tuple[str, str]]]:
    return {split: list(built.pairs(split)) for split in built.splits()}


def test_missing_splits_are_cut_from_train_and_nothing_is_lost_or_shared(books: Path) -> None:
    found = splits_of(corpus("opus_books", books, held_out={"validation": 6, "test": 4, "seed": 1}))
    assert {split: len(set(pairs)) for split, pairs in found.items()} == {"train": 170, "validation": 6, "test": 4}
    assert sum(map(len, found.values())) == 200
    assert len(set().union(*found.values())) == 180


def test_the_cut_depends_on_the_seed_and_not_on_the_direction(books: Path) -> None:
    cut = {"validation": 6, "test": 4, "seed": 1}
    forth = splits_of(corpus("opus_books", books, held_out=cut))
    back = splits_of(corpus("opus_books", books, held_out=cut, source="de", target="en"))
    assert {split: [pair[::-1] for pair in pairs] for split, pairs in back.items()} == forth
    other = corpus("opus_books", books, held_out={**cut, "seed": 2})
    assert splits_of(other)["test"] != forth["test"]
    assert other.fingerprint() != corpus("opus_books", books, held_out=cut).fingerprint()


def test_a_small_corpus_keeps_most_of_its_text(books: Path) -> None:
    built = corpus("opus_books", books)
    found = splits_of(built)
    assert len(set(found["validation"])) == len(set(found["test"])) == 180 // LARGEST_SHARE
    assert "9 validation and 9 test pairs cut from train with seed 1" in built.describe()


def test_what_the_hub_has_is_never_cut(wmt: Path) -> None:
    held_out = {"validation": 50, "test": 50, "seed": 1}
    assert {split: len(pairs) for split, pairs in splits_of(corpus("wmt14", wmt, held_out=held_out)).items()} == ROWS


def test_too_little_text_to_cut_is_refused(replica: Path) -> None:
    write_parquet(replica / "de-en", "train-0.parquet", [{"de": "ja", "en": "yes"}] * 100)
    describe(replica, {"de-en": [{"split": "train", "path": "de-en/train-*"}]})
    with pytest.raises(DataError, match="must have 20 different pairs to cut, but has 1"):
        corpus("opus_books", replica).splits()


@given(
    st.lists(st.tuples(st.text(max_size=3), st.text(max_size=3)), min_size=1, max_size=200),
    st.integers(),
    st.randoms(use_true_random=False),
)
def test_equal_pairs_never_part_whatever_their_order_and_direction(
    pairs: list[tuple[str, str]], seed: int, order: random.Random
) -> None:
    sizes = {"validation": 3, "test": 2}
    if len(set(pairs)) < LARGEST_SHARE:
        return
    cut = Cut(pairs, sizes, seed=seed, swapped=False)
    shuffled = [pair[::-1] for pair in order.sample(pairs, len(pairs))]
    other = Cut(shuffled, sizes, seed=seed, swapped=True)
    assert [cut.split_of(pair) for pair in pairs] == [other.split_of(pair[::-1]) for pair in pairs]
    counts = Counter(cut.split_of(pair) for pair in set(pairs))
    most = len(set(pairs)) // LARGEST_SHARE
    assert {split: counts[split] for split in sizes} == {split: min(size, most) for split, size in sizes.items()}


def test_sizes_are_wanted_only_for_missing_splits() -> None:
    assert HeldOut(validation=3, test=2, seed=1).sizes(["train", "test"]) == {"validation": 3}


# --- The hub itself, as its library describes it ---


class Builder:
    """What the library gives for a repository: a commit, and a stream that may break."""

    def __init__(self, commit: str, breaks: Exception | None = None) -> None:
        self.hash, self._breaks = commit, breaks

    def as_streaming_dataset(self) -> dict[str, Builder]:
        return {"train": self}

    def iter(self, batch_size: int) -> Iterator[dict[str, list[str]]]:
        yield {"de": ["ja"], "en": ["yes"]}
        if self._breaks:
            raise self._breaks


def gives(monkeypatch: pytest.MonkeyPatch, result: Builder | Exception) -> list[Any]:
    """Let the library give a builder or fail; return the list of calls."""
    calls: list[Any] = []

    def load_dataset_builder(*arguments: Any, **settings: Any) -> Builder:
        calls.append((arguments, settings))
        if isinstance(result, Exception):
            raise result
        return result

    monkeypatch.setattr(datasets, "load_dataset_builder", load_dataset_builder)
    return calls


def test_the_commit_that_is_read_decides_the_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = gives(monkeypatch, Builder(COMMIT))
    found = corpus("wmt15", "wmt/wmt15").fingerprint()
    assert found["hub"] == {"repository": "wmt/wmt15", "commit": COMMIT, "config": "de-en", "data_dir": None}
    assert calls == [(("wmt/wmt15", "de-en"), {"data_dir": None, "revision": "main"})]


def test_another_commit_in_the_cache_does_not_take_the_place_of_the_pinned_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gives(monkeypatch, Builder(COMMIT))
    with pytest.raises(DataError, match=f"revision b199e40.* only commit {COMMIT} of it is in the cache"):
        corpus("wmt14", "wmt/wmt14").splits()


@pytest.fixture
def commits(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The commits that the hub lists for every dataset."""
    found = [COMMIT, "b" * 40, "b" * 39 + "c"]

    def listed(api: object, repository: str, *, repo_type: str) -> list[SimpleNamespace]:
        assert repo_type == "dataset"
        return [SimpleNamespace(commit_id=commit) for commit in found]

    monkeypatch.setattr(HfApi, "list_repo_commits", listed)
    return found


@pytest.mark.usefixtures("commits")
def test_a_short_hash_stands_for_the_one_commit_that_begins_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = gives(monkeypatch, Builder(COMMIT))
    assert corpus("wmt19", "wmt/wmt19", revision=COMMIT[:7]).fingerprint()["hub"]["commit"] == COMMIT
    assert calls[0][1]["revision"] == COMMIT


@pytest.mark.usefixtures("commits")
@pytest.mark.parametrize(("short", "words"), [("b" * 7, "2 of its 3 commits"), ("0" * 7, "0 of its 3 commits")])
def test_a_short_hash_of_no_or_of_several_commits_is_refused(
    monkeypatch: pytest.MonkeyPatch, short: str, words: str
) -> None:
    gives(monkeypatch, Builder(COMMIT))
    with pytest.raises(DataError, match=f"{words} begin with {short}.*data=files"):
        corpus("wmt19", "wmt/wmt19", revision=short).splits()


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub cannot be asked for the commits of a dataset."""

    def unreachable(*_: object, **__: object) -> None:
        raise ConnectionError("no network")

    monkeypatch.setattr(HfApi, "list_repo_commits", unreachable)


@pytest.mark.usefixtures("offline")
def test_without_a_network_a_short_hash_is_looked_for_in_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    gives(monkeypatch, Builder(COMMIT))
    assert corpus("wmt18", "wmt/wmt18", revision=COMMIT[:7]).fingerprint()["hub"]["commit"] == COMMIT
    with pytest.raises(DataError, match=f"revision ceae0f9.* only commit {COMMIT} of it is in the cache"):
        corpus("wmt18", "wmt/wmt18").splits()
    gives(monkeypatch, ConnectionError("Couldn't reach 'wmt/wmt18' on the Hub"))
    with pytest.raises(DataError, match="ConnectionError: Couldn't reach 'wmt/wmt18' on the Hub"):
        corpus("wmt18", "wmt/wmt18").splits()


FAILURES = [
    ConnectionError("Couldn't reach 'wmt/wmt14' on the Hub (OfflineModeIsEnabled)"),
    ConnectionError("Couldn't reach 'wmt/wmt14' on the Hub (ConnectTimeout)"),
    datasets.exceptions.DatasetNotFoundError("Dataset 'wmt/wmt14' doesn't exist on the Hub or cannot be accessed."),
    datasets.exceptions.DatasetNotFoundError(
        "Dataset 'wmt/wmt14' is a gated dataset on the Hub. You must be authenticated to access it."
    ),
    datasets.exceptions.DatasetNotFoundError("Revision 'x' doesn't exist for dataset 'wmt/wmt14' on the Hub."),
    RuntimeError("Dataset scripts are no longer supported, but found wmt14.py"),
    ValueError("BuilderConfig 'de-en' not found. Available: ['default']"),
    FileNotFoundError("Couldn't find any data file at /somewhere/wmt/wmt14."),
    LocalEntryNotFoundError(
        "An error happened while trying to locate the file on the Hub.\n\nPlease check your connection"
    ),
    OSError(28, "No space left on device"),
    TimeoutError("The read operation timed out"),
]


@pytest.mark.parametrize("error", FAILURES, ids=lambda error: f"{type(error).__name__}-{len(str(error))}")
def test_a_hub_that_cannot_be_read_is_one_line_with_the_call_and_the_local_way(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    gives(monkeypatch, error)
    with pytest.raises(DataError) as caught:
        corpus("wmt14", "wmt/wmt14", revision="main").splits()
    message = str(caught.value)
    assert "\n" not in message
    for part in (
        type(error).__name__,
        str(error).splitlines()[0].rstrip("."),
        "datasets.load_dataset('wmt/wmt14', 'de-en', revision='main')",
        "data=files data.root=FOLDER data.source=en data.target=de",
    ):
        assert part in message


def test_the_call_names_the_folder_of_iwslt(monkeypatch: pytest.MonkeyPatch) -> None:
    gives(monkeypatch, ConnectionError("x"))
    call = r"load_dataset\('IWSLT/iwslt2017', data_dir='iwslt2017-en-de', revision='refs/convert/parquet'\)"
    with pytest.raises(DataError, match=call):
        corpus("iwslt2017", "IWSLT/iwslt2017").splits()


def test_a_stream_that_breaks_in_the_middle_is_an_error_and_not_a_short_corpus(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gives(monkeypatch, Builder(COMMIT, TimeoutError("The read operation timed out")))
    pairs = corpus("wmt15", "wmt/wmt15").pairs("train")
    assert next(pairs) == ("yes", "ja")
    with pytest.raises(
        DataError, match=r"could not be read from the hub: TimeoutError: The read operation timed out"
    ):
        next(pairs)


def test_multi30k_on_the_hub_records_its_commit_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEQ2SEQ_DATA", raising=False)
    gives(monkeypatch, Builder(COMMIT))
    assert Multi30k(source="en", target="de", root=None).fingerprint()["multi30k"]["commit"] == COMMIT

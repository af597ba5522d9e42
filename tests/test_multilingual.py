"""One model for several directions: trained on a mixture, validated and evaluated in each, told which to take."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import compose, shrink
from torch import Tensor

from seq2seq import assembly
from seq2seq.assembly import training_batches
from seq2seq.commands.evaluate import EvaluateConfig, evaluate
from seq2seq.commands.score import ScoreConfig, score
from seq2seq.commands.translate import TranslateConfig, translate
from seq2seq.config import parse
from seq2seq.data.batching import Batch, Position
from seq2seq.data.store import PreparedData
from seq2seq.errors import ConfigError, DataError
from seq2seq.evaluation import attention
from seq2seq.evaluation.evaluate import TestSet, word_alignment
from seq2seq.evaluation.results import LinkCounts
from seq2seq.model import Seq2SeqModel
from seq2seq.run import prepare_data, train
from seq2seq.runs.config import RunConfig
from seq2seq.translation.translator import Translator


def settings(folder: Path, *overrides: str) -> tuple[str, ...]:
    return (
        "data=mixture",
        "+data@data.corpora.g=grammar",
        "data.both_directions=true",
        "data.corpora.g.train=200",
        "data.corpora.g.validation=6",
        "data.corpora.g.test=6",
        "tokenizer.vocab_size=300",
        "trainer.max_steps=4",
        "trainer.validation_sentences=4",
        "trainer.samples=2",
        "trainer.precision=fp32",
        "search=greedy",
        "search.max_length_extra=2",
        f"prepared_dir={folder / 'prepared'}",
        *overrides,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("multilingual")


@pytest.fixture(scope="module")
def run(folder: Path) -> Path:
    """A finished run in two directions at once."""
    values = shrink(compose(*settings(folder, f"run_dir={folder / 'run'}")))
    return train(parse(RunConfig, values), values)


def evaluating(run: Path, *overrides: str) -> list[Path]:
    values = compose(f"checkpoint={run}", "search=greedy", "search.max_length_extra=2", *overrides, name="evaluate")
    return evaluate(parse(EvaluateConfig, values), values)


def translating(run: Path, *overrides: str) -> None:
    values = compose(f"checkpoint={run}", "search=greedy", "search.max_length_extra=2", *overrides, name="translate")
    translate(parse(TranslateConfig, values), values)


def test_validation_is_the_mean_over_the_directions(run: Path) -> None:
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    [row] = [row for row in rows if "validation_bleu" in row]
    each = [row[f"bleu_of_validation.g.{direction}"] for direction in ("en-de", "de-en")]
    assert row["validation_bleu"] == pytest.approx(sum(each) / 2)


def test_training_ends_with_a_report_for_each_direction(run: Path) -> None:
    folders = sorted(path.name for path in (run / "evaluation").iterdir() if path.name.startswith("test.g"))
    assert {"test.g.de-en", "test.g.en-de"} <= set(folders)
    scores = json.loads((run / "evaluation" / "test.g.de-en" / "scores.json").read_text(encoding="utf-8"))
    assert (scores["source_language"], scores["target_language"]) == ("de", "en")


def test_the_model_is_told_which_language_to_translate_into(run: Path, tmp_path: Path) -> None:
    translator = Translator.load(run)
    into = {target: translator.encode(["The dog sleeps."], target)[0] for target in ("de", "en")}
    assert into["de"][1:] == into["en"][1:]
    assert into["de"][0] != into["en"][0]
    (tmp_path / "in.txt").write_text("The dog sleeps.\n\n")
    translating(run, f"input={tmp_path / 'in.txt'}", f"output={tmp_path / 'out.txt'}", "target=de")
    search = parse(
        TranslateConfig, compose(f"checkpoint={run}", "search=greedy", "search.max_length_extra=2", name="translate")
    ).search
    lines = (tmp_path / "out.txt").read_text(encoding="utf-8").split("\n")
    assert lines == [*translator.translate(["The dog sleeps.", ""], search, "de"), ""]


@pytest.mark.parametrize(("given", "words"), [("null", "is null"), ("dee", "'dee'.*did you mean 'de'")])
def test_a_target_language_that_is_missing_or_unknown_is_refused(run: Path, given: str, words: str) -> None:
    with pytest.raises(ConfigError, match=rf"`target` must be .*{words}"):
        translating(run, f"target={given}")


@pytest.mark.parametrize(("given", "words"), [("null", "is null"), ("dee", "'dee'.*did you mean 'de'")])
def test_a_language_to_score_is_refused_by_its_own_name_before_any_file_is_read(
    run: Path, tmp_path: Path, given: str, words: str
) -> None:
    nowhere = (f"source={tmp_path / 'none'}", f"target={tmp_path / 'none'}", "output=null")
    values = compose(f"checkpoint={run}", f"language={given}", *nowhere, name="score")
    with pytest.raises(ConfigError, match=rf"`language` must be .*{words}"):
        score(parse(ScoreConfig, values), values)


def test_one_name_evaluates_every_direction(run: Path, tmp_path: Path) -> None:
    reports = evaluating(run, "split=test", f"output={tmp_path / 'reports'}")
    assert [report.parent.name for report in reports] == ["test.g.en-de", "test.g.de-en"]
    assert evaluating(run, "split=test.g.de-en")[0].parent == run / "evaluation" / "test.g.de-en"


def test_a_corpus_in_a_direction_of_its_own_is_evaluated_as_such(run: Path) -> None:
    given = ("data=grammar", "data.test=3", "data.train=10", "data.validation=1", "data.seed=5")
    [report] = evaluating(run, *given, "data.source=de", "data.target=en")
    assert "de to en" in report.read_text(encoding="utf-8")


def test_a_test_set_by_name_needs_its_direction(run: Path) -> None:
    with pytest.raises(ConfigError, match=r"`direction` must be one of de-en, en-de, but is null instead"):
        evaluating(run, "testset=wmt14/full")
    with pytest.raises(ConfigError, match=r"`direction` must be null .* but is 'en-de' instead"):
        evaluating(run, "direction=en-de")


def test_a_direction_that_was_not_learnt_is_refused(run: Path, tmp_path: Path) -> None:
    for language in ("en", "fr"):
        for split in ("train", "test"):
            (tmp_path / f"{split}.{language}").write_text("a\n")
    with pytest.raises(
        DataError, match=r"`data` must be de-en, en-de, a direction of the checkpoint, but is en-fr instead"
    ):
        evaluating(run, "data=files", f"data.root={tmp_path}", "data.source=en", "data.target=fr")


def test_a_tag_is_no_word_to_align(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    translator = Translator.load(run)

    def at_the_tag(model: Seq2SeqModel, batch: Batch) -> tuple[Tensor, ...]:
        assert batch.target is not None
        weights = torch.zeros(1, 1, batch.target.shape[1] - 1, batch.source.shape[1])
        weights[..., 0], weights[..., 1] = 0.9, 0.1
        return (weights,)

    monkeypatch.setattr(attention, "attention_weights", at_the_tag)
    test = TestSet("test", "en", "de", ["The dog sleeps."], ["Der Hund schläft."], ["0-0 1-1 2-2"])
    found = word_alignment(translator, test)
    assert found is not None
    assert found.mean == LinkCounts(found=3, sure=3, found_sure=1, found_possible=1)
    with pytest.raises(DataError, match="3 and 3 words"):
        word_alignment(translator, TestSet("test", "en", "de", test.sources, test.references, ["3-0"]))


def test_drawn_pieces_keep_their_tag(folder: Path) -> None:
    values = shrink(compose(*settings(folder, "sampling=bpe_dropout", "sampling.source=0.5")))
    config = parse(RunConfig, values)
    data = prepare_data(config)
    batches = training_batches(config, data)
    tags = set(data.source_tokenizer.tags.values())
    try:
        stream = batches.start(Position())
        for _ in range(10):
            source = next(stream)[0].source
            assert set(source[:, 0].tolist()) <= tags
            assert not set(source[:, 1:].flatten().tolist()) & tags
    finally:
        batches.close()


def test_shares_decide_what_an_epoch_holds(folder: Path) -> None:
    values = shrink(compose(*settings(folder, "mixing.weights={g.en-de:3,g.de-en:1}")))
    config = parse(RunConfig, values)
    data = prepare_data(config)
    rows = np.concatenate(training_batches(config, data).plan(0))
    assert np.count_nonzero(rows < data.portions[0].pairs) / len(rows) == pytest.approx(0.75, abs=0.01)


def test_shares_of_what_is_no_mixture_are_said_to_do_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(assembly, "warn", said.append)
    values = shrink(
        compose("data.train=100", "tokenizer.vocab_size=200", f"prepared_dir={folder}", "mixing.temperature=5")
    )
    config = parse(RunConfig, values)
    training_batches(config, prepare_data(config))
    assert said == ["`mixing` has no effect: the data has one portion only"]


def test_a_mixture_goes_on_from_a_prepared_folder_alone(folder: Path, run: Path) -> None:
    [prepared] = (path for path in (folder / "prepared").iterdir() if "mixture" in path.name)
    overrides = [one for one in settings(folder) if "data" not in one.partition("=")[0]]
    values = shrink(compose("data=prepared", f"data.folder={prepared}", f"run_dir={folder / 'copy'}", *overrides))
    copy = train(parse(RunConfig, values), values)
    assert PreparedData(prepared).directions == (("en", "de"), ("de", "en"))
    rows = [list(map(json.loads, (one / "log.jsonl").read_text().splitlines())) for one in (run, copy)]
    losses = [[row["validation_loss"] for row in of_one if "validation_loss" in row] for of_one in rows]
    assert losses[0]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)  # the runs may have had different numbers of threads

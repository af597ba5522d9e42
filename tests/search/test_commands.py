"""Translating and scoring as a user does: ensembles, beginnings, links, given pairs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import compose, shrink
from torch import Tensor

from seq2seq.cli import CONFIGS
from seq2seq.commands import score as scoring
from seq2seq.commands.average import AverageConfig, average
from seq2seq.commands.evaluate import EvaluateConfig, evaluate, other_search
from seq2seq.commands.score import ScoreConfig, score, score_pairs
from seq2seq.commands.translate import TranslateConfig, translate
from seq2seq.config import parse
from seq2seq.data.alignment import words_of
from seq2seq.data.batching import Batch
from seq2seq.errors import CheckpointError, ConfigError, DataError, UserError
from seq2seq.export.command import ExportConfig, export
from seq2seq.model import Seq2SeqModel
from seq2seq.run import train
from seq2seq.runs.config import RunConfig
from seq2seq.search import settings_of
from seq2seq.training.validation import validation_search
from seq2seq.translation.ensemble import Ensemble
from seq2seq.translation.translator import Translator
from seq2seq.upgrades import upgraded

LINES = ["The dog sleeps.", "", "A man sees the old house.", "She runs.", "Does the tall nurse wait?"]


def trained(folder: Path, *overrides: str) -> Path:
    values = shrink(
        compose(
            f"run_dir={folder}",
            f"prepared_dir={folder.parent / 'prepared'}",
            "data.train=300",
            "data.validation=10",
            "data.test=10",
            "tokenizer.vocab_size=300",
            "trainer.max_steps=4",
            "trainer.validation_sentences=0",
            "trainer.best_metric=loss",
            "trainer.precision=fp32",
            "evaluate_split=null",
            *overrides,
        )
    )
    return train(parse(RunConfig, values), values)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def run(folder: Path) -> Path:
    return trained(folder / "one")


@pytest.fixture(scope="module")
def other(folder: Path) -> Path:
    """Another model on the same prepared data."""
    return trained(folder / "two", "seed=2", "decoder=rnn")


@pytest.fixture(scope="module")
def stranger(folder: Path) -> Path:
    """A model with another vocabulary."""
    return trained(folder / "three", "tokenizer.vocab_size=320")


@pytest.fixture(scope="module")
def backwards(folder: Path) -> Path:
    """A model of the other direction."""
    return trained(folder / "four", "data.source=de", "data.target=en")


def translations(tmp_path: Path, *overrides: str) -> list[list[dict[str, Any]]]:
    """What the command writes as JSON lines."""
    (tmp_path / "in").write_text("".join(f"{line}\n" for line in LINES), encoding="utf-8")
    paths = (f"input={tmp_path / 'in'}", f"output={tmp_path / 'out'}")
    values = compose(
        *paths, "format=jsonl", "precision=fp32", "search.max_length_extra=2", *overrides, name="translate"
    )
    translate(parse(TranslateConfig, values), values)
    lines = (tmp_path / "out").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["translations"] for line in lines]


def scores(tmp_path: Path, targets: list[str], *overrides: str, sources: list[str] = LINES) -> list[dict[str, Any]]:
    for name, lines in (("source", sources), ("target", targets)):
        (tmp_path / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    paths = (f"source={tmp_path / 'source'}", f"target={tmp_path / 'target'}", f"output={tmp_path / 'scores'}")
    values = compose(*paths, *overrides, name="score")
    score(parse(ScoreConfig, values), values)
    return [json.loads(line) for line in (tmp_path / "scores").read_text(encoding="utf-8").splitlines()]


SEARCHES = sorted(path.stem for path in (CONFIGS / "search").glob("*.yaml"))


@pytest.mark.parametrize("name", [name for name in SEARCHES if name != "mbr"])
def test_every_search_translates_every_line(run: Path, tmp_path: Path, name: str) -> None:
    found = translations(tmp_path, f"checkpoint={run}", f"search={name}")
    assert len(found) == len(LINES)
    assert found[1] == [{"text": "", "score": 0.0}]
    assert all(one["text"] for row in (0, 2, 3, 4) for one in found[row])


@pytest.mark.parametrize("given", [[], ["search@search.candidates=beam", "search.candidates.n_best=5"]])
def test_minimum_bayes_risk_chooses_among_what_its_candidates_find(run: Path, given: list[str]) -> None:
    values = compose(f"checkpoint={run}", "search=mbr", "search.n_best=2", *given, name="translate")
    search = parse(TranslateConfig, values).search
    translator = Translator.load(run)
    chosen = translator.hypotheses(LINES, search)
    candidates = translator.hypotheses(LINES, search.over_pieces)
    assert [len(line) for line in candidates] == [5 if given else 32, 1, *[5 if given else 32] * 3]
    for line, among in zip(chosen, candidates, strict=True):
        assert [one.text for one in line] == [one.text for one in search.choose(among)][:2] or len(among) == 1
        assert [one.score for one in line] == sorted((one.score for one in line), reverse=True)
    alone = replace(search, n_best=1, candidates=replace(search.over_pieces, n_best=1))
    assert translator.translate(LINES, alone) == translator.translate(LINES, alone.over_pieces)


def test_an_ensemble_of_a_checkpoint_with_itself_translates_as_it_does(run: Path, tmp_path: Path) -> None:
    alone = translations(tmp_path, f"checkpoint={run}", "search.n_best=3")
    together = translations(tmp_path, f"checkpoint=[{run},{run}]", "search.n_best=3")
    for line, other_line in zip(alone, together, strict=True):
        assert [one["text"] for one in line] == [one["text"] for one in other_line]
        assert [one["score"] for one in line] == pytest.approx([one["score"] for one in other_line], abs=1e-4)


def test_an_ensemble_is_none_of_its_models(run: Path, other: Path, tmp_path: Path) -> None:
    together = translations(tmp_path, f"checkpoint=[{run},{other}]")
    for one in (run, other):
        alone = translations(tmp_path, f"checkpoint={one}")
        assert together[0][0]["score"] != pytest.approx(alone[0][0]["score"], abs=1e-3)


def test_models_that_do_not_belong_together_are_refused(
    run: Path, stranger: Path, backwards: Path, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=r"must name models with the same vocabularies, but .*three"):
        translations(tmp_path, f"checkpoint=[{run},{stranger}]")
    with pytest.raises(CheckpointError, match=r"same direction, but .*one/\S+ has en-de and .*four/\S+ de-en"):
        translations(tmp_path, f"checkpoint=[{run},{backwards}]")
    with pytest.raises(CheckpointError, match=r"`checkpoint` must name a run folder or a checkpoint, but is an"):
        translations(tmp_path, "checkpoint=[]")


@pytest.mark.parametrize("name", ["greedy", "beam", "diverse_beam", "sampling"])
def test_all_translations_begin_with_the_prefix(run: Path, tmp_path: Path, name: str) -> None:
    for line in (0, 2, 3, 4):
        found = translations(tmp_path, f"checkpoint={run}", f"search={name}", "prefix='  Der Hu '")
        assert found[1] == [{"text": "", "score": 0.0}]
        assert all(one["text"].startswith("Der Hu") for one in found[line])


def test_each_line_begins_with_the_prefix_of_its_own(run: Path, tmp_path: Path) -> None:
    starts = ["Der", "nothing", "", "Sie", "War"]
    (tmp_path / "starts").write_text("".join(f"{start}\n" for start in starts), encoding="utf-8")
    found = translations(tmp_path, f"checkpoint={run}", f"prefixes={tmp_path / 'starts'}", "search.n_best=2")
    free = translations(tmp_path, f"checkpoint={run}", "search.n_best=2")
    for row, (start, line) in enumerate(zip(starts, found, strict=True)):
        assert row == 1 or all(one["text"].startswith(start) for one in line)
    assert [one["text"] for one in found[2]] == [one["text"] for one in free[2]]


@pytest.mark.parametrize(
    ("overrides", "error", "words"),
    [
        (
            ["prefix='" + "Haus " * 30 + "'"],
            DataError,
            r"the prefix of line 1 must have at most \d+ pieces",
        ),
        (["prefix='Der 鶏'"], DataError, r"the prefix of line 1 must be in the characters that the model can write"),
        (["prefix=Der", "prefixes=x"], ConfigError, r"`prefix` must be null beside `prefixes`"),
        (["prefixes=FILE"], DataError, r"`prefixes` must have one line for each line of the input, but .* has fewer"),
        (["alignments=true", "format=text"], ConfigError, r"`alignments` must be false where `format` is text"),
    ],
)
def test_what_cannot_be_translated_is_refused_in_one_line(
    run: Path, tmp_path: Path, overrides: list[str], error: type[Exception], words: str
) -> None:
    (tmp_path / "short").write_text("Der\n", encoding="utf-8")
    given = [override.replace("FILE", str(tmp_path / "short")) for override in overrides]
    with pytest.raises(error, match=words) as caught:
        translations(tmp_path, f"checkpoint={run}", *given)
    assert "\n" not in str(caught.value)


def test_words_of_translations_are_linked_to_words_of_the_input(run: Path, other: Path, tmp_path: Path) -> None:
    given = ("search.n_best=2", "alignments=true")
    for checkpoint in (run, other, f"[{run},{other}]"):
        found = translations(tmp_path, f"checkpoint={checkpoint}", *given)
        assert found[1] == [{"text": "", "score": 0.0, "alignment": ""}]
        for line, hypotheses in zip(LINES, found, strict=True):
            for one in hypotheses:
                links = [tuple(map(int, link.split("-"))) for link in one["alignment"].split()]
                assert links == sorted(set(links))
                assert {target for _, target in links} == set(range(len(words_of(one["text"]))))
                assert all(0 <= source < len(words_of(line)) for source, _ in links)


@pytest.mark.parametrize("several", [False, True])
def test_given_pairs_are_scored_as_the_search_scores_them(
    run: Path, other: Path, tmp_path: Path, several: bool
) -> None:
    """A prefix that leaves room for nothing but the end makes the search find the given translation."""
    target, penalties = "Der Hund schläft heute.", ("length_penalty=0.6", "length_normalization=gnmt")
    pieces = [*(tokenizer := Translator.load(run).target_tokenizer).pieces(tokenizer.encode([target])[0]), "</s>"]
    models = f"checkpoint=[{run},{other}]" if several else f"checkpoint={run}"
    room = ("search.max_length_ratio=1e-6", f"search.max_length_extra={len(pieces) - 1}", f"prefix='{target}'")
    found = translations(tmp_path, models, *room, *(f"search.{each}" for each in penalties))
    scored = scores(tmp_path, [target if line else "" for line in LINES], models, *penalties)
    for source, [one], pair in zip(LINES, found, scored, strict=True):
        assert one["text"] == (target if source else "")
        assert pair["score"] == pytest.approx(one["score"], abs=1e-4)
        assert pair["pieces"] == (pieces if source else [])
        assert len(pair["log_probabilities"]) == len(pair["pieces"])
        assert sum(pair["log_probabilities"]) == pytest.approx(pair["log_probability"])
        divisor = ((5 + max(1, len(pair["pieces"]))) / 6) ** 0.6
        assert pair["score"] == pytest.approx(pair["log_probability"] / divisor)


def test_pairs_are_scored_alike_in_any_batch(run: Path, tmp_path: Path) -> None:
    targets = ["Der Hund schläft.", "", "Ein Mann sieht das alte Haus.", "", "Wartet sie?"]
    wide = scores(tmp_path, targets, f"checkpoint={run}")
    narrow = scores(tmp_path, targets, f"checkpoint={run}", "max_tokens=1")
    assert [len(one["pieces"]) for one in wide] == [len(one["pieces"]) for one in narrow]
    for one, two in zip(wide, narrow, strict=True):
        assert one["log_probabilities"] == pytest.approx(two["log_probabilities"], abs=1e-4)
    assert wide[1] == {"log_probability": 0, "score": 0.0, "pieces": [], "log_probabilities": []}
    assert wide[3]["pieces"] == ["</s>"]


def test_a_translation_of_nothing_and_a_missing_line_are_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"source, line 2 must have text, as its translation has, but is empty"):
        scores(tmp_path, ["a", "b"], f"checkpoint={run}", sources=["a", ""])
    with pytest.raises(DataError, match=r"must have the same number of lines"):
        scores(tmp_path, ["a"], f"checkpoint={run}", sources=["a", "b"])
    with pytest.raises(ConfigError, match=r"`language` must be a language of the checkpoint \(de\), but is 'fr'"):
        scores(tmp_path, ["a"], f"checkpoint={run}", "language=fr", sources=["a"])


def test_draws_do_not_depend_on_how_lines_are_batched(run: Path, tmp_path: Path) -> None:
    given = (f"checkpoint={run}", "search=sampling", "search.n_best=3", "search.top_p=0.9")
    wide = translations(tmp_path, *given)
    narrow = translations(tmp_path, *given, "search.max_tokens=1")
    assert [[one["text"] for one in line] for line in wide] == [[one["text"] for one in line] for line in narrow]
    again = translations(tmp_path, *given, "search.seed=2")
    assert [one["text"] for one in again[0]] != [one["text"] for one in wide[0]]


def test_models_are_left_in_the_mode_they_were_in(run: Path, other: Path) -> None:
    ensemble = Ensemble([Translator.load(run), Translator.load(other)])
    ensemble.models[0].eval()
    search = parse(TranslateConfig, compose(f"checkpoint={run}", name="translate")).search
    ensemble.translate(LINES, search)
    assert [model.training for model in ensemble.models] == [False, True]


@pytest.mark.parametrize("name", SEARCHES)
@pytest.mark.parametrize("beam", [1, 3])
def test_validation_translates_quickly_whatever_the_search(name: str, beam: int) -> None:
    given = ["search.candidates.no_repeat_ngram=4"] if name == "mbr" else ["search.no_repeat_ngram=4"]
    given += ["search.length_penalty=0.5"] if "beam" in name else []
    search = parse(RunConfig, compose(f"search={name}", *given)).search
    found = validation_search(search, beam)
    settings = settings_of(found)
    assert found.method == ("greedy" if beam == 1 and name != "beam" else "beam") or beam == 1
    assert found.over_pieces.width == beam
    assert settings["no_repeat_ngram"] == 4
    assert settings.get("length_penalty") in ((None,) if beam == 1 else (0.5,) if "beam" in name else (1.0,))


def test_a_search_of_the_run_itself_has_no_name_and_another_one_is_told_by_what_differs() -> None:
    def name(own: tuple[str, ...], asked: tuple[str, ...]) -> str:
        values = compose(*own)["search"]
        return other_search(parse(EvaluateConfig, compose("checkpoint=x", *asked, name="evaluate")).search, values)

    assert name((), ()) == name(("search=mbr",), ("search=mbr",)) == ""
    assert name((), ("search.max_tokens=64",)) == name(
        ("search=mbr",), ("search=mbr", "search.candidates.max_tokens=9")
    )
    assert name((), ("search.beam_size=2",)) == "-beam_size-2"
    assert name((), ("search=greedy", "search.max_length_extra=3")) == "-greedy-max_length_extra-3"
    assert name(("search=sampling",), ("search=sampling", "search.seed=2")) == "-seed-2"
    long = name((), ("search=mbr",))
    assert long.startswith("-mbr-")
    assert len(long) < 40
    assert long != name((), ("search=mbr", "search.utility=bleu"))


def test_searches_of_earlier_versions_are_those_of_a_beam() -> None:
    now = compose("search.beam_size=3")
    before = {**now, "search": {key: value for key, value in now["search"].items() if key not in LATER}}
    assert parse(RunConfig, upgraded(before)).search == parse(RunConfig, now).search
    other = compose("search=sampling")
    assert upgraded(other) == other


LATER = ("_target_", "no_repeat_ngram", "repetition_penalty", "coverage_penalty", "patience")


def test_scores_need_no_more_memory_than_some_positions_at_a_time(run: Path) -> None:
    """The logits of a whole batch never exist."""
    translator = Translator.load(run)
    shapes: list[tuple[int, ...]] = []
    translator.model.output.register_forward_hook(lambda module, given, made: shapes.append(tuple(made.shape)))
    config = parse(ScoreConfig, compose("checkpoint=x", "source=a", "target=b", name="score"))
    assert len(list(score_pairs(translator, [(LINES[0], "Der Hund schläft. " * 4)] * 40, config))) == 40
    assert len(shapes) > 1
    assert max(rows for rows, _ in shapes) <= 512


def test_pairs_are_scored_in_halves_until_they_fit(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    translator = Translator.load(run)
    config = parse(ScoreConfig, compose("checkpoint=x", "source=a", "target=b", name="score"))
    pairs = [(line, "Der Hund schläft.") for line in LINES if line]
    whole = [*score_pairs(translator, pairs, config)]
    real = scoring.score_targets

    def limited(batch: Batch, *models: Seq2SeqModel) -> Tensor:
        if len(batch.source) > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(batch, *models)

    monkeypatch.setattr(scoring, "score_targets", limited)
    most = 1
    for found, expected in zip(score_pairs(translator, pairs, config), whole, strict=True):
        assert found.log_probabilities == pytest.approx(expected.log_probabilities, abs=1e-5)
    most = 0
    with pytest.raises(UserError, match=r"^a single pair of lines cannot be scored in the memory of the device"):
        [*score_pairs(translator, pairs, config)]


def evaluated(*overrides: str) -> Path:
    """The folder of a report."""
    values = compose("precision=fp32", "search.max_length_extra=2", *overrides, name="evaluate")
    [report] = evaluate(parse(EvaluateConfig, values), values)
    return report.parent


def facts_of(folder: Path) -> str:
    """The report in Markdown, which has a table of facts."""
    [page] = folder.glob("*.md")
    return page.read_text(encoding="utf-8")


def test_an_ensemble_is_evaluated_and_its_report_says_so(run: Path, other: Path) -> None:
    folder = evaluated(f"checkpoint=[{run},{other}]")
    assert folder.parent == run / "evaluation"
    assert folder.name.startswith("test-ensemble-of-2-")
    told = facts_of(folder)
    assert "mean of the probabilities of 2 models" in told
    assert "| seed | 1 \\| 2 |" in told
    assert str(run.resolve()) in told
    assert str(other.resolve()) in told
    assert "| precision | float32 |" in told
    assert evaluated(f"checkpoint=[{other},{run}]") != folder
    alone = evaluated(f"checkpoint={run}")
    assert alone.name == "test-max_length_extra-2"
    assert "mean of the probabilities" not in facts_of(alone)


def test_models_that_do_not_belong_together_are_not_evaluated(run: Path, stranger: Path) -> None:
    with pytest.raises(CheckpointError, match="must name models with the same vocabularies"):
        evaluated(f"checkpoint=[{run},{stranger}]")


@pytest.mark.parametrize("precision", ["bf16", "auto"])
def test_translating_and_evaluating_in_other_precisions(run: Path, tmp_path: Path, precision: str) -> None:
    exact = translations(tmp_path, f"checkpoint={run}")
    rough = translations(tmp_path, f"checkpoint={run}", f"precision={precision}")
    for one, two in zip(exact, rough, strict=True):
        assert [first["score"] for first in one] == pytest.approx([second["score"] for second in two], abs=0.1)
    evaluated(f"checkpoint={run}", f"precision={precision}", f"output={tmp_path / 'report'}")
    assert Translator.load(run, precision="bf16").model.output.weight.dtype == torch.bfloat16


def test_a_copy_translates_in_another_precision_and_the_model_stays(run: Path) -> None:
    translator = Translator.load(run, precision="fp32")
    copy = translator.converted(torch.bfloat16)
    assert copy.model.output.weight.dtype == torch.bfloat16
    assert copy.model.output.weight is copy.model.target_embedding.weight
    assert translator.model.output.weight.dtype == torch.float32
    assert translator.converted(torch.float32) is translator


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["search=diverse_beam", "format=text"], "`search.n_best` is 3, but format=text has room for the best"),
        (["search=mbr", "search.candidates.n_best=1"], "chooses among a single candidate"),
        (["search=beam"], ""),
    ],
)
def test_settings_without_effect_are_told(
    run: Path, tmp_path: Path, overrides: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").write_text("She runs.\n", encoding="utf-8")
    paths = (f"checkpoint={run}", f"input={tmp_path / 'in'}", f"output={tmp_path / 'out'}")
    values = compose(*paths, *overrides, name="translate")
    translate(parse(TranslateConfig, values), values)
    told = capsys.readouterr().err
    assert words in told
    assert told.count("warning") == bool(words)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there_is_refused_by_the_name_of_the_setting(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^`device` must be .* use device=auto or cpu$"):
        translations(tmp_path, f"checkpoint={run}", "device=cuda")


COMMANDS: dict[str, tuple[type, Any]] = {
    "translate": (TranslateConfig, translate),
    "evaluate": (EvaluateConfig, evaluate),
    "score": (ScoreConfig, score),
    "export": (ExportConfig, export),
    "average": (AverageConfig, average),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_offers_names_near_to_a_checkpoint_that_there_is_not(
    run: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seq2seq.export.command.library", lambda *_: None)  # which may not be installed
    config, command = COMMANDS[name]
    given = {"score": [f"source={run}/x", f"target={run}/y"], "average": ["last=1"]}.get(name, [])
    values = compose(f"checkpoint={run.parent / 'onne'}", *given, name=name)
    with pytest.raises(CheckpointError, match=r"onne does not exist; did you mean 'one'\?"):
        command(parse(config, values), values)

"""Runs that are never lost: interrupted anywhere, they go on and end in the very same numbers."""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import choices, compose, shrink

import seq2seq.training.validation
from seq2seq import checkpoint, data
from seq2seq.config import parse
from seq2seq.data.batching import Position
from seq2seq.data.tokenizer import Tokenizer
from seq2seq.errors import CheckpointError, ConfigError, UserError
from seq2seq.faults.sealing import seal
from seq2seq.optim import AdamW, Optimizer
from seq2seq.run import RunConfig, check_parts, train
from seq2seq.training.log import Measurements, read_log
from seq2seq.training.state import State
from seq2seq.training.validation import Validator

STEPS = 8

Run = Callable[..., Path]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Parallel text in a folder: words of letters, and the same words backwards."""
    root = tmp_path_factory.mktemp("corpus")
    draw = random.Random(1)
    for split, count in (("train", 200), ("validation", 12), ("test", 6)):
        lines = [
            " ".join("".join(draw.choices("abcdefg", k=draw.randint(1, 4))) for _ in range(draw.randint(1, 6)))
            for _ in range(count)
        ]
        for language, texts in (("en", lines), ("de", [line[::-1] for line in lines])):
            (root / f"{split}.{language}").write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("prepared")


@pytest.fixture
def start(corpus: Path, prepared: Path, tmp_path: Path) -> Run:
    """Trains a tiny model in the run folder ``name``, with averaged weights and two batches an update."""

    def run(name: str, *overrides: str) -> Path:
        values = shrink(
            compose(
                *(() if "data=mixture" in overrides else ("data=files", f"data.root={corpus}")),
                f"prepared_dir={prepared}",
                f"run_dir={tmp_path / name}",
                "tokenizer.vocab_size=24",
                "evaluate_split=null",
                "model.dropout=0.1",
                f"trainer.max_steps={STEPS}",
                "trainer.max_tokens=128",
                "trainer.accumulate=2",
                "trainer.ema_decay=0.9",
                "trainer.precision=fp32",
                "trainer.device=cpu",
                "trainer.log_every=2",
                "trainer.checkpoint_every=3",
                "trainer.validate_every=4",
                "trainer.validation_sentences=3",
                "trainer.keep_last=9",
                *overrides,
            )
        )
        return train(parse(RunConfig, values), values)

    return run


class PowerCutError(Exception):
    """Stands for a process that dies between two updates."""


def stop_at(monkeypatch: pytest.MonkeyPatch, step: int, action: Callable[[], None]) -> None:
    """Lets ``action`` happen at the given update, counted from 1, of the next run."""
    taken = 0
    real = Optimizer.step

    def counted(self: Optimizer, factor: float) -> None:
        nonlocal taken
        taken += 1
        if taken == step:
            action()
        real(self, factor)

    monkeypatch.setattr(AdamW, "step", counted)


def fail() -> None:
    raise PowerCutError


def sampled(sampling: str) -> tuple[str, str]:
    """Overrides for a way of sampling, with the tokenizer that it is made for."""
    return f"sampling={sampling}", f"tokenizer={'unigram' if sampling == 'unigram' else 'bpe'}"


def same_tensors(one: Path, other: Path) -> bool:
    first, second = load_file(one), load_file(other)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def assert_ended_alike(run: Path, whole: Path) -> None:
    """The averaged weights, the raw ones, the optimizer and the generators are equal bit for bit."""
    for name in ("model.safetensors", "training.safetensors"):
        assert same_tensors(run / "checkpoints" / "last" / name, whole / "checkpoints" / "last" / name), name
    states = [json.loads((path / "checkpoints" / "last" / "training.json").read_text()) for path in (run, whole)]
    for state in states:
        del state["seconds"]
    assert states[0] == states[1]
    assert states[0]["step"] == STEPS


def whole_and_broken(start: Run, monkeypatch: pytest.MonkeyPatch, parts: Sequence[str]) -> tuple[Path, Path]:
    """Train a run to its end and another until its power is cut after step 6; return both."""
    whole = start("whole", *parts)
    with monkeypatch.context() as patch:
        stop_at(patch, 6, fail)
        with pytest.raises(PowerCutError):
            start("broken", *parts)
    broken = whole.parent / "broken"
    assert checkpoint.newest_valid(broken / "checkpoints")[0].name == "step-00000004"
    return whole, broken


@pytest.mark.parametrize("decoder", choices("decoder"))
@pytest.mark.parametrize("encoder", choices("encoder"))
def test_a_run_that_died_goes_on_to_the_same_bits(
    start: Run, monkeypatch: pytest.MonkeyPatch, encoder: str, decoder: str
) -> None:
    parts = (f"encoder={encoder}", f"decoder={decoder}")
    whole, broken = whole_and_broken(start, monkeypatch, parts)
    torch.manual_seed(999)
    assert start("broken", *parts) == broken
    assert_ended_alike(broken, whole)


@pytest.mark.parametrize("sampling", choices("sampling"))
def test_a_run_that_died_between_drawn_pieces_goes_on_to_the_same_bits(
    start: Run, monkeypatch: pytest.MonkeyPatch, sampling: str
) -> None:
    monkeypatch.setattr(data.sampling, "PART", 3)  # so that parts end within the run
    parts = sampled(sampling)
    whole, _ = whole_and_broken(start, monkeypatch, parts)
    assert_ended_alike(start("broken", *parts), whole)
    assert not [thread.name for thread in threading.enumerate() if "sampling" in thread.name]


@pytest.mark.parametrize("sampling", choices("sampling"))
def test_a_run_on_a_mixture_that_died_goes_on_to_the_same_bits(
    start: Run, corpus: Path, monkeypatch: pytest.MonkeyPatch, sampling: str
) -> None:
    parts = (*mixed(corpus), *sampled(sampling))
    whole, _ = whole_and_broken(start, monkeypatch, parts)
    assert_ended_alike(start("broken", *parts), whole)


def test_the_settings_in_a_run_folder_are_those_of_its_last_start(start: Run) -> None:
    run = start("one", "trainer.max_steps=2")
    start("one", "trainer.max_steps=3")
    assert json.loads((run / "config.json").read_text())["trainer"]["max_steps"] == 3


def mixed(corpus: Path) -> tuple[str, ...]:
    """Overrides for both directions of a corpus, with shares that are not those of their sizes."""
    return (
        "data=mixture",
        "+data@data.corpora.mine=files",
        f"data.corpora.mine.root={corpus}",
        "data.corpora.mine.source=en",
        "data.corpora.mine.target=de",
        "data.both_directions=true",
        "mixing.weights={mine.en-de:3}",
    )


@pytest.mark.parametrize("weights", ["null", "{mine.en-de:3,mine.de-en:1}", "{mine:3}", "{mine.en-de:4}"])
def test_shares_may_not_change_while_a_run_goes_on(start: Run, corpus: Path, weights: str) -> None:
    parts = mixed(corpus)
    start("one", *parts, "trainer.max_steps=2")
    with pytest.raises(ConfigError, match=r"mixing\.weights.* give a new run_dir"):
        start("one", *parts[:-1], f"mixing.weights={weights}")


@pytest.mark.parametrize("sampling", choices("sampling"))
def test_only_text_to_train_on_is_drawn_anew(
    start: Run, corpus: Path, monkeypatch: pytest.MonkeyPatch, sampling: str
) -> None:
    seen: list[str] = []
    real = Tokenizer.sample

    def watched(self: Tokenizer, sentences: Sequence[str], strength: float, seed: int) -> list[list[int]]:
        seen.extend(sentences)
        return real(self, sentences, strength, seed)

    monkeypatch.setattr(Tokenizer, "sample", watched)
    parts = sampled(sampling)
    run = start("run", *parts, "evaluate_split=test")
    lines = {
        split: {line for path in corpus.glob(f"{split}.*") for line in path.read_text(encoding="utf-8").splitlines()}
        for split in ("train", "validation", "test")
    }
    assert set(seen) == (set() if sampling == "none" else lines["train"])
    assert not lines["validation"] <= lines["train"]
    assert not lines["test"] <= lines["train"]
    plain = start("plain", *parts[1:], "sampling=none")
    weights = [path / "checkpoints" / "last" / "model.safetensors" for path in (run, plain)]
    assert same_tensors(*weights) == (sampling == "none")


def test_pieces_drawn_with_strength_zero_are_no_sampling_at_all(start: Run) -> None:
    whole = start("whole")
    assert_ended_alike(start("zero", "sampling=bpe_dropout", "sampling.source=0", "sampling.target=0"), whole)


def test_a_sampling_for_another_tokenizer_is_refused_before_any_data_is_read() -> None:
    with pytest.raises(ConfigError, match="`sampling` must suit the tokenizer, which is of type 'unigram'"):
        check_parts(parse(RunConfig, compose("tokenizer=unigram", "sampling=bpe_dropout")))


@pytest.mark.parametrize(("name", "status"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_a_run_that_was_asked_to_stop_saves_itself_and_goes_on(
    start: Run, monkeypatch: pytest.MonkeyPatch, name: str, status: int
) -> None:
    whole = start("whole")
    with monkeypatch.context() as patch:
        stop_at(patch, 5, lambda: signal.raise_signal(signal.Signals[name]))
        with pytest.raises(SystemExit) as left:
            start("stopped")
    assert left.value.code == status
    stopped = whole.parent / "stopped"
    assert checkpoint.newest_valid(stopped / "checkpoints")[0].name == "step-00000005"
    assert_ended_alike(start("stopped"), whole)


def test_a_run_whose_newest_checkpoint_is_damaged_goes_on_from_the_one_before(
    start: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = start("whole")
    with monkeypatch.context() as patch:
        stop_at(patch, 8, fail)
        with pytest.raises(PowerCutError):
            start("broken")
    checkpoints = whole.parent / "broken" / "checkpoints"
    newest = checkpoints / "step-00000006"
    weights = newest / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    capsys.readouterr()
    broken = start("broken")
    printed = capsys.readouterr()
    assert f"the checkpoint {newest} cannot be used (model.safetensors" in printed.err
    assert "Going on from step 4" in printed.out
    assert_ended_alike(broken, whole)


def test_two_runs_with_the_same_seed_are_equal_and_with_another_are_not(start: Run) -> None:
    runs = [start("one"), start("two"), start("three", "seed=2")]
    weights = [run / "checkpoints" / "last" / "model.safetensors" for run in runs]
    assert same_tensors(weights[0], weights[1])
    assert not same_tensors(weights[0], weights[2])


def test_a_finished_run_given_again_has_nothing_to_do(start: Run) -> None:
    run = start("done")
    before = {path: path.read_bytes() for path in sorted((run / "checkpoints" / "last").iterdir())}
    log = read_log(run)
    start("done")
    assert {path: path.read_bytes() for path in sorted((run / "checkpoints" / "last").iterdir())} == before
    assert read_log(run) == log


def test_a_run_can_be_made_longer(start: Run) -> None:
    constant = ("scheduler=constant", "scheduler.warmup_steps=2")
    whole = start("whole", *constant)
    start("longer", *constant, "trainer.max_steps=4")
    assert_ended_alike(start("longer", *constant), whole)


@pytest.mark.parametrize(
    ("key", "override"),
    [
        ("seed", "seed=2"),
        ("model", "model.dropout=0.2"),
        ("optimizer", "optimizer.learning_rate=0.1"),
        ("decoder", "decoder=rnn"),
        ("sampling", "sampling=bpe_dropout"),
    ],
)
def test_a_run_folder_refuses_other_settings_and_names_them(start: Run, key: str, override: str) -> None:
    run = start("run")
    before = (run / "checkpoints" / "last" / "manifest.json").read_text()
    with pytest.raises(ConfigError) as caught:
        start("run", override)
    assert caught.value.mistakes
    for words in caught.value.mistakes:
        assert words.startswith(f"`{key}")
        assert "give a new run_dir to start afresh" in words
    assert (run / "checkpoints" / "last" / "manifest.json").read_text() == before


def test_a_run_folder_refuses_other_data(start: Run) -> None:
    start("run")
    with pytest.raises(
        ConfigError, match=r"^`data` must be what .*run was trained on, but is something else instead"
    ):
        start("run", "tokenizer.vocab_size=26")


@pytest.mark.parametrize(
    ("first", "then", "warned"),
    [
        (["best_metric=bleu"], ["best_metric=loss"], ["`trainer.best_metric` was 'bleu' and is 'loss' now"]),
        (
            ["best_metric=bleu"],
            ["best_metric=bleu", "validation_sentences=4", "validation_beam=2"],
            [
                "`trainer.validation_sentences` was 3 and is 4 now",
                "`trainer.validation_beam` was 1 and is 2 now",
            ],
        ),
        (["best_metric=loss"], ["best_metric=loss", "validation_sentences=4", "validation_beam=2"], []),
        (["best_metric=bleu"], ["best_metric=bleu", "patience=3"], []),
    ],
    ids=["metric", "translations", "loss is the same", "neither"],
)
def test_values_of_another_kind_of_validation_are_no_measure_for_later_ones(
    start: Run,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    first: list[str],
    then: list[str],
    warned: list[str],
) -> None:
    """BLEU is never below 0 and what counts of a loss is never above, so the one would be the best for ever."""
    monkeypatch.setattr(seq2seq.training.validation, "corpus_bleu", lambda *_, **__: 100.0)
    run = start("run", "scheduler=constant", "trainer.max_steps=4", *(f"trainer.{one}" for one in first))
    before = json.loads((run / "checkpoints" / "last" / "training.json").read_text())
    assert before["best"] is not None
    capsys.readouterr()
    monkeypatch.setattr(seq2seq.training.validation, "corpus_bleu", lambda *_, **__: 1.0)
    start("run", "scheduler=constant", *(f"trainer.{one}" for one in then))
    errors = [line for line in capsys.readouterr().err.splitlines() if "patience begins anew" in line]
    assert len(errors) == len(warned)
    assert all(line.startswith(f"warning: {words}") for line, words in zip(errors, warned, strict=True))
    after = json.loads((run / "checkpoints" / "last" / "training.json").read_text())
    begun_anew = bool(warned) or "best_metric=loss" in first  # where the loss went on falling
    assert (after["stale"], after["best"] == before["best"]) == ((0, False) if begun_anew else (1, True))
    assert (run / "checkpoints" / "best").resolve().name == f"step-{8 if begun_anew else 4:08d}"


def test_a_number_written_another_way_is_no_other_setting(start: Run) -> None:
    constant = ("scheduler=constant", "scheduler.warmup_steps=40")
    run = start("run", *constant)
    assert start("run", *constant, "scheduler.warmup_steps=0.04k", "trainer.max_tokens=0.128k") == run
    with pytest.raises(ConfigError, match=r"^`scheduler.warmup_steps` must be 40, as it was .*, but is '40k' inst"):
        start("run", *constant, "scheduler.warmup_steps=40k")


def test_the_last_validation_counts_even_where_its_step_is_saved_already(start: Run) -> None:
    run = start("run", "trainer.validate_every=100", f"trainer.checkpoint_every={STEPS}")
    assert (run / "checkpoints" / "best").resolve().name == f"step-{STEPS:08d}"
    assert checkpoint.load(checkpoint.locate(run)).metrics["validated_at"] == STEPS


def die_at(monkeypatch: pytest.MonkeyPatch, function: str, call: int) -> None:
    """Cuts the power before the given call, counted from 1, of a function of ``checkpoint``."""
    calls = itertools.count(1)
    real = getattr(checkpoint, function)

    def deadly(*arguments: Any) -> Any:
        if next(calls) == call:
            fail()
        return real(*arguments)

    monkeypatch.setattr(checkpoint, function, deadly)


def test_a_run_that_died_in_its_last_validation_is_validated_when_it_goes_on(
    start: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its last step is saved already, so that nothing is left to train."""
    late = ("trainer.validate_every=100", f"trainer.checkpoint_every={STEPS}")
    whole = start("whole", *late)
    with monkeypatch.context() as patch:
        die_at(patch, "save", 2)  # all but the second checkpoint, the validated one, is written
        with pytest.raises(PowerCutError):
            start("broken", *late)
    broken = whole.parent / "broken"
    assert "validated_at" not in checkpoint.load(checkpoint.locate(broken)).metrics
    assert start("broken", *late) == broken
    assert_ended_alike(broken, whole)
    assert (broken / "checkpoints" / "best").resolve().name == f"step-{STEPS:08d}"
    losses = [
        [row["validation_loss"] for row in read_log(run) if "validation_loss" in row] for run in (broken, whole)
    ]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 1


def test_a_run_asked_to_stop_at_its_last_update_is_validated_when_it_goes_on(
    start: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = "trainer.validate_every=100"
    whole = start("whole", late)
    with monkeypatch.context() as patch:
        stop_at(patch, STEPS, lambda: signal.raise_signal(signal.SIGTERM))
        with pytest.raises(SystemExit):
            start("stopped", late)
    stopped = start("stopped", late)
    assert_ended_alike(stopped, whole)
    assert checkpoint.load(checkpoint.locate(stopped)).metrics["validated_at"] == STEPS


def test_a_run_that_died_while_it_replaced_its_only_checkpoint_goes_on_from_it(
    start: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    late = ("trainer.validate_every=100", f"trainer.checkpoint_every={STEPS}")
    whole = start("whole", *late)
    real = os.replace

    def cut(source: Path, target: Path) -> None:
        if any(target.parent.glob(".old-*")):  # of the last step, which is saved again when it is validated
            fail()
        real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", cut)
        with pytest.raises(PowerCutError):
            start("broken", *late)
    broken = whole.parent / "broken"
    assert checkpoint.newest_valid(broken / "checkpoints") == (None, [])
    capsys.readouterr()
    assert_ended_alike(start("broken", *late), whole)
    assert f"Going on from step {STEPS}" in capsys.readouterr().out


@pytest.mark.parametrize("link", [1, 2], ids=["last", "best"])
def test_links_lead_to_a_checkpoint_whose_process_died_before_it_set_them(
    start: Run, monkeypatch: pytest.MonkeyPatch, link: int
) -> None:
    settings = ("trainer.validate_every=4", "trainer.checkpoint_every=100", "trainer.best_metric=loss")
    whole = start("whole", *settings)
    assert (whole / "checkpoints" / "best").resolve().name == f"step-{STEPS:08d}"
    with monkeypatch.context() as patch:
        die_at(patch, "point", 2 + link)  # those of step 4 are set
        with pytest.raises(PowerCutError):
            start("broken", *settings)
    checkpoints = whole.parent / "broken" / "checkpoints"
    assert checkpoint.newest_valid(checkpoints)[0].name == f"step-{STEPS:08d}"
    assert (checkpoints / "best").resolve().name == "step-00000004"
    start("broken", *settings)
    assert {(checkpoints / name).resolve().name for name in ("last", "best")} == {f"step-{STEPS:08d}"}


def test_what_a_run_writes_can_be_read(start: Run) -> None:
    run = start("run")
    rows = read_log(run)
    steps = [row["step"] for row in rows if "train_loss" in row]
    assert steps == [2, 4, 6, 8]
    assert [row["step"] for row in rows if "validation_loss" in row] == [4, 8]
    assert all(0 <= row["padding"] < 1 for row in rows if "padding" in row)
    names = {path.name for path in (run / "checkpoints").iterdir()}
    assert names == {"best", "last", *(f"step-{step:08d}" for step in (3, 4, 6, 8))}
    settings = checkpoint.load(checkpoint.locate(run)).config["settings"]
    assert parse(RunConfig, settings).seed == 1
    assert list((run / "tensorboard").iterdir())


def test_speeds_are_those_of_training_alone(start: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a clock by which an update takes a second, a validation or a checkpoint a thousand."""
    now = 0.0

    def timed(seconds: float, real: Callable[..., Any]) -> Callable[..., Any]:
        def function(*arguments: Any, **settings: Any) -> Any:
            nonlocal now
            now += seconds
            return real(*arguments, **settings)

        return function

    monkeypatch.setattr(time, "perf_counter", lambda: now)
    for owner, name, seconds in ((AdamW, "step", 1.0), (checkpoint, "save", 1e3), (Validator, "__call__", 1e3)):
        monkeypatch.setattr(owner, name, timed(seconds, getattr(owner, name)))
    added: list[int] = []
    real = Measurements.add
    monkeypatch.setattr(
        Measurements, "add", lambda self, batch, nll: (added.append(batch.target_tokens), real(self, batch, nll))
    )
    rows = [row for row in read_log(start("run", "trainer.log_every=4")) if "train_loss" in row]
    assert [4 * row["tokens_per_second"] for row in rows] == pytest.approx([sum(added[:8]), sum(added[8:])])


def test_the_log_of_a_run_that_died_has_every_step_once(start: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        stop_at(patch, 8, fail)
        with pytest.raises(PowerCutError):
            start("broken", "trainer.checkpoint_every=3", "trainer.validate_every=100")
    steps = [row["step"] for row in read_log(start("broken", "trainer.validate_every=100")) if "train_loss" in row]
    assert steps == sorted(set(steps))
    assert steps[-1] == STEPS


def test_the_best_checkpoint_is_the_best_validation(start: Run) -> None:
    run = start("run", "trainer.validate_every=2", "trainer.best_metric=loss", "optimizer.learning_rate=0.5")
    losses = {row["step"]: row["validation_loss"] for row in read_log(run) if "validation_loss" in row}
    best = min(losses, key=lambda step: losses[step])
    assert (run / "checkpoints" / "best").resolve().name == f"step-{best:08d}"
    assert checkpoint.load(checkpoint.locate(run)).metrics["validation_loss"] == losses[best]


def test_training_ends_when_patience_does(start: Run) -> None:
    run = start(
        "run",
        "trainer.max_steps=200",
        "trainer.validate_every=2",
        "trainer.best_metric=loss",
        "trainer.patience=2",
        "optimizer.learning_rate=5",
        "trainer.ema_decay=0",
    )
    losses = [row["validation_loss"] for row in read_log(run) if "validation_loss" in row]
    assert len(losses) < 100
    assert min(losses[-2:]) >= min(losses[:-2])
    assert losses[:-2].index(min(losses)) == len(losses) - 3


def test_a_gradient_that_stays_infinite_ends_the_run_with_advice(start: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def poisoned(*_: Any, **__: Any) -> torch.Tensor:
        return torch.tensor(float("nan"))

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", poisoned)
    with pytest.raises(UserError, match=r"not finite in \d+ updates in a row.*`optimizer.learning_rate`"):
        start("run", "trainer.max_steps=100", "trainer.checkpoint_every=100", "trainer.validate_every=100")


def test_epochs_can_be_the_limit(start: Run) -> None:
    run = start("run", "trainer.max_steps=null", "trainer.max_epochs=2", "trainer.max_tokens=512")
    state = json.loads((run / "checkpoints" / "last" / "training.json").read_text())
    assert state["position"]["epoch"] == 2
    assert state["position"]["batch"] <= 1  # an update of two batches may reach over the end


STATE = {"step": 7, "position": {"epoch": 1, "batch": 2}, "seconds": 1.5, "best": None, "stale": 0, "skipped": 0}


def test_a_state_is_restored_from_plain_values_with_what_came_later_as_at_the_start() -> None:
    assert State.restored(STATE) == State(7, Position(1, 2, 0), 1.5, None, 0, 0)
    assert State.restored({"position": {}}) == State()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"step": "7"}, "does not in 'step'"),
        ({"step": -1}, "does not in 'step'"),
        ({"step": True}, "does not in 'step'"),
        ({"stale": 1e9}, "does not in 'stale'"),
        ({"seconds": float("nan")}, "does not in 'seconds'"),
        ({"seconds": -1.0}, "does not in 'seconds'"),
        ({"best": float("inf")}, "does not in 'best'"),
        ({"colour": 3}, "does not in 'colour'"),
        ({"position": {"epoch": 10**18}}, "does not in 'epoch'"),
        ({"position": {"page": 1}}, "does not in 'page'"),
        ({"position": [1, 2]}, r"`position` must be a place in the data, but is \[1, 2\]"),
    ],
)
def test_a_state_that_cannot_be_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(CheckpointError, match=words):
        State.restored({**STATE, **change})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda tensors: {**tensors, "optimizer.exp_avg.nothing": torch.zeros(1)}, "'nothing'"),
        (lambda tensors: {name: t for name, t in tensors.items() if "exp_avg_sq" not in name}, "is not whole"),
        (lambda tensors: {name: t[:1] if "exp_avg." in name else t for name, t in tensors.items()}, "of shape"),
        (lambda tensors: {name: t.double() if "exp_avg." in name else t for name, t in tensors.items()}, "of shape"),
        (lambda tensors: {name: t for name, t in tensors.items() if "random" not in name}, "'cpu'"),
        (lambda tensors: {**tensors, "random.cpu": torch.zeros(3, dtype=torch.uint8)}, "training state does not fit"),
        (lambda tensors: {name: t for name, t in tensors.items() if "raw" not in name}, "weights do not fit"),
        (lambda tensors: {name: t[:1] if "raw" in name else t for name, t in tensors.items()}, "must be of shape"),
    ],
)
def test_a_strangers_training_state_is_refused_before_a_step_is_done(
    start: Run, monkeypatch: pytest.MonkeyPatch, change: Callable[[Any], Any], words: str
) -> None:
    """The fused kernel would write beyond the end of moments that are too short."""
    run = start("strange", "trainer.max_steps=2", "trainer.validation_sentences=0", "trainer.best_metric=loss")
    folder = checkpoint.locate(run / "checkpoints" / "last")
    save_file(change(load_file(folder / "training.safetensors")), folder / "training.safetensors")
    seal(folder)
    with pytest.raises(CheckpointError, match=words) as caught:
        start("strange", "trainer.max_steps=4", "trainer.validation_sentences=0", "trainer.best_metric=loss")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "rows",
    [b"", b"\xff\xfe", b"[" * 100_000, b"3\n[]\nnull\n", b'{"step": -1}\n{"step": "x"}\n', b"x" * 2**20],
)
def test_no_log_makes_reading_fail(tmp_path: Path, rows: bytes) -> None:
    (tmp_path / "log.jsonl").write_bytes(rows)
    assert read_log(tmp_path) == []


def test_of_a_log_only_steps_and_their_numbers_are_read(tmp_path: Path) -> None:
    rows = [{"step": 2, "train_loss": 1.5, "note": "x", "list": [1]}, ["step"], {"step": 4, "bleu_of_test": 3}]
    text = "".join(json.dumps(row) + "\n" for row in rows) + '{"step": 6, "tr'
    (tmp_path / "log.jsonl").write_text(text)
    assert read_log(tmp_path) == [{"step": 2, "train_loss": 1.5}, {"step": 4, "bleu_of_test": 3}]

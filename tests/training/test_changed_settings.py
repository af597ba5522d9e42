"""What may change while a run goes on, and what may not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_runs import (
    Run,
    mixed,
)

import seq2seq.training.validation
from seq2seq.errors import ConfigError


def test_the_settings_in_a_run_folder_are_those_of_its_last_start(start: Run) -> None:
    run = start("one", "trainer.max_steps=2")
    start("one", "trainer.max_steps=3")
    assert json.loads((run / "config.json").read_text())["trainer"]["max_steps"] == 3


@pytest.mark.parametrize("weights", ["null", "{mine.en-de:3,mine.de-en:1}", "{mine:3}", "{mine.en-de:4}"])
def test_shares_may_not_change_while_a_run_goes_on(start: Run, corpus: Path, weights: str) -> None:
    parts = mixed(corpus)
    start("one", *parts, "trainer.max_steps=2")
    with pytest.raises(ConfigError, match=r"mixing\.weights.* give a new run_dir"):
        start("one", *parts[:-1], f"mixing.weights={weights}")


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
    with pytest.raises(ConfigError, match=r"^`scheduler.warmup_steps` must be '0.04k', as it was .*, but is '40k'"):
        start("run", *constant, "scheduler.warmup_steps=40k")

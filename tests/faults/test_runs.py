"""Runs that are killed, stopped and starved, a few of each: what ``make faults`` does by the hundred."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import get_args

import pytest

from seq2seq.cli import read
from seq2seq.config import Values
from seq2seq.errors import ConfigError
from seq2seq.faults.command import Fault, FaultsConfig, faults, row
from seq2seq.faults.disk import disk
from seq2seq.faults.kills import kills
from seq2seq.faults.order import order
from seq2seq.faults.outcome import Outcome
from seq2seq.faults.soak import cost, soak
from seq2seq.faults.stops import second_signals, stops
from seq2seq.faults.trials import VARIANTS, begin, digest, overrides
from seq2seq.runs.config import RunConfig


def compose(given: Sequence[str]) -> tuple[RunConfig, Values]:
    return partial(read, "train", RunConfig)(given)


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_is_a_configuration(variant: str, tmp_path: Path) -> None:
    config, values = compose(overrides(variant, tmp_path))
    assert config.trainer.max_steps == 24
    assert values["prepared_dir"] == str(tmp_path / "prepared")


def test_variants_differ_in_all_that_has_to_be_restored(tmp_path: Path) -> None:
    made = [compose(overrides(variant, tmp_path))[0] for variant in VARIANTS]
    for part in ("encoder", "decoder", "sampling", "objective", "data"):
        assert len({getattr(config, part).target for config in made}) > 1, part
    assert {config.trainer.ema_decay > 0 for config in made} == {False, True}
    assert {config.trainer.batches > 1 for config in made} == {False, True}


def test_a_row_tells_failures_and_figures() -> None:
    assert (
        row(Outcome("kills", 1200, ("one",), {"slowest, s": 0.12345})) == "| kills | 1,200 | 1 | slowest, s 0.1235 |"
    )
    assert row(Outcome("kills", 3, ())) == "| kills | 3 | 0 | – |"


def test_a_promise_that_is_not_kept_ends_the_command_with_status_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        "seq2seq.faults.command.kills", lambda *_, **__: Outcome("kills", 1, ("run 1: other numbers",))
    )
    config = FaultsConfig(["kills"], str(tmp_path), str(tmp_path / "t.md"), 1, 1, 1, 1, 1, 1, 1, 1, 1.0)
    with pytest.raises(SystemExit) as left:
        faults(config, compose)
    assert left.value.code == 1
    assert "run 1: other numbers" in capsys.readouterr().out
    assert "| kills | 1 | 1 |" in (tmp_path / "t.md").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["t.md"]


@pytest.mark.parametrize("what", [[], ["kills", "kills"]])
def test_kinds_of_harm_are_named_and_each_once(what: list[Fault]) -> None:
    with pytest.raises(ConfigError, match=r"`what` must be a list of different kinds of harm, but is \["):
        FaultsConfig(what, None, None, 1, 1, 1, 1, 1, 1, 1, 1, 1.0)


def test_settings_of_other_kinds_of_harm_have_no_use() -> None:
    names = {field.name for field in fields(FaultsConfig)} - {"what", "folder", "output", "seed"}
    config = FaultsConfig(["damage"], None, None, 1, 1, 1, 1, 1, 1, 1, 1, 1.0)
    assert config.unused.keys() == names - {"truncations", "flips"}
    assert config.unused["cost_steps"] == "`what` has none of the kinds that need it: cost"
    assert FaultsConfig([*get_args(Fault)], None, None, 1, 1, 1, 1, 1, 1, 1, 1, 1.0).unused == {}


def test_an_output_that_cannot_be_written_is_refused_before_any_harm_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seq2seq.faults.command.kills", lambda *_, **__: pytest.fail("harm was done"))
    (tmp_path / "file").touch()
    (tmp_path / "folder.md").mkdir()
    for output, words in (("file/table.md", "be in a folder that can be written"), ("folder.md", "be a file")):
        config = FaultsConfig(["kills"], str(tmp_path), str(tmp_path / output), 1, 1, 1, 1, 1, 1, 1, 1, 1.0)
        with pytest.raises(ConfigError, match=f"`output` must {words}"):
            faults(config, compose)


@pytest.mark.slow
def test_killed_runs_end_in_the_same_numbers(tmp_path: Path) -> None:
    outcome = kills(compose, tmp_path, trials=10, seed=1)
    assert outcome.failures == ()
    assert outcome.trials == 10


@pytest.mark.slow
def test_stopped_runs_save_themselves_at_once(tmp_path: Path) -> None:
    (tmp_path / "once").mkdir()
    (tmp_path / "twice").mkdir()
    assert stops(compose, tmp_path / "once", trials=1, seed=1).failures == ()
    assert second_signals(compose, tmp_path / "twice", trials=1).failures == ()


@pytest.mark.slow
def test_a_run_goes_on_from_each_of_its_steps(tmp_path: Path) -> None:
    outcome = order(compose, tmp_path, variants=["BiLSTM, Transformer, no average"])
    assert outcome.failures == ()
    assert outcome.trials > 20


@pytest.mark.slow
def test_disks_may_be_full_and_folders_may_vanish(tmp_path: Path) -> None:
    assert disk(compose, tmp_path, offsets=2).failures == ()


@pytest.mark.slow
def test_nothing_grows_while_a_run_validates_and_saves(tmp_path: Path) -> None:
    outcome = soak(compose, tmp_path, seconds=8)
    assert outcome.facts["checkpoints at most"] <= 5
    assert not [words for words in outcome.failures if "memory" not in words]  # which takes longer to settle


@pytest.mark.slow
def test_checkpoints_cost_little(tmp_path: Path) -> None:
    outcome = cost(compose, tmp_path, steps=500)
    assert outcome.failures == ()
    assert outcome.facts["checkpoints"] == 1


@pytest.mark.slow
def test_a_seed_means_the_same_numbers_in_every_process(tmp_path: Path) -> None:
    for variant in VARIANTS:
        _, values = compose(overrides(variant, tmp_path))
        for name in ("one", "two", "three"):
            other = {**values, "seed": 2} if name == "three" else values
            process = begin(other, tmp_path / f"{variant}-{name}")
            process.join()
            assert process.exitcode == 0
        hashes = [digest(tmp_path / f"{variant}-{name}") for name in ("one", "two", "three")]
        assert hashes[0] == hashes[1] != hashes[2], variant

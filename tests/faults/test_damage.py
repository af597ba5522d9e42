"""Files cut off anywhere and bits flipped anywhere are noticed, and the run goes on from the checkpoint before."""

from __future__ import annotations

from pathlib import Path

import pytest

from seq2seq import checkpoint
from seq2seq.errors import CheckpointError
from seq2seq.faults import damage as module
from seq2seq.faults.damage import damage
from seq2seq.faults.sealing import newest


def test_no_damage_by_chance_goes_unnoticed(run: Path) -> None:
    outcome = damage(run, truncations=40, flips=60, seed=1)
    assert outcome.failures == ()
    assert outcome.trials == 100
    assert checkpoint.newest_valid(run / "checkpoints") == (newest(run, 1)[0], [])  # the run itself is as it was


def test_damage_that_goes_unnoticed_is_told_of_with_what_it_takes_to_do_it_again(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.checkpoint, "newest_valid", lambda folder: (sorted(folder.glob("step-*"))[-1], []))
    first, *_ = failures = damage(run, truncations=1, flips=1, seed=3).failures
    assert len(failures) == 2
    assert "(seed 3)" in first
    assert damage(run, truncations=1, flips=1, seed=3).failures[0].partition(":")[0] == first.partition(":")[0]


def test_a_run_with_one_checkpoint_is_not_harmed(run: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="must have 2 checkpoints to be harmed, but has 0"):
        damage(tmp_path, truncations=1, flips=1, seed=1)

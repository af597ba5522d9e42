"""Malicious checkpoints are refused in one line, and nothing of them is ever run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from seq2seq.faults import hostile as module
from seq2seq.faults.contained import contained
from seq2seq.faults.hostile import ACCEPTED, ATTACKS, hostile, opened
from seq2seq.faults.sealing import copied, newest

LARGE = {
    "100,000 unknown settings",
    "a hundred thousand files",
    "a million tensors",
    "settings of a gigabyte",
    "a tokenizer of 100 megabytes",
    "a tokenizer of two million pieces",
}
QUICK = sorted(ATTACKS.keys() - LARGE)


@pytest.mark.parametrize("name", QUICK)
def test_an_attack_is_refused_and_its_code_is_not_run(run: Path, tmp_path: Path, name: str) -> None:
    folder = copied(newest(run, 1)[0], tmp_path / "step-1")
    ATTACKS[name](folder, tmp_path / "canary")
    words = opened(folder)
    assert not words.startswith(ACCEPTED)
    assert words.isprintable()
    assert len(words) < 1000
    assert not (tmp_path / "canary").exists()


def test_what_is_not_attacked_is_accepted(run: Path, tmp_path: Path) -> None:
    assert opened(newest(run, 1)[0]) == ACCEPTED


def touch(folder: Path, canary: Path) -> None:
    canary.touch()


def nothing(folder: Path, canary: Path) -> None:
    pass


@pytest.mark.slow
def test_all_attacks_end_in_little_time_and_memory(run: Path) -> None:
    outcome = hostile(run)
    assert outcome.failures == ()
    assert outcome.trials == len(ATTACKS)


@pytest.mark.slow
def test_an_attack_that_succeeds_is_told_of(run: Path) -> None:
    outcome = hostile(run, {"one that runs code": touch, "one that is let in": nothing})
    assert outcome.failures == ("one that runs code: its code was run", "one that is let in: it was accepted")


def take_memory(count: int) -> int:
    return len(bytearray(count))


@pytest.mark.slow
def test_what_a_contained_function_does_is_seen_from_outside() -> None:
    done = contained(take_memory, 2**26, patience=10.0, memory=2**30)
    assert (done.result, done.status) == (2**26, 0)
    assert 2**25 < done.grown < 2**28
    assert contained(take_memory, 2**32, patience=10.0, memory=2**30).status == 1
    assert contained(os.abort, patience=10.0, memory=2**30).status < 0
    assert contained(module.time.sleep, 60, patience=0.2, memory=2**30).status is None

"""Files changed at random give a value or one line of refusal, whatever was changed."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from seq2seq.faults import mutations as module
from seq2seq.faults.mutations import HARMLESS, KINDS, REFUSED, Bench, changed, changed_values, mutations

TRIALS = 40


@pytest.mark.parametrize("kind", KINDS)
def test_no_change_at_random_makes_reading_fail_otherwise(run: Path, tmp_path: Path, kind: str) -> None:
    bench = Bench(run, kind, tmp_path)
    outcomes = [bench.trial(number, seed=1) for number in range(TRIALS)]
    assert set(outcomes) <= {HARMLESS, REFUSED}
    assert len(set(outcomes)) == 2 or kind in ("header", "log", "manifest")  # so that both sides are reached


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_is_not_changed_is_read(
    run: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "changed", lambda data, draw: data)
    monkeypatch.setattr(module, "changed_values", lambda data, draw: data)
    assert Bench(run, kind, tmp_path).trial(0, seed=1) == HARMLESS


def test_a_trial_is_decided_by_its_seed_and_number() -> None:
    data = bytes(range(256))
    first, again, other = (changed(data, random.Random(seed)) for seed in (1, 1, 2))
    assert first == again != other
    assert first != data


@pytest.mark.parametrize("prefix", [b"", (20).to_bytes(8, "little")])
def test_changed_values_are_json_all_the_same(prefix: bytes) -> None:
    values = {"a": [1, {"b": "c"}], "d": None}
    for seed in range(50):
        found = changed_values(prefix + json.dumps(values).encode(), random.Random(seed))
        assert isinstance(json.loads(found[len(prefix) :]), (dict, list))
        assert not prefix or int.from_bytes(found[:8], "little") == len(found) - 8


def test_a_process_that_dies_before_its_first_trial_is_a_failure_told_once(run: Path) -> None:
    outcome = mutations(run / "absent", "training", 100, seed=1)
    assert outcome.trials == 100
    [failure] = outcome.failures
    assert failure.startswith("trial 0 of training (seed 1): ended the process with status ")


@pytest.mark.slow
def test_trials_in_a_process_of_their_own_are_counted(run: Path) -> None:
    outcome = mutations(run, "training", 100, seed=1)
    assert outcome.failures == ()
    assert outcome.facts[HARMLESS] + outcome.facts[REFUSED] == outcome.trials == 100

"""Jobs for a cluster, and sweeps: what is asked of Slurm, and what sweepers get to know."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from small_runs import quick, write_corpus

from seq2seq.commandline.mistakes import each_value
from seq2seq.spelling import CONFIGS
from seq2seq.training.log import read_log

SCRIPT = CONFIGS.parent / "scripts" / "train.py"

needs_submitit = pytest.mark.skipif(not importlib.util.find_spec("submitit"), reason="needs the extra `cluster`")
needs_optuna = pytest.mark.skipif(not importlib.util.find_spec("optuna"), reason="needs the extra `sweep`")


def sweep(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command that trains, with several jobs."""
    return subprocess.run(
        [sys.executable, str(SCRIPT), "-m", *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


def jobs(tmp_path: Path) -> list[str]:
    """Overrides of small runs, each in a folder of its own."""
    corpus = write_corpus(tmp_path / "corpus")
    kept = [one for one in quick(corpus, tmp_path / "prepared") if "max_steps" not in one]
    sizes = ["model=tiny", "model.dim=16", "trainer.max_steps=4", "trainer.best_metric=loss"]
    return [*kept, *sizes, f"run_dir={tmp_path}/run-${{hydra:job.num}}", f"hydra.sweep.dir={tmp_path}/multirun"]


@pytest.mark.slow
def test_a_sweep_trains_one_model_after_the_other(tmp_path: Path) -> None:
    done = sweep(*jobs(tmp_path), "optimizer.learning_rate=0.001,0.01")
    assert done.returncode == 0, done.stderr
    rates = [read_log(tmp_path / f"run-{number}")[0]["learning_rate"] for number in range(2)]
    assert rates[1] == pytest.approx(10 * rates[0])


@needs_optuna
@pytest.mark.slow
def test_a_sweeper_that_searches_looks_at_the_best_checkpoint(tmp_path: Path) -> None:
    rate = "optimizer.learning_rate=interval(0.0001,0.01)"
    done = sweep(*jobs(tmp_path), "hydra/sweeper=tpe", "hydra.sweeper.n_trials=2", rate)
    assert done.returncode == 0, done.stderr
    results = yaml.safe_load((tmp_path / "multirun" / "optimization_results.yaml").read_text())
    losses = [
        row["validation_loss"]
        for n in range(2)
        for row in read_log(tmp_path / f"run-{n}")
        if "validation_loss" in row
    ]
    assert results["best_value"] == pytest.approx(-min(losses))


@needs_submitit
@pytest.mark.slow
def test_a_job_for_slurm_has_a_process_for_each_gpu_and_is_sent_again_when_its_time_is_over(tmp_path: Path) -> None:
    """The command that takes jobs is one of ours, which keeps what it is given."""
    for name in ("sbatch", "srun"):
        command = tmp_path / "bin" / name
        command.parent.mkdir(exist_ok=True)
        command.write_text(f'#!/bin/sh\ncp "$1" {tmp_path}/job.sh\necho "no queue here" >&2\nexit 1\n')
        command.chmod(0o755)
    done = sweep(
        *jobs(tmp_path),
        "hydra/launcher=slurm",
        "hydra.launcher.gpus_per_node=4",
        "hydra.launcher.nodes=2",
        "hydra.launcher.partition=long",
        "seed=1,2",
        PATH=f"{tmp_path / 'bin'}:{os.environ['PATH']}",
    )
    assert done.returncode != 0
    text = (tmp_path / "job.sh").read_text()
    asked = dict(re.findall(r"^#SBATCH --([\w-]+)=(\S+)$", text, re.MULTILINE))
    expected = {
        "nodes": "2",
        "gpus-per-node": "4",
        "ntasks-per-node": "4",
        "cpus-per-task": "8",
        "mem": "64GB",
        "time": "1440",
        "partition": "long",
        "array": "0-1%2",
    }
    assert {name: asked.get(name) for name in expected} == expected
    assert re.fullmatch(r"USR\d@120", asked["signal"])
    assert "submitit.core._submit" in text


@needs_submitit
@pytest.mark.slow
def test_the_tasks_of_a_job_train_one_model_together(tmp_path: Path) -> None:
    tasks = ["hydra/launcher=submitit_local", "hydra.launcher.tasks_per_node=2", "hydra.launcher.timeout_min=5"]
    done = sweep(*jobs(tmp_path), *tasks, "seed=1")
    assert done.returncode == 0, done.stderr
    settings = yaml.safe_load((tmp_path / "run-0" / "config.json").read_text())
    assert settings["trainer"]["accumulate"] == 2
    assert max(row["step"] for row in read_log(tmp_path / "run-0")) == 4


def test_values_that_only_a_sweeper_knows_are_left_to_it() -> None:
    given = OverridesParser.create().parse_overrides(["optimizer.learning_rate=interval(0.001,0.1)", "seed=1,2"])
    assert [one.input_line for one in each_value(given, True)] == ["seed=1", "seed=2"]

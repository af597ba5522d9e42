"""Preparing shows how far it is, can be stopped and can run out of room: nothing half-prepared is ever used."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from seq2seq.cli import CONFIGS
from seq2seq.data import progress as module
from seq2seq.data.progress import Progress
from seq2seq.data.store import PreparedData

ROOT = CONFIGS.parent
PAIRS = 30_000

# What a command does once it is there: it gets a signal at a chosen line, or finds no room for a chosen file size.
START = """
import os, resource, signal, sys
sys.path.insert(0, {root!r})
{before}
from seq2seq.runs import preparation
import seq2seq.run as run
said = preparation.say
def say(words):
    said(words)
    {during}
preparation.say = say
sys.argv = ["prepare.py", "data=files", "data.root={corpus}", "data.source=en", "data.target=de",
            "prepared_dir={prepared}", "tokenizer.vocab_size=100"]
from seq2seq.cli import command
command("train", run.RunConfig)(lambda config, values: run.prepare_data(config))()
"""


class Preparation:
    """Runs the command in a process of its own."""

    def __init__(self, root: Path) -> None:
        self.corpus, self.prepared = root / "corpus", root / "prepared"
        self.corpus.mkdir()
        for language, word in (("en", "word"), ("de", "Wort")):
            lines = [f"{word} {number % 1000} and {number // 7}" for number in range(PAIRS)]
            (self.corpus / f"train.{language}").write_text("\n".join(lines) + "\n")
            (self.corpus / f"valid.{language}").write_text(f"{word} of validation\n")

    def __call__(self, before: str = "", during: str = "pass") -> subprocess.CompletedProcess[str]:
        code = START.format(root=str(ROOT), before=before, during=during, corpus=self.corpus, prepared=self.prepared)
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)

    def left(self) -> list[str]:
        return sorted(path.name for path in self.prepared.iterdir())


@pytest.fixture
def preparation(tmp_path: Path) -> Preparation:
    return Preparation(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "status"), [("SIGTERM", 143), ("SIGINT", 130)])
@pytest.mark.parametrize("line", ["Preparing", "Tokenizer", "Training pairs"])
def test_a_stopped_preparation_leaves_nothing_and_starts_again(preparation, name, status, line):
    stopped = preparation(during=f"words.startswith({line!r}) and os.kill(os.getpid(), signal.{name})")
    assert stopped.returncode == status, stopped.stderr
    assert f"stopped by {name}" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert preparation.left() == []
    if line == "Tokenizer":
        check_it_can_be_done(preparation)


@pytest.mark.slow
def test_what_a_killed_preparation_leaves_is_never_used_and_removed_by_the_next(preparation):
    stopped = preparation(during="words.startswith('Tokenizer') and os.kill(os.getpid(), signal.SIGKILL)")
    assert stopped.returncode == -signal.SIGKILL
    assert [name.startswith(".tmp-") for name in preparation.left()] == [True]
    check_it_can_be_done(preparation)


# Chunks enough for other processes to be at work when the signal comes.
MANY = """
from seq2seq.data import encoding, processes, progress
encoding.CHUNK, progress.INTERVAL, processes.cores = 500, 0.0, lambda: 2
"""


@pytest.mark.slow
@pytest.mark.parametrize(("name", "status"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_a_preparation_stopped_while_other_processes_are_at_work_ends_them_and_leaves_nothing(
    preparation, name, status
):
    during = f"words.startswith('Cleaning: 20,000 ') and os.kill(os.getpid(), signal.{name})"
    stopped = preparation(before=MANY, during=during)  # returns when no process has its output open
    assert stopped.returncode == status, stopped.stderr
    assert "Cleaning: 20,000 " in stopped.stdout
    assert stopped.stderr == f"stopped by {name}\n"
    assert preparation.left() == []


@pytest.mark.slow
@pytest.mark.parametrize("limit", [20_000, 200_000, 500_000])
def test_a_full_disk_is_named_and_leaves_nothing(preparation, limit):
    full = preparation(before=f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))")
    assert full.returncode == 2, full.stderr
    assert full.stderr.startswith("error: `prepared_dir` must have room for the prepared data"), full.stderr
    assert "Traceback" not in full.stderr
    assert preparation.left() == []


def check_it_can_be_done(preparation: Preparation) -> None:
    done = preparation()
    assert done.returncode == 0, done.stderr
    [folder] = preparation.left()
    assert len(PreparedData(preparation.prepared / folder).ids("train")[0]) == PAIRS
    assert done.stdout.splitlines()[-1] == f"Data report: {preparation.prepared / folder / 'report.html'}"


# --- Progress ---


def test_progress_is_told_with_speed_and_the_time_left(monkeypatch):
    now = 0.0
    lines: list[str] = []
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    progress = Progress(lines.append, "Encoding", 400)
    for number, chunk in enumerate(progress.over([range(100)] * 4)):
        assert len(chunk) == 100
        assert len(lines) == number // 2
        now += 6.0
    assert lines == [
        "Encoding: 200 of 400 pairs, 17 pairs/s, 0:12 left",
        "Encoding: 400 of 400 pairs, 17 pairs/s, 0:00 left",
    ]


def test_progress_tells_hours(monkeypatch):
    now = 0.0
    lines: list[str] = []
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    for _ in Progress(lines.append, "Encoding", 74_000).over([range(200)]):
        now += 10.0
    assert lines == ["Encoding: 200 of 74,000 pairs, 20 pairs/s, 1:01:30 left"]


def test_progress_without_a_known_end_tells_no_time(monkeypatch):
    monkeypatch.setattr(module, "INTERVAL", 0.0)
    lines: list[str] = []
    list(Progress(lines.append, "Cleaning", None).over(["abc"]))
    assert lines[0].startswith("Cleaning: 3 pairs, ")
    assert "left" not in lines[0]


def test_a_short_step_is_silent():
    lines: list[str] = []
    list(Progress(lines.append, "Cleaning", None).over(["abc"] * 10))
    assert lines == []

"""``trainer.max_tokens=auto``: as large as memory allows, and no larger than is any good."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from tiny import build, choices, learner, run_config, sentences
from tiny_runs import Run

from seq2seq import checkpoint, memory
from seq2seq.data.batching import Batch, pack
from seq2seq.errors import ConfigError
from seq2seq.memory import free_bytes, process_peak
from seq2seq.model import ModelOutput, Seq2SeqModel
from seq2seq.training import budget
from seq2seq.training.budget import SHARE, Trial, most_rows

CPU = torch.device("cpu")


def found(capsys: pytest.CaptureFixture[str]) -> list[int]:
    lines = re.findall(r"trainer\.max_tokens=auto: ([\d,]+) padded tokens", capsys.readouterr().out)
    return [int(number.replace(",", "")) for number in lines]


@pytest.mark.parametrize(("free", "rows"), [(10_000, 77), (1_300, 7), (100, 1), (10**9, 500)])
def test_memory_of_two_small_updates_tells_how_large_a_batch_can_be(free: int, rows: int) -> None:
    assert most_rows(lambda pairs: 300 + 100 * pairs, lambda pairs: True, free, 500) == rows
    assert rows in (1, 500) or 300 + 100 * rows <= SHARE * free


def test_what_does_not_fit_after_all_is_made_smaller_until_it_does() -> None:
    tried: list[int] = []

    def fits(rows: int) -> bool:
        tried.append(rows)
        return rows <= 30

    assert most_rows(lambda pairs: 100 * pairs, fits, 10_000, 500) == 25
    assert tried == [80, 64, 51, 40, 32, 25]
    assert most_rows(lambda pairs: 100 * pairs, lambda rows: False, 10_000, 500) == 1


def test_a_run_finds_a_budget_says_why_and_keeps_it(
    start: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(budget, "LEAST_UPDATES", 4)
    long = ("trainer.max_tokens=auto", "trainer.accumulate=1", "scheduler=constant")
    monkeypatch.setattr(budget, "free_bytes", lambda device: 2**20)
    run = start("run", *long, "trainer.max_steps=3")
    [tokens] = found(capsys)
    monkeypatch.setattr(budget, "free_bytes", lambda device: 2**40)
    start("run", *long, "trainer.max_steps=6")
    assert found(capsys) == []
    snapshot = checkpoint.load(checkpoint.locate(run))
    assert snapshot.config["max_tokens"] == tokens
    assert snapshot.config["settings"]["trainer"]["max_tokens"] == "auto"
    start("new", *long, "trainer.max_steps=1", "trainer.validate_every=9")
    assert found(capsys) != [tokens]


def test_more_memory_allows_more_until_an_epoch_would_have_too_few_updates(
    start: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(budget, "LEAST_UPDATES", 4)
    budgets = []
    for free in (2**16, 2**19, 2**22, 2**40):
        monkeypatch.setattr(budget, "free_bytes", lambda device, free=free: free)
        start(str(free), "trainer.max_tokens=auto", "trainer.max_steps=1", "trainer.accumulate=1")
        budgets += found(capsys)
    assert budgets == sorted(budgets)
    assert len({*budgets}) >= 3
    start("halved", "trainer.max_tokens=auto", "trainer.max_steps=1", "trainer.accumulate=2")
    [halved] = found(capsys)
    assert halved == budgets[-1] // 2


def a_trial(objective: str = "cross_entropy") -> Trial:
    model, config = build().train(), run_config(f"objective={objective}")
    text = pack(sentences([3, 9, 5]))
    return Trial(learner(model, config), text, text, 4)


@pytest.mark.parametrize("objective", choices("objective"))
def test_memory_grows_by_the_same_with_each_pair_whatever_is_minimised(objective: str) -> None:
    trial = a_trial(objective)
    assert trial.widths == [12, 12]
    few, more, many = (trial.held(rows) for rows in (20, 40, 80))
    assert many - more == pytest.approx(2 * (more - few), rel=0.1)


def test_an_update_that_has_to_be_cut_does_not_fit(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trial = a_trial()
    real = Seq2SeqModel.forward

    def limited(self: Seq2SeqModel, batch: Batch, **settings: bool) -> ModelOutput:
        if batch.size > 60:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(self, batch, **settings)

    monkeypatch.setattr(Seq2SeqModel, "forward", limited)
    assert [trial.fits(rows) for rows in (20, 8, 5, 6, 4)] == [False, False, True, False, True]
    assert capsys.readouterr().err == ""


def test_where_the_system_does_not_tell_a_number_is_asked_for(start: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "free_bytes", lambda device: None)
    with pytest.raises(ConfigError, match=r"`trainer.max_tokens` must be a number where the system does not tell"):
        start("run", "trainer.max_tokens=auto")


def test_the_limit_of_every_control_group_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("PROCESS", "MACHINE", "CONTROL_GROUPS"):
        monkeypatch.setattr(memory, name, tmp_path / name)
    assert free_bytes(CPU) is None
    (tmp_path / "MACHINE").write_text("MemTotal:  9 kB\nMemAvailable:  8000 kB\n")
    assert free_bytes(CPU) == 8000 * 1024
    inner = tmp_path / "CONTROL_GROUPS" / "outer" / "inner"
    inner.mkdir(parents=True)
    (tmp_path / "PROCESS").mkdir()
    (tmp_path / "PROCESS" / "cgroup").write_text("0::/outer/inner\n")
    for group, most in ((inner, "max"), (inner.parent, "5000000")):
        (group / "memory.max").write_text(most)
        (group / "memory.current").write_text("3000000")
        (group / "memory.stat").write_text("anon 1\ninactive_file 500000\n")
    assert free_bytes(CPU) == 2_500_000


def test_the_most_that_the_process_has_held_is_told() -> None:
    peak = process_peak(CPU)
    assert peak is None or peak > 2**20

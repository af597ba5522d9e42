"""Batches that do not fit into memory are cut; where all of them are too large, a smaller budget is proposed."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import build, choices, random_batch, run_config
from tiny_runs import Run

from seq2seq.data.batching import Batch
from seq2seq.data.sequences import Integers
from seq2seq.distributed.processes import Processes
from seq2seq.encoders.base import Memory
from seq2seq.errors import UserError
from seq2seq.model import ModelOutput, Seq2SeqModel
from seq2seq.objectives import CrossEntropy, LossSums
from seq2seq.runtime import in_halves, is_out_of_memory
from seq2seq.training.gradients import Gradients
from seq2seq.training.log import read_log
from seq2seq.training.spreading import Alone
from seq2seq.translation.translator import TOO_LARGE

PARTS = ("model", "encoder", "decoder", "attention", "self_attention")
WITHOUT_DROPOUT = tuple(f"{part}.dropout=0" for part in PARTS)


def little_memory(monkeypatch: pytest.MonkeyPatch, most: int) -> list[int]:
    """Lets batches of more positions fail as on a full device; returns the sizes that are tried."""
    real = Seq2SeqModel.forward
    tried: list[int] = []

    def limited(self: Seq2SeqModel, batch: Batch, *, need_weights: bool = False) -> ModelOutput:
        if self.training:
            tried.append(batch.size)
            if batch.size > most:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
        return real(self, batch, need_weights=need_weights)

    monkeypatch.setattr(Seq2SeqModel, "forward", limited)
    return tried


def test_the_halves_of_a_batch_hold_its_rows() -> None:
    batch = random_batch([5, 2, 7, 3, 4], [3, 6, 2, 5, 1])
    first, second = batch.halves()
    assert batch.target is not None
    assert first.target is not None
    assert second.target is not None
    assert torch.equal(torch.cat([first.source, second.source]), batch.source)
    assert torch.equal(torch.cat([first.target, second.target]), batch.target)
    assert first.target_tokens + second.target_tokens == batch.target_tokens
    assert first.source_tokens + second.source_tokens == batch.source_tokens
    assert first.source_padded
    assert second.size == 3 * 8


def test_the_links_of_a_half_are_those_of_its_rows() -> None:
    whole = random_batch([2, 3, 2], [2, 3, 2])
    links = torch.tensor([[2, 1, 0], [0, 0, 1], [1, 2, 2], [0, 1, 1]])
    first, second = Batch(**{**vars(whole), "links": links}).halves()
    assert first.links is not None
    assert second.links is not None
    assert first.links.tolist() == [[0, 0, 1], [0, 1, 1]]
    assert second.links.tolist() == [[1, 1, 0], [0, 2, 2]]


@pytest.mark.parametrize("objective", [name for name in choices("objective") if name != "guided_alignment"])
def test_a_batch_in_parts_has_the_gradient_of_the_whole(monkeypatch: pytest.MonkeyPatch, objective: str) -> None:
    batches = [random_batch([5, 2, 7, 3, 4, 1], [3, 6, 2, 5, 1, 1]), random_batch([4, 4], [6, 2])]
    found = []
    for most in (10**6, 20):
        model = build(*WITHOUT_DROPOUT).train()
        loss = run_config(f"objective={objective}").objective()
        with monkeypatch.context() as patch:
            tried = little_memory(patch, most)
            gradients = Gradients(Alone(model, loss, Processes()), torch.float32, seed=1)
            nll = gradients.add(batches, sum(batch.target_tokens for batch in batches), step=0)
        assert (len(tried) > 2) == (most == 20)
        found.append((nll, *(p.grad for p in model.parameters() if p.grad is not None)))
    assert len(found[0]) > 10
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_a_run_with_too_little_memory_for_some_batches_learns_as_much(
    start: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = start("whole", *WITHOUT_DROPOUT, "trainer.accumulate=1")
    tried = little_memory(monkeypatch, 110)
    capsys.readouterr()
    run = start("cut", *WITHOUT_DROPOUT, "trainer.accumulate=1")
    assert max(tried) > 110
    [line] = [line for line in capsys.readouterr().err.splitlines() if "did not fit" in line]
    assert re.search(
        r"a batch of \d+ positions did not fit .*; .* a lower `trainer.max_tokens` would be faster", line
    )
    losses = [[row["train_loss"] for row in read_log(path) if "train_loss" in row] for path in (run, whole)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_what_did_not_fit_once_is_not_tried_again(start: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = little_memory(monkeypatch, 100)
    start("run", "trainer.accumulate=1", "trainer.max_steps=30")
    failed = [size for size in tried if size > 100]
    assert failed == sorted(failed, reverse=True)
    assert len(failed) == len(set(failed)) < 5


def test_where_every_batch_is_too_large_a_budget_that_fits_is_proposed(
    start: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    little_memory(monkeypatch, 30)
    with pytest.raises(UserError, match=r"^`trainer.max_tokens` must be at most (\d+), .* but is 128 inst") as caught:
        start("run", "trainer.accumulate=1", "trainer.max_steps=30")
    found = re.search(r"at most (\d+)", str(caught.value))
    assert found is not None
    assert 15 < int(found[1]) <= 30


def test_a_run_that_has_got_far_goes_on_with_cut_batches(start: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its budget can no longer be changed, and a slow run is better than none."""
    long = ("trainer.accumulate=1", "scheduler=constant", "trainer.validate_every=100")
    start("run", *long, "trainer.max_steps=8")
    little_memory(monkeypatch, 30)
    start("run", *long, "trainer.max_steps=25")


def test_a_pair_that_does_not_fit_alone_ends_the_run(
    start: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    little_memory(monkeypatch, 3)
    with pytest.raises(
        UserError, match=r"^a single pair of \d+ source and \d+ target pieces does not fit into the mem"
    ):
        start("run")
    assert (tmp_path / "run" / "checkpoints" / "last" / "manifest.json").is_file()


def test_validations_and_translations_are_cut_too(start: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    validation = ("trainer.validation_sentences=12",)
    whole = start("whole", *validation)
    real, failed = Seq2SeqModel.encode, 0

    def limited(self: Seq2SeqModel, batch: Batch) -> Memory:
        nonlocal failed
        if not self.training and batch.source.numel() > 40:
            failed += 1
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(self, batch)

    monkeypatch.setattr(Seq2SeqModel, "encode", limited)
    run = start("cut", *validation)
    assert failed > 4
    found = [[row for row in read_log(path) if "validation_loss" in row] for path in (run, whole)]
    for one, other in zip(*found, strict=True):
        assert one["validation_loss"] == pytest.approx(other["validation_loss"], rel=1e-5)
        assert one["validation_bleu"] == other["validation_bleu"]


def test_searches_are_done_in_halves_until_they_fit() -> None:
    tried: list[int] = []

    def find(rows: Integers) -> list[int]:
        tried.append(len(rows))
        if len(rows) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return [10 * int(row) for row in rows]

    assert in_halves(np.arange(7), find, "too large") == [0, 10, 20, 30, 40, 50, 60]
    assert tried == [7, 4, 2, 2, 3, 2, 1]


def test_a_sentence_that_cannot_be_translated_alone_is_one_line() -> None:
    def full(rows: Integers) -> list[int]:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(
        UserError, match=r"^a single sentence cannot be translated in the memory of the device; lower"
    ):
        in_halves(np.arange(3), full, TOO_LARGE)


def test_errors_of_memory_are_told_from_others() -> None:
    words = "[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried to allocate"
    assert is_out_of_memory(RuntimeError(words))
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(torch.OutOfMemoryError())
    assert not is_out_of_memory(RuntimeError("shapes cannot be multiplied"))
    assert not is_out_of_memory(ValueError("can't allocate memory"))


def test_other_errors_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(self: CrossEntropy, model: Seq2SeqModel, batch: Batch) -> LossSums:
        raise RuntimeError("a bug")

    monkeypatch.setattr(CrossEntropy, "forward", wrong)
    alone = Alone(build().train(), CrossEntropy(label_smoothing=0.1), Processes())
    with pytest.raises(RuntimeError, match="a bug"):
        Gradients(alone, torch.float32, seed=1).add([random_batch([3], [3])], tokens=4, step=0)

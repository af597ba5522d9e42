"""Where and how the arithmetic runs."""

from __future__ import annotations

import os

import pytest
import torch

from seq2seq.runtime import compute_the_same_bits


def test_a_gpu_is_told_to_compute_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(torch, "use_deterministic_algorithms", asked.append)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    compute_the_same_bits(torch.device("cuda"))
    assert asked == [True]
    assert not torch.backends.cudnn.benchmark
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


def test_a_cpu_need_not_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(torch, "use_deterministic_algorithms", asked.append)
    compute_the_same_bits(torch.device("cpu"))
    assert asked == []

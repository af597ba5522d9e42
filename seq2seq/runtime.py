"""Where and how the arithmetic runs: device, precision, seeds."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seq2seq.errors import ConfigError, UserError

T = TypeVar("T")

DeviceName = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "fp32", "bf16"]

# bfloat16 has to be this much faster in the probe to be chosen on a CPU: casts cost something too.
WORTHWHILE_SPEEDUP = 1.5


# Of errors that have no type of their own: torch's allocator on a CPU, and CUDA and its libraries.
_NO_MEMORY = ("can't allocate memory", "not enough memory", "out of memory", "ALLOC_FAILED")


def choose_device(name: DeviceName, setting: str = "trainer.device") -> torch.device:
    """Return the device to use; ``auto`` takes a GPU where there is one.

    Args:
        name: which.
        setting: what has asked for it, for messages.

    Raises:
        ConfigError: a GPU is asked for and torch sees none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            f"`{setting}` must be a device this machine has, but is 'cuda' instead and torch sees no GPU; "
            f"use {setting}=auto or cpu"
        )
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def choose_precision(name: Precision, device: torch.device, setting: str = "trainer.precision") -> torch.dtype:
    """Return what matrix products are computed in; ``auto`` takes bfloat16 where it pays.

    On a CPU that is found out by a probe of some milliseconds, because only some processors multiply bfloat16 faster.

    Args:
        name: which.
        device: where.
        setting: what has asked for it, for messages.

    Raises:
        ConfigError: bfloat16 is asked for on a GPU that lacks it.
    """
    if name == "fp32":
        return torch.float32
    if device.type == "cuda":
        if torch.cuda.is_bf16_supported():
            return torch.bfloat16
        if name == "bf16":
            raise ConfigError(f"`{setting}` must be fp32 on this GPU, which lacks bfloat16, but is 'bf16' instead")
        return torch.float32
    if name == "bf16" or matmul_seconds(torch.float32) > WORTHWHILE_SPEEDUP * matmul_seconds(torch.bfloat16):
        return torch.bfloat16
    return torch.float32


def dtype_name(precision: torch.dtype) -> str:
    """Return ``bfloat16`` for ``torch.bfloat16``."""
    return str(precision).removeprefix("torch.")


def matmul_seconds(dtype: torch.dtype, size: int = 512, repeats: int = 5) -> float:
    """Return the least seconds that a (2 size x size) @ (size x size) product took on the CPU."""
    left, right = torch.ones(2 * size, size, dtype=dtype), torch.ones(size, size, dtype=dtype)
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        left @ right
        times.append(time.perf_counter() - start)
    return min(times[1:])


def autocast(device: torch.device, precision: torch.dtype) -> AbstractContextManager[object]:
    """Compute matrix products in ``precision`` inside a ``with`` block; weights stay in single precision."""
    if precision == torch.float32:
        return nullcontext()
    return torch.autocast(device.type, dtype=precision)


def product_dtype(factor: Tensor) -> torch.dtype:
    """Return what a matrix product with this tensor is computed in, inside :func:`autocast` or outside."""
    device = factor.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else factor.dtype


def compute_the_same_bits(device: torch.device) -> None:
    """Let a GPU take the algorithms that give the same bits each time; must come before it computes anything.

    A CPU does so anyway, as long as the number of its threads stays the same.
    """
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without which cuBLAS refuses
        torch.use_deterministic_algorithms(True)
        torch.backends.cudnn.benchmark = False


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory did not suffice, on whatever device."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _NO_MEMORY)


def in_halves(rows: npt.NDArray[np.int64], work: Callable[[npt.NDArray[np.int64]], list[T]], refusal: str) -> list[T]:
    """Return what comes of some rows, in their order; together, or in halves where memory does not suffice.

    Args:
        rows: which ones; at least one.
        work: gives one result for each of the rows that it gets.
        refusal: what to say where not even one of them fits.

    Raises:
        UserError: says so.
    """
    try:
        return work(rows)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    if len(rows) == 1:
        raise UserError(refusal)
    return [one for half in np.array_split(rows, 2) for one in in_halves(half, work, refusal)]


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch on every device."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def seed_batch(seed: int, step: int, number: int) -> None:
    """Seed torch for what is drawn on a batch, such as dropout.

    It is thereby a function of the place of the batch in the run, whichever process computes it and whenever.

    Args:
        seed: that of the run.
        step: updates done.
        number: of the batch in the update, from 0.
    """
    torch.manual_seed(int(np.random.SeedSequence((seed, step, number)).generate_state(1, np.uint64)[0]))


def describe_device(device: torch.device) -> str:
    """Return the device in words, for logs and reports."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}"

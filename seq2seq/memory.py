"""Memory of the machine and of this process: what is free, what was held at once, what is kept for later."""

from __future__ import annotations

import ctypes
import itertools
import json
import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch

Step = Callable[[], object]
"""What is done while memory is looked at."""

PROCESS = Path("/proc/self")
MACHINE = Path("/proc/meminfo")
CONTROL_GROUPS = Path("/sys/fs/cgroup")

# Parameters of glibc's mallopt(3).
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3

_KEPT = 2**30
"""Bytes of one piece, or of free room behind the last one, that are kept instead of given back."""


def peak_bytes(step: Step, device: torch.device) -> int:
    """Return how many bytes a step holds at once, beyond what was held before it.

    Counted is what torch's own allocator gives out: results, what is kept for the gradient, gradients, and the
    working space of torch's kernels. On a CPU it is read from a profile, in which every allocation and every release
    stands. Not counted there is what a library such as oneDNN takes by itself.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        step()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # or the profiler tells standard error of every start and stop
    with torch.autograd.profiler.profile(profile_memory=True) as profile:
        step()
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        profile.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text(encoding="utf-8"))["traceEvents"]
    moves = sorted((event["ts"], int(event["args"]["Bytes"])) for event in events if event["name"] == "[memory]")
    return max(itertools.accumulate((size for _, size in moves), initial=0))


def forget_peak(device: torch.device) -> None:
    """Let :func:`process_peak` begin anew, as far as the system allows it."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with suppress(OSError):
        (PROCESS / "clear_refs").write_text("5")


def process_peak(device: torch.device) -> int | None:
    """Return the most bytes held since :func:`forget_peak`: of a GPU by torch, else of the machine by this process.

    None where the system does not tell.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    found = _kilobytes(PROCESS / "status").get("VmHWM")
    return None if found is None else found * 1024


def free_bytes(device: torch.device) -> int | None:
    """Return how much more memory this process can take; None where the system does not tell.

    Of a machine that is what the kernel calls available, or what the limits of its control groups leave if that is
    less. What torch has taken from a GPU and does not use counts as free.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    available = _kilobytes(MACHINE).get("MemAvailable")
    found = [] if available is None else [available * 1024]
    found += [room for group in _groups() if (room := _room(group)) is not None]
    return min(found, default=None)


def _kilobytes(file: Path) -> dict[str, int]:
    """Return the sizes that a file of the kernel names, in units of 1024 bytes."""
    sizes = {}
    with suppress(OSError):
        for line in file.read_text(encoding="utf-8").splitlines():
            name, _, words = line.partition(":")
            number, _, unit = words.strip().partition(" ")
            if unit == "kB" and number.isdigit():
                sizes[name] = int(number)
    return sizes


def _groups() -> list[Path]:
    """Return the control groups that this process is in, each inside the next, as folders."""
    folders = []
    with suppress(OSError):
        for line in (PROCESS / "cgroup").read_text(encoding="utf-8").splitlines():
            _, kinds, path = line.split(":", 2)
            if kinds in ("", "memory"):
                inner = CONTROL_GROUPS / kinds / path.lstrip("/")
                folders += [inner, *(up for up in inner.parents if up.is_relative_to(CONTROL_GROUPS))]
    return folders


def _room(group: Path) -> int | None:
    """Return what the limit of a control group leaves; None where it has none. The cache of files can be given up."""
    for limit, usage, cache in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        with suppress(OSError, ValueError):
            most = int((group / limit).read_text())
            taken = int((group / usage).read_text())
            words = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
            return max(0, most - taken + int(words.get(cache, 0)))
    return None


def keep_freed_memory() -> bool:
    """Have the C library keep large pieces of freed memory, for those that come after them.

    Each update needs the same hundreds of megabytes as the one before. Given back to the system in between, every
    page of them is fetched and cleared anew, which takes some hundredths of the time; a process that only trains has
    nobody to give them to.

    Returns:
        whether the C library is one that can.
    """
    if not sys.platform.startswith("linux"):
        return False
    with suppress(AttributeError, OSError):  # another C library than glibc
        library = ctypes.CDLL(None)
        return bool(library.mallopt(_MMAP_THRESHOLD, _KEPT) and library.mallopt(_TRIM_THRESHOLD, _KEPT))
    return False

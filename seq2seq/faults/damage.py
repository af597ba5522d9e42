"""Damage by chance: files cut off anywhere, single bits flipped. None of it may go unnoticed or cost the run."""

from __future__ import annotations

import random
import tempfile
import time
from pathlib import Path

from seq2seq import checkpoint
from seq2seq.errors import CheckpointError
from seq2seq.faults.outcome import Outcome
from seq2seq.faults.sealing import copied, newest


def damage(run: Path, truncations: int, flips: int, seed: int) -> Outcome:
    """Harm a copy of a run's newest checkpoint, and look whether the one before it is found each time.

    Args:
        run: a run folder with two checkpoints or more; it is left as it is.
        truncations: how often a file is cut off at a random place.
        flips: how often a random bit is flipped, anywhere in any file.
        seed: decides the places.

    Raises:
        CheckpointError: there are too few checkpoints, or the newest two are damaged already.
    """
    draw = random.Random(seed)
    started = time.perf_counter()
    failures = []
    with tempfile.TemporaryDirectory() as place:
        checkpoints = Path(place) / "checkpoints"
        before, last = (copied(folder, checkpoints / folder.name) for folder in newest(run, 2))
        for folder in (before, last):
            if problem := checkpoint.damage(folder, training=True):
                raise CheckpointError(f"{run} must be whole before it is harmed, but {folder.name} is not: {problem}")
        files = sorted(last.iterdir())
        for trial in range(truncations + flips):
            path = draw.choice(files)
            data = path.read_bytes()
            spot = draw.randrange(len(data))
            if trial < truncations:
                what = f"{path.name} cut off after {spot} bytes"
                path.write_bytes(data[:spot])
            else:
                bit = draw.randrange(8)
                what = f"bit {bit} of byte {spot} of {path.name} flipped"
                path.write_bytes(data[:spot] + bytes([data[spot] ^ 1 << bit]) + data[spot + 1 :])
            if reason := _unnoticed(checkpoints, before, last):
                failures.append(f"{what} (seed {seed}): {reason}")
            path.write_bytes(data)
    facts = {"truncations": truncations, "flips": flips, "seconds": time.perf_counter() - started}
    return Outcome("damage", truncations + flips, tuple(failures), facts)


def _unnoticed(checkpoints: Path, before: Path, last: Path) -> str | None:
    """Return what is wrong with how the damage to ``last`` is met; None where nothing is."""
    found, warnings = checkpoint.newest_valid(checkpoints)
    if found != before:
        return f"{found} was taken instead of {before.name}"
    if len(warnings) != 1 or str(last) not in warnings[0] or "\n" in warnings[0]:
        return f"the warnings were {warnings}"
    return None

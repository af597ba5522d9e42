"""Checkpoints: self-contained folders that are whole or absent, never half-written.

A checkpoint holds ``model.safetensors``, ``config.json``, the SentencePiece models and ``metrics.json``; translating
needs nothing else. ``training.safetensors`` and ``training.json`` beside them let a run go on. ``manifest.json`` has
the size and the SHA-256 of every other file. Nothing in it is code and nothing is pickled.

A checkpoint is written to a temporary folder, flushed to the disk and renamed. ``last`` and ``best`` are links that
are replaced in one step.
"""

from seq2seq.checkpoint.averaging import AVERAGED, average, names_of
from seq2seq.checkpoint.kept import (
    Metric,
    best_first,
    load_located,
    load_newest,
    locate,
    newest_valid,
    point,
    prune,
    remove_unfinished,
    set_aside,
    steps_in,
)
from seq2seq.checkpoint.reading import damage, load
from seq2seq.checkpoint.snapshot import MANIFEST, Snapshot
from seq2seq.checkpoint.writing import folder_of, save, write

__all__ = [
    "AVERAGED",
    "MANIFEST",
    "Metric",
    "Snapshot",
    "average",
    "best_first",
    "damage",
    "folder_of",
    "load",
    "load_located",
    "load_newest",
    "locate",
    "names_of",
    "newest_valid",
    "point",
    "prune",
    "remove_unfinished",
    "save",
    "set_aside",
    "steps_in",
    "write",
]

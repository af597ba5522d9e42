"""Runs that take a second: parallel text in a folder, and the overrides that train a tiny model on it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from tiny import compose, shrink

from seq2seq.config import parse
from seq2seq.run import train
from seq2seq.runs.config import RunConfig


def write_corpus(root: Path, letters: str = "abcdefg", languages: Sequence[str] = ("en", "de")) -> Path:
    """Words of letters, and in the other language the same words backwards."""
    root.mkdir(parents=True, exist_ok=True)
    draw = random.Random(1)
    for split, count in (("train", 200), ("validation", 12), ("test", 6)):
        lines = [
            " ".join("".join(draw.choices(letters, k=draw.randint(1, 4))) for _ in range(draw.randint(1, 6)))
            for _ in range(count)
        ]
        for language, texts in zip(languages, (lines, [line[::-1] for line in lines]), strict=True):
            (root / f"{split}.{language}").write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    return root


def quick(corpus: Path, prepared: Path) -> list[str]:
    """Overrides of a run of eight updates."""
    return [
        "data=files",
        f"data.root={corpus}",
        f"prepared_dir={prepared}",
        "tokenizer.vocab_size=24",
        "evaluate_split=null",
        "model.dropout=0.1",
        "trainer.max_steps=8",
        "trainer.max_tokens=128",
        "trainer.ema_decay=0.9",
        "trainer.precision=fp32",
        "trainer.device=cpu",
        "trainer.log_every=2",
        "trainer.checkpoint_every=3",
        "trainer.validate_every=4",
        "trainer.validation_sentences=3",
        "trainer.keep_last=9",
    ]


def train_run(overrides: Sequence[str]) -> Path:
    """Train a shrunk model."""
    values = shrink(compose(*overrides))
    return train(parse(RunConfig, values), values)


def same_tensors(one: Path, other: Path) -> bool:
    """Whether two files hold the same tensors, bit for bit."""
    first, second = load_file(one), load_file(other)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)

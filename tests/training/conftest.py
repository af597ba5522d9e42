"""A tiny corpus, and a way to train on it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from tiny import compose, shrink
from tiny_runs import (
    STEPS,
    Run,
)

from seq2seq.config import parse
from seq2seq.run import train
from seq2seq.runconfig import RunConfig


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Parallel text in a folder: words of letters, and the same words backwards."""
    root = tmp_path_factory.mktemp("corpus")
    draw = random.Random(1)
    for split, count in (("train", 200), ("validation", 12), ("test", 6)):
        lines = [
            " ".join("".join(draw.choices("abcdefg", k=draw.randint(1, 4))) for _ in range(draw.randint(1, 6)))
            for _ in range(count)
        ]
        for language, texts in (("en", lines), ("de", [line[::-1] for line in lines])):
            (root / f"{split}.{language}").write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("prepared")


@pytest.fixture
def start(corpus: Path, prepared: Path, tmp_path: Path) -> Run:
    """Trains a tiny model in the run folder ``name``, with averaged weights and two batches an update."""

    def run(name: str, *overrides: str) -> Path:
        values = shrink(
            compose(
                *(() if "data=mixture" in overrides else ("data=files", f"data.root={corpus}")),
                f"prepared_dir={prepared}",
                f"run_dir={tmp_path / name}",
                "tokenizer.vocab_size=24",
                "evaluate_split=null",
                "model.dropout=0.1",
                f"trainer.max_steps={STEPS}",
                "trainer.max_tokens=128",
                "trainer.accumulate=2",
                "trainer.ema_decay=0.9",
                "trainer.precision=fp32",
                "trainer.device=cpu",
                "trainer.log_every=2",
                "trainer.checkpoint_every=3",
                "trainer.validate_every=4",
                "trainer.validation_sentences=3",
                "trainer.keep_last=9",
                *overrides,
            )
        )
        return train(parse(RunConfig, values), values)

    return run

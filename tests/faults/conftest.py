"""A run to be harmed: tiny, finished, with several checkpoints."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from tiny import compose, shrink

from seq2seq.config import parse
from seq2seq.run import train
from seq2seq.runconfig import RunConfig


@pytest.fixture(scope="package")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("harmed")
    draw = random.Random(1)
    for split, count in (("train", 100), ("validation", 6), ("test", 6)):
        lines = [" ".join(draw.choices(["abc", "bad", "cab", "dac", "ebb"], k=4)) for _ in range(count)]
        for language, texts in (("en", lines), ("de", [line[::-1] for line in lines])):
            (root / f"{split}.{language}").write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    values = shrink(
        compose(
            "data=files",
            f"data.root={root}",
            f"prepared_dir={root / 'prepared'}",
            f"run_dir={root / 'run'}",
            "tokenizer.vocab_size=16",
            "evaluate_split=null",
            "trainer.max_steps=4",
            "trainer.max_tokens=128",
            "trainer.ema_decay=0.9",
            "trainer.precision=fp32",
            "trainer.device=cpu",
            "trainer.log_every=1",
            "trainer.checkpoint_every=2",
            "trainer.validate_every=4",
            "trainer.validation_sentences=2",
        )
    )
    return train(parse(RunConfig, values), values)

"""A run to be harmed: tiny, finished, with several checkpoints."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_runs import quick, train_run, write_corpus


@pytest.fixture(scope="package")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("harmed")
    given = [*quick(write_corpus(root / "corpus"), root / "prepared"), f"run_dir={root / 'run'}"]
    return train_run([*given, "trainer.max_steps=4", "trainer.log_every=1", "trainer.checkpoint_every=2"])

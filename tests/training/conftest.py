"""A tiny corpus, and a way to train on it."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_runs import quick, train_run, write_corpus
from tiny_runs import Run


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Parallel text in a folder: words of letters, and the same words backwards."""
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("prepared")


@pytest.fixture
def start(corpus: Path, prepared: Path, tmp_path: Path) -> Run:
    """Trains a tiny model in the run folder ``name``, with averaged weights and two batches an update."""

    def run(name: str, *overrides: str) -> Path:
        own = [] if "data=mixture" in overrides else ["data=files", f"data.root={corpus}"]
        rest = [one for one in quick(corpus, prepared) if not one.startswith("data")]
        return train_run([*own, *rest, f"run_dir={tmp_path / name}", "trainer.accumulate=2", *overrides])

    return run

"""A finished run to export."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_runs import quick, train_run, write_corpus


@pytest.fixture(scope="session")
def exportable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose model fits every format."""
    folder = tmp_path_factory.mktemp("exportable")
    corpus = write_corpus(folder / "corpus")
    style = ("norm=layer", "norm_position=post")
    marian = [f"{part}.{setting}" for part in ("encoder", "decoder") for setting in style]
    return train_run([*quick(corpus, folder / "prepared"), f"run_dir={folder / 'run'}", *marian]).resolve()

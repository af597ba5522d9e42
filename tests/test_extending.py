"""A score of one's own, in one Python file and one YAML file, kept outside this repository."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from seq2seq.cli import CONFIGS

REPOSITORY = CONFIGS.parent
TINY = [
    "model=tiny",
    "encoder.num_layers=1",
    "decoder.num_layers=1",
    "tokenizer.vocab_size=400",
    *(f"data.{split}={size}" for split, size in (("train", 300), ("validation", 20), ("test", 20))),
    "trainer.max_steps=6",
    "trainer.validation_sentences=8",
    "trainer.device=cpu",
]


def blocks() -> dict[str, str]:
    """The score that README.md shows, by the last part of its file's name."""
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    found = re.findall(r"`[\w/]+\.(py|yaml)`:\n\n```(?:python|yaml)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return dict(found)


def run(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": f"{home}:{REPOSITORY}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(REPOSITORY / words[0]), *words[1:]]
    return subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, timeout=240)


@pytest.mark.slow
def test_a_score_outside_the_repository_trains_and_is_evaluated_where_it_is_trusted(tmp_path: Path) -> None:
    shown = blocks()
    package = tmp_path / "mine"
    (package / "configs/attention").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "laplace.py").write_text(shown["py"])
    yaml = shown["yaml"].replace("seq2seq.attention.laplace", "mine.laplace")
    (package / "configs/attention/laplace.yaml").write_text(yaml)

    trained = run(
        tmp_path, "scripts/train.py", "--config-dir", "mine/configs", "attention=laplace", "run_dir=run", *TINY
    )
    assert trained.returncode == 0, trained.stderr
    assert (tmp_path / "run/evaluation/test/report.html").exists()

    refused = run(tmp_path, "scripts/evaluate.py", "checkpoint=run")
    assert refused.returncode == 2
    assert "add its package to `allow_code`" in refused.stderr
    assert "Traceback" not in refused.stderr

    trusted = run(tmp_path, "scripts/evaluate.py", "checkpoint=run", "allow_code=[mine]", "output=again")
    assert trusted.returncode == 0, trusted.stderr
    assert (tmp_path / "again/scores.json").exists()

"""What README.md promises: its commands run, its tables list what there is, its links lead somewhere.

The fast tests read the page against the repository. The slow one types every command of the page, in order, in a copy
of the repository; there ``python`` adds settings that make training short, and ``make`` only says what it would do.
"""

from __future__ import annotations

import gzip
import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import hydra
import pytest
from omegaconf import OmegaConf
from tiny import choices, compose, groups

from seq2seq.benchmark.command import BenchmarkConfig
from seq2seq.cli import CONFIGS, plain
from seq2seq.commandline.composed import key_paths
from seq2seq.commands.average import AverageConfig
from seq2seq.commands.evaluate import EvaluateConfig
from seq2seq.commands.score import ScoreConfig
from seq2seq.commands.translate import TranslateConfig
from seq2seq.comparison.command import CompareAttentionConfig
from seq2seq.config import parse
from seq2seq.data import grammar
from seq2seq.export.command import ExportConfig
from seq2seq.faults.command import FaultsConfig
from seq2seq.runs.config import RunConfig

ROOT = CONFIGS.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")

SCHEMAS: dict[str, tuple[str, type[Any]]] = {
    "scripts/train.py": ("train", RunConfig),
    "scripts/prepare.py": ("train", RunConfig),
    "scripts/evaluate.py": ("evaluate", EvaluateConfig),
    "scripts/translate.py": ("translate", TranslateConfig),
    "scripts/average.py": ("average", AverageConfig),
    "scripts/export.py": ("export", ExportConfig),
    "scripts/score.py": ("score", ScoreConfig),
    "scripts/compare_attention.py": ("compare_attention", CompareAttentionConfig),
    "scripts/benchmark.py": ("benchmark", BenchmarkConfig),
    "scripts/faults.py": ("faults", FaultsConfig),
}
"""For each script its configuration and the class that it is read into."""


class Command(NamedTuple):
    """A line that gives settings to a script: Hydra's flags apart from the overrides."""

    line: str
    script: str
    flags: list[str]
    overrides: list[str]


def blocks(language: str) -> list[str]:
    """The contents of every fenced block of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def lines() -> list[str]:
    """Every command line of the page."""
    return [line for block in blocks("sh") for line in block.splitlines() if line]


def new_files() -> dict[str, str]:
    """What the page tells its reader to create: text by path, named at the end of the line before its block."""
    block = r"`([\w/]+\.(?:py|yaml))`:\n\n```(?:python|yaml)\n(.*?)^```$"
    return dict(re.findall(block, README, re.MULTILINE | re.DOTALL))


def commands() -> list[Command]:
    """Every line that runs a script, by itself or through ``make``."""
    found = []
    for line in lines():
        words = list(itertools.takewhile(lambda word: word not in {"<", ">", "|"}, shlex.split(line)))
        if words[:2] == ["make", "train"]:
            given = [word.removeprefix("ARGS=") for word in words[2:]]
            words = ["python", "scripts/train.py", *shlex.split(" ".join(given))]
        if words[:2] == ["torchrun", "--nproc-per-node"]:
            words = ["python", *words[3:]]
        if words[0] == "python":
            overrides = [word for word in words[2:] if "=" in word]
            found.append(Command(line, words[1], [word for word in words[2:] if "=" not in word], overrides))
    return found


def settings_of(command: Command) -> Iterator[list[str]]:
    """The overrides of each run that a command starts: several where it sweeps."""
    if "-m" not in command.flags:
        return iter([command.overrides])
    options = [
        [f"{key}={value}" for value in values.split(",")]
        for key, _, values in (override.partition("=") for override in command.overrides)
    ]
    return map(list, itertools.product(*options))


def table(heading: str) -> dict[str, list[str]]:
    """The table whose first heading is this: names in the first cell, then the other cells."""
    body = README.split(f"\n| {heading} |", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in body]
    return {row[0]: row[1:] for row in rows}


def code(text: str) -> list[str]:
    """What stands in backticks."""
    return re.findall(r"`([^`\n]+)`", text)


def prose() -> str:
    """The page without its blocks."""
    return re.sub(r"^```.*?^```$", "", README, flags=re.MULTILINE | re.DOTALL)


def test_the_page_has_commands_to_check() -> None:
    assert len(commands()) > 10
    assert new_files()


def test_every_make_target_exists() -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = [words[1] for words in map(shlex.split, [*lines(), *code(prose())]) if words[0] == "make" and words[1:]]
    assert named
    assert set(named) <= set(targets)


def test_every_script_exists_and_none_is_left_out() -> None:
    named = {command.script for command in commands()}
    # What needs optional libraries cannot be typed by this test; the text gives its command.
    named |= {words[1] for words in map(shlex.split, code(prose())) if words[0] == "python" and len(words) > 2}
    assert named == {f"scripts/{path.name}" for path in (ROOT / "scripts").glob("*.py")}


@pytest.mark.parametrize("command", commands(), ids=lambda command: command.line)
def test_every_command_composes(command: Command, tmp_path: Path) -> None:
    folder = tmp_path / "configs"
    shutil.copytree(CONFIGS, folder)
    for path, text in new_files().items():
        if path.startswith("configs/"):
            (tmp_path / path).write_text(text)
    invented = {Path(path).stem for path in new_files()}
    name, schema = SCHEMAS[command.script]
    # Only a command line can tell the name of a run what Hydra has chosen.
    fixed = ["name=tests"] if name == "train" else []
    for overrides in settings_of(command):
        with hydra.initialize_config_dir(str(folder), version_base="1.3"):
            values = plain(hydra.compose(name, [*fixed, *overrides]))
        if not any(override.partition("=")[2] in invented for override in overrides):
            parse(schema, values)


def test_flags_of_hydra_stand_before_overrides() -> None:
    for command in commands():
        words = shlex.split(command.line)[2:]
        flags = [words.index(flag) for flag in command.flags if flag in words]
        first = next((words.index(override) for override in command.overrides if override in words), len(words))
        assert all(place < first for place in flags), command.line


def test_every_setting_in_the_text_exists() -> None:
    values = compose()
    known = {
        path for group in groups() for choice in choices(group) for path in key_paths(compose(f"{group}={choice}"))
    }
    files = {name for cell in table("file") for name in code(cell)}
    for word in code(prose()):
        key = word.partition("=")[0]
        if re.fullmatch(r"[a-z_]+\.[a-z_.]+", key) and key.partition(".")[0] in values and key not in files:
            assert key in known, word


def test_the_attention_table_lists_the_files_of_its_group() -> None:
    assert [name.strip("`") for name in table("attention")] == choices("attention")


def test_the_table_of_parts_lists_every_group_with_its_choices_and_default() -> None:
    chosen = {
        key: value
        for entry in OmegaConf.load(CONFIGS / "train.yaml").defaults
        if not isinstance(entry, str)
        for key, value in entry.items()
        if value is not None and not key.startswith("override ")
    }
    rows = {group.strip("`"): cells for group, cells in table("group").items()}
    assert {group: code(cells[1]) for group, cells in rows.items()} == {key: [one] for key, one in chosen.items()}
    for group, cells in rows.items():
        if "attention" not in group:  # has a table of its own
            assert code(cells[0]) == choices(group), group


def test_every_link_and_every_path_leads_somewhere() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", prose()) if "://" not in link]
    paths = [word for word in code(prose()) if "/" in word and re.fullmatch(r"[\w./-]+\.(py|md|yaml|toml)", word)]
    assert links
    assert paths
    missing = [path for path in [*links, *paths] if path not in new_files() and not (ROOT / path).exists()]
    assert not missing


TINY = "model=tiny tokenizer.vocab_size=300 trainer.device=cpu trainer.samples=0 trainer.validate_every=2"
TINY_GRAMMAR = "data.train=300 data.validation=12 data.test=12"
TINY_BENCHMARK = "seconds=0.001 attention.batch=2 attention.heads=2 attention.width=4 'attention.lengths=[3]'"
TINY_TRAIN = f"train={json.dumps([*TINY.split(), *TINY_GRAMMAR.split()])}"
TINY_RUNS = f"overrides={json.dumps([*TINY.split(), 'model.dim=16', 'trainer.max_steps=4'])}"

PYTHON = f"""#!/bin/sh
case "$1" in
scripts/train.py | scripts/prepare.py)
    case "$*" in
    *data.corpora.made=grammar*) set -- "$@" {TINY_GRAMMAR.replace("data.", "data.corpora.made.")} ;;
    *data=* | *experiment=*) ;;
    *) set -- "$@" {TINY_GRAMMAR} ;;
    esac
    case "$*" in
    *max_epochs=*) set -- "$@" {TINY} trainer.max_steps=6 ;;
    *) set -- "$@" {TINY} trainer.max_steps=4 ;;
    esac
    ;;
scripts/benchmark.py)
    set -- "$@" {TINY_BENCHMARK}
    case "$*" in
    *what=train*) set -- "$@" {shlex.quote(TINY_TRAIN)} ;;
    esac
    ;;
scripts/compare_attention.py) set -- "$@" 'experiments=[compare_bilstm]' {shlex.quote(TINY_RUNS)} ;;
esac
exec {shlex.quote(sys.executable)} "$@"
"""

TORCHRUN = f"""#!/bin/sh
exec {shlex.quote(sys.executable)} -m torch.distributed.run "$@" {TINY} {TINY_GRAMMAR} trainer.max_steps=4
"""


@pytest.fixture
def workshop(tmp_path: Path) -> Path:
    """A copy of the repository, with the text and the new files that the page speaks of."""
    for name in ("seq2seq", "configs", "scripts"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    for path, text in new_files().items():
        (tmp_path / path).write_text(text, encoding="utf-8")
    write_corpus(tmp_path / "my_corpus", {"train": "train", "validation": "dev", "test": "test"})
    write_files(tmp_path)
    write_corpus(tmp_path / "corpora/multi30k", {"train": "train", "validation": "val", "test": "test_2016_flickr"})
    write_program(tmp_path / "bin/python", PYTHON)
    write_program(tmp_path / "bin/torchrun", TORCHRUN)
    write_program(tmp_path / "bin/make", f'#!/bin/sh\nexec {shutil.which("make")} -n "$@"\n')
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/bin/activate").touch()
    return tmp_path


def write_corpus(folder: Path, names: dict[str, str]) -> None:
    """A small corpus of files, its splits called by these names."""
    folder.mkdir(parents=True)
    splits = grammar.generate(seed=2, train=300, validation=12, test=12)
    for split, name in names.items():
        for place, language in enumerate(("en", "de")):
            text = "".join(pair[place] + "\n" for pair in splits[split])
            (folder / f"{name}.{language}").write_text(text, encoding="utf-8")


def write_files(folder: Path) -> None:
    """The same text as files of other formats."""
    splits = grammar.generate(seed=2, train=300, validation=12, test=12)
    (folder / "shards").mkdir()
    for shard in range(3):
        records = [json.dumps({"en": en, "de": de}) + "\n" for en, de in splits["train"][shard::3]]
        (folder / f"shards/train-{shard}.jsonl.gz").write_bytes(gzip.compress("".join(records).encode()))
    side = '<tuv xml:lang="{}"><seg>{}</seg></tuv>'
    units = [f"<tu>{side.format('en-US', en)}{side.format('de-DE', de)}</tu>" for en, de in splits["validation"]]
    (folder / "dev.tmx").write_text(f'<tmx version="1.4"><body>{"".join(units)}</body></tmx>', encoding="utf-8")
    lines = [f"{en}\t{de}\n" for en, de in splits["test"]]
    (folder / "test.tsv").write_text("".join(lines), encoding="utf-8")
    crawl = [f"0.9\thttps://example.org\t{en}\t{de}\n" for en, de in splits["train"]]
    (folder / "crawl.tsv.gz").write_bytes(gzip.compress("".join(crawl).encode()))


def write_program(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def type_in(block: str, folder: Path) -> str:
    """Run a block as a shell would; return what it printed."""
    environment = {
        **os.environ,
        "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(folder),
        "SEQ2SEQ_DATA": str(folder / "corpora"),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.slow
def test_every_command_runs_and_gives_what_the_page_says(workshop: Path) -> None:
    printed = {block: type_in(block, workshop) for block in blocks("sh")}

    run = workshop / "runs/first"
    resumed = next(text for block, text in printed.items() if "max_epochs=" in block)
    assert "Going on from step 4" in resumed
    assert {"config.json", "log.jsonl", "tensorboard", "checkpoints", "evaluation"} <= {
        path.name for path in run.iterdir()
    }

    for evaluation in (run / "evaluation/test", run / "greedy"):
        scores = json.loads((evaluation / "scores.json").read_text(encoding="utf-8"))
        assert set(scores) == {key for cell in table("key in `scores.json`") for key in code(cell)}
        assert all(set(scores[key]) == {"score", "signature", "confidence"} for key in ("bleu", "chrf", "ter"))
        assert "<html" in (evaluation / "report.html").read_text(encoding="utf-8")
        assert (evaluation / "report.md").is_file()
        assert len((evaluation / "translations.jsonl").read_text(encoding="utf-8").splitlines()) == 12

    comparison = json.loads((workshop / "runs/attention_comparison/table.json").read_text(encoding="utf-8"))
    assert {(cell["seeds"], cell["wanted"]) for cell in comparison["cells"]} == {(2, 2)}

    assert "| dot | softmax |" in (workshop / "runs/attention.md").read_text(encoding="utf-8")

    files = {name for cell in table("file") for name in code(cell)} - {"source.model", "target.model"}
    assert {path.name for path in (run / "checkpoints/best").iterdir()} == files

    translations = (workshop / "translations.txt").read_text(encoding="utf-8")
    on_the_terminal = next(text for block, text in printed.items() if "translate.py checkpoint=runs/first" in block)
    for text in (translations, on_the_terminal):
        assert text.count("\n") == 3
        assert text.split("\n")[1] == ""

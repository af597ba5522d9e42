"""The house as it is built: imports go one way, heavy libraries stay where they belong, files stay short."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tokenize
from fnmatch import fnmatch
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import seq2seq

PACKAGE = Path(seq2seq.__file__).resolve().parent
LONGEST_FILE = 320

# A module imports only from rows above its own.
ORDER = [
    "errors",
    "terminal",
    "disk",
    "disk.replacing",
    "disk.plainjson",
    "disk.lock",
    "config",
    "spelling",
    "runtime",
    "memory",
    "signals",
    "distributed",
    "distributed.sharding",
    "distributed.places",
    "distributed.watching",
    "distributed.processes",
    "dropout",
    "feed_forward",
    "growing",
    "data.formats*",
    "data.model_trial",
    "data.model_check",
    "data.model_fields",
    "data.processes",
    "data.tokenizer",
    "data.given",
    "data.alignment",
    "data.grammar*",
    "data.corpora*",
    "data.reservoir",
    "data.characters",
    "data.hashing",
    "data.language",
    "data.repeats",
    "data.filters",
    "data.cleaning",
    "data.progress",
    "data.sequences",
    "data.statistics",
    "data.encoding",
    "data.manifest",
    "data.store",
    "data.folders",
    "data.portion",
    "data.prepare",
    "data.mixing",
    "data.segmentation.table",
    "data.segmentation.inventory",
    "data.segmentation.segmenter",
    "data.segmentation.*",
    "data.segmentation",
    "data.cutting",
    "data.batching",
    "data.sampling",
    "attention.kernels",
    "attention.normalizers",
    "attention.scores",
    "attention.windows",
    "attention.core",
    "layers",
    "encoders.base",
    "encoders.*",
    "decoders.base",
    "decoders.*",
    "model",
    "losses",
    "objectives",
    "flops",
    "optim",
    "upgrades",
    "checkpoint.snapshot",
    "checkpoint.writing",
    "checkpoint.files",
    "checkpoint.tensors",
    "checkpoint.shape",
    "checkpoint.reading",
    "checkpoint.kept",
    "checkpoint.averaging",
    "checkpoint",
    "search.scorer",
    "search.base",
    "search.rules",
    "search.chain",
    "search.coverage",
    "search.finished",
    "search.greedy",
    "search.beam",
    "search.utility",
    "search.*",
    "search",
    "translation",
    "translation.splitting",
    "translation.parts",
    "restoring",
    "translation.translator",
    "translation.ensemble",
    "evaluation.*",
    "data_report",
    "training.compiling",
    "training.recomputing",
    "training.config",
    "training.state",
    "training.utilisation",
    "training.log",
    "training.spreading",
    "training.gradients",
    "training.limits",
    "training.learner",
    "training.budget",
    "training.saving",
    "training.following",
    "training.trainer",
    "training.validation",
    "runs",
    "runs.config",
    "runs.folder",
    "runs.sharing",
    "commands",
    "commands.evaluate",
    "commands.inputs",
    "commands.meter",
    "translation.linking",
    "commands.outputs",
    "commands.interactive",
    "commands.translate",
    "commands.average",
    "commands.score",
    "export.description",
    "export.engine",
    "export.ctranslate2",
    "export.huggingface",
    "export.check",
    "export.command",
    "runs.preparation",
    "runs.finetuning",
    "assembly",
    "run",
    "comparison.runs",
    "comparison.table",
    "comparison.plan",
    "comparison.command",
    "benchmark.timing",
    "benchmark.table",
    "benchmark.*",
    "benchmark.command",
    "commandline.composed",
    "commandline.resuming",
    "commandline.mistakes",
    "commandline.unheeded",
    "cli",
    "faults.outcome",
    "faults.sealing",
    "faults.warm",
    "faults.contained",
    "faults.trials",
    "faults.*",
    "faults.command",
]

# Rows whose modules may import each other, though never in a circle; in all others they are alternatives.
FAMILIES = {"data.formats*", "data.grammar*", "data.corpora*", "evaluation.*"}

# Packages that hold nothing but their modules.
SHELLS = {
    "",
    "attention",
    "benchmark",
    "commandline",
    "comparison",
    "data",
    "encoders",
    "decoders",
    "evaluation",
    "export",
    "faults",
    "training",
}

# Of the rooms of data, those that make tensors; all others serve to prepare it.
WITH_TORCH = {"data.batching", "data.sampling"}


def name_of(path: Path) -> str:
    """``attention/core.py`` -> ``attention.core``; the package's own file is named like the package."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}
MODULES = sorted(FILES.keys() - SHELLS)
PATHS = {str(path.relative_to(PACKAGE).with_suffix("")) for path in PACKAGE.rglob("*.py")} - {
    str(path.relative_to(PACKAGE).with_suffix("")) for path in PACKAGE.glob("*/**/__init__.py")
}


def rank(module: str) -> int:
    """The first row that a module matches by its full name, else by a pattern."""
    if module in ORDER:
        return ORDER.index(module)
    rows = [number for number, row in enumerate(ORDER) if fnmatch(module, row)]
    assert rows, f"{module} has no row in ORDER"
    return rows[0]


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(FILES[module].read_text(encoding="utf-8"))


def imported(node: ast.AST, module: str) -> set[str]:
    """Full names of the modules that an import statement of ``module`` names."""
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names}
    if not isinstance(node, ast.ImportFrom):
        return set()
    base = node.module or ""
    if node.level:  # a relative import
        levels = node.level - (FILES[module].name == "__init__.py")
        package = f"seq2seq.{module}".rsplit(".", levels)[0] if levels else f"seq2seq.{module}"
        base = f"{package}.{base}".rstrip(".")
    inner = {f"{base}.{alias.name}" for alias in node.names}
    return {name for name in inner if name.removeprefix("seq2seq.") in FILES and name != base} or {base}


@cache
def imports(module: str, *, at_start: bool) -> frozenset[str]:
    """What a module imports, anywhere in it or as soon as it is imported itself."""
    found: set[str] = set()
    for node in tree(module).body if at_start else ast.walk(tree(module)):
        found |= imported(node, module)
    return frozenset(found)


def own(names: frozenset[str]) -> set[str]:
    """Those of our modules that are among ``names``, without the package's name."""
    return {name.removeprefix("seq2seq.") for name in names if name.startswith("seq2seq.")} - SHELLS


@cache
def reached(module: str) -> frozenset[str]:
    """Names of all libraries that importing a module imports, through whatever modules."""
    seen: set[str] = set()
    libraries: set[str] = set()
    waiting = [module]
    while waiting:
        current = waiting.pop()
        if current in seen:
            continue
        seen.add(current)
        names = imports(current, at_start=True)
        libraries |= {name.partition(".")[0] for name in names}
        waiting += own(names)
    return frozenset(libraries)


def test_every_row_of_the_order_has_a_module() -> None:
    assert {row for row in ORDER if not any(fnmatch(module, row) for module in MODULES)} == set()


def test_the_table_of_rooms_tells_of_every_module_and_of_no_other() -> None:
    text = (PACKAGE.parent / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")
    told: set[str] = set()
    for names, duty in re.findall(r"^\| (`.*?) \| (.*) \|$", text, re.MULTILINE):
        folders = re.findall(r"`([\w/]+/)`", names)
        files = re.findall(r"`([\w/]+)\.py`", names + duty)
        assert [name for name in files if not any(f"{path}{name}" in PATHS for path in ("", *folders))] == []
        told |= {f"{folder}{name}" for folder in ("", *folders) for name in files}
        told |= {path for path in PATHS if not files and path.startswith(tuple(folders))}
    assert PATHS - told == set()


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_what_stands_before_it(module: str) -> None:
    row = rank(module)
    for other in own(imports(module, at_start=False)):
        family = rank(other) == row and ORDER[row] in FAMILIES
        assert rank(other) < row or family, f"{module} must not import {other}"


def test_no_import_goes_in_a_circle() -> None:
    graph = {module: own(imports(module, at_start=False)) - {module} for module in MODULES}
    assert set(TopologicalSorter(graph).static_order()) == set(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_an_import_inside_a_function_says_why(module: str) -> None:
    lines = FILES[module].read_text(encoding="utf-8").splitlines()
    top = {id(node) for node in tree(module).body}
    for node in ast.walk(tree(module)):
        if isinstance(node, (ast.Import, ast.ImportFrom)) and id(node) not in top:
            above, line = lines[node.lineno - 2].strip(), lines[node.lineno - 1]
            assert above.startswith("#") or "#" in line, f"{FILES[module]}:{node.lineno}: {line.strip()}"


SILENCED = re.compile(r"# (noqa|type: ignore)")
REASONED = re.compile(r"# (noqa: [A-Z0-9, ]+|type: ignore\[[a-z, -]+\])(  # | - )\w.*")


@pytest.mark.parametrize("place", ["seq2seq", "tests", "scripts"])
def test_a_check_that_is_silenced_says_why(place: str) -> None:
    paths = sorted((PACKAGE.parent / place).rglob("*.py"))
    assert paths
    for path in paths:
        with path.open("rb") as file:
            comments = [token for token in tokenize.tokenize(file.readline) if token.type == tokenize.COMMENT]
        for comment in comments:
            silent = SILENCED.match(comment.string) and not REASONED.fullmatch(comment.string)
            assert not silent, f"{path}:{comment.start[0]}: {comment.string}"


@pytest.mark.parametrize("module", [module for module in MODULES if module.startswith("data.")])
def test_data_is_prepared_without_torch(module: str) -> None:
    assert ("torch" in reached(module)) == (module in WITH_TORCH), f"{module} and torch"


@pytest.mark.parametrize("module", MODULES)
def test_nothing_needs_the_corpus_libraries_to_be_imported(module: str) -> None:
    assert reached(module).isdisjoint({"datasets", "pyarrow", "pandas"})


@pytest.mark.parametrize("module", MODULES)
def test_nothing_needs_the_drawing_library_to_be_imported(module: str) -> None:
    assert "matplotlib" not in reached(module)


def test_configurations_are_read_without_hydra() -> None:
    assert {module for module in MODULES if {"hydra", "omegaconf"} & reached(module)} == {
        "commandline.composed",
        "commandline.resuming",
        "commandline.mistakes",
        "commandline.unheeded",
        "cli",
    }


@pytest.mark.slow
def test_training_imports_neither_datasets_nor_pyarrow() -> None:
    code = "import sys, seq2seq.run; print([m for m in ('datasets', 'pyarrow', 'pandas') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("module", sorted(FILES))
def test_a_file_can_be_read_at_one_sitting(module: str) -> None:
    assert len(FILES[module].read_text(encoding="utf-8").splitlines()) <= LONGEST_FILE


@pytest.mark.parametrize("module", MODULES)
def test_nothing_is_pickled_and_no_text_is_run_as_code(module: str) -> None:
    assert "pickle" not in reached(module)
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in {"eval", "exec"}, f"{FILES[module]}:{node.lineno}"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in {"load", "save"}:
            assert not (isinstance(node.func.value, ast.Name) and node.func.value.id == "torch")

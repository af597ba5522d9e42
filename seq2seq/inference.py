"""Commands that use a checkpoint: evaluate it, translate with it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch

from seq2seq import checkpoint
from seq2seq.config import Component, Values, parse
from seq2seq.data.alignment import read_alignments
from seq2seq.data.corpora import Corpus
from seq2seq.data.corpora.sacrebleu_sets import load_test_set
from seq2seq.data.formats import read_lines
from seq2seq.errors import ConfigError, DataError
from seq2seq.evaluation.evaluate import TestSet, evaluate_translator
from seq2seq.evaluation.report import summary_lines, write_report
from seq2seq.log import read_log, say, warn
from seq2seq.runtime import DeviceName, describe_device
from seq2seq.search import SearchConfig
from seq2seq.translate import TRUSTED, Translation, Translator

PARTS = ("encoder", "attention", "self_attention", "decoder", "objective", "optimizer", "scheduler")
"""Components that a report describes."""


@dataclass(frozen=True)
class EvaluateConfig:
    """What to evaluate, on what.

    Attributes:
        checkpoint: a run folder (its best checkpoint) or one checkpoint.
        split: split of the corpus; null for ``test``.
        data: another corpus than the one the model was trained on; null for that one.
        testset: instead of a corpus and its split, a test set by its name in sacreBLEU, such as ``wmt14/full``.
        alignments: a file of word alignments of the split in Pharaoh format, one line a pair; null for the corpus's
            own, if it has any.
        search: how to translate.
        device: where to compute.
        output: folder of the report; null for one in ``evaluation/`` in the run folder, named after the test set.
        allow_code: packages beside seq2seq whose classes the checkpoint may name.
    """

    checkpoint: str
    split: str | None
    data: Component[Corpus] | None
    testset: str | None
    alignments: str | None
    search: SearchConfig
    device: DeviceName
    output: str | None
    allow_code: Sequence[str]

    def __post_init__(self) -> None:
        if self.testset is None:
            return
        beside = {"data": self.data and self.data.target.__name__, "split": self.split}
        mistakes = [
            f"`{key}` must not be given beside `testset`, which is a test set by itself, but is {value!r}"
            for key, value in beside.items()
            if value is not None
        ]
        if mistakes:
            raise ConfigError(mistakes)


@dataclass(frozen=True)
class TranslateConfig:
    """What to translate, with what.

    Attributes:
        checkpoint: a run folder (its best checkpoint) or one checkpoint.
        input: a text file, one sentence a line; null for standard input.
        output: where translations go; null for standard output.
        format: ``text`` is the best translation of each line, ``jsonl`` all ``search.n_best`` with their scores.
        search: how to translate.
        device: where to compute.
        allow_code: packages beside seq2seq whose classes the checkpoint may name.
    """

    checkpoint: str
    input: str | None
    output: str | None
    format: Literal["text", "jsonl"]
    search: SearchConfig
    device: DeviceName
    allow_code: Sequence[str]


def evaluate(config: EvaluateConfig, values: Values) -> Path:
    """Evaluate a checkpoint and return the path of the report.

    Raises:
        UserError: the checkpoint, the corpus, the split, the test set or its alignments cannot be used.
    """
    folder = checkpoint.locate(Path(config.checkpoint))
    trained = checkpoint.load(folder).config
    if config.testset is None:
        test, name = corpus_test_set(config, trained["settings"]["data"])
    else:
        test, name = named_test_set(config.testset, *trained["languages"]), config.testset.replace("/", "_")
    if config.alignments is not None:
        pairs = zip(test.sources, test.references, strict=True)
        test = replace(test, alignments=list(read_alignments(config.alignments, pairs, swapped=False)))
    if test.alignments is not None and not any(test.alignments):
        raise DataError(
            f"`alignments` must hold links, but those of {test.split} have none; remove them or give others"
        )
    output = Path(config.output) if config.output else (run_of(folder) or folder) / "evaluation" / name
    return report_on(folder, test, config.search, config.device, config.allow_code, output)


def corpus_test_set(config: EvaluateConfig, trained: Values) -> tuple[TestSet, str]:
    """Return a split of a corpus, and the name of its report.

    Args:
        config: which split, and which corpus, if not that of the training.
        trained: settings of the corpus of the training.
    """
    if config.data is not None:
        corpus = config.data()
    else:
        corpus = parse(_DataOnly, {"data": trained}, allowed=(TRUSTED, *config.allow_code)).data()
    split = corpus.resolve(config.split or "test")
    pairs = list(corpus.pairs(split))
    if not pairs:
        raise DataError(f"`split` must have sentences, but {split} of {corpus.describe()} has none")
    links = corpus.alignments(split) if config.alignments is None else None
    test = TestSet(
        split=split,
        source_language=corpus.source,
        target_language=corpus.target,
        sources=[source for source, _ in pairs],
        references=[target for _, target in pairs],
        alignments=None if links is None else list(links),
    )
    # The scores of a corpus the model was not trained on must not take the place of its own.
    return test, split if config.data is None else f"{corpus.name}-{split}"


def named_test_set(name: str, source: str, target: str) -> TestSet:
    """Return a test set by its name in sacreBLEU; see :func:`load_test_set` for errors."""
    found = load_test_set(name, source, target)
    return TestSet(
        split=name,
        source_language=source,
        target_language=target,
        sources=[sentence for sentence, _ in found.pairs],
        references=[reference for _, reference in found.pairs],
        origin=found.origin,
    )


def run_of(folder: Path) -> Path | None:
    """Return the run folder that a checkpoint lies in; None for one that was copied elsewhere."""
    return folder.parent.parent if folder.parent.name == "checkpoints" else None


@dataclass(frozen=True)
class _DataOnly:
    data: Component[Corpus]


def report_on(
    path: Path,
    test: TestSet,
    search: SearchConfig,
    device: DeviceName,
    allow_code: Sequence[str] | None,
    output: Path,
) -> Path:
    """Translate a test set, score it, write the report and print the scores."""
    folder = checkpoint.locate(path)
    snapshot = checkpoint.load(folder)
    languages = tuple(snapshot.config["languages"])
    if languages != (test.source_language, test.target_language):
        raise DataError(
            f"`data` must be {languages[0]}-{languages[1]}, the direction of the checkpoint, "
            f"but is {test.source_language}-{test.target_language} instead"
        )
    translator = Translator.restore(snapshot, device, allow_code, warn)
    run = run_of(folder)
    say(f"Translating and scoring {len(test.sources):,} sentences with {folder}")
    evaluation = evaluate_translator(
        translator,
        test,
        search,
        history=read_log(run) if run else [],
        facts=facts_of(folder, snapshot, translator),
    )
    report = write_report(evaluation, output)
    for line in summary_lines(evaluation):
        say(line)
    say(f"Report: {report}")
    return report


def described(settings: Any) -> str:
    """Return a component's settings as its class with its arguments, however deep."""
    if not isinstance(settings, dict):
        return json.dumps(settings, ensure_ascii=False)
    given = ", ".join(f"{key}={described(value)}" for key, value in settings.items() if key != "_target_")
    name = str(settings.get("_target_", "")).rpartition(".")[2]
    return f"{name}({given})" if given else name


def facts_of(folder: Path, snapshot: checkpoint.Snapshot, translator: Translator) -> dict[str, str]:
    """Return what a reader of the report wants to know about the model."""
    settings = snapshot.config["settings"]
    device = next(translator.model.parameters()).device
    return {
        "checkpoint": str(folder),
        "trained until": f"step {snapshot.metrics['step']}",
        "parameters": f"{translator.model.num_parameters:,}",
        **{part: described(settings[part]) for part in PARTS},
        "data": json.dumps(settings["data"], ensure_ascii=False),
        "data key": str(snapshot.config["data"]),
        "seed": str(settings["seed"]),
        "device": describe_device(device),
        "torch": torch.__version__,
    }


def translate(config: TranslateConfig, values: Values) -> None:
    """Translate a file or standard input, line by line.

    Raises:
        UserError: the checkpoint or a file cannot be used.
    """
    translator = Translator.load(config.checkpoint, device=config.device, allow_code=config.allow_code, warn=warn)
    with output_lines(config.output) as write:
        for found in translator.stream(input_lines(config.input), config.search):
            write(found[0].text if config.format == "text" else json_line(found))


def json_line(found: Sequence[Translation]) -> str:
    """Return the translations of one line, best first, as one line of JSON."""
    return json.dumps({"translations": [translation._asdict() for translation in found]}, ensure_ascii=False)


def input_lines(path: str | None) -> Iterator[str]:
    """Return the lines of a file, checked as any corpus is, or of standard input, forgiving as a pipe needs."""
    if path is not None:
        return read_lines(path)
    return (line.decode("utf-8", errors="replace").rstrip("\r\n") for line in sys.stdin.buffer)


@contextmanager
def output_lines(path: str | None) -> Iterator[Callable[[str], object]]:
    """Give a function that writes a line to a file or to standard output, always in UTF-8.

    A file gets its name only when all of it is written, so a translation of a file may even go over that file.

    Raises:
        DataError: the file cannot be written.
    """
    if path is None:
        try:
            yield lambda line: sys.stdout.buffer.write(line.encode() + b"\n")
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise DataError(f"standard output cannot be written: {error.strerror}") from error
        return
    unfinished = Path(f"{path}.unfinished")
    try:
        with unfinished.open("wb") as file:
            yield lambda line: file.write(line.encode() + b"\n")
        os.replace(unfinished, path)
    except OSError as error:
        raise DataError(f"`output` must be a file that can be written, but is not: {error}") from error
    finally:
        unfinished.unlink(missing_ok=True)

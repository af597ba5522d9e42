"""The command that evaluates: from a checkpoint and a test set to a report."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from seq2seq import checkpoint
from seq2seq.config import Component, Values, parse, without_unit
from seq2seq.data.alignment import read_alignments
from seq2seq.data.corpora import Corpus
from seq2seq.data.corpora.sacrebleu_sets import load_test_set
from seq2seq.errors import ConfigError, DataError, listing
from seq2seq.evaluation.evaluate import TestSet, evaluate_translator
from seq2seq.evaluation.report import summary_lines, write_report
from seq2seq.model import Seq2SeqModel
from seq2seq.restoring import TRUSTED, Direction, directions_of
from seq2seq.runs.folder import leaves, run_of
from seq2seq.runtime import DeviceName, Precision, describe_device
from seq2seq.search import Search, settings_of
from seq2seq.terminal import say, warn
from seq2seq.training.log import read_log
from seq2seq.translation.ensemble import Found, read_each, restored_together

LONGEST_NAME = 150
"""Characters of a folder's name that tell of another search."""


@dataclass(frozen=True)
class EvaluateConfig:
    """What to evaluate, on what.

    Attributes:
        checkpoint: a run folder (its best checkpoint) or one checkpoint; a list of them is evaluated as an ensemble.
        split: split of the corpus; null for ``test``. For a mixture it means that split of each portion that has it.
        data: another corpus than the one the model was trained on; null for that one.
        testset: instead of a corpus and its split, a test set by its name in sacreBLEU, such as ``wmt14/full``.
        direction: of that test set, such as ``en-de``, where the model has several; null where it has one.
        alignments: a file of word alignments of the split in Pharaoh format, one line a pair; null for the corpus's
            own, if it has any.
        search: how to translate.
        device: where to compute.
        precision: ``auto`` takes bfloat16 where it pays; see :func:`seq2seq.restoring.decoding_precision`.
        output: folder of the report; null for one in ``evaluation/`` in the run folder, for an ensemble that of the
            first one, named after the test set.
        allow_code: packages beside seq2seq whose classes the checkpoint may name.
    """

    checkpoint: Sequence[str] | str
    split: str | None
    data: Component[Corpus] | None
    testset: str | None
    direction: str | None
    alignments: str | None
    search: Search
    device: DeviceName
    precision: Precision
    output: str | None
    allow_code: Sequence[str]

    def __post_init__(self) -> None:
        if self.testset is None:
            if self.direction is not None:
                raise ConfigError(
                    "`direction` must be null where there is no `testset`, because a corpus has its own "
                    f"(data.source and data.target), but is {self.direction!r} instead"
                )
            return
        beside = {"data": self.data and self.data.target.__name__, "split": self.split}
        mistakes = [
            f"`{key}` must be null beside `testset`, which is a test set by itself, but is {value!r} instead"
            for key, value in beside.items()
            if value is not None
        ]
        if mistakes:
            raise ConfigError(mistakes)


def evaluate(config: EvaluateConfig, values: Values) -> list[Path]:
    """Evaluate a checkpoint and return the path of each report.

    Raises:
        UserError: the checkpoint, the corpus, the split, the test set or its alignments cannot be used.
    """
    for words in config.search.remarks():
        warn(words)
    paths = [config.checkpoint] if isinstance(config.checkpoint, str) else config.checkpoint
    checkpoints = list(read_each(paths, warn))
    directions = directions_of(checkpoints[0].snapshot)
    if config.testset is None:
        trained = checkpoints[0].snapshot.config["settings"].get("data")
        tests = corpus_test_sets(config, trained, len(directions) > 1)
    else:
        into = f"-{config.direction}" if len(directions) > 1 else ""
        tests = {config.testset.replace("/", "_") + into: named_test_set(config, directions)}
    if config.alignments is not None:
        if len(tests) > 1:
            raise ConfigError(
                f"`alignments` must belong to one split, but {listing(tests)} are to be evaluated; give one as split"
            )
        [(name, test)] = tests.items()
        pairs = zip(test.sources, test.references, strict=True)
        tests = {name: replace(test, alignments=list(read_alignments(config.alignments, pairs, swapped=False)))}
    for test in tests.values():
        if test.alignments is not None and not any(test.alignments):
            raise DataError(
                f"`alignments` must hold links, but those of {test.split} have none; remove them or give others"
            )
    report = Reporter(checkpoints, config.search, config.device, config.precision, config.allow_code)
    return [report(test, place_of_report(config, checkpoints, name, len(tests))) for name, test in tests.items()]


def place_of_report(config: EvaluateConfig, checkpoints: Sequence[Found], name: str, tests: int) -> Path:
    """Return the folder of a report, that of the run's own scores only for its best checkpoint and its own search.

    Args:
        config: what was asked for.
        checkpoints: what is evaluated, as one.
        name: of the test set.
        tests: how many there are.
    """
    if config.output:
        return Path(config.output) / name if tests > 1 else Path(config.output)
    folder, snapshot = checkpoints[0]
    run = run_of(folder)
    if len(checkpoints) > 1:
        members = "\n".join(str(one.folder.resolve()) for one in checkpoints)
        name += f"-ensemble-of-{len(checkpoints)}-{hashlib.sha256(members.encode()).hexdigest()[:8]}"
    if run is None:
        return folder / "evaluation" / name
    if folder != (run / "checkpoints" / "best").resolve():
        name += f"-{folder.name}"
    return run / "evaluation" / f"{name}{other_search(config.search, snapshot.config['settings'].get('search', {}))}"


def other_search(search: Search, own: Values) -> str:
    """Return what tells a search from the one that a run has of its own; nothing where they are alike."""
    settings = leaves(own)
    words = ""
    for key, value in settings_of(search).items():
        place, _, name = key.rpartition(".")
        if name == "max_tokens" or without_unit(settings.get(key)) == value:
            continue
        if name == "_target_":
            words += f"{place and f'-{place}'}-{str(value).rpartition('.')[2].lower()}"
        else:
            words += f"-{key}-{value}"
    if len(words) > LONGEST_NAME:  # a file system takes 255 bytes at most
        words = f"-{type(search).__name__.lower()}-{hashlib.sha256(words.encode()).hexdigest()[:12]}"
    return words


def corpus_test_sets(config: EvaluateConfig, trained: Values | None, several: bool) -> dict[str, TestSet]:
    """Return the splits of a corpus that are asked for, by the name of their report.

    Args:
        config: which split, and which corpus, if not that of the training.
        trained: settings of the corpus of the training.
        several: whether the model has several directions, so that the name of a corpus does not tell which.
    """
    if config.data is not None:
        corpus = config.data()
    else:
        corpus = parse(_DataOnly, {"data": trained}, allowed=(TRUSTED, *config.allow_code)).data()
    # The scores of a corpus the model was not trained on must not take the place of its own.
    of = "" if config.data is None else f"{corpus.name}-"
    into = "" if config.data is None or not several else f"-{corpus.source}-{corpus.target}"
    return {
        f"{of}{split}{into}": split_of(corpus, split, config.alignments is None)
        for split in corpus.resolve_all(config.split or "test")
    }


def split_of(corpus: Corpus, split: str, with_alignments: bool) -> TestSet:
    """Return a split of a corpus, with its own alignments if those are wanted."""
    pairs = list(corpus.pairs(split))
    if not pairs:
        raise DataError(f"`split` must have sentences, but {split} of {corpus.describe()} has none")
    links = corpus.alignments(split) if with_alignments else None
    source, target = corpus.languages(split)
    return TestSet(
        split=split,
        source_language=source,
        target_language=target,
        sources=[source for source, _ in pairs],
        references=[target for _, target in pairs],
        alignments=None if links is None else list(links),
    )


def named_test_set(config: EvaluateConfig, directions: Sequence[Direction]) -> TestSet:
    """Return a test set by its name in sacreBLEU; see :func:`load_test_set` for errors."""
    assert config.testset is not None
    known = {f"{source}-{target}": (source, target) for source, target in directions}
    wanted = config.direction or (next(iter(known)) if len(known) == 1 else None)
    if wanted not in known:
        given = "null" if wanted is None else repr(wanted)
        raise ConfigError(f"`direction` must be one of {listing(known)}, but is {given} instead")
    source, target = known[wanted]
    found = load_test_set(config.testset, source, target)
    return TestSet(
        split=config.testset,
        source_language=source,
        target_language=target,
        sources=[sentence for sentence, _ in found.pairs],
        references=[reference for _, reference in found.pairs],
        origin=found.origin,
    )


@dataclass(frozen=True)
class _DataOnly:
    data: Component[Corpus]


class Reporter:
    """Translates test sets with one checkpoint or several as one, scores them, writes reports and prints the scores.

    Args:
        checkpoints: at least one.
        search: how to translate.
        device: where to compute.
        precision: see :class:`EvaluateConfig`.
        allow_code: see :class:`EvaluateConfig`; None trusts the checkpoints wholly, as one's own run.
    """

    def __init__(
        self,
        checkpoints: Sequence[Found],
        search: Search,
        device: DeviceName,
        precision: Precision,
        allow_code: Sequence[str] | None,
    ) -> None:
        self.folders, self.search = [folder for folder, _ in checkpoints], search
        self.translator, self.directions = restored_together(checkpoints, device, allow_code, warn, precision)
        own = [facts_of(*one, model) for one, model in zip(checkpoints, self.translator.models, strict=True)]
        keys = dict.fromkeys(key for facts in own for key in facts)
        self.facts = {key: " | ".join(dict.fromkeys(facts.get(key, "none") for facts in own)) for key in keys}
        if len(own) > 1:
            self.facts["ensemble"] = f"mean of the probabilities of {len(own)} models; attention is the first one's"

    def __call__(self, test: TestSet, output: Path) -> Path:
        """Evaluate on one test set and return the path of the report, in the folder ``output``.

        Raises:
            DataError: the model translates in another direction.
        """
        if (test.source_language, test.target_language) not in self.directions:
            known = listing(f"{source}-{target}" for source, target in self.directions)
            raise DataError(
                f"`data` must be {known}, {'the direction' if len(self.directions) == 1 else 'a direction'} of the "
                f"checkpoint, but is {test.source_language}-{test.target_language} instead"
            )
        run = run_of(self.folders[0]) if len(self.folders) == 1 else None
        models = " and ".join(map(str, self.folders))
        say(f"Translating and scoring {len(test.sources):,} sentences of {test.split} with {models}")
        evaluation = evaluate_translator(
            self.translator,
            test,
            self.search,
            history=read_log(run) if run else [],
            facts=self.facts,
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


def facts_of(folder: Path, snapshot: checkpoint.Snapshot, model: Seq2SeqModel) -> dict[str, str]:
    """Return what a reader of the report wants to know about the model."""
    settings = snapshot.config["settings"]
    averaged = snapshot.metrics.get(checkpoint.AVERAGED)
    numbers = next(model.parameters())
    return {
        "checkpoint": str(folder),
        "trained until": f"step {snapshot.metrics.get('step', 'unknown')}",
        **({"average of": described(averaged)} if averaged else {}),
        "parameters": f"{model.num_parameters:,}",
        **{name: described(part) for name, part in settings.items() if isinstance(part, dict) and name != "search"},
        "data key": str(snapshot.config.get("data", "unknown")),
        "seed": str(settings.get("seed", "unknown")),
        "device": describe_device(numbers.device),
        "precision": str(numbers.dtype).removeprefix("torch."),
        "torch": torch.__version__,
    }

"""What is measured while a model trains: loss and BLEU on the validation splits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from itertools import zip_longest
from statistics import fmean
from typing import Any, NamedTuple, TypedDict, TypeVar

import numpy as np
import torch

from seq2seq.data.batching import Batch, batches_in_order, make_batch
from seq2seq.data.corpora import VALIDATION
from seq2seq.data.sequences import Sequences
from seq2seq.data.store import PreparedData
from seq2seq.distributed.processes import Processes
from seq2seq.errors import CheckpointError
from seq2seq.evaluation.metrics import corpus_bleu
from seq2seq.objectives import Objective
from seq2seq.runtime import autocast, is_out_of_memory
from seq2seq.search import Beam, Greedy, PieceSearch, Search
from seq2seq.training.config import TrainerConfig
from seq2seq.training.gradients import halved
from seq2seq.training.state import Validation
from seq2seq.translation.translator import Translator

T = TypeVar("T")


class _StoppedError(Exception):
    """The run has been asked to stop."""


class _Part(TypedDict):
    """What one of several processes has found: plain values, for the others.

    Attributes:
        stopped: whether it has given up.
        error: what was wrong with the model, if anything.
        sums: negative log-likelihood and target pieces of each split.
        translations: of every so-manieth sentence of each split.
    """

    stopped: bool
    error: str | None
    sums: list[tuple[float, int]]
    translations: list[list[str]]


def validation_search(search: Search, beam: int) -> Search:
    """Return how to translate while training, greedily or with a beam, whatever the search of the run is.

    Validation has to be quick and without chance. Limits and rules are those of the run, and so are the penalties of
    a beam, where it has them.
    """
    own = search.over_pieces
    if beam > 1 and isinstance(own, Beam):
        return replace(own, beam_size=beam, n_best=1)
    shared: dict[str, Any] = {field.name: getattr(own, field.name) for field in fields(PieceSearch)}
    if beam == 1:
        return Greedy(**shared)
    plain: dict[str, Any] = {
        "length_penalty": 1.0,
        "length_normalization": "average",
        "coverage_penalty": 0.0,
        "patience": None,
    }
    penalties = {name: getattr(own, name, value) for name, value in plain.items()}
    return Beam(**shared, **penalties, beam_size=beam, n_best=1)


class Validator:
    """Measures a model on the validation splits, translating by the same path as ``evaluate``.

    A mixture has one for each portion that brings one. The loss is that of all their pieces together, BLEU the mean
    over the splits. Several processes share the sentences, and all of them get the same result.

    Args:
        translator: the model in training, with its tokenizers.
        objective: gives the loss.
        data: has the splits, as ids and as raw text.
        config: how much to translate and show.
        search: how the run translates; see :func:`validation_search`.
        precision: of matrix products in the loss, and of the copy of the model that translates.
        processes: who shares the sentences.
    """

    def __init__(
        self,
        translator: Translator,
        objective: Objective,
        data: PreparedData,
        config: TrainerConfig,
        search: Search,
        precision: torch.dtype,
        processes: Processes,
    ) -> None:
        self.translator, self.objective, self.precision = translator, objective, precision
        self.processes = processes
        self.ids = [data.ids(split) for split in data.resolve_all(VALIDATION)]
        self.tests = [_Test.of(data, split, config.validation_sentences) for split in data.resolve_all(VALIDATION)]
        self.search = validation_search(search, config.validation_beam)
        self.max_tokens = config.token_budget
        self.samples = config.samples

    @torch.no_grad()
    def __call__(self, stopping: Callable[[], bool]) -> Validation | None:
        """Measure the model as it is now; it is left in evaluation mode.

        Args:
            stopping: asked before each batch whether to give up.

        Returns:
            None where it was given up.

        Raises:
            CheckpointError: the model gives numbers that are none.
        """
        self.translator.model.eval()
        self.objective.eval()
        try:
            parts = self.processes.gathered(self._part(stopping))
        finally:
            self.objective.train()
        for part in parts:
            if part["error"] is not None:
                raise CheckpointError(part["error"])
        return None if any(part["stopped"] for part in parts) else self._joined(parts)

    def _part(self, stopping: Callable[[], bool]) -> _Part:
        """Measure what is this process's to measure. What goes wrong with the model, all must get to know."""
        part = _Part(stopped=False, error=None, sums=[], translations=[])
        try:
            part["sums"] = [self._loss(source, target, stopping) for source, target in self.ids]
            if self.tests[0].sentences:
                part["translations"] = [self._translated(test, stopping) for test in self.tests]
        except _StoppedError:
            part["stopped"] = True
        except CheckpointError as error:
            part["error"] = str(error)
        return part

    def _joined(self, parts: Sequence[_Part]) -> Validation:
        sums = [split for part in parts for split in part["sums"]]
        loss = sum(nll for nll, _ in sums) / max(1, sum(tokens for _, tokens in sums))
        if not self.tests[0].sentences:
            return Validation(loss, None, {}, ())
        found = [
            (test, in_turn([part["translations"][place] for part in parts])) for place, test in enumerate(self.tests)
        ]
        scores = {
            test.split: corpus_bleu(translations, test.references, target_language=test.target)
            for test, translations in found
        }
        each, more = divmod(self.samples, len(found))
        samples = [
            sample
            for place, (test, translations) in enumerate(found)
            for sample in _spread(test, translations, each + (place < more))
        ]
        several = scores if len(scores) > 1 else {}
        return Validation(loss, fmean(scores.values()), several, tuple(samples))

    def _loss(self, source: Sequences, target: Sequences, stopping: Callable[[], bool]) -> tuple[float, int]:
        """Return the negative log-likelihood of this process's target pieces, in nats, and their number."""
        model = self.translator.model
        device = model.device
        total, tokens = 0.0, 0
        batches = batches_in_order(np.maximum(source.lengths, target.lengths) + 1, self.max_tokens)
        for rows in self._share(batches):
            if stopping():
                raise _StoppedError
            batch = make_batch(source, target, rows)
            total += self._nll(batch, device)
            tokens += batch.target_tokens
        return total, tokens

    def _share(self, things: Sequence[T]) -> Sequence[T]:
        """Return what of things that are shared out is this process's."""
        return things[self.processes.rank :: self.processes.count]

    def _nll(self, batch: Batch, device: torch.device) -> float:
        """Return the negative log-likelihood of a batch in nats, of its halves where it does not fit into memory."""
        try:
            with autocast(device, self.precision):
                return float(self.objective(self.translator.model, batch.to(device)).nll)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        return sum(self._nll(half, device) for half in halved(batch))

    def _translated(self, test: _Test, stopping: Callable[[], bool]) -> list[str]:
        def give_up(_: float) -> None:
            if stopping():
                raise _StoppedError

        sentences = self._share(test.sentences)
        translator = self.translator.converted(self.precision)
        return translator.translate(sentences, self.search, test.target, between=give_up)


def in_turn(parts: Sequence[Sequence[str]]) -> list[str]:
    """Return what was dealt out one by one in its order again."""
    rounds = zip_longest(*parts)
    return [thing for each in rounds for thing in each if thing is not None]


def _spread(test: _Test, translations: Sequence[str], count: int) -> list[tuple[str, str, str]]:
    """Return some sentences with references and translations, spread over the split."""
    shown = range(0, len(translations), max(1, len(translations) // max(1, count)))[:count]
    return [(test.sentences[i], test.references[i], translations[i]) for i in shown]


class _Test(NamedTuple):
    """Sentences to translate into a language, and their references."""

    split: str
    target: str
    sentences: list[str]
    references: list[str]

    @classmethod
    def of(cls, data: PreparedData, split: str, most: int) -> _Test:
        sentences, references = (side[:most] for side in data.text(split))
        return cls(split, data.languages(split)[1], sentences, references)

"""The proof of an exported model: it is read back and asked the same as ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from seq2seq.data.batching import Batch, make_batch, pack
from seq2seq.data.tokenizer import EOS, Tokenizer
from seq2seq.errors import CheckpointError
from seq2seq.export.engine import Engine, Ids
from seq2seq.model import Seq2SeqModel
from seq2seq.search import Beam, Request, Scorer
from seq2seq.search.scoring import score_targets

BEAM = 5

LARGEST_ERROR = 1e-3
"""How far the logarithm of a probability may be off in single precision; a hundred times what rounding has shown."""

LEAST_ALIKE = 0.98
"""Share of greedy translations that must be the same in single precision: pieces may be all but equally likely."""

LONGEST_RANDOM = 30
LONGEST_TRANSLATION = 100
SENTENCES_AT_A_TIME = 32


@dataclass(frozen=True)
class Agreement:
    """How an exported model compares with ours.

    Attributes:
        sentences: how many were translated.
        greedy: how many of them are the same by greedy search, piece by piece.
        beam: the same by a beam of :data:`BEAM`. Engines end a beam by rules of their own, and may find others.
        error: the largest difference of the logarithm of the probability of a piece, in our greedy translations.
    """

    sentences: int
    greedy: int
    beam: int
    error: float

    def __str__(self) -> str:
        return (
            f"of {self.sentences} sentences {self.greedy} are translated alike by greedy search and {self.beam} by a "
            f"beam of {BEAM}, and log-probabilities differ by at most {self.error:.1g}"
        )

    def refuse_unless_same(self, format: str) -> None:
        """Refuse a model whose numbers are not ours, though its weights are.

        Raises:
            CheckpointError: says by how much.
        """
        if not self.error <= LARGEST_ERROR or self.greedy < LEAST_ALIKE * self.sentences:  # nor is it NaN
            raise CheckpointError(
                f"the model in format {format} must translate as the checkpoint does, {LEAST_ALIKE:.0%} of sentences "
                f"alike by greedy search and log-probabilities within {LARGEST_ERROR:g}, but {self}; nothing was "
                "written; another version of the library may do better"
            )


def compare(model: Seq2SeqModel, engine: Engine, sources: Sequence[Ids], longest: int) -> Agreement:
    """Translate sentences with both.

    Args:
        model: ours, in evaluation mode, on the processor.
        engine: the exported one.
        sources: sentences.
        longest: pieces of a translation at most, EOS included.
    """
    limit = min(longest, LONGEST_TRANSLATION)
    greedy = beam = 0
    error = torch.zeros(())
    for start in range(0, len(sources), SENTENCES_AT_A_TIME):
        part = sources[start : start + SENTENCES_AT_A_TIME]
        own = translate(model, part, 1, limit)
        greedy += _same(own, engine.translate(part, 1, limit, len(part)))
        beam += _same(translate(model, part, BEAM, limit), engine.translate(part, BEAM, limit, len(part)))
        scores = score_targets(_batch(part, own), model).tolist()
        for ours, theirs in zip(scores, engine.log_probabilities(part, own), strict=True):
            difference = torch.tensor(ours[: len(theirs)]) - torch.tensor(theirs)
            error = torch.maximum(error, difference.abs().max())  # keeps a NaN
    return Agreement(len(sources), greedy, beam, float(error))


def random_sources(tokenizer: Tokenizer, count: int, longest: int) -> list[list[int]]:
    """Return sentences of random pieces, always the same, each with a tag where the model has several languages.

    Args:
        tokenizer: of the source.
        count: how many.
        longest: pieces at most.
    """
    draw = torch.Generator().manual_seed(1)
    tags = list(tokenizer.tags.values())
    first = EOS + 1 + len(tags)
    limit = max(1, min(longest - len(tags[:1]), LONGEST_RANDOM))

    def one() -> list[int]:
        length = int(torch.randint(1, limit + 1, (), generator=draw))
        tag = [tags[int(torch.randint(len(tags), (), generator=draw))]] if tags else []
        return tag + torch.randint(first, tokenizer.vocab_size, (length,), generator=draw).tolist()

    return [one() for _ in range(count)]


def search_of_engines(
    beam: int, longest: int, *, patience: float | None = None, max_tokens: int = 1, max_source_length: int = 1
) -> Beam:
    """Return our search as other engines have it: how long a translation may be does not depend on its source.

    Args:
        beam: K; 1 is greedy search.
        longest: pieces of a translation, EOS included.
        patience: see :class:`Beam`.
        max_tokens: of a batch, where lines are translated and not batches.
        max_source_length: of a line, likewise.
    """
    return Beam(
        beam_size=beam,
        n_best=1,
        length_penalty=1.0,
        length_normalization="average",
        coverage_penalty=0.0,
        patience=patience,
        max_length_ratio=0.0,
        max_length_extra=longest - 1,
        no_repeat_ngram=0,
        repetition_penalty=1.0,
        max_tokens=max_tokens,
        max_source_length=max_source_length,
    )


@torch.inference_mode()
def translate(model: Seq2SeqModel, sources: Sequence[Ids], beam: int, longest: int) -> list[list[int]]:
    """Return our own translations, as :meth:`Engine.translate` gives those of others."""
    search = search_of_engines(beam, longest)
    return [found[0].ids for found in search.find(Scorer(model), Request(_batch(sources)))]


def _same(ours: Sequence[Ids], theirs: Sequence[Ids]) -> int:
    return sum(list(one) == list(other) for one, other in zip(ours, theirs, strict=True))


def _batch(sources: Sequence[Ids], targets: Sequence[Ids] | None = None) -> Batch:
    return make_batch(pack(sources), None if targets is None else pack(targets), torch.arange(len(sources)).numpy())

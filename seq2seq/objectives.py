"""What training minimises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from seq2seq.config import PositiveFloat, PositiveInt, Probability
from seq2seq.data.batching import Batch
from seq2seq.data.tokenizer import PAD
from seq2seq.errors import ConfigError
from seq2seq.losses import entropy_of, guided_alignment, linear_cross_entropy, linear_r_drop
from seq2seq.model import ModelOutput, Seq2SeqModel


class LossSums(NamedTuple):
    """Sums over a batch's target tokens, in nats; divide by ``Batch.target_tokens``.

    Attributes:
        total: what is minimised, with gradients.
        nll: plain negative log-likelihood, without.
    """

    total: Tensor
    nll: Tensor


class Objective(nn.Module, ABC):
    """Turns a model and a batch into sums of losses.

    Attributes:
        needs_links: whether batches must hold word alignments.
        passes: how often the model reads a batch in training.
    """

    needs_links: ClassVar[bool] = False
    passes: ClassVar[int] = 1

    def check(self, model: Seq2SeqModel) -> None:
        """Refuse a model that this objective cannot train; called before any data is read.

        Raises:
            ConfigError: names the setting to change.
        """

    @abstractmethod
    def forward(self, model: Seq2SeqModel, batch: Batch) -> LossSums:
        """Return the sums over the batch's target tokens."""
        raise NotImplementedError


class CrossEntropy(Objective):
    """Label-smoothed cross-entropy (Szegedy et al. 2016, section 7; Vaswani et al. 2017, section 5.4).

    The target has probability ``1 - e``, and ``e`` is spread evenly over the whole vocabulary.

    Args:
        label_smoothing: e.
    """

    def __init__(self, *, label_smoothing: Probability) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing

    def forward(self, model: Seq2SeqModel, batch: Batch) -> LossSums:
        """See :meth:`Objective.forward`."""
        output: ModelOutput = model(batch)
        return self.of_hidden(model, batch, output.hidden)

    def of_hidden(self, model: Seq2SeqModel, batch: Batch, hidden: Tensor) -> LossSums:
        """Return the sums for vectors (B,T,E) that are already computed."""
        rows, targets = to_predict(batch)
        smoothing = self.label_smoothing if self.training else 0.0
        total, nll = linear_cross_entropy(
            hidden.flatten(0, 1).index_select(0, rows),
            model.output.weight,
            model.output.bias,
            targets,
            smoothing,
        )
        return LossSums(total, nll)


class RDrop(CrossEntropy):
    """Cross-entropy of two passes that differ in dropout, which are taught to agree (Liang et al. 2021, R-Drop).

    Every sentence is read twice, in one batch of twice the rows (algorithm 1), so that encoder and decoder drop other
    elements in each. What is minimised is half of equation 4, ``(NLL(p) + NLL(q)) / 2 + alpha / 2 D(p, q)``, where D
    is ``(KL(p || q) + KL(q || p)) / 2`` over the whole vocabulary, summed over the target pieces as they were before
    doubling. Half, because alpha then means what it means in the paper, while the size of a gradient, which
    ``trainer.clip_norm`` looks at, stays that of cross-entropy, whose value this has without dropout. An update takes
    the memory of a batch twice as large. Outside training it is plain cross-entropy.

    Args:
        label_smoothing: see :class:`CrossEntropy`; it has no part in the divergence.
        weight: alpha; the paper uses 5 for translation.
    """

    passes = 2

    def __init__(self, *, label_smoothing: Probability, weight: PositiveFloat) -> None:
        super().__init__(label_smoothing=label_smoothing)
        self.weight = weight

    def check(self, model: Seq2SeqModel) -> None:
        """See :meth:`Objective.check`."""
        if not any(getattr(part, "dropout", 0) or isinstance(part, nn.Dropout) for part in model.modules()):
            raise ConfigError(
                "`model.dropout` or the dropout of another part must be greater than 0 for objective=r_drop, whose "
                "two passes differ in nothing else, but all are 0 instead; or use objective=cross_entropy"
            )

    def forward(self, model: Seq2SeqModel, batch: Batch) -> LossSums:
        """See :meth:`Objective.forward`."""
        if not self.training:
            return super().forward(model, batch)
        output: ModelOutput = model(twice(batch))
        rows, targets = to_predict(batch)
        passes = output.hidden.reshape(2, -1, output.hidden.shape[-1]).index_select(1, rows)
        total, nll = linear_r_drop(
            passes, model.output.weight, model.output.bias, targets, self.label_smoothing, self.weight
        )
        return LossSums(total, nll)


def to_predict(batch: Batch) -> tuple[Tensor, Tensor]:
    """Return which of the B x T target positions are no padding, and their ids, (N) each."""
    assert batch.target is not None
    targets = batch.target[:, 1:].reshape(-1)
    rows = torch.nonzero(targets != PAD).squeeze(-1)
    return rows, targets[rows]


def twice(batch: Batch) -> Batch:
    """Return a batch with every pair again behind the last, without its links."""
    assert batch.target is not None
    return replace(
        batch,
        source=batch.source.repeat(2, 1),
        source_lengths=batch.source_lengths.repeat(2),
        target=batch.target.repeat(2, 1),
        target_tokens=2 * batch.target_tokens,
        links=None,
    )


class AttentionObjective(CrossEntropy):
    """Cross-entropy, and in training a term on the weights of the attention to the source.

    Args:
        label_smoothing: see :class:`CrossEntropy`.
        weight: of the term.
    """

    def __init__(self, *, label_smoothing: Probability, weight: float) -> None:
        super().__init__(label_smoothing=label_smoothing)
        self.weight = weight

    def forward(self, model: Seq2SeqModel, batch: Batch) -> LossSums:
        """See :meth:`Objective.forward`."""
        if not self.training:
            return super().forward(model, batch)
        output: ModelOutput = model(batch, need_weights=True)
        sums = self.of_hidden(model, batch, output.hidden)
        return sums._replace(total=sums.total + self.weight * self.term(model, batch, output.weights))

    @abstractmethod
    def term(self, model: Seq2SeqModel, batch: Batch, weights: Sequence[Tensor]) -> Tensor:
        """Return the term, summed over target tokens.

        Args:
            model: whose weights they are.
            batch: that was attended to.
            weights: one (B,H,T,S) for each layer.
        """
        raise NotImplementedError


class GuidedAlignment(AttentionObjective):
    """Cross-entropy, and a head of the attention to the source is taught given word alignments.

    ``-sum over t of sum over s of G[t, s] log A[t, s]`` times a weight is added, where A are the weights of the head
    and G spreads each target piece evenly over the source pieces that it is linked to: the alignment loss of Garg et
    al. 2019, whose guidance is that of Chen et al. 2016. Only sure links teach; pieces without one add nothing.

    Args:
        label_smoothing: see :class:`CrossEntropy`.
        weight: lambda of Garg et al.; they use 0.05.
        layer: whose attention is taught, counted from 1; None takes the last but one where there are several, as
            Garg et al. do. Its first head is the one.
    """

    needs_links = True

    def __init__(self, *, label_smoothing: Probability, weight: PositiveFloat, layer: PositiveInt | None) -> None:
        super().__init__(label_smoothing=label_smoothing, weight=weight)
        self.layer = layer

    def check(self, model: Seq2SeqModel) -> None:
        """See :meth:`Objective.check`."""
        count = len(model.decoder.attentions)
        if self.layer is not None and self.layer > count:
            raise ConfigError(
                f"`objective.layer` must be one of the decoder's {count} attentions to the source, "
                f"but is {self.layer} instead"
            )

    def term(self, model: Seq2SeqModel, batch: Batch, weights: Sequence[Tensor]) -> Tensor:
        """See :meth:`AttentionObjective.term`."""
        assert batch.links is not None
        chosen = max(len(weights) - 2, 0) if self.layer is None else self.layer - 1
        least = model.decoder.attentions[chosen].normalizer.least
        return guided_alignment(weights[chosen][:, 0], batch.links, least)


class AttentionEntropy(AttentionObjective):
    """Cross-entropy, and the attention to the source is rewarded for looking at few pieces.

    The entropy of the weights in nats, mean over layers and heads, summed over target pieces, is added times a
    weight: the entropy term of Araabi, Niculae & Monz 2024 (EaDRA), on the attention to the source alone. A negative
    weight rewards attention that spreads, as Attanasio et al. 2022 do.

    Args:
        label_smoothing: see :class:`CrossEntropy`.
        weight: of the entropy.
    """

    def term(self, model: Seq2SeqModel, batch: Batch, weights: Sequence[Tensor]) -> Tensor:
        """See :meth:`AttentionObjective.term`."""
        assert batch.target is not None
        return entropy_of(weights, batch.target[:, 1:] != PAD)

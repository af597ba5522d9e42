"""What training minimises."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seq2seq.config import PositiveFloat, PositiveInt, Probability
from seq2seq.data.batching import Batch
from seq2seq.data.tokenizer import PAD
from seq2seq.errors import ConfigError
from seq2seq.model import ModelOutput, Seq2SeqModel

# Rows of logits in memory at a time: small enough to stay near the processor, large enough for full speed.
CHUNK_ROWS = 512


class LossSums(NamedTuple):
    """Sums over a batch's target tokens, in nats; divide by ``Batch.target_tokens``.

    Attributes:
        total: what is minimised, with gradients.
        nll: plain negative log-likelihood, without.
    """

    total: Tensor
    nll: Tensor


class Objective(nn.Module):
    """Turns a model and a batch into sums of losses.

    Attributes:
        needs_links: whether batches must hold word alignments.
    """

    needs_links: ClassVar[bool] = False

    def check(self, model: Seq2SeqModel) -> None:
        """Refuse a model that this objective cannot train; called before any data is read.

        Raises:
            ConfigError: names the setting to change.
        """

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
        assert batch.target is not None
        targets = batch.target[:, 1:].reshape(-1)
        rows = torch.nonzero(targets != PAD).squeeze(-1)
        smoothing = self.label_smoothing if self.training else 0.0
        total, nll = linear_cross_entropy(
            hidden.flatten(0, 1).index_select(0, rows),
            model.output.weight,
            model.output.bias,
            targets[rows],
            smoothing,
        )
        return LossSums(total, nll)


class GuidedAlignment(CrossEntropy):
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
        super().__init__(label_smoothing=label_smoothing)
        self.weight = weight
        self.layer = layer

    def check(self, model: Seq2SeqModel) -> None:
        """See :meth:`Objective.check`."""
        count = len(model.decoder.attentions)
        if self.layer is not None and self.layer > count:
            raise ConfigError(
                f"`objective.layer` must be one of the decoder's {count} attentions to the source, "
                f"but is {self.layer} instead"
            )

    def forward(self, model: Seq2SeqModel, batch: Batch) -> LossSums:
        """See :meth:`Objective.forward`; without guidance in evaluation."""
        if not self.training:
            return super().forward(model, batch)
        assert batch.links is not None
        output: ModelOutput = model(batch, need_weights=True)
        sums = self.of_hidden(model, batch, output.hidden)
        chosen = max(len(output.weights) - 2, 0) if self.layer is None else self.layer - 1
        least = model.decoder.attentions[chosen].normalizer.least
        guidance = guided_alignment(output.weights[chosen][:, 0], batch.links, least)
        return sums._replace(total=sums.total + self.weight * guidance)


class AttentionEntropy(CrossEntropy):
    """Cross-entropy, and the attention to the source is rewarded for looking at few pieces.

    The entropy of the weights in nats, mean over layers and heads, summed over target pieces, is added times a
    weight: the entropy term of Araabi, Niculae & Monz 2024 (EaDRA), on the attention to the source alone. A negative
    weight rewards attention that spreads, as Attanasio et al. 2022 do.

    Args:
        label_smoothing: see :class:`CrossEntropy`.
        weight: of the entropy.
    """

    def __init__(self, *, label_smoothing: Probability, weight: float) -> None:
        super().__init__(label_smoothing=label_smoothing)
        self.weight = weight

    def forward(self, model: Seq2SeqModel, batch: Batch) -> LossSums:
        """See :meth:`Objective.forward`; without the entropy in evaluation."""
        if not self.training:
            return super().forward(model, batch)
        assert batch.target is not None
        output: ModelOutput = model(batch, need_weights=True)
        sums = self.of_hidden(model, batch, output.hidden)
        is_token = batch.target[:, 1:] != PAD
        return sums._replace(total=sums.total + self.weight * entropy_of(output.weights, is_token))


def guided_alignment(weights: Tensor, links: Tensor, least: float) -> Tensor:
    """Return ``-sum over t, s of G[t, s] log A[t, s]`` over a batch.

    Args:
        weights: A, (B,T,S).
        links: (N,3), row, target position and source position.
        least: a linked piece with less weight than this counts as if it had it, without a gradient. A sparse
            normalizer or a window may give it none at all.
    """
    rows, targets, sources = links.unbind(1)
    of_target = rows * weights.shape[1] + targets
    counts = weights.new_zeros(weights.shape[0] * weights.shape[1], dtype=torch.float32)
    shares = counts.index_add_(0, of_target, torch.ones_like(of_target, dtype=torch.float32))[of_target]
    chosen = weights[rows, targets, sources].float().clamp_min(least)
    return -(chosen.log() / shares).sum()


def entropy_of(weights: Sequence[Tensor], is_token: Tensor) -> Tensor:
    """Return the entropy of weights in nats, mean over layers and heads, summed over target tokens.

    Weights that a window has taken from are first made to sum to one again, or less attention would count as sharper.

    Args:
        weights: one (B,H,T,S) for each layer.
        is_token: (B,T), True where a target token is.
    """
    # 0 log 0 is 0, but its slope is infinite; a floor under the logarithm alone makes it finite.
    tiny = torch.finfo(torch.float32).tiny
    means = []
    for layer in weights:
        shares = layer.float() / layer.sum(-1, keepdim=True).clamp_min(tiny)
        means.append(-(shares * shares.clamp_min(tiny).log()).sum(-1).mean(1))
    return (torch.stack(means).mean(0) * is_token).sum()


def linear_cross_entropy(
    hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, smoothing: float
) -> tuple[Tensor, Tensor]:
    """Project to the vocabulary and sum the smoothed cross-entropy, without ever holding all N x V logits.

    Gradients are computed chunk by chunk while the logits are at hand, so the backward pass only scales them.

    Args:
        hidden: (N,E).
        weight: (V,E).
        bias: (V).
        targets: (N), ids.
        smoothing: probability spread evenly over the vocabulary.

    Returns:
        the smoothed sum, with gradients, and the plain sum of negative log-likelihoods, without.
    """
    sums: tuple[Tensor, Tensor] = _LinearCrossEntropy.apply(hidden, weight, bias, targets, smoothing)  # type: ignore[no-untyped-call]  # torch has none
    return sums


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, smoothing: float
    ) -> tuple[Tensor, Tensor]:
        device = hidden.device.type
        precision = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype
        count, vocabulary = hidden.shape[0], weight.shape[0]
        needed = any(ctx.needs_input_grad)
        matrix = weight.to(precision)
        # sum of a row's logits = hidden . (sum of weights) + sum of biases
        all_weights, all_biases = weight.float().sum(0), bias.float().sum()
        total = hidden.new_zeros((), dtype=torch.float32)
        nll = torch.zeros_like(total)
        grad_hidden = torch.empty_like(hidden) if needed else None
        grad_weight = torch.zeros_like(weight, dtype=torch.float32) if needed else None
        grad_bias = torch.zeros_like(bias, dtype=torch.float32) if needed else None
        # One piece of memory for all chunks: fresh megabytes cost more than the arithmetic done in them.
        space = hidden.new_empty((CHUNK_ROWS, vocabulary), dtype=torch.float32)
        with torch.autocast(device, enabled=False):
            for start in range(0, count, CHUNK_ROWS):
                rows = min(CHUNK_ROWS, count - start)
                # Every chunk has one shape, because a processor prepares its fast product anew for each new one.
                # A row of zeros gives no gradient to the weights; everything else about it is cut off.
                part = F.pad(hidden[start : start + rows].to(precision), (0, 0, 0, CHUNK_ROWS - rows))
                gold = targets[start : start + rows].unsqueeze(1)
                logits = torch.addmm(bias.to(precision), part, matrix.T)
                gold_logits = logits[:rows].gather(1, gold).float()
                largest = logits[:rows].amax(1, keepdim=True).float()
                probabilities = torch.softmax(space.copy_(logits), dim=-1, out=space)
                # The likeliest piece has at least 1/V, so its logarithm is safe where the gold one's may not be.
                normaliser = largest - probabilities[:rows].amax(1, keepdim=True).log()
                chunk_nll = (normaliser - gold_logits).sum()
                nll += chunk_nll
                total += (1 - smoothing) * chunk_nll
                if smoothing:
                    mean = ((part.float() @ all_weights).sum() + rows * all_biases) / vocabulary
                    total += smoothing * (normaliser.sum() - mean)
                if grad_hidden is None or grad_weight is None or grad_bias is None:
                    continue
                # d loss / d logits = softmax - (1 - e) onehot - e / V; the last term is added below, in closed form.
                probabilities[:rows].scatter_add_(1, gold, probabilities.new_full(gold.shape, smoothing - 1))
                grad_bias += probabilities[:rows].sum(0)
                slope = probabilities.to(precision)
                grad_hidden[start : start + rows] = (slope @ matrix)[:rows]
                grad_weight += slope.T @ part
        if smoothing and grad_hidden is not None and grad_weight is not None and grad_bias is not None:
            grad_hidden -= (smoothing / vocabulary) * all_weights
            grad_weight -= (smoothing / vocabulary) * hidden.float().sum(0)
            grad_bias -= smoothing * count / vocabulary
        ctx.save_for_backward(grad_hidden, grad_weight, grad_bias)
        ctx.mark_non_differentiable(nll)
        return total, nll

    @staticmethod
    def backward(ctx: Any, grad_total: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        grad_hidden, grad_weight, grad_bias = ctx.saved_tensors
        return grad_hidden * grad_total, grad_weight * grad_total, grad_bias * grad_total, None, None

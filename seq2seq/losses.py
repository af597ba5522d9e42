"""Sums of losses over a batch, as functions of tensors alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from seq2seq.attention.normalizers import entropy
from seq2seq.runtime import product_dtype

# Most rows of logits in memory at a time: small enough to stay near the processor, large enough for full speed.
CHUNK_ROWS = 512

# Rows are shared out evenly among chunks, but for a multiple of this, so that there are few shapes: a processor
# prepares its fast product anew for each.
ROWS_ALIKE = 32


def rows_of_chunk(count: int) -> int:
    """Return how many rows each chunk gets, so that as few as possible are left empty in the last."""
    chunks = -(-count // CHUNK_ROWS)
    each = -(-count // max(1, chunks))
    return min(CHUNK_ROWS, -(-each // ROWS_ALIKE) * ROWS_ALIKE)


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
    """Return the :func:`entropy` of weights in nats, mean over layers and heads, summed over target tokens.

    Args:
        weights: one (B,H,T,S) for each layer.
        is_token: (B,T), True where a target token is.
    """
    means = torch.stack([entropy(layer).mean(1) for layer in weights]).mean(0)
    return (means * is_token).sum()


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


def logarithm_of_gold(probabilities: Tensor, logits: Tensor, gold: Tensor) -> Tensor:
    """Return the logarithms (N,1) of the probabilities of the gold pieces (N,1), however small they are."""
    chosen = probabilities.gather(1, gold)
    if chosen.device.type == "cpu" and bool((chosen > torch.finfo(chosen.dtype).tiny).all()):
        return chosen.log()
    # The likeliest piece has at least 1/V, so its logarithm is safe where the gold one's is not. To look for it is a
    # pass over everything, which a processor is spared where it can be; a GPU would have to wait for the answer.
    ahead = logits.amax(1, keepdim=True).to(chosen.dtype) - logits.gather(1, gold).to(chosen.dtype)
    return probabilities.amax(1, keepdim=True).log() - ahead


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, smoothing: float
    ) -> tuple[Tensor, Tensor]:
        device = hidden.device.type
        precision = product_dtype(hidden)
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
        most = rows_of_chunk(count)
        space = hidden.new_empty((most, vocabulary), dtype=torch.float32)
        with torch.autocast(device, enabled=False):
            for start in range(0, count, most):
                rows = min(most, count - start)
                # Every chunk has one shape. A row of zeros gives no gradient to the weights; everything else about it
                # is cut off.
                part = F.pad(hidden[start : start + rows].to(precision), (0, 0, 0, most - rows))
                gold = targets[start : start + rows].unsqueeze(1)
                logits = torch.addmm(bias.to(precision), part, matrix.T)
                gold_logits = logits[:rows].gather(1, gold).float()
                precise = logits if logits.dtype == space.dtype else space.copy_(logits)
                probabilities = torch.softmax(precise, dim=-1, out=space)
                normaliser = gold_logits - logarithm_of_gold(probabilities[:rows], logits[:rows], gold)
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
                if precision == grad_weight.dtype:
                    grad_weight.addmm_(slope.T, part)
                else:
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


def linear_r_drop(
    hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, smoothing: float, alpha: float
) -> tuple[Tensor, Tensor]:
    """Project two passes to the vocabulary; sum the mean of their cross-entropies and how far they are apart.

    For distributions p and q of the two passes at one position, of cross-entropies c(p) and c(q), that is
    ``(c(p) + c(q)) / 2 + alpha / 4 (KL(p || q) + KL(q || p))``: half of equation 4 of Liang et al. 2021. The N x V
    logits are never held, as in :func:`linear_cross_entropy`.

    Args:
        hidden: (2,N,E), the same positions in each pass.
        weight: (V,E).
        bias: (V).
        targets: (N), ids.
        smoothing: probability spread evenly over the vocabulary, in the cross-entropies.
        alpha: weight of the divergence.

    Returns:
        the sum, with gradients, and the sum of negative log-likelihoods, mean of both passes, without.
    """
    sums: tuple[Tensor, Tensor] = _LinearRDrop.apply(hidden, weight, bias, targets, smoothing, alpha)  # type: ignore[no-untyped-call]  # torch has none
    return sums


class _LinearRDrop(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, smoothing: float, alpha: float
    ) -> tuple[Tensor, Tensor]:
        device = hidden.device.type
        precision = product_dtype(hidden)
        exact = torch.promote_types(hidden.dtype, torch.float32)
        count, vocabulary = hidden.shape[1], weight.shape[0]
        pairs = max(1, CHUNK_ROWS // 2)
        needed = any(ctx.needs_input_grad)
        matrix = weight.to(precision)
        # sum of a row's logits = hidden . (sum of weights) + sum of biases
        all_weights, all_biases = weight.to(exact).sum(0), bias.to(exact).sum()
        total = hidden.new_zeros((), dtype=exact)
        nll = torch.zeros_like(total)
        grad_hidden = torch.empty_like(hidden) if needed else None
        grad_weight = torch.zeros_like(weight, dtype=exact) if needed else None
        grad_bias = torch.zeros_like(bias, dtype=exact) if needed else None
        # Two pieces of memory for all chunks, every one of which has one shape: see linear_cross_entropy.
        space, gap = hidden.new_empty((2, 2, pairs, vocabulary), dtype=exact)
        with torch.autocast(device, enabled=False):
            for start in range(0, count, pairs):
                rows = min(pairs, count - start)
                part = F.pad(hidden[:, start : start + rows].to(precision), (0, 0, 0, pairs - rows)).flatten(0, 1)
                gold = targets[start : start + rows].expand(2, rows).unsqueeze(2)
                logits = torch.addmm(bias.to(precision), part, matrix.T).view(2, pairs, vocabulary)
                largest = logits.amax(2, keepdim=True).to(exact)
                probabilities = torch.softmax(space.copy_(logits), dim=-1, out=space)
                normaliser = largest - probabilities.amax(2, keepdim=True).log()
                chunk_nll = (normaliser[:, :rows] - logits[:, :rows].gather(2, gold)).sum() / 2
                # log p - log q, and log q - log p
                gap[0].copy_(logits[0]).sub_(logits[1]).sub_(normaliser[0] - normaliser[1])
                torch.neg(gap[0], out=gap[1])
                apart = (probabilities * gap).sum(2, keepdim=True)  # KL(p || q) and KL(q || p)
                nll += chunk_nll
                total += (1 - smoothing) * chunk_nll + alpha / 4 * apart[:, :rows].sum()
                if smoothing:
                    mean = ((part.to(exact) @ all_weights).sum() + 2 * rows * all_biases) / vocabulary
                    total += smoothing * (normaliser[:, :rows].sum() - mean) / 2
                if grad_hidden is None or grad_weight is None or grad_bias is None:
                    continue
                # d KL(p || q) + KL(q || p) / d logits of p = p (log p - log q - KL(p || q)) + p - q, and so for q
                slope = gap.mul_(alpha / 4).add_(0.5 + alpha / 4 * (1 - apart)).mul_(probabilities)
                slope[0].sub_(probabilities[1], alpha=alpha / 4)
                slope[1].sub_(probabilities[0], alpha=alpha / 4)
                slope[:, :rows].scatter_add_(2, gold, slope.new_full(gold.shape, (smoothing - 1) / 2))
                grad_bias += slope[:, :rows].sum((0, 1))
                narrow = slope.flatten(0, 1).to(precision)
                grad_hidden[:, start : start + rows] = (narrow @ matrix).view(2, pairs, -1)[:, :rows]
                grad_weight += narrow.T @ part
        if smoothing and grad_hidden is not None and grad_weight is not None and grad_bias is not None:
            grad_hidden -= (smoothing / 2 / vocabulary) * all_weights
            grad_weight -= (smoothing / 2 / vocabulary) * hidden.to(exact).sum((0, 1))
            grad_bias -= smoothing * count / vocabulary
        ctx.save_for_backward(grad_hidden, grad_weight, grad_bias)
        ctx.mark_non_differentiable(nll)
        return total, nll

    @staticmethod
    def backward(ctx: Any, grad_total: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        grad_hidden, grad_weight, grad_bias = ctx.saved_tensors
        return grad_hidden * grad_total, grad_weight * grad_total, grad_bias * grad_total, None, None, None

"""Normalizers: from the scores of a query to weights that sum to one.

Each maps scores (B,H,T,S), minus infinity where a key is hidden, to weights of the same shape along the last axis. A
hidden key gets exactly 0.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from seq2seq.attention.kernels import precise
from seq2seq.config import Range

# Newton's steps grow the threshold until it is exact; about log S + 6 are needed, so this is a fuse, not a limit.
MOST_STEPS = 100

# A GPU waits when it is asked whether it has arrived; a few steps too many cost less.
STEPS_UNASKED = 8


class Normalizer(nn.Module, ABC):
    """A map from scores to weights.

    Attributes:
        least: a weight below which the slope of its logarithm, seen from the scores, is of no use.
    """

    least: float

    @property
    def is_softmax(self) -> bool:
        """Whether the fused kernel can compute the weights. Derived, so that a subclass is never passed over."""
        return type(self).forward is Softmax.forward

    @abstractmethod
    def forward(self, scores: Tensor) -> Tensor:
        """(B,H,T,S) scores -> (B,H,T,S) weights."""
        raise NotImplementedError


class Softmax(Normalizer):
    """``p_i = exp(z_i) / sum_j exp(z_j)``: every visible key gets some weight. The one that runs fused."""

    least = torch.finfo(torch.float32).tiny  # log softmax has a slope of one however small the weight

    def forward(self, scores: Tensor) -> Tensor:
        """See :meth:`Normalizer.forward`."""
        return torch.softmax(scores, dim=-1)


class Entmax(Normalizer):
    """Alpha-entmax: weights that can be exactly zero (Peters, Niculae & Martins 2019, equation 8).

    ``p_i = [(alpha - 1) z_i - tau]_+ ^ (1 / (alpha - 1))``, with tau such that they sum to one. alpha 2 is sparsemax
    (Martins & Astudillo 2016, equation 2), alpha 1.5 is 1.5-entmax, and alpha towards 1 approaches softmax.

    Args:
        alpha: how sparse; at most 2. Near 1 single precision is wrong: by 1e-5 at 1.001, by 1e-3 at 1.00001.
    """

    least = 1e-6  # the slope of the logarithm grows without bound as a weight goes to zero

    def __init__(self, *, alpha: Annotated[float, Range(low=1.001, high=2)]) -> None:
        super().__init__()
        self.alpha = alpha

    def forward(self, scores: Tensor) -> Tensor:
        """See :meth:`Normalizer.forward`; a query that sees nothing gets zeros. At least single precision."""
        weights: Tensor = _Entmax.apply(scores, self.alpha)  # type: ignore[no-untyped-call]  # torch has none
        return weights


def entropy(weights: Tensor) -> Tensor:
    """Return ``-sum over s of w[s] log w[s]`` in nats: 0 looks at one key only, ``log S`` at all alike.

    Weights that a window has taken from are first made to sum to one again, or less attention would count as sharper.

    Args:
        weights: (..., S), zeros are allowed.

    Returns:
        (...), in at least single precision.
    """
    weights = precise(weights)
    tiny = torch.finfo(weights.dtype).tiny
    shares = weights / weights.sum(dim=-1, keepdim=True).clamp_min(tiny)
    # 0 log 0 is 0, but its slope is infinite; a floor under the logarithm alone makes it finite.
    return -(shares * shares.clamp_min(tiny).log()).sum(dim=-1)


def entmax(scores: Tensor, alpha: float) -> Tensor:
    """Compute the weights of :class:`Entmax` along the last axis.

    The sum of the weights is a convex, falling function of tau, and at ``max z - 1`` it is at least one. So Newton's
    method from there climbs to the root without ever passing it, and for alpha 2, where the function is made of
    straight lines, it arrives exactly. It takes a few passes over the scores, and no sorting.
    """
    largest = scores.amax(dim=-1, keepdim=True)
    largest = largest.masked_fill(largest == float("-inf"), 0.0)
    # The threshold lies in [-1, 0], so what is below -1 has no weight and may as well be finite.
    scaled = ((alpha - 1.0) * (scores - largest)).clamp_min(-2.0)
    power = 1.0 / (alpha - 1.0)
    tiny = torch.finfo(scaled.dtype).tiny
    tau = torch.full_like(largest, -1.0)
    patience = 1 if scores.device.type == "cpu" else STEPS_UNASKED
    for number in range(1, MOST_STEPS):
        above = (scaled - tau).clamp_min_(0.0)
        slopes = (above > 0).to(above.dtype) if power == 1.0 else above.pow(power - 1.0)
        excess = (slopes * above).sum(dim=-1, keepdim=True) - 1.0
        step = excess / (power * slopes.sum(dim=-1, keepdim=True)).clamp_min(tiny)
        advance = step > torch.finfo(scaled.dtype).eps
        if number % patience == 0 and not bool(advance.any()):
            break
        tau += step.where(advance, 0.0)
    weights = (scaled - tau).clamp_min(0.0).pow(power)
    # Rounding grows with the power; dividing by a sum that is one but for it keeps the promise for alpha near 1.
    return weights / weights.sum(dim=-1, keepdim=True).clamp_min(tiny)


class _Entmax(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor, alpha: float) -> Tensor:
        weights = entmax(precise(scores), alpha)
        ctx.save_for_backward(weights)
        ctx.alpha, ctx.dtype = alpha, scores.dtype
        return weights

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None]:
        # Peters et al. 2019, proposition 2: with s_i = p_i^(2 - alpha) on the support, the Jacobian is
        # diag(s) - s s^T / sum(s).
        (weights,) = ctx.saved_tensors
        support = (weights > 0).to(weights.dtype) if ctx.alpha == 2.0 else weights.pow(2.0 - ctx.alpha)
        tiny = torch.finfo(weights.dtype).tiny
        mean = (support * slope).sum(dim=-1, keepdim=True) / support.sum(dim=-1, keepdim=True).clamp_min(tiny)
        return (support * (slope - mean)).to(ctx.dtype), None

"""Two linear maps with a rectifier and dropout between them, with a gradient written by hand.

Step by step, the wide inner layer is read and written a dozen times, which takes a processor as long as the products
do. Here what the rectifier cuts off and what dropout drops become one zero, which is remembered by being zero, and
the factor of dropout rides in the products.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from seq2seq.dropout import draw, silenced
from seq2seq.runtime import product_dtype


def rectified(
    hidden: Tensor, inner: tuple[Tensor, Tensor], outer: tuple[Tensor, Tensor], *, squared: bool, dropout: float
) -> Tensor:
    """Return ``W2 dropout(f(W1 x + b1)) + b2`` with ``f(x) = max(0, x)``, or its square.

    Args:
        hidden: x, (...,D), on the CPU.
        inner: W1 (F,D) and b1 (F).
        outer: W2 (E,F) and b2 (E).
        squared: whether f is squared.
        dropout: probability of dropping an element.

    Returns:
        (...,E), in the precision of products.
    """
    mapped: Tensor = _Rectified.apply(hidden, *inner, *outer, squared, dropout)  # type: ignore[no-untyped-call]  # torch has none
    return mapped


def product_of_transposed(left: Tensor, right: Tensor) -> Tensor:
    """Return ``left^T right`` for (N,a) and (N,b), as it is fastest: by transposing the narrower of the two."""
    return left.T @ right if left.shape[1] <= right.shape[1] else (right.T @ left).T


class _Rectified(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        inner_weight: Tensor,
        inner_bias: Tensor,
        outer_weight: Tensor,
        outer_bias: Tensor,
        squared: bool,
        dropout: float,
    ) -> Tensor:
        precision = product_dtype(hidden)
        ctx.squared, ctx.factor, ctx.dtype = squared, 1.0, hidden.dtype
        with torch.autocast(hidden.device.type, enabled=False):
            rows = hidden.flatten(0, -2).to(precision)
            narrow, wide = inner_weight.to(precision), outer_weight.to(precision)
            # Into new memory, because in place half precision takes up to twice the time.
            inner = torch.addmm(inner_bias.to(precision), rows, narrow.T).relu()
            if dropout:
                keep, ctx.factor = draw(inner.shape, dropout)
                inner = silenced(inner, keep)
            active = inner.square() if squared else inner
            outer = torch.addmm(outer_bias.to(precision), active, wide.T, alpha=ctx.factor)
        ctx.save_for_backward(rows, inner, narrow, wide)
        return outer.view(*hidden.shape[:-1], -1)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        rows, inner, narrow, wide = ctx.saved_tensors
        exact = torch.promote_types(rows.dtype, torch.float32)
        needs_hidden, needs_inner, _, needs_outer, *_ = ctx.needs_input_grad
        outer = slope.flatten(0, -2)
        active = inner.square() if ctx.squared else inner
        grad_outer = product_of_transposed(outer, active).to(exact).mul_(ctx.factor) if needs_outer else None
        grad_outer_bias = outer.sum(0).to(exact)
        # The slope of the square is twice what is squared, which is zero where nothing passes.
        factor = 2 * ctx.factor if ctx.squared else ctx.factor
        bent = torch.addmm(outer.new_zeros(()), outer, wide, beta=0, alpha=factor)
        bent = bent * inner if ctx.squared else torch.ops.aten.threshold_backward(bent, inner, 0)
        grad_inner = product_of_transposed(bent, rows).to(exact) if needs_inner else None
        grad_hidden = (bent @ narrow).view(*slope.shape[:-1], -1).to(ctx.dtype) if needs_hidden else None
        return grad_hidden, grad_inner, bent.sum(0).to(exact), grad_outer, grad_outer_bias, None, None

"""Dropout, at the speed each device allows."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def dropout(hidden: Tensor, probability: float, training: bool) -> Tensor:
    """Drop elements and scale up the rest: Srivastava et al. 2014.

    Drawing one number for each element is what torch's dropout spends its time on where the CPU does it, so there
    one random byte decides an element. The probability is thereby rounded to a multiple of 1/256, and the scale is
    that of the rounded one, so the expectation stays exact; in half precision each element is rounded on its own.
    """
    if not training or probability == 0:
        return hidden
    if hidden.device.type != "cpu" or torch.compiler.is_compiling():  # which makes the numbers where it uses them
        return F.dropout(hidden, probability)
    dropped: Tensor = _Dropout.apply(hidden, probability)  # type: ignore[no-untyped-call]  # torch has none
    return dropped


def add_dropped(hidden: Tensor, output: Tensor, probability: float, training: bool) -> Tensor:
    """Return ``hidden + dropout(output)``, in the precision of ``hidden``, with few passes over memory on a CPU.

    Args:
        hidden: at least as precise as ``output``.
        output: of the same shape.
        probability: of dropping an element of ``output``.
        training: whether any is dropped.
    """
    if not training or probability == 0:
        return hidden + output
    if hidden.device.type != "cpu" or torch.compiler.is_compiling():
        return hidden + F.dropout(output, probability)
    total: Tensor = _AddDropped.apply(hidden, output, probability)  # type: ignore[no-untyped-call]  # torch has none
    return total


def draw(shape: torch.Size, probability: float) -> tuple[Tensor, float]:
    """Draw which elements are kept, on the CPU, from torch's generator.

    Returns:
        bytes of this shape, 1 where an element is kept and 0 where it is dropped, and the factor of those kept.
    """
    dropped = min(max(round(probability * 256), 1), 255)
    words = torch.empty(-(-shape.numel() // 8), dtype=torch.int64).random_(-(2**63), None)
    # Compared in place, bytes stay bytes, which are made into numbers several times as fast as truth values are.
    return words.view(torch.uint8)[: shape.numel()].view(shape).ge_(dropped), 256 / (256 - dropped)


def silenced(hidden: Tensor, keep: Tensor) -> Tensor:
    """Return the elements that ``keep`` has a 1 for, and zeros where it has a 0; it is what :func:`draw` gives."""
    if hidden.dtype.itemsize != 2:
        return hidden * keep.to(hidden.dtype)
    # Half precision is multiplied by way of single precision; its bits can be blotted out in half the time.
    blot = keep.view(torch.int8).neg().to(torch.int16)
    return blot.bitwise_and_(hidden.view(torch.int16)).view(hidden.dtype)


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, probability: float) -> Tensor:
        keep, ctx.factor = draw(hidden.shape, probability)
        ctx.save_for_backward(keep)
        # The factor comes last, because half precision would round it, and each element by the same share.
        return _times(silenced(hidden, keep), ctx.factor)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None]:
        (keep,) = ctx.saved_tensors
        return _times(silenced(slope, keep), ctx.factor), None


def _times(hidden: Tensor, factor: float) -> Tensor:
    """Return ``factor * hidden``, and overwrite that where it is faster; in half precision it takes twice as long."""
    return hidden * factor if hidden.dtype.itemsize == 2 else hidden.mul_(factor)


class _AddDropped(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, output: Tensor, probability: float) -> Tensor:
        keep, ctx.factor = draw(output.shape, probability)
        ctx.save_for_backward(keep)
        ctx.dtype = output.dtype
        dtype = hidden.dtype
        return torch.addcmul(hidden, output.to(dtype), keep.to(dtype), value=ctx.factor)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, Tensor, None]:
        (keep,) = ctx.saved_tensors
        return slope, (slope * keep.to(slope.dtype)).mul_(ctx.factor).to(ctx.dtype), None

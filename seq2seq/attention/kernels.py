"""Operations with a gradient written by hand, because the automatic one keeps or moves too much memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

# Numbers of a hidden layer that are made at a time: few enough to stay in a processor's cache, where making them
# twice costs less than fetching them once from memory; for a GPU, enough to be worth a launch.
HIDDEN_NUMBERS = {"cpu": 2**18, "cuda": 2**26}


def precise(vectors: Tensor) -> Tensor:
    """Return vectors in at least single precision, because half precision rounds squares and lengths too coarsely."""
    return vectors if vectors.dtype == torch.float64 else vectors.float()


def tanh_of_sums(query: Tensor, key: Tensor, vector: Tensor) -> Tensor:
    """Return ``vector . tanh(query + key)`` for every pair of positions.

    The (B,H,T,S,e) hidden layer is made part by part, and again for the gradient; of it, nothing is ever kept.

    Args:
        query: (B,H,T,e).
        key: (B,H,S,e), of the same kind of numbers.
        vector: (H,e,1), likewise.

    Returns:
        (B,H,T,S).
    """
    scores: Tensor = _TanhOfSums.apply(query, key, vector)  # type: ignore[no-untyped-call]  # torch has none
    return scores


def to_length(vectors: Tensor, length: Tensor) -> Tensor:
    """Return ``length * v / |v|`` along the last axis; a vector of zeros stays what it is.

    Args:
        vectors: (B,H,T,d), at least single precision.
        length: broadcasts to (B,H,T,1).
    """
    resized: Tensor = _ToLength.apply(vectors, length)  # type: ignore[no-untyped-call]  # torch has none
    return resized


class _TanhOfSums(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, vector: Tensor) -> Tensor:
        ctx.save_for_backward(query, key, vector)
        batch, heads, steps, _ = query.shape
        scores = query.new_empty(batch, heads, steps, key.shape[2])
        query, key, vector = _for_tanh(query, key, vector)
        with torch.autocast(query.device.type, enabled=False):
            for rows, places in _parts(query, key):
                hidden = torch.tanh_(query[rows, :, places].unsqueeze(3) + key[rows].unsqueeze(2))
                scores[rows, :, places] = (hidden @ vector.unsqueeze(1)).squeeze(-1)
        return scores

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, ...]:
        dtypes = [tensor.dtype for tensor in ctx.saved_tensors]
        query, key, vector = _for_tanh(*ctx.saved_tensors)
        slope, one = slope.to(query.dtype), query.new_ones(())
        weight = vector.squeeze(-1).unsqueeze(1)  # (H,1,e)
        grad_query = torch.empty_like(query)
        grad_key, grad_vector = (torch.zeros_like(precise(tensor)) for tensor in (key, vector))
        for rows, places in _parts(query, key):
            hidden = torch.tanh_(query[rows, :, places].unsqueeze(3) + key[rows].unsqueeze(2))  # (b,H,t,S,e)
            part = slope[rows, :, places]
            grad_vector += torch.einsum("bhts,bhtse->he", part, hidden).unsqueeze(-1)
            bend = torch.addcmul(one, hidden, hidden, value=-1.0, out=hidden)  # the slope of tanh
            grad_query[rows, :, places] = (part.unsqueeze(3) @ bend).squeeze(3) * weight
            grad_key[rows] += bend.mul_(part.unsqueeze(-1)).sum(dim=2) * weight
        grads = (grad_query, grad_key, grad_vector)
        return tuple(grad.to(dtype) for grad, dtype in zip(grads, dtypes, strict=True))


def _for_tanh(*tensors: Tensor) -> list[Tensor]:
    """Return tensors in what the hidden layer is made in: a processor takes twice the time in half precision."""
    return [precise(tensor) if tensor.device.type == "cpu" else tensor for tensor in tensors]


def _parts(query: Tensor, key: Tensor) -> Iterator[tuple[slice, slice]]:
    """Yield sentences and query positions that are done together."""
    batch, heads, steps, width = query.shape
    numbers = HIDDEN_NUMBERS.get(query.device.type, HIDDEN_NUMBERS["cuda"])
    of_query = heads * key.shape[2] * width
    together = max(1, min(steps, numbers // of_query))
    sentences = max(1, min(batch, numbers // (of_query * together)))
    for row in range(0, batch, sentences):
        for place in range(0, steps, together):
            yield slice(row, row + sentences), slice(place, place + together)


class _ToLength(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, vectors: Tensor, length: Tensor) -> Tensor:
        smallest = torch.finfo(vectors.dtype).tiny ** 0.5
        inverse = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True).clamp_min(smallest).reciprocal()
        factor: Tensor = length * inverse
        ctx.save_for_backward(vectors, inverse, factor)
        ctx.shape = length.shape
        resized: Tensor = vectors * factor
        return resized

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, Tensor]:
        # d(l v / |v|) = l / |v| (I - v v^T / |v|^2) dv + v / |v| dl
        vectors, inverse, factor = ctx.saved_tensors
        along = (slope * vectors).sum(dim=-1, keepdim=True) * inverse
        grad_vectors = torch.addcmul(slope * factor, vectors, along * inverse * factor, value=-1.0)
        return grad_vectors, along.sum_to_size(ctx.shape)

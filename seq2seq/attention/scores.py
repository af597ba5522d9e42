"""Scores: how well a key answers a query, one small class each.

Every score is ``compare(query(q), key(k))``. Where ``compare`` is the inherited inner product, the whole attention
runs on torch's fused kernel, because the formula lives in the two maps; only a score that overrides ``compare``
needs its (B,H,T,S) values in memory. ``key`` runs once per sentence, and its result is what a decoder caches.

Shapes everywhere: queries (B,H,T,d), keys (B,H,S,d), values of ``compare`` (B,H,T,S). A decoding step is T = 1.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seq2seq.attention.kernels import precise, tanh_of_sums, to_length
from seq2seq.config import PositiveFloat, Width
from seq2seq.errors import ConfigError

# Fused kernels on GPUs want head widths in multiples of this.
KERNEL_WIDTH = 8


class Score(nn.Module):
    """A similarity between queries and keys; by itself the plain inner product.

    Args:
        num_heads: H.
        query_dim: width of one head's query.
        key_dim: width of one head's key.

    Attributes:
        scale: what the inner product is multiplied by; a kernel does it on the way.
    """

    def __init__(self, num_heads: int, query_dim: int, key_dim: int) -> None:
        super().__init__()
        self.scale = 1.0
        self.num_heads = num_heads
        self.query_dim = query_dim
        self.key_dim = key_dim

    def query(self, query: Tensor) -> Tensor:
        """Map queries (B,H,T,d) to (B,H,T,e)."""
        return query

    def key(self, key: Tensor) -> Tensor:
        """Map keys (B,H,S,d) to (B,H,S,e)."""
        return key

    def compare(self, query: Tensor, key: Tensor) -> Tensor:
        """Compare mapped queries (B,H,T,e) with mapped keys (B,H,S,e): (B,H,T,S)."""
        query = query if self.scale == 1.0 else query * self.scale
        return query @ key.transpose(-1, -2)

    @property
    def is_inner_product(self) -> bool:
        """Whether the fused kernel can compute this score. Derived, so that nobody can forget to set it."""
        return type(self).compare is Score.compare

    def require_equal_widths(self) -> None:
        """Refuse queries and keys that the formula cannot compare.

        Raises:
            ConfigError: the widths differ.
        """
        if self.query_dim != self.key_dim:
            raise ConfigError(
                f"`_target_` must be a score that compares queries and keys of unequal width, here {self.query_dim} "
                f"and {self.key_dim} a head, but is {type(self).__name__} instead; set `project: true`, or use "
                "attention=general or attention=additive"
            )


class Dot(Score):
    """``score(q, k) = q . k``: Luong et al. 2015, equation 8, "dot"."""

    def __init__(self, num_heads: int, query_dim: int, key_dim: int) -> None:
        super().__init__(num_heads, query_dim, key_dim)
        self.require_equal_widths()


class ScaledDot(Dot):
    """``score(q, k) = q . k / sqrt(d)``: Vaswani et al. 2017, equation 1."""

    def __init__(self, num_heads: int, query_dim: int, key_dim: int) -> None:
        super().__init__(num_heads, query_dim, key_dim)
        self.scale = 1.0 / math.sqrt(query_dim)


class General(Score):
    """``score(q, k) = q^T W k``, W of shape (query_dim, key_dim) for each head: Luong et al. 2015, equation 8."""

    def __init__(self, num_heads: int, query_dim: int, key_dim: int) -> None:
        super().__init__(num_heads, query_dim, key_dim)
        self.weight = nn.Parameter(torch.empty(num_heads, query_dim, key_dim))
        bound = 1.0 / math.sqrt(key_dim)
        nn.init.uniform_(self.weight, -bound, bound)

    def key(self, key: Tensor) -> Tensor:
        """``W k``: done once per sentence, where a map of the query would be done at every step."""
        # Not as a matmul: that would repeat W for every sentence, and again for its gradient.
        return torch.einsum("bhsd,hed->bhse", key, self.weight)


class Additive(Score):
    """``score(q, k) = v . tanh(W q + U k + b)``: Bahdanau et al. 2015, appendix A.1.2, with W, U, b, v for each head.

    Args:
        num_heads: H.
        query_dim: width of one head's query.
        key_dim: width of one head's key.
        dim: width e of the hidden layer; None takes ``query_dim``.
    """

    def __init__(self, num_heads: int, query_dim: int, key_dim: int, *, dim: Width | None) -> None:
        super().__init__(num_heads, query_dim, key_dim)
        width = dim or query_dim
        self.query_weight = nn.Parameter(torch.empty(num_heads, query_dim, width))
        self.key_weight = nn.Parameter(torch.empty(num_heads, key_dim, width))
        self.bias = nn.Parameter(torch.zeros(num_heads, 1, width))
        self.vector = nn.Parameter(torch.empty(num_heads, width, 1))
        for weight in (self.query_weight, self.key_weight, self.vector):
            bound = 1.0 / math.sqrt(weight.shape[1])
            nn.init.uniform_(weight, -bound, bound)

    def query(self, query: Tensor) -> Tensor:
        """``W q``."""
        return torch.einsum("bhtd,hde->bhte", query, self.query_weight)

    def key(self, key: Tensor) -> Tensor:
        """``U k + b``."""
        product = torch.einsum("bhsd,hde->bhse", key, self.key_weight)
        return product + self.bias.to(product.dtype)

    def direction(self) -> Tensor:
        """``v`` of each head (H,e,1)."""
        return self.vector

    def compare(self, query: Tensor, key: Tensor) -> Tensor:
        """``v . tanh(query + key)`` for every pair of positions."""
        return tanh_of_sums(query, key.to(query.dtype), self.direction().to(query.dtype))


class NormedAdditive(Additive):
    """``score(q, k) = g v . tanh(W q + U k + b) / |v|``, with a learned length g for each head.

    Weight normalisation (Salimans & Kingma 2016, equation 2) of :class:`Additive`'s v. g starts at e^-1/2.

    Args:
        num_heads: H.
        query_dim: width of one head's query.
        key_dim: width of one head's key.
        dim: width e of the hidden layer; None takes ``query_dim``.
    """

    def __init__(self, num_heads: int, query_dim: int, key_dim: int, *, dim: Width | None) -> None:
        super().__init__(num_heads, query_dim, key_dim, dim=dim)
        self.length = nn.Parameter(torch.full((num_heads, 1, 1), 1.0 / math.sqrt(dim or query_dim)))

    def direction(self) -> Tensor:
        """``g v / |v|`` of each head (H,e,1)."""
        return self.length * F.normalize(self.vector, dim=1)


class Cosine(Score):
    """``score(q, k) = t * (q . k) / (|q| |k|)`` with a learned temperature t > 0 for each head.

    This is the query-key normalisation of Henry et al. 2020, equation 4. Cosines lie in [-1, 1], so a t of 1 would
    leave the weights almost uniform.

    Args:
        num_heads: H.
        query_dim: width of one head's query.
        key_dim: width of one head's key.
        temperature: where t starts; None takes sqrt(d), which makes scores as large as those of scaled dot product.
    """

    def __init__(self, num_heads: int, query_dim: int, key_dim: int, *, temperature: PositiveFloat | None) -> None:
        super().__init__(num_heads, query_dim, key_dim)
        self.require_equal_widths()
        start = math.sqrt(query_dim) if temperature is None else temperature
        # The logarithm keeps the temperature positive whatever the optimizer does.
        self.log_temperature = nn.Parameter(torch.full((num_heads, 1, 1), math.log(start)))

    def query(self, query: Tensor) -> Tensor:
        """``t q / |q|``."""
        return to_length(precise(query), self.log_temperature.exp()).to(query.dtype)

    def key(self, key: Tensor) -> Tensor:
        """``k / |k|``."""
        return to_length(precise(key), key.new_ones(1, dtype=precise(key).dtype)).to(key.dtype)


class Euclidean(Score):
    """``score(q, k) = -|q - k|^2 / sqrt(d)``: the negative squared distance (L2 attention, Kim et al. 2021).

    ``|q - k|^2 = |q|^2 - 2 q . k + |k|^2``, and ``|q|^2`` is the same for every key, so the softmax cancels it, and
    so does entmax. What is left is twice the inner product of ``[q, -1/2, -1/2, 0...]`` and ``[k, high, low, 0...]``,
    where ``high + low = |k|^2``: two columns, because one bfloat16 number would round the square too coarsely.
    """

    def __init__(self, num_heads: int, query_dim: int, key_dim: int) -> None:
        super().__init__(num_heads, query_dim, key_dim)
        self.require_equal_widths()
        self.scale = 2.0 / math.sqrt(query_dim)
        self.padding = -(query_dim + 2) % KERNEL_WIDTH

    def query(self, query: Tensor) -> Tensor:
        """``[q, -1/2, -1/2, 0...]``."""
        halves = query.new_full((1, 2), -0.5)
        return self._widen(query, halves, halves.new_zeros(1, self.padding))

    def key(self, key: Tensor) -> Tensor:
        """``[k, high, low, 0...]``."""
        square = precise(key).square().sum(dim=-1, keepdim=True)
        high = square.to(key.dtype)
        low = (square - high).to(key.dtype)
        return self._widen(key, high, low, key.new_zeros(1, self.padding))

    @staticmethod
    def _widen(vectors: Tensor, *columns: Tensor) -> Tensor:
        return torch.cat([vectors, *(column.expand(*vectors.shape[:-1], -1) for column in columns)], dim=-1)


class UnsquaredEuclidean(Score):
    """``score(q, k) = -|q - k|``: the negative distance itself, which no inner product gives.

    It needs no scale: distances between random vectors grow with sqrt(d), but their deviation does not.
    """

    def __init__(self, num_heads: int, query_dim: int, key_dim: int) -> None:
        super().__init__(num_heads, query_dim, key_dim)
        self.require_equal_widths()

    def compare(self, query: Tensor, key: Tensor) -> Tensor:
        """``-|q - k|``; its gradient is zero where they are equal.

        Differences are taken before they are squared. By ``|q|^2 - 2 q . k + |k|^2`` the distance of a vector to
        itself, in self-attention, would be the square root of a rounding error.
        """
        return -torch.cdist(precise(query), precise(key), compute_mode="donot_use_mm_for_euclid_dist")

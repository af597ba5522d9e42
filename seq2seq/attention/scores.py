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
from torch.utils.checkpoint import checkpoint

from seq2seq.config import PositiveFloat, PositiveInt
from seq2seq.errors import ConfigError

# Fused kernels on GPUs want head widths in multiples of this.
KERNEL_WIDTH = 8


def precise(vectors: Tensor) -> Tensor:
    """Return vectors in at least single precision, because half precision rounds squares and lengths too coarsely."""
    return vectors if vectors.dtype == torch.float64 else vectors.float()


class Score(nn.Module):
    """A similarity between queries and keys; by itself the plain inner product.

    Args:
        num_heads: H.
        query_dim: width of one head's query.
        key_dim: width of one head's key.
    """

    def __init__(self, num_heads: int, query_dim: int, key_dim: int) -> None:
        super().__init__()
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
                f"`score` {type(self).__name__} must compare queries and keys of equal width, but they have "
                f"{self.query_dim} and {self.key_dim} a head instead; set `project: true`, or use attention=general "
                "or attention=additive"
            )


class Dot(Score):
    """``score(q, k) = q . k``: Luong et al. 2015, equation 8, "dot"."""

    def __init__(self, num_heads: int, query_dim: int, key_dim: int) -> None:
        super().__init__(num_heads, query_dim, key_dim)
        self.require_equal_widths()


class ScaledDot(Dot):
    """``score(q, k) = q . k / sqrt(d)``: Vaswani et al. 2017, equation 1."""

    def query(self, query: Tensor) -> Tensor:
        """Carry the scale on the query, which is the smaller of the two while searching."""
        return query * (1.0 / math.sqrt(self.query_dim))


class General(Score):
    """``score(q, k) = q^T W k``, W of shape (query_dim, key_dim) for each head: Luong et al. 2015, equation 8."""

    def __init__(self, num_heads: int, query_dim: int, key_dim: int) -> None:
        super().__init__(num_heads, query_dim, key_dim)
        self.weight = nn.Parameter(torch.empty(num_heads, query_dim, key_dim))
        bound = 1.0 / math.sqrt(key_dim)
        nn.init.uniform_(self.weight, -bound, bound)

    def key(self, key: Tensor) -> Tensor:
        """``W k``: done once per sentence, where a map of the query would be done at every step."""
        return key @ self.weight.transpose(-1, -2)


class Additive(Score):
    """``score(q, k) = v . tanh(W q + U k + b)``: Bahdanau et al. 2015, appendix A.1.2, with W, U, b, v for each head.

    Args:
        num_heads: H.
        query_dim: width of one head's query.
        key_dim: width of one head's key.
        dim: width of the hidden layer; None takes ``query_dim``.
    """

    # The (B,H,T,S,e) hidden layer is held whole up to this many numbers. A larger one is built for a part of the
    # query positions at a time, and built again for the gradient instead of being kept.
    chunk_numbers = 2**25

    def __init__(self, num_heads: int, query_dim: int, key_dim: int, *, dim: PositiveInt | None) -> None:
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
        return query @ self.query_weight

    def key(self, key: Tensor) -> Tensor:
        """``U k + b``."""
        product = key @ self.key_weight
        return product + self.bias.to(product.dtype)

    def direction(self) -> Tensor:
        """``v`` of each head (H,e,1)."""
        return self.vector

    def compare(self, query: Tensor, key: Tensor) -> Tensor:
        """``v . tanh(query + key)`` for every pair of positions."""
        batch, heads, steps, width = query.shape
        rows = max(1, self.chunk_numbers // (batch * heads * key.shape[2] * width))
        vector = self.direction().to(query.dtype).unsqueeze(1)  # (H,1,e,1)
        if rows >= steps:
            return _compare_sums(query, key, vector)
        parts = [
            checkpoint(_compare_sums, part, key, vector, use_reentrant=False, preserve_rng_state=False)
            for part in query.split(rows, dim=2)
        ]
        return torch.cat(parts, dim=2)


def _compare_sums(query: Tensor, key: Tensor, vector: Tensor) -> Tensor:
    hidden = torch.tanh(query.unsqueeze(3) + key.unsqueeze(2))  # (B,H,T,S,e)
    return (hidden @ vector).squeeze(-1)


class NormedAdditive(Additive):
    """``score(q, k) = g v . tanh(W q + U k + b) / |v|``, with a learned length g for each head.

    Weight normalisation (Salimans & Kingma 2016, equation 2) of :class:`Additive`'s v. g starts at e^-1/2.

    Args:
        num_heads: H.
        query_dim: width of one head's query.
        key_dim: width of one head's key.
        dim: width e of the hidden layer; None takes ``query_dim``.
    """

    def __init__(self, num_heads: int, query_dim: int, key_dim: int, *, dim: PositiveInt | None) -> None:
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
        return (F.normalize(precise(query), dim=-1) * self.log_temperature.exp()).to(query.dtype)

    def key(self, key: Tensor) -> Tensor:
        """``k / |k|``."""
        return F.normalize(precise(key), dim=-1).to(key.dtype)


class Euclidean(Score):
    """``score(q, k) = -|q - k|^2 / sqrt(d)``: the negative squared distance (L2 attention, Kim et al. 2021).

    ``|q - k|^2 = |q|^2 - 2 q . k + |k|^2``, and ``|q|^2`` is the same for every key, so the softmax cancels it, and
    so does entmax. What is left is an inner product of the longer vectors ``[2q, -1, -1, 0...]`` and
    ``[k, high, low, 0...]``, where ``high + low = |k|^2``: two columns, because one bfloat16 number would round the
    square too coarsely.
    """

    def __init__(self, num_heads: int, query_dim: int, key_dim: int) -> None:
        super().__init__(num_heads, query_dim, key_dim)
        self.require_equal_widths()
        self.padding = -(query_dim + 2) % KERNEL_WIDTH
        self.scale = 1.0 / math.sqrt(query_dim)

    def query(self, query: Tensor) -> Tensor:
        """``[2q, -1, -1, 0...] / sqrt(d)``."""
        minus = query.new_full((*query.shape[:-1], 2), -self.scale)
        return F.pad(torch.cat([query * (2.0 * self.scale), minus], dim=-1), (0, self.padding))

    def key(self, key: Tensor) -> Tensor:
        """``[k, high, low, 0...]``."""
        square = precise(key).square().sum(dim=-1, keepdim=True)
        high = square.to(key.dtype)
        low = (square - high).to(key.dtype)
        return F.pad(torch.cat([key, high, low], dim=-1), (0, self.padding))


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

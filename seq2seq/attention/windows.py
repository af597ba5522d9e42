"""Windows: which of the visible keys a query looks at, by where they stand.

What a query may see at all, for padding and for causality, is described by :class:`Sight`. A :class:`Window` narrows
it. No window ever leaves a query without a key, provided that each sentence has one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import torch
from torch import Tensor, nn

from seq2seq.attention.kernels import precise
from seq2seq.config import Range, Width
from seq2seq.errors import ConfigError


@dataclass(frozen=True)
class Sight:
    """What the queries may see, as a description; tensors are built from it as late as possible.

    Attributes:
        is_token: (B,S), True where a key is a token; None where nothing is padded.
        causal: whether a query sees only keys up to its own position.
        steps: consecutive positions that are asked for.
        hypotheses: K, how often those positions come one after the other, so that T = K * steps.
        offset: position of the first of them, counted from 0.
        keys: S.
        device: where to build.
    """

    is_token: Tensor | None
    causal: bool
    steps: int
    hypotheses: int
    offset: int
    keys: int
    device: torch.device

    @property
    def positions(self) -> Tensor:
        """(T), the position of each query."""
        return torch.arange(self.offset, self.offset + self.steps, device=self.device).repeat(self.hypotheses)

    @property
    def lengths(self) -> Tensor:
        """(B or 1, 1, T or 1), how many keys each query may see: the first so many."""
        if self.is_token is None:
            count = torch.full((1, 1, 1), self.keys, device=self.device)
        else:
            count = self.is_token.sum(dim=1)[:, None, None]
        return torch.minimum(count, self.positions + 1) if self.causal else count

    @property
    def hides_later_keys(self) -> bool:
        """Whether causality hides any key."""
        return self.causal and self.offset + 1 < self.keys

    def mask(self) -> Tensor | None:
        """Return (B,1,1,S), (1,1,T,S) or (B,1,T,S), True where a query sees a key; None where all see all."""
        mask = None if self.is_token is None else self.is_token[:, None, None, :]
        if self.hides_later_keys:
            past = torch.arange(self.keys, device=self.device) <= self.positions[:, None]
            mask = past[None, None] if mask is None else mask & past
        return mask


class Focus(NamedTuple):
    """What a window adds to a sight.

    Attributes:
        visible: broadcasts to (B,H,T,S), True where a key is inside; None where the window has no edges.
        factor: (B,H,T,S), what the weights are multiplied by; None where nothing is.
    """

    visible: Tensor | None
    factor: Tensor | None


class Window(nn.Module, ABC):
    """A choice among the visible keys.

    Args:
        query_dim: width of the queries.
        num_heads: H.
    """

    def __init__(self, query_dim: int, num_heads: int) -> None:
        super().__init__()

    @abstractmethod
    def forward(self, query: Tensor, sight: Sight) -> Focus:
        """Return the window of queries (B,T,query_dim), as they are before any projection."""
        raise NotImplementedError


class Global(Window):
    """Every visible key."""

    def forward(self, query: Tensor, sight: Sight) -> Focus:
        """See :meth:`Window.forward`."""
        return Focus(None, None)


class Sliding(Window):
    """The keys around the query's own position: ``|s - t| <= (width - 1) / 2``.

    In self-attention this is the sliding window of Beltagy et al. 2020 (section 3.1), of which a causal query sees
    the earlier half. To the source it is the monotonic window of Luong et al. 2015 (section 3.2, local-m), with
    D = (width - 1) / 2. A target that grows longer than its source goes on looking at the source's end.

    Args:
        query_dim: width of the queries.
        num_heads: H.
        width: keys in a window; odd.
    """

    def __init__(self, query_dim: int, num_heads: int, *, width: Width) -> None:
        super().__init__(query_dim, num_heads)
        self.radius = radius(width)

    def forward(self, query: Tensor, sight: Sight) -> Focus:
        """See :meth:`Window.forward`; no edges where the window holds every key from anywhere."""
        if self.radius >= sight.keys - 1:
            return Focus(None, None)
        centre = torch.minimum(sight.positions, sight.lengths - 1).unsqueeze(-1)
        keys = torch.arange(sight.keys, device=sight.device)
        return Focus((keys - centre).abs() <= self.radius, None)


class Predictive(Window):
    """A window that the query itself places: Luong et al. 2015, equations 9 and 10 (local-p).

    ``p = S sigmoid(v . tanh(W q))``, with W and v learned and v for each head, is where the query wants to look; S is
    the number of keys that it may see, and they stand at 1 to S. Keys with ``|s - p| <= D`` are compared, and their
    weights multiplied by ``exp(-(s - p)^2 / (2 (D / 2)^2))``. As in the paper they are not normalised again, so they
    sum to less than one.

    Args:
        query_dim: width of the queries.
        num_heads: H.
        width: 2 D + 1, keys in a window; odd, at least 3.
    """

    def __init__(self, query_dim: int, num_heads: int, *, width: Annotated[Width, Range(low=3)]) -> None:
        super().__init__(query_dim, num_heads)
        self.radius = radius(width)
        self.map = nn.Linear(query_dim, query_dim, bias=False)
        self.vector = nn.Linear(query_dim, num_heads, bias=False)

    def forward(self, query: Tensor, sight: Sight) -> Focus:
        """See :meth:`Window.forward`."""
        wish = self.vector(torch.tanh(self.map(query))).transpose(1, 2)  # (B,H,T)
        # Positions need more digits than half precision has.
        share = torch.sigmoid(precise(wish))
        centre = (sight.lengths * share).unsqueeze(-1)
        distance = torch.arange(1, sight.keys + 1, device=sight.device) - centre
        deviation = self.radius / 2
        return Focus(distance.abs() <= self.radius, torch.exp(-(distance**2) / (2 * deviation**2)))


def radius(width: int) -> int:
    """Return how far a window of this width reaches to each side.

    Raises:
        ConfigError: the width is even, so that there is no middle.
    """
    if width % 2 == 0:
        raise ConfigError(
            f"`width` must be odd, because a window reaches equally far to both sides, but is {width} instead; "
            f"take {width - 1} or {width + 1}"
        )
    return (width - 1) // 2

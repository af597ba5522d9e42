"""The one attention of the package: projections, heads, masks, weights and the context they give.

Recurrent and Transformer models use the same class. ``project: false`` gives the classical attention of Bahdanau
and Luong, whose score sees the vectors themselves; ``project: true`` puts learned maps in front of the score and
behind the context, which with several heads is the multi-head attention of Vaswani et al. 2017.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seq2seq.attention.scores import Score
from seq2seq.config import Component, PositiveInt, Probability
from seq2seq.dropout import dropout
from seq2seq.errors import ConfigError

Rotation = Callable[[Tensor, int], Tensor]
"""Turns (B,H,T,d) by the positions that begin at an offset: rotary position embeddings."""


class KeyValue(NamedTuple):
    """What a query looks at: mapped keys (B,H,S,e) and values (B,H,S,v)."""

    key: Tensor
    value: Tensor


class AttentionOutput(NamedTuple):
    """The context (B,T,O) and, where asked for, the weights (B,H,T,S)."""

    context: Tensor
    weights: Tensor | None


def build_mask(
    is_token: Tensor | None, queries: int, keys: int, *, causal: bool, device: torch.device
) -> Tensor | None:
    """Build the mask from its description, as late as possible; None where every key is visible.

    Args:
        is_token: (B,S), True where a key is a token; None where the batch holds no padding.
        queries: T. With ``causal`` the last query stands at the position of the last key.
        keys: S.
        causal: whether a query sees only keys up to its own position.
        device: where to build it.

    Returns:
        (B,1,1,S), (1,1,T,S) or (B,1,T,S), True where a query sees a key.
    """
    mask = None if is_token is None else is_token[:, None, None, :]
    if causal and queries > 1:
        visible = torch.ones(queries, keys, dtype=torch.bool, device=device).tril(keys - queries)
        mask = visible[None, None] if mask is None else mask & visible
    return mask


def fused_pays(query: Tensor) -> bool:
    """Whether the fused kernel is the faster way for these queries (B,H,T,e).

    On a GPU it always is. On the CPU its bfloat16 kernel took 9 to 20 times as long as the three explicit operations
    at the 16 to 64 positions of a sentence, while in single precision it wins (docs/BENCHMARKS.md).
    """
    device = query.device.type
    precision = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else query.dtype
    return device != "cpu" or precision == torch.float32


class Attention(nn.Module):
    """Attend from queries (B,T,query_dim) to a memory (B,S,memory_dim).

    Args:
        query_dim: width of the queries.
        memory_dim: width of the memory.
        score: the similarity.
        num_heads: H; queries and memory are cut into this many slices.
        project: whether learned maps stand before the score and after the context.
        dropout: probability of dropping an attention weight.

    Attributes:
        output_dim: width O of the context: ``query_dim`` with projections, ``memory_dim`` without.
    """

    def __init__(
        self,
        query_dim: int,
        memory_dim: int,
        *,
        score: Component[Score],
        num_heads: PositiveInt,
        project: bool,
        dropout: Probability,
    ) -> None:
        super().__init__()
        inner_dim = query_dim if project else memory_dim
        for name, width in (("query", query_dim), ("memory", inner_dim)):
            if width % num_heads:
                raise ConfigError(
                    f"`num_heads` must divide the {name} width {width}, but is {num_heads} instead; "
                    "change it, or change `model.dim`"
                )
        self.num_heads = num_heads
        self.project = project
        self.dropout = dropout
        self.output_dim = inner_dim
        if project:
            self.query_map = nn.Linear(query_dim, inner_dim, bias=False)
            self.key_value_map = nn.Linear(memory_dim, 2 * inner_dim, bias=False)
            self.output_map = nn.Linear(inner_dim, inner_dim, bias=False)
        self.score = score(num_heads, query_dim // num_heads, inner_dim // num_heads)

    def project_memory(self, memory: Tensor, *, rotation: Rotation | None = None, offset: int = 0) -> KeyValue:
        """Map a memory (B,S,M) to keys and values; done once per sentence."""
        key, value = self.key_value_map(memory).chunk(2, dim=-1) if self.project else (memory, memory)
        key, value = self._split(key), self._split(value)
        if rotation is not None:
            key = rotation(key, offset)
        return KeyValue(self.score.key(key), value)

    def forward(
        self,
        query: Tensor,
        memory: KeyValue,
        is_token: Tensor | None = None,
        *,
        causal: bool = False,
        need_weights: bool = False,
        rotation: Rotation | None = None,
        offset: int = 0,
    ) -> AttentionOutput:
        """Attend.

        Args:
            query: (B,T,query_dim), or (B*K,T,query_dim) where K hypotheses share each sentence's memory.
            memory: keys and values of B sentences.
            is_token: (B,S), True where a key is a token; None where nothing is padded.
            causal: whether a query sees only keys up to its own position.
            need_weights: whether to return the weights; this takes the explicit path.
            rotation: rotary position embedding of the queries.
            offset: position of the first query, for the rotation.
        """
        batch, steps = query.shape[:2]
        sentences = memory.key.shape[0]
        if sentences != batch:  # the hypotheses of a sentence are further queries to the same memory
            query = query.reshape(sentences, batch // sentences * steps, -1)
        query = self._split(self.query_map(query) if self.project else query)
        if rotation is not None:
            query = rotation(query, offset)
        query = self.score.query(query)
        if self.score.is_inner_product and not need_weights and fused_pays(query):
            context, weights = self._fused(query, memory, is_token, causal), None
        else:
            context, weights = self._explicit(query, memory, is_token, causal)
        context = context.transpose(1, 2).reshape(batch, steps, self.output_dim)
        if sentences != batch:
            weights = weights.unflatten(2, (-1, steps)).transpose(1, 2).flatten(0, 1) if weights is not None else None
        if self.project:
            context = self.output_map(context)
        return AttentionOutput(context, weights if need_weights else None)

    def _split(self, vectors: Tensor) -> Tensor:
        """(B,T,H*d) -> (B,H,T,d)."""
        heads: Tensor = vectors.unflatten(-1, (self.num_heads, -1))
        return heads.transpose(1, 2)

    def _fused(self, query: Tensor, memory: KeyValue, is_token: Tensor | None, causal: bool) -> Tensor:
        steps, keys = query.shape[2], memory.key.shape[2]
        # The kernel's own causal flag reaches its fastest form, but is only right where queries and keys align.
        aligned = causal and is_token is None and steps == keys
        mask = None if aligned else build_mask(is_token, steps, keys, causal=causal, device=query.device)
        value, value_dim = memory.value, memory.value.shape[-1]
        if query.shape[-1] > value_dim:  # the kernel wants one width for all three
            value = F.pad(value, (0, query.shape[-1] - value_dim))
        probability = self.dropout if self.training else 0.0
        context = F.scaled_dot_product_attention(
            query, memory.key, value, mask, dropout_p=probability, is_causal=aligned and steps > 1, scale=1.0
        )
        return context[..., :value_dim]

    def _explicit(
        self, query: Tensor, memory: KeyValue, is_token: Tensor | None, causal: bool
    ) -> tuple[Tensor, Tensor]:
        scores = self.score.compare(query, memory.key)
        mask = build_mask(is_token, scores.shape[2], scores.shape[3], causal=causal, device=scores.device)
        if mask is not None:
            scores = scores.masked_fill(~mask, float("-inf"))
        weights = torch.softmax(scores, dim=-1)
        return dropout(weights, self.dropout, self.training).to(memory.value.dtype) @ memory.value, weights

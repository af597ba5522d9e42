"""The one attention of the package: projections, heads, windows, weights and the context they give.

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

from seq2seq.attention.normalizers import Normalizer
from seq2seq.attention.scores import Score
from seq2seq.attention.windows import Focus, Sight, Window
from seq2seq.config import Component, Probability, Width
from seq2seq.dropout import dropout
from seq2seq.errors import ConfigError
from seq2seq.runtime import product_dtype

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


def fused_pays(query: Tensor) -> bool:
    """Whether the fused kernel is the faster way for these queries (B,H,T,e).

    On a GPU it always is. On the CPU its bfloat16 kernel took 9 to 20 times as long as the three explicit operations
    at the 16 to 64 positions of a sentence, while in single precision it wins (docs/BENCHMARKS.md), and so it does
    for the single query of a decoding step.
    """
    return query.device.type != "cpu" or product_dtype(query) == torch.float32 or query.shape[2] == 1


class Attention(nn.Module):
    """Attend from queries (B,T,query_dim) to a memory (B,S,memory_dim).

    Args:
        query_dim: width of the queries.
        memory_dim: width of the memory.
        score: the similarity.
        normalizer: makes weights of scores.
        window: which of the visible keys a query looks at.
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
        normalizer: Component[Normalizer],
        window: Component[Window],
        num_heads: Width,
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
        self.normalizer = normalizer()
        self.window = window(query_dim, num_heads)

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
            offset: position of the first query.

        Returns:
            the context (B,T,output_dim) and, where asked for, the weights (B,H,T,S).
        """
        batch, steps = query.shape[:2]
        sentences, keys = memory.key.shape[0], memory.key.shape[2]
        hypotheses = batch // sentences
        if hypotheses > 1:  # those of a sentence are further queries to the same memory
            query = query.reshape(sentences, hypotheses * steps, -1)
        sight = Sight(is_token, causal, steps, hypotheses, offset, keys, query.device)
        focus = self.window(query, sight)
        query = self._split(self.query_map(query) if self.project else query)
        if rotation is not None:
            query = rotation(query, offset)
        query = self.score.query(query)
        if self._is_fused(focus) and not need_weights and fused_pays(query):
            context, weights = self._fused(query, memory, sight, focus), None
        else:
            context, weights = self._explicit(query, memory, sight, focus)
        context = context.transpose(1, 2).reshape(batch, steps, self.output_dim)
        if hypotheses > 1 and weights is not None:
            weights = weights.unflatten(2, (hypotheses, steps)).transpose(1, 2).flatten(0, 1)
        if self.project:
            context = self.output_map(context)
        return AttentionOutput(context, weights if need_weights else None)

    def _is_fused(self, focus: Focus) -> bool:
        """Whether the fused kernel computes this attention: a softmax of inner products, and nothing after it."""
        return self.score.is_inner_product and self.normalizer.is_softmax and focus.factor is None

    def _split(self, vectors: Tensor) -> Tensor:
        """(B,T,H*d) -> (B,H,T,d)."""
        heads: Tensor = vectors.unflatten(-1, (self.num_heads, -1))
        return heads.transpose(1, 2)

    def _fused(self, query: Tensor, memory: KeyValue, sight: Sight, focus: Focus) -> Tensor:
        # The kernel's own causal flag reaches its fastest form, but is only right where queries and keys align.
        aligned = sight.hides_later_keys and query.shape[2] == sight.keys and sight.is_token is None
        aligned = aligned and sight.offset == 0 and focus.visible is None
        value, value_dim = memory.value, memory.value.shape[-1]
        if query.shape[-1] > value_dim:  # the kernel wants one width for all three
            value = F.pad(value, (0, query.shape[-1] - value_dim))
        context = F.scaled_dot_product_attention(
            query,
            memory.key,
            value,
            None if aligned else both(sight.mask(), focus.visible),
            dropout_p=self.dropout if self.training else 0.0,
            is_causal=aligned,
            scale=self.score.scale,
        )
        return context[..., :value_dim]

    def _explicit(self, query: Tensor, memory: KeyValue, sight: Sight, focus: Focus) -> tuple[Tensor, Tensor]:
        scores = self.score.compare(query, memory.key)
        mask = both(sight.mask(), focus.visible)
        if mask is None:
            weights = self.normalizer(scores)
        else:
            weights = without_the_blind(self.normalizer(scores.masked_fill(~mask, float("-inf"))), mask)
        if focus.factor is not None:
            weights = weights * focus.factor
        return dropout(weights, self.dropout, self.training).to(memory.value.dtype) @ memory.value, weights


def both(first: Tensor | None, second: Tensor | None) -> Tensor | None:
    """Return what two masks allow together; None allows everything."""
    if first is None or second is None:
        return second if first is None else first
    return first & second


def without_the_blind(weights: Tensor, mask: Tensor) -> Tensor:
    """Give zeros to queries that see no key, as the fused kernel does, where a softmax gives no number at all."""
    blind = ~mask.any(dim=-1, keepdim=True)
    # There hardly ever is one. On a CPU asking is cheaper than a pass over the weights; a GPU would have to wait.
    # A graph of torch's compiler cannot ask.
    if weights.device.type == "cpu" and not torch.compiler.is_compiling() and not bool(blind.any()):
        return weights
    return weights.masked_fill(blind, 0.0)

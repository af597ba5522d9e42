"""The Transformer decoder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import cast

from torch import Tensor, nn

from seq2seq.attention.core import Attention
from seq2seq.config import Component, Layers, Probability, Width
from seq2seq.decoders.base import Decoder, DecoderOutput, DecoderState
from seq2seq.dropout import dropout
from seq2seq.encoders.base import Memory
from seq2seq.layers import (
    Activation,
    BlockStyle,
    CrossAttention,
    FeedForwardLayer,
    Norm,
    NormPosition,
    PositionEmbedding,
    Positions,
    SelfAttention,
)


class TransformerDecoder(Decoder):
    """Causal self-attention, attention to the source and feed-forward layers: Vaswani et al. 2017, section 3.1.

    Args:
        input_dim: E.
        output_dim: D, the width of the stack.
        memory_dim: M.
        attention: makes each layer's attention to the source.
        self_attention: makes each layer's self-attention.
        num_layers: layers.
        feed_forward_dim: inner width of the feed-forward networks.
        activation: their activation.
        norm: ``layer`` or ``rms``.
        norm_position: before each sub-layer (``pre``) or after its residual sum (``post``).
        positions: how positions are told.
        dropout: probability of dropping an element of a sub-layer's output.
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        memory_dim: int,
        attention: Component[Attention],
        self_attention: Component[Attention],
        *,
        num_layers: Layers,
        feed_forward_dim: Width,
        activation: Activation,
        norm: Norm,
        norm_position: NormPosition,
        positions: Positions,
        dropout: Probability,
    ) -> None:
        super().__init__()
        style = BlockStyle(output_dim, feed_forward_dim, activation, norm, norm_position, dropout)
        own = [self_attention(output_dim, output_dim) for _ in range(num_layers)]
        self.fit = nn.Identity() if input_dim == output_dim else nn.Linear(input_dim, output_dim, bias=False)
        self.positions = PositionEmbedding(positions, output_dim, output_dim // own[0].num_heads)
        self.self_attentions = nn.ModuleList(SelfAttention(part, style) for part in own)
        self.cross_attentions = nn.ModuleList(
            CrossAttention(attention(output_dim, memory_dim), style) for _ in range(num_layers)
        )
        self.feed_forwards = nn.ModuleList(FeedForwardLayer(style) for _ in range(num_layers))
        self.norm = style.final_norm()
        self.dropout = dropout
        self.output_dim = output_dim

    @property
    def attentions(self) -> Sequence[Attention]:
        """See :attr:`Decoder.attentions`: one a layer."""
        return [layer.attention for layer in cast("Iterable[CrossAttention]", self.cross_attentions)]

    def init_state(self, memory: Memory) -> DecoderState:
        """Project the memory once for each layer; the cache of self-attention is empty."""
        projected = tuple(attention.project_memory(memory.states) for attention in self.attentions)
        return DecoderState(projected, memory.is_token, (None,) * len(projected), 0)

    def forward(self, embedded: Tensor, state: DecoderState, *, need_weights: bool = False) -> DecoderOutput:
        """See :meth:`Decoder.forward`. Right padding needs no mask here: no token ever looks to its right."""
        hidden = dropout(self.positions.add(self.fit(embedded), state.position), self.dropout, self.training)
        cache, weights = [], []
        for layer, memory in enumerate(state.memory):
            hidden, seen = self.self_attentions[layer](
                hidden,
                None,
                causal=True,
                rotation=self.positions.rotation,
                past=state.cache[layer],
                offset=state.position,
            )
            hidden, looked = self.cross_attentions[layer](
                hidden, memory, state.is_token, need_weights=need_weights, offset=state.position
            )
            hidden = self.feed_forwards[layer](hidden)
            cache.append(seen)
            weights.append(looked)
        after = replace(state, cache=tuple(cache), position=state.position + embedded.shape[1])
        return DecoderOutput(self.norm(hidden), after, tuple(weights) if need_weights else ())

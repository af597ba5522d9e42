"""The Transformer encoder."""

from __future__ import annotations

from torch import Tensor, nn

from seq2seq.attention.core import Attention
from seq2seq.config import Component, Layers, Probability, Width
from seq2seq.dropout import dropout
from seq2seq.encoders.base import Encoder, Memory
from seq2seq.layers import (
    Activation,
    BlockStyle,
    FeedForwardLayer,
    Norm,
    NormPosition,
    PositionEmbedding,
    Positions,
    SelfAttention,
)


class TransformerEncoder(Encoder):
    """Self-attention and feed-forward layers: Vaswani et al. 2017, section 3.1.

    Args:
        input_dim: E.
        output_dim: M, the width of the stack.
        self_attention: makes the attention of each layer.
        num_layers: layers.
        feed_forward_dim: inner width of the feed-forward networks.
        activation: their activation.
        norm: ``layer`` (Ba et al. 2016) or ``rms`` (Zhang & Sennrich 2019).
        norm_position: before each sub-layer (``pre``) or after its residual sum (``post``).
        positions: how positions are told.
        dropout: probability of dropping an element of a sub-layer's output.
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
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
        attentions = [self_attention(output_dim, output_dim) for _ in range(num_layers)]
        self.fit = nn.Identity() if input_dim == output_dim else nn.Linear(input_dim, output_dim, bias=False)
        self.positions = PositionEmbedding(positions, output_dim, output_dim // attentions[0].num_heads)
        self.attentions = nn.ModuleList(SelfAttention(attention, style) for attention in attentions)
        self.feed_forwards = nn.ModuleList(FeedForwardLayer(style) for _ in range(num_layers))
        self.norm = style.final_norm()
        self.dropout = dropout
        self.output_dim = output_dim

    def forward(self, embedded: Tensor, is_token: Tensor | None, lengths: Tensor) -> Memory:
        """See :meth:`Encoder.forward`; the summary is the mean of a sentence's states."""
        hidden = dropout(self.positions.add(self.fit(embedded)), self.dropout, self.training)
        for attend, transform in zip(self.attentions, self.feed_forwards, strict=True):
            hidden, _ = attend(hidden, is_token, rotation=self.positions.rotation)
            hidden = transform(hidden)
        states = self.norm(hidden)
        tokens = states if is_token is None else states * is_token.unsqueeze(-1)
        return Memory(states, is_token, tokens.sum(dim=1) / lengths.unsqueeze(-1))

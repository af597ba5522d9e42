"""A stack of bidirectional LSTM layers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from seq2seq.attention.core import Attention
from seq2seq.config import Component, Layers, Probability
from seq2seq.dropout import dropout
from seq2seq.encoders.base import Encoder, Memory
from seq2seq.errors import ConfigError


def reverse_within_length(states: Tensor, lengths: Tensor) -> Tensor:
    """Reverse the first ``lengths[b]`` rows of each (S,D) in (B,S,D); the padding behind them stays where it is."""
    positions = torch.arange(states.shape[1], device=states.device)[None, :]
    mirrored = lengths[:, None] - 1 - positions
    index = torch.where(mirrored >= 0, mirrored, positions)
    return states.gather(1, index.unsqueeze(-1).expand_as(states))


class BiLSTMEncoder(Encoder):
    """Bidirectional LSTM (Graves & Schmidhuber 2005), M/2 units a direction.

    The backward direction reads each sentence reversed within its own length. Padding then only ever follows the
    tokens, so it cannot reach them, and both directions are one fused call without packing.

    Args:
        input_dim: E.
        output_dim: M.
        self_attention: not used: a recurrent encoder has none.
        num_layers: bidirectional layers.
        dropout: probability of dropping an element between layers and of the output.
    """

    uses_self_attention = False

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        self_attention: Component[Attention],
        *,
        num_layers: Layers,
        dropout: Probability,
    ) -> None:
        super().__init__()
        if output_dim % 2:
            raise ConfigError(f"`model.dim` must be even for two directions, but is {output_dim} instead")
        widths = [input_dim] + [output_dim] * (num_layers - 1)
        self.forwards = nn.ModuleList(nn.LSTM(width, output_dim // 2, batch_first=True) for width in widths)
        self.backwards = nn.ModuleList(nn.LSTM(width, output_dim // 2, batch_first=True) for width in widths)
        self.dropout = dropout
        self.output_dim = output_dim

    def forward(self, embedded: Tensor, is_token: Tensor | None, lengths: Tensor) -> Memory:
        """See :meth:`Encoder.forward`; the summary is the last state of each direction."""
        states = embedded
        last = (lengths - 1)[:, None, None]
        summary = states
        for read_forward, read_backward in zip(self.forwards, self.backwards, strict=True):
            ahead, _ = read_forward(states)
            back, _ = read_backward(reverse_within_length(states, lengths))
            summary = torch.cat(
                [part.gather(1, last.expand(-1, 1, part.shape[-1])) for part in (ahead, back)], dim=-1
            )
            states = torch.cat([ahead, reverse_within_length(back, lengths)], dim=-1)
            states = dropout(states, self.dropout, self.training)
        return Memory(states, is_token, summary.squeeze(1))

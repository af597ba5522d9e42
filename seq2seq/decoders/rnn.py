"""The recurrent decoder."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from seq2seq.attention.core import Attention
from seq2seq.config import Component, PositiveInt, Probability
from seq2seq.decoders.base import Decoder, DecoderOutput, DecoderState
from seq2seq.dropout import dropout
from seq2seq.encoders.base import Memory


class RecurrentCache(NamedTuple):
    """State of the cells (B,L,D), the LSTM's second one or None, and the vector fed back (B,D) or None."""

    hidden: Tensor
    cell: Tensor | None
    feed: Tensor | None


class RNNDecoder(Decoder):
    """LSTM (Hochreiter & Schmidhuber 1997) or GRU (Cho et al. 2014) with attention after the cell.

    Luong et al. 2015, section 3: the cell's output h attends, and ``tanh(W [c; h])`` (equation 5) goes on to the
    vocabulary. With input feeding (section 3.3) that vector also joins the next step's input, so the steps cannot be
    done together; without it, training is one fused recurrent call and one attention call over all T positions.

    Args:
        input_dim: E.
        output_dim: D, the units of each layer.
        memory_dim: M.
        attention: makes the attention to the source.
        self_attention: not used: a recurrent decoder has none.
        cell: the kind of recurrent unit.
        num_layers: layers.
        input_feeding: whether the attentional vector joins the next input.
        dropout: probability of dropping an element between layers and of the output.
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        memory_dim: int,
        attention: Component[Attention],
        self_attention: Component[Attention],
        *,
        cell: Literal["lstm", "gru"],
        num_layers: PositiveInt,
        input_feeding: bool,
        dropout: Probability,
    ) -> None:
        super().__init__()
        kind = nn.LSTM if cell == "lstm" else nn.GRU
        width = input_dim + (output_dim if input_feeding else 0)
        between = dropout if num_layers > 1 else 0.0
        self.recurrence = kind(width, output_dim, num_layers, batch_first=True, dropout=between)
        self.attention = attention(output_dim, memory_dim)
        self.join = nn.Linear(self.attention.output_dim + output_dim, output_dim, bias=False)
        self.start = nn.Linear(memory_dim, output_dim * num_layers)
        self.is_lstm = cell == "lstm"
        self.num_layers = num_layers
        self.input_feeding = input_feeding
        self.dropout = dropout
        self.output_dim = output_dim

    def init_state(self, memory: Memory) -> DecoderState:
        """Start from ``tanh(W summary)``, as Bahdanau et al. 2015 (appendix A.2.2) start from the encoder."""
        hidden = torch.tanh(self.start(memory.summary)).unflatten(-1, (self.num_layers, self.output_dim))
        cell = torch.zeros_like(hidden) if self.is_lstm else None
        feed = torch.zeros_like(hidden[:, 0]) if self.input_feeding else None
        projected = (self.attention.project_memory(memory.states),)
        return DecoderState(projected, memory.is_token, RecurrentCache(hidden, cell, feed), 0)

    def forward(self, embedded: Tensor, state: DecoderState, *, need_weights: bool = False) -> DecoderOutput:
        """See :meth:`Decoder.forward`."""
        steps = embedded.split(1, dim=1) if self.input_feeding else (embedded,)
        cache: RecurrentCache = state.cache
        vectors, weights = [], []
        for step in steps:
            if cache.feed is not None:
                step = torch.cat([step, cache.feed.unsqueeze(1).to(step.dtype)], dim=-1)
            output, cache = self._recur(step, cache)
            context, looked = self.attention(output, state.memory[0], state.is_token, need_weights=need_weights)
            vector = torch.tanh(self.join(torch.cat([context, output], dim=-1)))
            vector = dropout(vector, self.dropout, self.training)
            if self.input_feeding:
                cache = cache._replace(feed=vector[:, -1])
            vectors.append(vector)
            weights.append(looked)
        after = replace(state, cache=cache, position=state.position + embedded.shape[1])
        together = (torch.cat(weights, dim=2),) if need_weights else ()
        return DecoderOutput(torch.cat(vectors, dim=1), after, together)

    def _recur(self, inputs: Tensor, cache: RecurrentCache) -> tuple[Tensor, RecurrentCache]:
        """Run the cells over (B,T,E); torch keeps their states layer first, the cache batch first."""
        hidden = cache.hidden.transpose(0, 1).contiguous()
        if cache.cell is None:
            output, hidden = self.recurrence(inputs, hidden)
            return output, cache._replace(hidden=hidden.transpose(0, 1))
        output, (hidden, cell) = self.recurrence(inputs, (hidden, cache.cell.transpose(0, 1).contiguous()))
        return output, cache._replace(hidden=hidden.transpose(0, 1), cell=cell.transpose(0, 1))

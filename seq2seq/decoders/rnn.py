"""The recurrent decoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from seq2seq.attention.core import Attention, AttentionOutput
from seq2seq.config import Component, Layers, Probability
from seq2seq.decoders.base import Decoder, DecoderOutput, DecoderState
from seq2seq.dropout import dropout
from seq2seq.encoders.base import Memory


class RecurrentCache(NamedTuple):
    """State of the cells (B,L,D), the LSTM's second one or None, and the vector fed back (B,D) or None."""

    hidden: Tensor
    cell: Tensor | None
    feed: Tensor | None


class RNNDecoder(Decoder):
    """LSTM (Hochreiter & Schmidhuber 1997) or GRU (Cho et al. 2014) with attention before or after the cell.

    ``after``, Luong et al. 2015, section 3: the cell's output h_t attends. ``before``, Bahdanau et al. 2015,
    equation 4 and appendix A.2.2: the state before the step, h_(t-1), attends, and the context c_t joins the cell's
    input. Either way ``tanh(W [c_t; h_t])`` (Luong's equation 5) goes on to the vocabulary. With input feeding
    (Luong's section 3.3) that vector also joins the next step's input.

    Attention after the cell without input feeding needs no loop: training is one fused recurrent call and one
    attention call over all T positions. Each of the other three ways goes step by step.

    Args:
        input_dim: E.
        output_dim: D, the units of each layer.
        memory_dim: M.
        attention: makes the attention to the source.
        self_attention: not used: a recurrent decoder has none.
        cell: the kind of recurrent unit.
        num_layers: layers; the top one's state attends.
        attend: before or after the cell.
        input_feeding: whether the attentional vector joins the next input.
        dropout: probability of dropping an element between layers and of the output.
    """

    uses_self_attention = False

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        memory_dim: int,
        attention: Component[Attention],
        self_attention: Component[Attention],
        *,
        cell: Literal["lstm", "gru"],
        num_layers: Layers,
        attend: Literal["after", "before"],
        input_feeding: bool,
        dropout: Probability,
    ) -> None:
        super().__init__()
        self.attention = attention(output_dim, memory_dim)
        self.attends_before = attend == "before"
        kind = nn.LSTM if cell == "lstm" else nn.GRU
        context = self.attention.output_dim if self.attends_before else 0
        width = input_dim + context + (output_dim if input_feeding else 0)
        between = dropout if num_layers > 1 else 0.0
        self.recurrence = kind(width, output_dim, num_layers, batch_first=True, dropout=between)
        self.join = nn.Linear(self.attention.output_dim + output_dim, output_dim, bias=False)
        self.start = nn.Linear(memory_dim, output_dim * num_layers)
        self.is_lstm = cell == "lstm"
        self.num_layers = num_layers
        self.input_feeding = input_feeding
        self.dropout = dropout
        self.output_dim = output_dim

    @property
    def attentions(self) -> Sequence[Attention]:
        """See :attr:`Decoder.attentions`: there is one."""
        return (self.attention,)

    def init_state(self, memory: Memory) -> DecoderState:
        """Start from ``tanh(W summary)``, as Bahdanau et al. 2015 (appendix A.2.2) start from the encoder."""
        hidden = torch.tanh(self.start(memory.summary)).unflatten(-1, (self.num_layers, self.output_dim))
        cell = torch.zeros_like(hidden) if self.is_lstm else None
        feed = torch.zeros_like(hidden[:, 0]) if self.input_feeding else None
        projected = (self.attention.project_memory(memory.states),)
        return DecoderState(projected, memory.is_token, RecurrentCache(hidden, cell, feed), 0)

    def forward(self, embedded: Tensor, state: DecoderState, *, need_weights: bool = False) -> DecoderOutput:
        """See :meth:`Decoder.forward`."""
        loops = self.attends_before or self.input_feeding
        vectors: list[Tensor] = []
        weights: list[Tensor] = []
        for inputs in embedded.split(1, dim=1) if loops else (embedded,):
            vector, state, looked = self._advance(inputs, state, need_weights)
            vectors.append(vector)
            weights += [] if looked is None else [looked]
        together = (torch.cat(weights, dim=2),) if need_weights else ()
        return DecoderOutput(torch.cat(vectors, dim=1), state, together)

    def _advance(
        self, inputs: Tensor, state: DecoderState, need_weights: bool
    ) -> tuple[Tensor, DecoderState, Tensor | None]:
        """Decode positions that can be done together: (B,T,E) -> vectors (B,T,D), state, weights (B,H,T,S)."""
        cache: RecurrentCache = state.cache
        if cache.feed is not None:
            inputs = torch.cat([inputs, cache.feed.unsqueeze(1).to(inputs.dtype)], dim=-1)
        if self.attends_before:
            context, looked = self._attend(cache.hidden[:, -1:], state, need_weights)
            inputs = torch.cat([inputs, context.to(inputs.dtype)], dim=-1)
            output, cache = self._recur(inputs, cache)
        else:
            output, cache = self._recur(inputs, cache)
            context, looked = self._attend(output, state, need_weights)
        vector = torch.tanh(self.join(torch.cat([context, output], dim=-1)))
        vector = dropout(vector, self.dropout, self.training)
        if self.input_feeding:
            cache = cache._replace(feed=vector[:, -1])
        return vector, replace(state, cache=cache, position=state.position + inputs.shape[1]), looked

    def _attend(self, query: Tensor, state: DecoderState, need_weights: bool) -> AttentionOutput:
        output: AttentionOutput = self.attention(
            query, state.memory[0], state.is_token, need_weights=need_weights, offset=state.position
        )
        return output

    def _recur(self, inputs: Tensor, cache: RecurrentCache) -> tuple[Tensor, RecurrentCache]:
        """Run the cells over (B,T,E); torch keeps their states layer first, the cache batch first."""
        hidden = cache.hidden.transpose(0, 1).contiguous()
        if cache.cell is None:
            output, hidden = self.recurrence(inputs, hidden)
            return output, cache._replace(hidden=hidden.transpose(0, 1))
        output, (hidden, cell) = self.recurrence(inputs, (hidden, cache.cell.transpose(0, 1).contiguous()))
        return output, cache._replace(hidden=hidden.transpose(0, 1), cell=cell.transpose(0, 1))

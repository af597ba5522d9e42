"""What a decoder is, and the state it hands from step to step.

The state is a plain value: a decoder returns the next one and keeps nothing. A search reorders, repeats and drops
hypotheses by the three functions here, written once over whatever tree of tensors a decoder keeps.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

from torch import Tensor, nn

from seq2seq.attention.core import Attention, KeyValue
from seq2seq.encoders.base import Memory
from seq2seq.growing import Growing

Tree = Any
"""Tensors with the batch on axis 0, growing ones too, in tuples (named or not), with None where there is nothing."""


def map_tensors(function: Callable[[Any], Any], tree: Tree) -> Tree:
    """Apply ``function`` to every tensor of a tree."""
    if tree is None or isinstance(tree, Tensor | Growing):
        return None if tree is None else function(tree)
    parts = [map_tensors(function, part) for part in tree]
    return type(tree)(*parts) if hasattr(tree, "_fields") else tuple(parts)


@dataclass(frozen=True)
class DecoderState:
    """All that a decoder remembers between steps.

    Attributes:
        memory: keys and values of B sentences, one entry for each attention to the source.
        is_token: (B,S), True where a source token is; None where nothing is padded.
        cache: a tree of tensors with B*K rows: what the hypotheses have seen so far.
        position: target positions done.
    """

    memory: tuple[KeyValue, ...]
    is_token: Tensor | None
    cache: Tree
    position: int

    def reorder(self, rows: Tensor) -> DecoderState:
        """Let hypothesis i go on from hypothesis ``rows[i]`` of the same sentence; memory is shared and stays."""
        return replace(self, cache=map_tensors(lambda tensor: tensor.index_select(0, rows), self.cache))

    def expand(self, beam: int) -> DecoderState:
        """Repeat every hypothesis ``beam`` times; they go on sharing their sentence's memory."""
        return replace(self, cache=map_tensors(lambda tensor: tensor.repeat_interleave(beam, dim=0), self.cache))

    def select(self, sentences: Tensor, rows: Tensor) -> DecoderState:
        """Keep only these sentences of the memory and these rows of the cache."""
        keep = map_tensors(lambda tensor: tensor.index_select(0, sentences), (self.memory, self.is_token))
        return replace(self.reorder(rows), memory=keep[0], is_token=keep[1])


class DecoderOutput(NamedTuple):
    """Hidden vectors (B,T,D), the next state and, where asked for, one (B,H,T,S) of weights for each attention."""

    hidden: Tensor
    state: DecoderState
    weights: tuple[Tensor, ...]


class Decoder(nn.Module, ABC):
    """Turns embedded target pieces and a state into hidden vectors and the next state.

    Training gives all T positions at once to a fresh state; a search gives one position at a time. Both ways give
    the same numbers.

    Attributes:
        output_dim: D.
        uses_self_attention: whether the settings of ``self_attention`` change anything. A class that says nothing may
            use them, so that nobody is told of a setting without effect that has one.
    """

    output_dim: int
    uses_self_attention: ClassVar[bool] = True

    @property
    @abstractmethod
    def attentions(self) -> Sequence[Attention]:
        """The attentions to the source, in the order of ``DecoderOutput.weights``."""
        raise NotImplementedError

    @abstractmethod
    def init_state(self, memory: Memory) -> DecoderState:
        """Return the state before the first target piece."""
        raise NotImplementedError

    @abstractmethod
    def forward(self, embedded: Tensor, state: DecoderState, *, need_weights: bool = False) -> DecoderOutput:
        """Decode the next T positions, given the embedded pieces (B,T,E) that stand before them."""
        raise NotImplementedError

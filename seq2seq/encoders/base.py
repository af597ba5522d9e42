"""What an encoder is, and what it gives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn


class Memory(NamedTuple):
    """The encoder's output.

    Attributes:
        states: (B,S,M).
        is_token: (B,S), True where a token is; None where nothing is padded.
        summary: (B,M), one vector a sentence, from which a recurrent decoder can start.
    """

    states: Tensor
    is_token: Tensor | None
    summary: Tensor


class Encoder(nn.Module, ABC):
    """Turns embedded source pieces into a :class:`Memory`.

    Attributes:
        output_dim: M.
        uses_self_attention: whether the settings of ``self_attention`` change anything. A class that says nothing may
            use them, so that nobody is told of a setting without effect that has one.
    """

    output_dim: int
    uses_self_attention: ClassVar[bool] = True

    @abstractmethod
    def forward(self, embedded: Tensor, is_token: Tensor | None, lengths: Tensor) -> Memory:
        """Encode.

        Args:
            embedded: (B,S,E).
            is_token: (B,S), True where a token is; None where nothing is padded.
            lengths: (B), the number of tokens of each sentence.
        """
        raise NotImplementedError


def token_mask(lengths: Tensor, width: int) -> Tensor:
    """(B) lengths -> (B,width), True where a token is."""
    return torch.arange(width, device=lengths.device)[None, :] < lengths[:, None]

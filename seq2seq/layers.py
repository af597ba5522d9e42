"""The pieces that Transformer stacks and embeddings are made of: norms, positions, feed-forward, residuals."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seq2seq.attention.core import Attention, AttentionOutput, KeyValue, Rotation
from seq2seq.config import Probability, Width
from seq2seq.dropout import add_dropped, dropout
from seq2seq.errors import ConfigError
from seq2seq.feed_forward import rectified
from seq2seq.growing import Growing

Norm = Literal["layer", "rms"]
NormPosition = Literal["pre", "post"]
Activation = Literal["relu", "squared_relu", "gelu", "swiglu"]
Positions = Literal["sinusoidal", "learned", "rotary"]

LONGEST_LEARNED = 1024
"""Positions that have a learned embedding; further ones share the last."""


@dataclass(frozen=True)
class BlockStyle:
    """What all sub-layers of one Transformer stack have in common.

    Attributes:
        dim: D, the width of the stack.
        feed_forward_dim: width of the hidden layer of feed-forward networks.
        activation: what stands between their two maps.
        norm: kind of the normalisation.
        norm_position: whether it stands before a sub-layer or after the residual sum; see :class:`Residual`.
        dropout: probability of dropping an element of what a sub-layer adds, and of the hidden layer.
    """

    dim: int
    feed_forward_dim: Width
    activation: Activation
    norm: Norm
    norm_position: NormPosition
    dropout: Probability

    def make_norm(self) -> nn.Module:
        """Return one normalisation layer of width D."""
        return nn.LayerNorm(self.dim) if self.norm == "layer" else nn.RMSNorm(self.dim, eps=1e-6)

    def final_norm(self) -> nn.Module:
        """Return what ends a stack: a pre-norm stack leaves its sum unnormalised, a post-norm one does not."""
        return self.make_norm() if self.norm_position == "pre" else nn.Identity()


def squared_relu(hidden: Tensor) -> Tensor:
    """``max(0, x)^2``: So et al. 2021 (Primer)."""
    return F.relu(hidden).square()


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": F.relu, "squared_relu": squared_relu, "gelu": F.gelu}


class FeedForward(nn.Module):
    """``W2 f(W1 x)`` (Vaswani et al. 2017, equation 2), or SwiGLU ``W2 (silu(W1 x) * W3 x)`` (Shazeer 2020)."""

    def __init__(self, style: BlockStyle) -> None:
        super().__init__()
        self.gated = style.activation == "swiglu"
        self.rectifies, self.squared = style.activation.endswith("relu"), style.activation == "squared_relu"
        self.activation = F.silu if self.gated else ACTIVATIONS[style.activation]
        self.inner = nn.Linear(style.dim, style.feed_forward_dim * (2 if self.gated else 1))
        self.outer = nn.Linear(style.feed_forward_dim, style.dim)
        self.dropout = style.dropout

    def forward(self, hidden: Tensor) -> Tensor:
        """(B,T,D) -> (B,T,D)."""
        by_hand = torch.is_grad_enabled() and hidden.device.type == "cpu" and not torch.compiler.is_compiling()
        if self.rectifies and by_hand:
            maps = [(linear.weight, linear.bias) for linear in (self.inner, self.outer)]
            return rectified(hidden, *maps, squared=self.squared, dropout=self.dropout if self.training else 0.0)
        inner = self.inner(hidden)
        if self.gated:
            gate, value = inner.chunk(2, dim=-1)
            inner = self.activation(gate) * value
        else:
            inner = self.activation(inner)
        outer: Tensor = self.outer(dropout(inner, self.dropout, self.training))
        return outer


class Residual(nn.Module):
    """Normalisation and residual sum around one sub-layer.

    ``pre``: x + f(norm(x)) (Nguyen & Salazar 2019); ``post``: norm(x + f(x)) (Vaswani et al. 2017).
    """

    def __init__(self, style: BlockStyle) -> None:
        super().__init__()
        self.norm = style.make_norm()
        self.before = style.norm_position == "pre"
        self.dropout = style.dropout

    def enter(self, hidden: Tensor) -> Tensor:
        """What the sub-layer gets."""
        return self.norm(hidden) if self.before else hidden

    def leave(self, hidden: Tensor, output: Tensor) -> Tensor:
        """Join the sub-layer's output to its input."""
        total = add_dropped(hidden, output, self.dropout, self.training)
        return total if self.before else self.norm(total)


class Seen(NamedTuple):
    """Keys and values of the positions that self-attention has seen so far."""

    key: Growing
    value: Growing


class SelfAttention(nn.Module):
    """Self-attention with its residual."""

    def __init__(self, attention: Attention, style: BlockStyle) -> None:
        super().__init__()
        self.attention = attention
        self.residual = Residual(style)

    def forward(
        self,
        hidden: Tensor,
        is_token: Tensor | None,
        *,
        causal: bool = False,
        rotation: Rotation | None = None,
        past: Seen | None = None,
        offset: int = 0,
    ) -> tuple[Tensor, Seen]:
        """(B,T,D) -> (B,T,D) and the keys and values seen so far.

        Args:
            hidden: the stack's running sum.
            is_token: (B,T), True where a token is; None where nothing is padded.
            causal: whether a position sees only itself and earlier ones.
            rotation: rotary position embedding.
            past: keys and values of earlier positions, while decoding.
            offset: the number of those positions.
        """
        query = self.residual.enter(hidden)
        memory = self.attention.project_memory(query, rotation=rotation, offset=offset)
        if past is None:
            seen = Seen(Growing.of(memory.key), Growing.of(memory.value))
        else:
            seen = Seen(past.key.followed_by(memory.key), past.value.followed_by(memory.value))
            memory = KeyValue(seen.key.tensor, seen.value.tensor)
        output = self.attention(query, memory, is_token, causal=causal, rotation=rotation, offset=offset)
        return self.residual.leave(hidden, output.context), seen


class CrossAttention(nn.Module):
    """Attention to the encoder's memory, with its residual."""

    def __init__(self, attention: Attention, style: BlockStyle) -> None:
        super().__init__()
        self.attention = attention
        self.residual = Residual(style)
        # Attention without projections gives a context as wide as the memory.
        same = attention.output_dim == style.dim
        self.fit = nn.Identity() if same else nn.Linear(attention.output_dim, style.dim, bias=False)

    def forward(
        self,
        hidden: Tensor,
        memory: KeyValue,
        is_token: Tensor | None,
        *,
        need_weights: bool = False,
        offset: int = 0,
    ) -> tuple[Tensor, Tensor | None]:
        """(B,T,D) -> (B,T,D) and, where asked for, the weights (B,H,T,S); ``offset`` positions came before."""
        query = self.residual.enter(hidden)
        output: AttentionOutput = self.attention(query, memory, is_token, need_weights=need_weights, offset=offset)
        return self.residual.leave(hidden, self.fit(output.context)), output.weights


class FeedForwardLayer(nn.Module):
    """A feed-forward network with its residual."""

    def __init__(self, style: BlockStyle) -> None:
        super().__init__()
        self.feed_forward = FeedForward(style)
        self.residual = Residual(style)

    def forward(self, hidden: Tensor) -> Tensor:
        """(B,T,D) -> (B,T,D)."""
        return self.residual.leave(hidden, self.feed_forward(self.residual.enter(hidden)))


def sinusoids(positions: Tensor, dim: int) -> Tensor:
    """Sinusoidal position embeddings (T,dim): Vaswani et al. 2017, section 3.5, sines first and cosines after."""
    frequency = torch.exp(torch.arange(0, dim, 2, device=positions.device) * (-math.log(10000.0) / dim))
    angle = positions[:, None].float() * frequency
    return torch.cat([angle.sin(), angle.cos()], dim=-1)[:, :dim]


class PositionEmbedding(nn.Module):
    """Tells a Transformer stack where its inputs stand, in one of three ways.

    ``sinusoidal`` and ``learned`` (Gehring et al. 2017) are added to the input; ``rotary`` (Su et al. 2021,
    equation 34) turns queries and keys of self-attention instead.

    Args:
        kind: which of them.
        dim: D.
        head_dim: d of the self-attention, which ``rotary`` turns.
    """

    def __init__(self, kind: Positions, dim: int, head_dim: int) -> None:
        super().__init__()
        if kind == "rotary" and head_dim % 2:
            raise ConfigError(
                f"`positions` rotary must turn heads of even width, but they have {head_dim} instead; "
                "change the number of heads or `model.dim`"
            )
        self.dim = dim
        self.kind = kind
        self.learned = nn.Embedding(LONGEST_LEARNED, dim) if kind == "learned" else None
        if self.learned is not None:
            nn.init.normal_(self.learned.weight, std=0.02)

    def add(self, hidden: Tensor, offset: int = 0) -> Tensor:
        """Add the embeddings of positions ``offset ..`` to (B,T,D), where the kind is an additive one."""
        if self.kind == "rotary":
            return hidden
        positions = torch.arange(offset, offset + hidden.shape[1], device=hidden.device)
        if self.learned is None:
            return hidden + sinusoids(positions, self.dim).to(hidden.dtype)
        # Sentences longer than the table reuse its last row instead of failing.
        learned: Tensor = self.learned(positions.clamp(max=LONGEST_LEARNED - 1))
        return hidden + learned

    @property
    def rotation(self) -> Rotation | None:
        """The rotation for queries and keys, or None where positions are added."""
        return rotate if self.kind == "rotary" else None


def rotate(vectors: Tensor, offset: int) -> Tensor:
    """Turn each pair (x_i, x_{i+d/2}) of (B,H,T,d) by its position times the pair's frequency."""
    steps, dim = vectors.shape[-2:]
    table = sinusoids(torch.arange(offset, offset + steps, device=vectors.device), dim).to(vectors.dtype)
    sine, cosine = table.chunk(2, dim=-1)
    first, second = vectors.chunk(2, dim=-1)
    return torch.cat([first * cosine - second * sine, first * sine + second * cosine], dim=-1)

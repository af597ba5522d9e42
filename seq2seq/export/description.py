"""What another engine needs to know of a model: its style and its weights, or why it cannot compute it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from seq2seq.attention.core import Attention
from seq2seq.attention.normalizers import Softmax
from seq2seq.attention.scores import Score
from seq2seq.attention.windows import Global
from seq2seq.data.tokenizer import BOS, PAD, UNK
from seq2seq.decoders.transformer import TransformerDecoder
from seq2seq.encoders.transformer import TransformerEncoder
from seq2seq.errors import ConfigError, either
from seq2seq.layers import (
    ACTIVATIONS,
    CrossAttention,
    FeedForward,
    FeedForwardLayer,
    PositionEmbedding,
    Residual,
    SelfAttention,
)
from seq2seq.model import Seq2SeqModel

FORBIDDEN_BIAS = -1e4
"""Bias of pieces that no translation has: too low for any softmax, and a number in half precision too."""


@dataclass(frozen=True)
class Abilities:
    """What an engine can compute, of what a Transformer here may be made of.

    Attributes:
        format: the name of its format.
        activations: of feed-forward networks.
        norms: ``layer``, ``rms``.
        norm_positions: ``pre``, ``post``.
        positions: ``sinusoidal``, ``learned``, ``rotary``.
        alike: settings that it knows only once, for encoder and decoder together.
    """

    format: str
    activations: Sequence[str]
    norms: Sequence[str]
    norm_positions: Sequence[str]
    positions: Sequence[str]
    alike: Sequence[str]


@dataclass(frozen=True)
class Style:
    """What all layers of a stack have in common; the names are those of its settings."""

    activation: str
    norm: str
    norm_position: str
    positions: str


@dataclass(frozen=True)
class Affine:
    """A linear map or a normalisation: its weight and, where it has one, its bias."""

    weight: Tensor
    bias: Tensor | None


@dataclass(frozen=True)
class AttentionWeights:
    """A sub-layer of attention: its normalisation and its maps (D,D), of which the query's holds the score's scale.

    The scores are ``q . k / sqrt(d)``, d being the width of a head.
    """

    norm: Affine
    query: Tensor
    key: Tensor
    value: Tensor
    output: Tensor


@dataclass(frozen=True)
class FeedForwardWeights:
    """A feed-forward sub-layer; ``inner`` of a gated one holds the gate's rows and then the value's."""

    norm: Affine
    inner: Affine
    outer: Affine


@dataclass(frozen=True)
class Layer:
    """One layer; ``cross_attention`` is None in an encoder."""

    self_attention: AttentionWeights
    cross_attention: AttentionWeights | None
    feed_forward: FeedForwardWeights


@dataclass(frozen=True)
class Stack:
    """An encoder or a decoder.

    Attributes:
        style: what its layers have in common.
        layers: from the embeddings upwards.
        norm: what ends a pre-norm stack; None where it is post-norm.
        positions: what it adds to embeddings; it knows any number of positions.
    """

    style: Style
    layers: Sequence[Layer]
    norm: Affine | None
    positions: PositionEmbedding

    @torch.no_grad()
    def position_table(self, count: int) -> Tensor | None:
        """(count,D) what is added at each of the first positions; None where positions are not added."""
        if self.style.positions == "rotary":
            return None
        return self.positions.add(torch.zeros(1, count, self.positions.dim))[0]


@dataclass(frozen=True)
class Description:
    """A whole model. Embeddings are multiplied by sqrt(D) before positions are added.

    Attributes:
        encoder: reads the source.
        decoder: writes the target.
        num_heads: H, of every attention.
        source_embedding: (V_source,D).
        target_embedding: (V,D).
        output: the projection to the vocabulary.
    """

    encoder: Stack
    decoder: Stack
    num_heads: int
    source_embedding: Tensor
    target_embedding: Tensor
    output: Affine

    @property
    def head_dim(self) -> int:
        """Width d of one head."""
        return self.target_embedding.shape[1] // self.num_heads


@torch.no_grad()
def forbid_special_pieces(model: Seq2SeqModel) -> None:
    """Put the rule of all searches here into the model: padding, BOS and the unknown piece are never chosen.

    Other engines have no such rule, or one that their caller has to ask for.
    """
    model.output.bias[[PAD, UNK, BOS]] = FORBIDDEN_BIAS


def describe(model: Seq2SeqModel, abilities: Abilities) -> Description:
    """Return what an engine needs to know of a model; the tensors are the model's own or made of them.

    Raises:
        ConfigError: names every part of the model that the engine cannot compute, one line for each.
    """
    mistakes = [
        f"`{key}` must be {wanted} for format={abilities.format}, but is {found} instead"
        for key, wanted, found in dict.fromkeys(obstacles(model, abilities))
    ]
    if mistakes:
        raise ConfigError(mistakes)
    encoder, decoder = cast("TransformerEncoder", model.encoder), cast("TransformerDecoder", model.decoder)
    return Description(
        encoder=_stack(encoder, [(own, None) for own in _self_attentions(encoder)]),
        decoder=_stack(decoder, list(zip(_self_attentions(decoder), _cross_attentions(decoder), strict=True))),
        num_heads=_self_attentions(encoder)[0].attention.num_heads,
        source_embedding=model.source_embedding.weight.detach(),
        target_embedding=model.target_embedding.weight.detach(),
        output=_affine(model.output),
    )


Obstacle = tuple[str, str, str]
"""A setting, what it must be and what it is."""


def obstacles(model: Seq2SeqModel, abilities: Abilities) -> Iterator[Obstacle]:
    """Give all that an engine cannot compute of a model; the same may come more than once."""
    styles: list[Style] = []
    heads: list[int] = []
    for key, part, wanted in (
        ("encoder", model.encoder, TransformerEncoder),
        ("decoder", model.decoder, TransformerDecoder),
    ):
        if type(part) is not wanted:
            yield key, wanted.__name__, type(part).__name__
            continue
        styles.append(_style(part))
        yield from _obstacles_of_style(key, styles[-1], abilities)
        for own in _self_attentions(part):
            yield from _obstacles_of_attention("self_attention", own.attention)
            heads.append(own.attention.num_heads)
    for cross in _cross_attentions(model.decoder):
        yield from _obstacles_of_attention("attention", cross.attention)
        if heads and cross.attention.num_heads != heads[-1]:
            yield "attention.num_heads", f"{heads[-1]}, as in self-attention,", str(cross.attention.num_heads)
    for name in abilities.alike if len(styles) == 2 else ():
        of_encoder, of_decoder = (getattr(style, name) for style in styles)
        if of_encoder != of_decoder:
            yield f"decoder.{name}", f"{of_encoder}, as in the encoder,", of_decoder
    width, embedding = model.decoder.output_dim, model.target_embedding.embedding_dim
    if embedding != width and type(model.decoder) is TransformerDecoder:
        yield "model.embedding_dim", f"null or {width}, as `model.dim`,", str(embedding)


def _obstacles_of_style(key: str, style: Style, abilities: Abilities) -> Iterator[Obstacle]:
    for name, allowed in (
        ("activation", abilities.activations),
        ("norm", abilities.norms),
        ("norm_position", abilities.norm_positions),
        ("positions", abilities.positions),
    ):
        if getattr(style, name) not in allowed:
            yield f"{key}.{name}", either(allowed), getattr(style, name)


def _obstacles_of_attention(key: str, attention: Attention) -> Iterator[Obstacle]:
    if type(attention) is not Attention:
        yield key, Attention.__name__, type(attention).__name__
        return
    if not _is_scaled_product(attention.score):
        yield f"{key}.score", "ScaledDot or Dot", type(attention.score).__name__
    if type(attention.normalizer) is not Softmax:
        yield f"{key}.normalizer", Softmax.__name__, type(attention.normalizer).__name__
    if type(attention.window) is not Global:
        yield f"{key}.window", Global.__name__, type(attention.window).__name__
    if not attention.project:
        yield f"{key}.project", "true", "false"


def _is_scaled_product(score: Score) -> bool:
    """Whether a score is the inner product of what it gets, times a number."""
    return score.is_inner_product and type(score).query is Score.query and type(score).key is Score.key


def _self_attentions(stack: TransformerEncoder | TransformerDecoder) -> list[SelfAttention]:
    layers = stack.attentions if isinstance(stack, TransformerEncoder) else stack.self_attentions
    return list(cast("Iterable[SelfAttention]", layers))


def _cross_attentions(decoder: nn.Module) -> list[CrossAttention]:
    layers = decoder.cross_attentions if type(decoder) is TransformerDecoder else ()
    return list(cast("Iterable[CrossAttention]", layers))


def _feed_forwards(stack: TransformerEncoder | TransformerDecoder) -> list[FeedForwardLayer]:
    return list(cast("Iterable[FeedForwardLayer]", stack.feed_forwards))


def _style(stack: TransformerEncoder | TransformerDecoder) -> Style:
    """Return the style of a stack, as its first layer shows it: all are made alike."""
    layer = _feed_forwards(stack)[0]
    feed_forward, residual = layer.feed_forward, layer.residual
    activation = next((name for name, made in ACTIVATIONS.items() if made is feed_forward.activation), "swiglu")
    norm = "layer" if isinstance(residual.norm, nn.LayerNorm) else "rms"
    return Style(activation, norm, "pre" if residual.before else "post", stack.positions.kind)


def _stack(
    stack: TransformerEncoder | TransformerDecoder,
    attentions: Sequence[tuple[SelfAttention, CrossAttention | None]],
) -> Stack:
    layers = [
        Layer(
            _attention(own.attention, own.residual),
            None if cross is None else _attention(cross.attention, cross.residual),
            _feed_forward(layer.feed_forward, layer.residual),
        )
        for (own, cross), layer in zip(attentions, _feed_forwards(stack), strict=True)
    ]
    final = None if isinstance(stack.norm, nn.Identity) else _affine(stack.norm)
    return Stack(_style(stack), layers, final, stack.positions)


def _attention(attention: Attention, residual: Residual) -> AttentionWeights:
    key, value = attention.key_value_map.weight.detach().chunk(2)
    # One for scaled dot product; where the score has another scale, the query's map takes the rest.
    rest = attention.score.scale * math.sqrt(attention.score.query_dim)
    query = attention.query_map.weight.detach() * rest
    return AttentionWeights(_affine(residual.norm), query, key, value, attention.output_map.weight.detach())


def _feed_forward(feed_forward: FeedForward, residual: Residual) -> FeedForwardWeights:
    return FeedForwardWeights(_affine(residual.norm), _affine(feed_forward.inner), _affine(feed_forward.outer))


def _affine(module: nn.Module) -> Affine:
    bias = getattr(module, "bias", None)  # an RMS norm has none
    return Affine(cast("Tensor", module.weight).detach(), None if bias is None else bias.detach())

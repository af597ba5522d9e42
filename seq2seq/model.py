"""The whole model: embeddings, encoder, decoder and the projection to the vocabulary."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seq2seq.attention.core import Attention
from seq2seq.config import Component, Probability, Values, Width
from seq2seq.data.batching import Batch
from seq2seq.data.tokenizer import PAD
from seq2seq.decoders.base import Decoder, DecoderOutput, DecoderState
from seq2seq.dropout import dropout
from seq2seq.encoders.base import Encoder, Memory, token_mask
from seq2seq.errors import ConfigError


@dataclass(frozen=True)
class ModelConfig:
    """Sizes that every part of a model shares.

    Attributes:
        dim: D, the width of queries, hidden states and memory.
        embedding_dim: E, the width of embeddings; None takes ``dim``.
        dropout: probability of dropping an element of the embeddings.
        tie_embeddings: which matrices are one: ``all`` (source, target and output; needs a joint vocabulary),
            ``target`` (target and output) or ``none``.
    """

    dim: Width
    embedding_dim: Width | None
    dropout: Probability
    tie_embeddings: Literal["all", "target", "none"]


@dataclass(frozen=True)
class Architecture:
    """The part of a configuration that decides what a model is; a checkpoint is rebuilt from it alone.

    Attributes:
        model: shared sizes.
        encoder: the encoder.
        attention: attention of the decoder to the source.
        self_attention: attention inside Transformer stacks.
        decoder: the decoder.
    """

    model: ModelConfig
    encoder: Component[Encoder]
    attention: Component[Attention]
    self_attention: Component[Attention]
    decoder: Component[Decoder]

    @classmethod
    def part_of(cls, settings: Values) -> dict[str, Any]:
        """Return the settings of a model, of those of a run."""
        return {name: settings[name] for name in Architecture.__dataclass_fields__ if name in settings}

    def build(self, source_vocabulary: int, target_vocabulary: int) -> Seq2SeqModel:
        """Build the model, freshly initialised from torch's current seed.

        Raises:
            ConfigError: the parts do not fit together; the message names the key to change.
        """
        width = self.model.dim
        embedding = self.model.embedding_dim or width
        encoder = self.encoder(embedding, width, self.self_attention)
        decoder = self.decoder(embedding, width, encoder.output_dim, self.attention, self.self_attention)
        model = Seq2SeqModel(encoder, decoder, self.model, source_vocabulary, target_vocabulary)
        initialise(model)
        return model


class StepOutput(NamedTuple):
    """Logits (B,T,V), the next decoder state and, where asked for, attention weights, one (B,H,T,S) a layer."""

    logits: Tensor
    state: DecoderState
    weights: tuple[Tensor, ...]


class ModelOutput(NamedTuple):
    """Vectors (B,T,E) before the output projection and, where asked for, weights, one (B,H,T,S) a layer."""

    hidden: Tensor
    weights: tuple[Tensor, ...]


class Seq2SeqModel(nn.Module):
    """Encoder, decoder and everything with a vocabulary's size.

    Args:
        encoder: turns embedded source pieces (B,S,E) into a memory.
        decoder: turns embedded target pieces (B,T,E) into hidden vectors (B,T,D).
        config: shared sizes and tying.
        source_vocabulary: source pieces.
        target_vocabulary: V.
    """

    def __init__(
        self, encoder: Encoder, decoder: Decoder, config: ModelConfig, source_vocabulary: int, target_vocabulary: int
    ) -> None:
        super().__init__()
        width = config.embedding_dim or config.dim
        if config.tie_embeddings == "all" and source_vocabulary != target_vocabulary:
            raise ConfigError(
                "`model.tie_embeddings` must be 'target' or 'none' where source and target have vocabularies of "
                f"their own ({source_vocabulary} and {target_vocabulary} pieces), but is 'all' instead; "
                "or set `tokenizer.joint: true`"
            )
        self.encoder = encoder
        self.decoder = decoder
        self.dropout = config.dropout
        self.scale = math.sqrt(width)
        self.target_embedding = nn.Embedding(target_vocabulary, width)
        self.source_embedding = (
            self.target_embedding if config.tie_embeddings == "all" else nn.Embedding(source_vocabulary, width)
        )
        self.narrow = (
            nn.Identity() if decoder.output_dim == width else nn.Linear(decoder.output_dim, width, bias=False)
        )
        self.output = nn.Linear(width, target_vocabulary)
        if config.tie_embeddings != "none":
            self.output.weight = self.target_embedding.weight

    def encode(self, batch: Batch) -> Memory:
        """Encode the source side of a batch."""
        is_token = token_mask(batch.source_lengths, batch.source.shape[1]) if batch.source_padded else None
        embedded = self._embed(self.source_embedding, batch.source)
        memory: Memory = self.encoder(embedded, is_token, batch.source_lengths)
        return memory

    def start(self, memory: Memory) -> DecoderState:
        """Return the decoder's state before the first target piece."""
        return self.decoder.init_state(memory)

    def advance(self, tokens: Tensor, state: DecoderState, *, need_weights: bool = False) -> DecoderOutput:
        """Read target ids (B,T) and give the vectors (B,T,E) that the output projection makes logits of."""
        output = self.decoder(self._embed(self.target_embedding, tokens), state, need_weights=need_weights)
        return DecoderOutput(self.narrow(output.hidden), output.state, output.weights)

    def decode(self, tokens: Tensor, state: DecoderState, *, need_weights: bool = False) -> StepOutput:
        """Read target ids (B,T) and give the logits (B,T,V) of the pieces that follow each of them."""
        output = self.advance(tokens, state, need_weights=need_weights)
        return StepOutput(self.output(output.hidden), output.state, output.weights)

    def forward(self, batch: Batch, *, need_weights: bool = False) -> ModelOutput:
        """Read a batch with a target, all positions at once.

        The output projection is left to the objective, which never keeps all (B,T,V) logits.
        """
        assert batch.target is not None
        state = self.start(self.encode(batch))
        embedded = self._embed(self.target_embedding, batch.target[:, :-1])
        output = self.decoder(embedded, state, need_weights=need_weights)
        return ModelOutput(self.narrow(output.hidden), output.weights)

    def _embed(self, embedding: nn.Embedding, ids: Tensor) -> Tensor:
        return dropout(embedding(ids) * self.scale, self.dropout, self.training)

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.parameters()).device

    @property
    def num_parameters(self) -> int:
        """Trainable numbers, each tied matrix counted once."""
        return sum(parameter.numel() for parameter in self.parameters())


def initialise(model: Seq2SeqModel) -> None:
    """Initialise every linear map, the two embeddings and the biases of every LSTM.

    Embeddings are normal with deviation E^-1/2, so that scaled by E^1/2 they have unit size and as output weights
    they give small logits. Linear maps are Glorot-uniform (Glorot & Bengio 2010), those of users' parts too, whatever
    values their classes gave them. Gates that forget start open (Jozefowicz et al. 2015). All other parameters,
    such as learned positions and the weights of an LSTM, stay as their classes made them.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.LSTM):
            for name, parameter in module.named_parameters():
                if name.startswith("bias"):
                    nn.init.zeros_(parameter)
                    if name.startswith("bias_ih"):
                        quarter = parameter.numel() // 4
                        nn.init.ones_(parameter.data[quarter : 2 * quarter])
    # A set has no order that two processes share, so it must not decide who draws first.
    for embedding in dict.fromkeys((model.source_embedding, model.target_embedding)):
        nn.init.normal_(embedding.weight, std=embedding.embedding_dim**-0.5)
        with torch.no_grad():
            embedding.weight[PAD] = 0.0
    if model.output.weight is not model.target_embedding.weight:
        nn.init.normal_(model.output.weight, std=model.output.in_features**-0.5)


def log_probabilities(logits: Tensor) -> Tensor:
    """Natural logarithms of the probabilities, in single precision whatever the logits are in."""
    return F.log_softmax(logits.float(), dim=-1)

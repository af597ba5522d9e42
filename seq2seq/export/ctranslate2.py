"""CTranslate2: a fast engine for processors and graphics cards, with weights of fewer bits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from seq2seq.data.tokenizer import BOS, EOS, UNK, Tokenizer
from seq2seq.export.description import (
    Abilities,
    Affine,
    Description,
    FeedForwardWeights,
    Stack,
)
from seq2seq.export.engine import Ids, library

ABILITIES = Abilities(
    format="ctranslate2",
    activations=("relu", "squared_relu", "gelu", "swiglu"),
    norms=("layer", "rms"),
    norm_positions=("pre", "post"),
    positions=("sinusoidal", "learned", "rotary"),
    alike=("norm",),  # there is one epsilon
)

LIBRARY = "ctranslate2"

EPSILON = {"layer": 1e-5, "rms": 1e-6}

USE = """\
# A model for CTranslate2

```python
import ctranslate2, sentencepiece

translator = ctranslate2.Translator("THIS_FOLDER")
source = sentencepiece.SentencePieceProcessor(model_file="THIS_FOLDER/source.model")
target = sentencepiece.SentencePieceProcessor(model_file="THIS_FOLDER/target.model")
pieces = [source.encode(line, out_type=str) + ["</s>"] for line in lines]
found = translator.translate_batch(pieces, beam_size=5, min_decoding_length=0)
print([target.decode(one.hypotheses[0]) for one in found])
```

* A source sentence is its pieces and `</s>`, as above; {tags}
* The decoder begins with `<s>`, which config.json tells the engine; no target prefix is needed.
* Spaces around a line are to be removed first. An empty line is to be left out: its translation is empty.
* Sentences and translations may have {longest} pieces; that is as far as positions were written out.
* `<pad>`, `<s>` and `<unk>` have a bias that no translation overcomes, so nothing needs to be suppressed.
* The weights are {quantization}; `compute_type` of the translator chooses another precision to compute in.
"""


def write(
    description: Description,
    tokenizers: tuple[Tokenizer, Tokenizer],
    folder: Path,
    *,
    quantization: str,
    longest: int,
) -> None:
    """Write a model for CTranslate2 into a folder that is there.

    Args:
        description: the model.
        tokenizers: of the source and of the target; one and the same for a joint vocabulary.
        folder: where to.
        quantization: the type of the weights, as the library names it.
        longest: positions that are written out.

    Raises:
        ConfigError: the library is not there.
        OSError: the disk refuses.
    """
    specs = library(LIBRARY, ABILITIES.format).specs
    spec = specs.TransformerSpec(
        specs.transformer_spec.TransformerEncoderSpec(**_style(specs, description, description.encoder)),
        specs.transformer_spec.TransformerDecoderSpec(**_style(specs, description, description.decoder)),
    )
    for part, stack in ((spec.encoder, description.encoder), (spec.decoder, description.decoder)):
        _fill(part, stack, longest)
    spec.encoder.embeddings[0].weight = _copy(description.source_embedding)
    spec.decoder.embeddings.weight = _copy(description.target_embedding)
    _set(spec.decoder.projection, description.output)
    source, target = (one.pieces(range(one.vocab_size)) for one in tokenizers)
    spec.register_source_vocabulary(source)
    spec.register_target_vocabulary(target)
    spec.config.layer_norm_epsilon = EPSILON[description.decoder.style.norm]
    spec.config.unk_token, spec.config.bos_token, spec.config.eos_token = (target[i] for i in (UNK, BOS, EOS))
    spec.config.decoder_start_token = target[BOS]
    spec.validate()
    spec.optimize(quantization=quantization)
    spec.save(str(folder))
    for name, one in zip(("source.model", "target.model"), tokenizers, strict=True):
        one.save(folder / name)
    tags = ", ".join(f"`<2{language}>`" for language in tokenizers[0].tags)
    tagged = f"before them goes the language to translate into, one of {tags}." if tags else "nothing goes before."
    words = USE.format(tags=tagged, longest=longest, quantization=quantization)
    (folder / "README.md").write_text(words, encoding="utf-8")


class CTranslate2:
    """An exported model, read back.

    Args:
        folder: of the model.
        tokenizers: of the source and of the target.
        compute_type: what is computed in, as the library names it.
        workers: batches that are translated at a time, which share torch's number of threads.
    """

    def __init__(
        self,
        folder: Path,
        tokenizers: tuple[Tokenizer, Tokenizer],
        compute_type: str = "default",
        workers: int = 1,
    ) -> None:
        translator = library(LIBRARY, ABILITIES.format).Translator
        self._translator = translator(
            str(folder),
            device="cpu",
            compute_type=compute_type,
            inter_threads=workers,
            intra_threads=max(1, torch.get_num_threads() // workers),
        )
        self._source, self._target = tokenizers
        self._ids = {piece: i for i, piece in enumerate(self._target.pieces(range(self._target.vocab_size)))}

    def translate(self, sources: Sequence[Ids], beam: int, longest: int, together: int) -> list[list[int]]:
        """See :meth:`Engine.translate`."""
        found = self._translator.translate_batch(
            self._pieces(sources),
            beam_size=beam,
            max_batch_size=together,
            max_decoding_length=longest - 1,
            min_decoding_length=0,
        )
        return [[self._ids[piece] for piece in one.hypotheses[0]] for one in found]

    def log_probabilities(self, sources: Sequence[Ids], targets: Sequence[Ids]) -> list[list[float]]:
        """See :meth:`Engine.log_probabilities`."""
        given = [self._target.pieces(ids) for ids in targets]
        return [list(one.log_probs) for one in self._translator.score_batch(self._pieces(sources), given)]

    def _pieces(self, sources: Sequence[Ids]) -> list[list[str]]:
        return [self._source.pieces([*ids, EOS]) for ids in sources]


def _style(specs: Any, description: Description, stack: Stack) -> dict[str, Any]:
    """Return what encoder and decoder have in common to be told: the words are the library's."""
    kinds = specs.common_spec.Activation
    told = {
        "num_layers": len(stack.layers),
        "num_heads": description.num_heads,
        "pre_norm": stack.style.norm_position == "pre",
        "rms_norm": stack.style.norm == "rms",
        # max(0, x)^2 is max(0, x) x: the squared activation is a gate whose value is the same map.
        "ffn_glu": stack.style.activation in ("swiglu", "squared_relu"),
        "activation": {"gelu": kinds.GELU, "swiglu": kinds.SWISH}.get(stack.style.activation, kinds.RELU),
    }
    if stack.style.positions == "rotary":
        told |= {"rotary_dim": description.head_dim, "rotary_interleave": False}
    return told


def _fill(spec: Any, stack: Stack, longest: int) -> None:
    table = stack.position_table(longest)
    if table is not None:  # the library's own sinusoids are others
        spec.position_encodings.encodings = _copy(table)
    if stack.norm is not None:
        _set_norm(spec.layer_norm, stack.norm)
    for part, layer in zip(spec.layer, stack.layers, strict=True):
        own, cross = layer.self_attention, layer.cross_attention
        _set_norm(part.self_attention.layer_norm, own.norm)
        _set_maps(part.self_attention.linear, torch.cat([own.query, own.key, own.value]), own.output)
        if cross is not None:
            _set_norm(part.attention.layer_norm, cross.norm)
            _set_maps(part.attention.linear, cross.query, torch.cat([cross.key, cross.value]), cross.output)
        _set_feed_forward(part.ffn, layer.feed_forward, stack.style.activation)


def _set_feed_forward(spec: Any, weights: FeedForwardWeights, activation: str) -> None:
    _set_norm(spec.layer_norm, weights.norm)
    first = second = weights.inner
    if activation == "swiglu":
        assert weights.inner.bias is not None
        first, second = map(Affine, weights.inner.weight.chunk(2), weights.inner.bias.chunk(2))
    _set(spec.linear_0, first)
    if activation in ("swiglu", "squared_relu"):
        _set(spec.linear_0_noact, second)
    _set(spec.linear_1, weights.outer)


def _set_maps(specs: Sequence[Any], *weights: Tensor) -> None:
    for spec, weight in zip(specs, weights, strict=True):
        spec.weight = _copy(weight)


def _set_norm(spec: Any, norm: Affine) -> None:
    spec.gamma = _copy(norm.weight)
    if norm.bias is not None:
        spec.beta = _copy(norm.bias)


def _set(spec: Any, affine: Affine) -> None:
    spec.weight = _copy(affine.weight)
    if affine.bias is not None:
        spec.bias = _copy(affine.bias)


def _copy(tensor: Tensor) -> Any:
    # The library quantizes in place, and the model is still needed.
    return tensor.to("cpu", torch.float32, copy=True).contiguous().numpy()

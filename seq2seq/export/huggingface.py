"""Hugging Face Transformers: a folder that its ``MarianMTModel`` and ``MarianTokenizer`` load."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from seq2seq.data.batching import padded
from seq2seq.data.tokenizer import BOS, EOS, PAD, UNK, Tokenizer
from seq2seq.export.description import Abilities, Affine, AttentionWeights, Description, Stack
from seq2seq.export.engine import Ids, library

ABILITIES = Abilities(
    format="huggingface",
    activations=("relu", "squared_relu", "gelu"),
    norms=("layer",),
    norm_positions=("post",),
    positions=("sinusoidal",),
    alike=("activation",),
)

LIBRARY = "transformers"

ACTIVATIONS = {"relu": "relu", "squared_relu": "relu2", "gelu": "gelu"}

USE = """\
# A model for Transformers

```python
from transformers import MarianMTModel, MarianTokenizer

model = MarianMTModel.from_pretrained("THIS_FOLDER")
tokenizer = MarianTokenizer.from_pretrained("THIS_FOLDER")
found = model.generate(**tokenizer(lines, return_tensors="pt", padding=True), num_beams=5)
print(tokenizer.batch_decode(found, skip_special_tokens=True))
```

* A source sentence is its pieces and `</s>`, which the tokenizer writes; {tags}
* The decoder begins with `<s>`, id {start}, which config.json tells the library.
* Spaces around a line are to be removed first. An empty line is to be left out: its translation is empty.
* Sentences and translations may have {longest} pieces.
* `<pad>`, `<s>` and `<unk>` have a bias that no translation overcomes, so nothing needs to be suppressed.
"""


def write(
    description: Description,
    tokenizers: tuple[Tokenizer, Tokenizer],
    folder: Path,
    *,
    quantization: str,
    longest: int,
) -> None:
    """Write a model for Transformers into a folder that is there.

    Args:
        description: the model.
        tokenizers: of the source and of the target; one and the same for a joint vocabulary.
        folder: where to.
        quantization: the type of the weights, float32.
        longest: positions that the model knows.

    Raises:
        ConfigError: the library is not there.
        OSError: the disk refuses.
    """
    transformers = _transformers()
    model = transformers.MarianMTModel(transformers.MarianConfig(**_settings(description, longest)))
    # What is missing is tied, zero, or the sinusoids that the library makes itself.
    _, unknown = model.load_state_dict(dict(_weights(description)), strict=False)
    assert not unknown, unknown
    model.tie_weights()
    model.generation_config = transformers.GenerationConfig(
        decoder_start_token_id=BOS,
        bos_token_id=BOS,
        eos_token_id=EOS,
        pad_token_id=PAD,
        forced_eos_token_id=EOS,
        max_length=longest,
    )
    model.save_pretrained(folder)
    _write_tokenizers(tokenizers, folder, longest)
    tags = ", ".join(f"`<2{language}>`" for language in tokenizers[0].tags)
    tagged = (
        f"before them goes the id of the language to translate into, one of {tags}, which no text can spell."
        if tags
        else "nothing goes before."
    )
    (folder / "README.md").write_text(USE.format(tags=tagged, start=BOS, longest=longest), encoding="utf-8")


class HuggingFace:
    """An exported model, read back.

    Args:
        folder: of the model.
        tokenizers: of the source and of the target.
    """

    def __init__(self, folder: Path, tokenizers: tuple[Tokenizer, Tokenizer]) -> None:
        model = _transformers().MarianMTModel
        self._model = model.from_pretrained(folder, local_files_only=True).eval()

    def translate(self, sources: Sequence[Ids], beam: int, longest: int, together: int) -> list[list[int]]:
        """See :meth:`Engine.translate`."""
        order = sorted(range(len(sources)), key=lambda row: -len(sources[row]))
        found: dict[int, list[int]] = {}
        for start in range(0, len(order), together):
            rows = order[start : start + together]
            batch = self._generate([sources[row] for row in rows], beam, longest)
            found |= zip(rows, batch, strict=True)
        return [found[row] for row in range(len(sources))]

    @torch.inference_mode()
    def _generate(self, sources: Sequence[Ids], beam: int, longest: int) -> list[list[int]]:
        found = self._model.generate(
            **_inputs(sources),
            num_beams=beam,
            do_sample=False,
            max_length=longest + 1,  # the start counts
            early_stopping="never" if beam > 1 else False,
        )
        special = (PAD, BOS, EOS)
        return [[i for i in row if i not in special] for row in found.tolist()]

    @torch.inference_mode()
    def log_probabilities(self, sources: Sequence[Ids], targets: Sequence[Ids]) -> list[list[float]]:
        """See :meth:`Engine.log_probabilities`."""
        given = padded([[BOS, *ids] for ids in targets])
        logits: Tensor = self._model(**_inputs(sources), decoder_input_ids=given).logits
        gold = padded([[*ids, EOS] for ids in targets])
        found = logits.float().log_softmax(dim=-1).gather(2, gold.unsqueeze(-1)).squeeze(-1)
        return [row[: len(ids) + 1] for row, ids in zip(found.tolist(), targets, strict=True)]


def _transformers() -> Any:
    transformers = library(LIBRARY, ABILITIES.format)
    transformers.utils.logging.disable_progress_bar()
    return transformers


def _inputs(sources: Sequence[Ids]) -> dict[str, Tensor]:
    ids = padded([[*source, EOS] for source in sources])
    return {"input_ids": ids, "attention_mask": (ids != PAD).long()}


def _settings(description: Description, longest: int) -> dict[str, Any]:
    """Return the values of a ``MarianConfig``."""
    stacks = {"encoder": description.encoder, "decoder": description.decoder}
    sizes: dict[str, Any] = {}
    for name, stack in stacks.items():
        sizes[f"{name}_layers"] = len(stack.layers)
        sizes[f"{name}_ffn_dim"] = stack.layers[0].feed_forward.inner.weight.shape[0]
        sizes[f"{name}_attention_heads"] = description.num_heads
    source, target = description.source_embedding, description.target_embedding
    return sizes | {
        "d_model": target.shape[1],
        "vocab_size": source.shape[0],
        "decoder_vocab_size": target.shape[0],
        "share_encoder_decoder_embeddings": _is_same(source, target) and _is_tied(description),
        "tie_word_embeddings": _is_tied(description),
        "activation_function": ACTIVATIONS[description.encoder.style.activation],
        "scale_embedding": True,
        "max_position_embeddings": longest,
        "pad_token_id": PAD,
        "bos_token_id": BOS,
        "eos_token_id": EOS,
        "forced_eos_token_id": EOS,
        "decoder_start_token_id": BOS,
        "dropout": 0.0,
    }


def _is_same(one: Tensor, other: Tensor) -> bool:
    return one.data_ptr() == other.data_ptr()


def _is_tied(description: Description) -> bool:
    return _is_same(description.target_embedding, description.output.weight)


def _weights(description: Description) -> Iterator[tuple[str, Tensor]]:
    """Give every tensor by the library's name for it."""
    source, target = description.source_embedding, description.target_embedding
    if _is_same(source, target) and _is_tied(description):
        yield "model.shared.weight", target
    yield "model.encoder.embed_tokens.weight", source
    yield "model.decoder.embed_tokens.weight", target
    yield "lm_head.weight", description.output.weight
    assert description.output.bias is not None
    yield "final_logits_bias", description.output.bias.unsqueeze(0)
    for name, stack in (("encoder", description.encoder), ("decoder", description.decoder)):
        yield from _stack(f"model.{name}.layers", stack)


def _stack(name: str, stack: Stack) -> Iterator[tuple[str, Tensor]]:
    for number, layer in enumerate(stack.layers):
        own = f"{name}.{number}"
        yield from _attention(f"{own}.self_attn", layer.self_attention)
        if layer.cross_attention is not None:
            yield from _attention(f"{own}.encoder_attn", layer.cross_attention)
        feed_forward = layer.feed_forward
        yield from _affine(f"{own}.fc1", feed_forward.inner)
        yield from _affine(f"{own}.fc2", feed_forward.outer)
        yield from _affine(f"{own}.final_layer_norm", feed_forward.norm)


def _attention(name: str, weights: AttentionWeights) -> Iterator[tuple[str, Tensor]]:
    yield from _affine(f"{name}_layer_norm", weights.norm)
    for part in ("query", "key", "value", "output"):
        weight: Tensor = getattr(weights, part)
        library_part = "out" if part == "output" else part[0]
        yield from _affine(f"{name}.{library_part}_proj", Affine(weight, weight.new_zeros(len(weight))))


def _affine(name: str, affine: Affine) -> Iterator[tuple[str, Tensor]]:
    assert affine.bias is not None
    yield f"{name}.weight", affine.weight
    yield f"{name}.bias", affine.bias


def _write_tokenizers(tokenizers: tuple[Tokenizer, Tokenizer], folder: Path, longest: int) -> None:
    """Write what ``MarianTokenizer`` reads: pieces are mapped to ids by lists, not by the SentencePiece models."""
    source, target = tokenizers
    separate = source is not target
    spelled = target.pieces(range(target.vocab_size))
    files: dict[str, Any] = {
        "tokenizer_config.json": {
            "tokenizer_class": "MarianTokenizer",
            "model_max_length": longest,
            "separate_vocabs": separate,
            "pad_token": spelled[PAD],
            "unk_token": spelled[UNK],
            "eos_token": spelled[EOS],
        },
        "vocab.json": _ids(source),
    }
    if separate:
        files["target_vocab.json"] = _ids(target)
    for name, values in files.items():
        (folder / name).write_text(json.dumps(values, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    source.save(folder / "source.spm")
    target.save(folder / "target.spm")


def _ids(tokenizer: Tokenizer) -> dict[str, int]:
    return {piece: i for i, piece in enumerate(tokenizer.pieces(range(tokenizer.vocab_size)))}

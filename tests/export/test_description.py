"""What other engines are told of a model, and what they cannot be told."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from tiny import VOCABULARY, batch_of, build, sentences

from seq2seq.data.tokenizer import BOS, EOS, PAD, UNK
from seq2seq.errors import ConfigError
from seq2seq.export import ctranslate2, huggingface
from seq2seq.export.description import describe, forbid_special_pieces
from seq2seq.layers import sinusoids
from seq2seq.model import Seq2SeqModel

MARIAN = [f"{part}.{setting}" for part in ("encoder", "decoder") for setting in ("norm=layer", "norm_position=post")]

HEADS = "self_attention.num_heads=2"


def refusals(model: Seq2SeqModel, abilities: object = ctranslate2.ABILITIES) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        describe(model, abilities)
    assert all("\n" not in mistake for mistake in caught.value.mistakes)
    return caught.value.mistakes


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["encoder=bilstm"], "`encoder` must be TransformerEncoder for format=ctranslate2, but is BiLSTMEncoder"),
        (["decoder=rnn"], "`decoder` must be TransformerDecoder for format=ctranslate2, but is RNNDecoder"),
        (["attention=cosine", "attention.project=true"], "`attention.score` must be ScaledDot or Dot .* is Cosine"),
        (["attention=general", "attention.project=true"], "`attention.score` must be .* but is General"),
        (["attention=euclidean", "attention.project=true"], "`attention.score` must be .* but is Euclidean"),
        (["attention=additive", "attention.project=true"], "`attention.score` must be .* but is Additive"),
        (["attention/normalizer=entmax"], "`attention.normalizer` must be Softmax .* but is Entmax"),
        (["attention/window=sliding"], "`attention.window` must be Global .* but is Sliding"),
        (["attention.project=false"], "`attention.project` must be true .* but is false"),
        (["attention.num_heads=2"], "`attention.num_heads` must be 4, as in self-attention, for .* but is 2"),
        (["self_attention.score._target_=seq2seq.attention.scores.UnsquaredEuclidean"], "`self_attention.score`"),
        (["model.embedding_dim=8"], "`model.embedding_dim` must be null or 16, as `model.dim`, .* but is 8"),
        (["decoder.norm=layer"], "`decoder.norm` must be rms, as in the encoder, .* but is layer"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_what_an_engine_cannot_compute_is_named(overrides: list[str], words: str) -> None:
    model = build(*overrides)
    with pytest.raises(ConfigError, match=f"^{words}"):
        describe(model, ctranslate2.ABILITIES)


def test_all_reasons_are_given_together_and_each_once() -> None:
    model = build("encoder=bilstm", "attention=cosine", "attention.num_heads=4", "attention/normalizer=entmax")
    found = refusals(model, huggingface.ABILITIES)
    assert [mistake.partition("`")[2].partition("`")[0] for mistake in found] == [
        "encoder",
        "decoder.norm",
        "decoder.norm_position",
        "attention.score",
        "attention.normalizer",
        "attention.project",
    ]


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("activation=swiglu", "relu, squared_relu or gelu for format=huggingface, but is swiglu"),
        ("norm=rms", "layer for format=huggingface, but is rms"),
        ("norm_position=pre", "post for format=huggingface, but is pre"),
        ("positions=rotary", "sinusoidal for format=huggingface, but is rotary"),
        ("positions=learned", "sinusoidal for format=huggingface, but is learned"),
    ],
)
def test_marian_models_are_of_one_kind(setting: str, words: str) -> None:
    describe(build(*MARIAN), huggingface.ABILITIES)
    found = refusals(build(*MARIAN, f"encoder.{setting}", f"decoder.{setting}"), huggingface.ABILITIES)
    name = setting.partition("=")[0]
    assert found == [f"`{part}.{name}` must be {words} instead" for part in ("encoder", "decoder")]


def test_marian_models_have_one_activation() -> None:
    found = refusals(build(*MARIAN, "encoder.activation=relu", "decoder.activation=gelu"), huggingface.ABILITIES)
    assert found == [
        "`decoder.activation` must be relu, as in the encoder, for format=huggingface, but is gelu instead"
    ]


def test_every_kind_of_transformer_layer_can_be_described() -> None:
    for setting in (
        *(f"activation={name}" for name in ctranslate2.ABILITIES.activations),
        *(f"norm={name}" for name in ctranslate2.ABILITIES.norms),
        *(f"norm_position={name}" for name in ctranslate2.ABILITIES.norm_positions),
        *(f"positions={name}" for name in ctranslate2.ABILITIES.positions),
    ):
        name, _, value = setting.partition("=")
        found = describe(build(f"encoder.{setting}", f"decoder.{setting}"), ctranslate2.ABILITIES)
        assert getattr(found.encoder.style, name) == getattr(found.decoder.style, name) == value
        assert len(found.encoder.layers) == len(found.decoder.layers) == 2
        assert (found.decoder.norm is None) == (value == "post")


def test_a_score_of_another_scale_is_told_by_its_query() -> None:
    scaled = build(HEADS, "attention.num_heads=2")
    plain = build(
        HEADS, "attention.num_heads=2", "attention.score._target_=seq2seq.attention.scores.Dot"
    )  # of the same weights, as the same seed draws them
    attentions = [
        describe(model, ctranslate2.ABILITIES).decoder.layers[0].cross_attention for model in (scaled, plain)
    ]
    assert attentions[0] is not None and attentions[1] is not None  # noqa: PT018  # one thing: there are both
    assert torch.equal(attentions[0].key, attentions[1].key)
    torch.testing.assert_close(attentions[1].query, attentions[0].query * math.sqrt(8))


def test_positions_are_written_out_as_far_as_asked() -> None:
    found = describe(build("encoder.positions=learned", "decoder.positions=rotary"), ctranslate2.ABILITIES)
    table = found.encoder.position_table(1030)
    assert table is not None
    assert table.shape == (1030, 16)
    assert torch.equal(table[1023], table[1029])  # as the model itself reuses its last row
    assert not torch.equal(table[1022], table[1023])
    assert found.decoder.position_table(5) is None
    added = describe(build(), ctranslate2.ABILITIES).decoder.position_table(7)
    assert added is not None
    assert torch.equal(added, sinusoids(torch.arange(7), 16))


def test_pieces_that_no_search_writes_get_no_probability() -> None:
    model = build()
    batch = batch_of(sentences([3, 5]), sentences([4, 2], seed=2))
    with torch.no_grad():
        before = model.output(model(batch).hidden)
        forbid_special_pieces(model)
        after = model.output(model(batch).hidden)
    never = [PAD, UNK, BOS]
    rest = [i for i in range(VOCABULARY) if i not in never]
    assert EOS in rest
    assert torch.equal(before[..., rest], after[..., rest])
    assert float(after.softmax(-1)[..., never].max()) == 0.0
    assert torch.isfinite(after.half()).all()


def test_a_description_shares_the_memory_of_the_model() -> None:
    model = build()
    found = describe(model, ctranslate2.ABILITIES)
    assert found.source_embedding.data_ptr() == found.output.weight.data_ptr() == model.output.weight.data_ptr()
    assert not any(
        tensor.requires_grad for tensor in (found.output.weight, found.encoder.layers[0].self_attention.key)
    )
    assert replace(found, num_heads=2).head_dim == 8

"""Exported models in the engines themselves, where these are installed: the numbers are ours."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
import torch
from tiny import architecture, build, compose, sentences

from seq2seq.config import parse
from seq2seq.export import ctranslate2, huggingface
from seq2seq.export.check import compare
from seq2seq.export.command import ExportConfig, export
from seq2seq.export.description import describe, forbid_special_pieces
from seq2seq.model import Seq2SeqModel
from seq2seq.translation.translator import Translator

POST = ("encoder.norm_position=post", "decoder.norm_position=post")
LAYER = ("encoder.norm=layer", "decoder.norm=layer")
LONGEST = 48


def both(setting: str) -> tuple[str, str]:
    return f"encoder.{setting}", f"decoder.{setting}"


def lively(*overrides: str, vocabulary: int) -> Seq2SeqModel:
    """A random model in which every bias and every normalisation counts."""
    model = build(*overrides, vocabulary=vocabulary)
    for parameter in model.parameters():
        if parameter.dim() == 1:
            torch.nn.init.normal_(parameter.data, 1.0 if float(parameter.data[0]) == 1.0 else 0.0, 0.3)
    forbid_special_pieces(model)
    return model


@pytest.fixture(scope="module")
def translator(exportable: Path) -> Translator:
    return Translator.load(exportable, device="cpu", precision="fp32")


def exported(*overrides: str) -> Path:
    values = compose(*overrides, name="export")
    return export(parse(ExportConfig, values), values)


CTRANSLATE2 = [
    (),
    LAYER,
    POST,
    (*LAYER, *POST),
    *((*both(f"activation={name}"),) for name in ("relu", "gelu", "swiglu")),
    ("encoder.activation=swiglu", "decoder.activation=relu"),
    both("positions=learned"),
    both("positions=rotary"),
    ("encoder.positions=rotary", "decoder.positions=sinusoidal"),
    ("encoder.norm_position=post", "decoder.norm_position=pre"),
    ("model.tie_embeddings=none",),
    ("model.tie_embeddings=target",),
    ("attention.score._target_=seq2seq.attention.scores.Dot",),
    ("encoder.num_layers=3", "decoder.num_layers=1"),
]


@pytest.mark.parametrize("overrides", CTRANSLATE2, ids=" ".join)
def test_ctranslate2_gives_our_numbers(translator: Translator, tmp_path: Path, overrides: tuple[str, ...]) -> None:
    pytest.importorskip("ctranslate2")
    tokenizers = translator.source_tokenizer, translator.target_tokenizer
    vocabulary = tokenizers[0].vocab_size
    model = lively(*overrides, vocabulary=vocabulary)
    description = describe(model, ctranslate2.ABILITIES)
    ctranslate2.write(description, tokenizers, tmp_path, quantization="float32", longest=LONGEST)
    engine = ctranslate2.CTranslate2(tmp_path, tokenizers)
    found = compare(model, engine, sentences([*range(1, 20), LONGEST - 1], vocabulary), LONGEST)
    assert found.error < 2e-5
    assert found.greedy == found.sentences


MARIAN = [
    (),
    *((*both(f"activation={name}"),) for name in ("relu", "gelu")),
    ("model.tie_embeddings=none",),
    ("model.tie_embeddings=target",),
    ("encoder.num_layers=3", "decoder.num_layers=1", "encoder.feed_forward_dim=40"),
]


@pytest.mark.parametrize("overrides", MARIAN, ids=" ".join)
def test_transformers_gives_our_numbers(translator: Translator, tmp_path: Path, overrides: tuple[str, ...]) -> None:
    pytest.importorskip("transformers")
    tokenizers = translator.source_tokenizer, translator.target_tokenizer
    vocabulary = tokenizers[0].vocab_size
    model = lively(*LAYER, *POST, *overrides, vocabulary=vocabulary)
    description = describe(model, huggingface.ABILITIES)
    huggingface.write(description, tokenizers, tmp_path, quantization="float32", longest=LONGEST)
    engine = huggingface.HuggingFace(tmp_path, tokenizers)
    found = compare(model, engine, sentences([*range(1, 20), LONGEST - 1], vocabulary), LONGEST)
    assert found.error < 2e-5
    assert found.greedy == found.sentences


class Invented:
    """A vocabulary of so many pieces, for models whose languages have one each."""

    def __init__(self, name: str, count: int) -> None:
        self.name, self.vocab_size, self.tags = name, count, dict[str, int]()

    def pieces(self, ids: Sequence[int]) -> list[str]:
        return [("<pad>", "<unk>", "<s>", "</s>")[i] if i < 4 else f"{self.name}{i}" for i in ids]

    def save(self, path: Path) -> None:
        path.write_text(self.name, encoding="utf-8")


@pytest.mark.parametrize("tied", ["target", "none"])
@pytest.mark.parametrize(
    ("library", "write", "read", "abilities"),
    [
        ("ctranslate2", ctranslate2.write, ctranslate2.CTranslate2, ctranslate2.ABILITIES),
        ("transformers", huggingface.write, huggingface.HuggingFace, huggingface.ABILITIES),
    ],
)
def test_two_vocabularies_stay_two(
    tmp_path: Path, library: str, write: Any, read: Any, abilities: Any, tied: str
) -> None:
    pytest.importorskip(library)
    tokenizers = Invented("s", 31), Invented("t", 23)
    model = architecture(*LAYER, *POST, f"model.tie_embeddings={tied}").build(31, 23).eval()
    forbid_special_pieces(model)
    write(describe(model, abilities), tokenizers, tmp_path, quantization="float32", longest=LONGEST)
    found = compare(model, read(tmp_path, tokenizers), sentences(range(1, 20), 31), LONGEST)
    assert found.error < 2e-5
    assert found.greedy == found.sentences
    own = {path.read_text(encoding="utf-8") for path in tmp_path.iterdir() if path.suffix in {".model", ".spm"}}
    assert own == {"s", "t"}


@pytest.mark.parametrize("quantization", ["float32", "float16", "bfloat16", "int16", "int8"])
def test_a_folder_for_ctranslate2_can_be_used_as_its_note_says(
    exportable: Path, translator: Translator, tmp_path: Path, quantization: str
) -> None:
    library: Any = pytest.importorskip("ctranslate2")
    folder = exported(
        f"checkpoint={exportable}",
        "format=ctranslate2",
        f"quantization={quantization}",
        f"output={tmp_path / 'out'}",
        "check=10",
    )
    note = (folder / "README.md").read_text(encoding="utf-8")
    code = note.partition("```python\n")[2].partition("```")[0]
    assert 'encode(line, out_type=str) + ["</s>"]' in code
    processor = sentencepiece.SentencePieceProcessor(model_file=str(folder / "source.model"))
    lines = ["abc de", "fg a gg"]
    pieces = [[*processor.encode(line, out_type=str), "</s>"] for line in lines]
    engine = library.Translator(str(folder), device="cpu")
    found = engine.translate_batch(pieces, beam_size=1, max_decoding_length=9, min_decoding_length=0)
    known = set(processor.id_to_piece(list(range(processor.vocab_size())))) - {"<pad>", "<s>", "</s>", "<unk>"}
    assert set(itertools.chain.from_iterable(one.hypotheses[0] for one in found)) <= known


def test_a_folder_for_transformers_reads_text_as_we_do(
    exportable: Path, translator: Translator, tmp_path: Path
) -> None:
    library: Any = pytest.importorskip("transformers")
    folder = exported(f"checkpoint={exportable}", "format=huggingface", f"output={tmp_path / 'out'}", "check=10")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it recommends a package that changes punctuation, which it does not use
        tokenizer = library.MarianTokenizer.from_pretrained(folder)
    lines = ["abc de", "fg a gg", "Ω a"]
    ids = tokenizer(lines).input_ids
    assert ids == [[*row, 3] for row in translator.encode(lines, None)]
    model = library.MarianMTModel.from_pretrained(folder)
    assert model.config.decoder_start_token_id == 2
    inputs = tokenizer(lines, return_tensors="pt", padding=True)
    texts = tokenizer.batch_decode(model.generate(**inputs, num_beams=1, max_length=13), skip_special_tokens=True)
    ours = huggingface.HuggingFace(folder, (translator.source_tokenizer,) * 2).translate(
        translator.encode(lines, None), 1, 12, len(lines)
    )
    assert texts == [text.strip() for text in translator.target_tokenizer.decode(ours)]

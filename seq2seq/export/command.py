"""The command that exports: from a checkpoint to a folder for another engine, compared before it is there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

from seq2seq import checkpoint
from seq2seq.config import PositiveInt, Values
from seq2seq.data.formats import read_lines, single_line
from seq2seq.data.tokenizer import Tokenizer
from seq2seq.disk.replacing import new_folder
from seq2seq.errors import CheckpointError, ConfigError, DataError
from seq2seq.export import ctranslate2, huggingface
from seq2seq.export.check import compare, random_sources
from seq2seq.export.description import Abilities, describe, forbid_special_pieces
from seq2seq.export.engine import Engine, Writer, library
from seq2seq.runs.folder import new_place, run_of
from seq2seq.terminal import say, warn
from seq2seq.translation.translator import Translator

EXPORTED = "exported"
"""Where exported models of a run go: beside its checkpoints."""

SINGLE = "float32"


@dataclass(frozen=True)
class Format:
    """A way out: what it can hold, the library it needs, who writes it and who reads it back."""

    abilities: Abilities
    library: str
    write: Writer
    read: Callable[[Path, tuple[Tokenizer, Tokenizer]], Engine]


FORMATS = {
    "ctranslate2": Format(ctranslate2.ABILITIES, ctranslate2.LIBRARY, ctranslate2.write, ctranslate2.CTranslate2),
    "huggingface": Format(huggingface.ABILITIES, huggingface.LIBRARY, huggingface.write, huggingface.HuggingFace),
}


@dataclass(frozen=True)
class ExportConfig:
    """What to export, and how to compare.

    Attributes:
        checkpoint: a run folder (its best checkpoint) or one checkpoint.
        format: ``ctranslate2``, or ``huggingface`` for the Marian models of Transformers.
        quantization: type of the weights; ``huggingface`` has float32 only.
        max_positions: the longest sentence and translation, in pieces, that the engine is to know positions for.
        output: the new folder; null for ``exported/ctranslate2-int8`` or the like in the run folder.
        check: sentences that are translated with both to compare them.
        sentences: a text file that begins with these sentences; null for random pieces.
        target: language to translate them into, where the model has several.
        allow_code: packages beside seq2seq whose classes the checkpoint may name.
    """

    checkpoint: str
    format: Literal["ctranslate2", "huggingface"]
    quantization: Literal[
        "float32", "float16", "bfloat16", "int16", "int8", "int8_float32", "int8_float16", "int8_bfloat16"
    ]
    max_positions: PositiveInt
    output: str | None
    check: PositiveInt
    sentences: str | None
    target: str | None
    allow_code: tuple[str, ...]

    def __post_init__(self) -> None:
        mistakes = []
        if self.format == "huggingface" and self.quantization != SINGLE:
            mistakes.append(
                f"`quantization` must be {SINGLE} for format=huggingface, but is {self.quantization} instead; "
                "Transformers quantizes while loading"
            )
        if self.target is not None and self.sentences is None:
            mistakes.append(
                "`target` must be null without `sentences`, because random ones are translated into every language, "
                f"but is {self.target!r} instead"
            )
        if mistakes:
            raise ConfigError(mistakes)


def export(config: ExportConfig, values: Values) -> Path:
    """Write a checkpoint for another engine and return the new folder.

    Raises:
        UserError: the library is missing, the checkpoint cannot be used or has parts that the engine lacks, the
            exported model does not translate as ours, or the folder cannot be written.
    """
    way = FORMATS[config.format]
    library(way.library, config.format)
    folder, snapshot = checkpoint.load_located(Path(config.checkpoint), warn)
    output = place_of_export(config, folder)
    translator = Translator.restore(snapshot, "cpu", config.allow_code, warn, "fp32")
    tokenizers = translator.source_tokenizer, translator.target_tokenizer
    model = translator.model.eval()
    description = describe(model, way.abilities)
    forbid_special_pieces(model)  # so that the same is compared; the description sees it too
    sources = sources_of(config, translator)
    say(f"Exporting {folder} as {config.format}, {config.quantization}")
    try:
        with new_folder(output) as unfinished:
            way.write(
                description, tokenizers, unfinished, quantization=config.quantization, longest=config.max_positions
            )
            agreement = compare(model, way.read(unfinished, tokenizers), sources, config.max_positions)
            if config.quantization == SINGLE:
                agreement.refuse_unless_same(config.format)
    except OSError as error:
        raise CheckpointError(f"cannot write the exported model {output}: {error}") from error
    say(f"Compared: {agreement}")
    say(f"Exported: {output}; its README.md says how it is used")
    return output


def place_of_export(config: ExportConfig, folder: Path) -> Path:
    """Return where the exported model goes.

    Raises:
        ConfigError: something is there already, or nothing says where.
    """
    name = config.format if config.format == "huggingface" else f"{config.format}-{config.quantization}"
    return new_place(config.output, run_of(folder), f"{EXPORTED}/{name}", folder)


def sources_of(config: ExportConfig, translator: Translator) -> list[list[int]]:
    """Return the ids of the sentences to compare with.

    Raises:
        ConfigError: ``target`` is not a language of the model.
        DataError: the file cannot be read or has no sentence.
    """
    room = config.max_positions - 1  # EOS needs one
    if config.sentences is None:
        return random_sources(translator.source_tokenizer, config.check, room)
    lines = (single_line(line).strip() for line in read_lines(config.sentences))
    found = translator.encode(list(islice(filter(None, lines), config.check)), config.target)
    sources = [ids[:room] for ids in found if ids]
    if not sources:
        raise DataError(f"`sentences` must be a file with text, but {config.sentences} has none")
    return sources

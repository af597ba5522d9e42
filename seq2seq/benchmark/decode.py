"""How fast the weights of one checkpoint translate: here in each precision, and exported in other engines.

Whole translations of the same lines take turns, from text to text, with the same pieces and the same largest length.
Every engine first tries some sizes of batches, and takes part with the one that was fastest.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import torch

from seq2seq import checkpoint
from seq2seq.benchmark.table import Row, Table, in_line
from seq2seq.benchmark.timing import alternate, stopwatch_of
from seq2seq.commands.translate import check_language
from seq2seq.config import PositiveInt
from seq2seq.data.formats import read_lines, single_line
from seq2seq.data.tokenizer import Tokenizer
from seq2seq.errors import ConfigError, DataError
from seq2seq.evaluation.metrics import corpus_bleu
from seq2seq.export import ctranslate2, huggingface
from seq2seq.export.check import search_of_engines
from seq2seq.export.description import describe, forbid_special_pieces
from seq2seq.export.engine import Engine, library
from seq2seq.restoring import directions_of
from seq2seq.runtime import DeviceName, Precision
from seq2seq.terminal import say, warn
from seq2seq.translation.translator import Translator

BASELINE = "seq2seq, fp32"

LENGTH_RATIO, LENGTH_EXTRA = 1.5, 10
"""Pieces of a translation, at most: so many for each piece of the longest source, and so many more."""

PATIENCE = {"": None, ", patience 1": 1.0}
"""Our own rule for the end of a beam, which loses nothing, and the one of many other engines."""

Way = Callable[[Sequence[str], int], list[str]]
"""Translates lines with a beam of some size."""

Contender = Mapping[str, Way]
"""An engine in one precision: its ways to share lines out to batches, by what they are called."""


@dataclass(frozen=True)
class DecodeSizes:
    """What to translate, with what.

    Attributes:
        checkpoint: a run folder (its best checkpoint) or one checkpoint.
        input: a text file, one sentence a line.
        references: a text file with the translation of each line, for BLEU; null for none.
        target: language to translate into, where the model has several.
        lines: how many lines of the file are translated.
        beams: sizes of beams, a table for each; 1 is greedy search.
        max_tokens: sizes of our batches to try, in source pieces over all hypotheses.
        sentences: sizes of batches of the other engines to try.
    """

    checkpoint: str | None
    input: str | None
    references: str | None
    target: str | None
    lines: PositiveInt
    beams: Sequence[PositiveInt]
    max_tokens: Sequence[PositiveInt]
    sentences: Sequence[PositiveInt]

    def check(self) -> None:
        """Refuse settings that leave nothing to measure.

        Raises:
            ConfigError: names them.
        """
        wanted = {"checkpoint": "a run folder or a checkpoint", "input": "a text file"}
        mistakes = [
            f"`decode.{key}` must name {what} for what=decode, but is null instead"
            for key, what in wanted.items()
            if getattr(self, key) is None
        ]
        mistakes += [
            f"`decode.{key}` must have at least one size, but is an empty list instead"
            for key in ("beams", "max_tokens", "sentences")
            if not getattr(self, key)
        ]
        if mistakes:
            raise ConfigError(mistakes)


@dataclass(frozen=True)
class DecodingRow(Row):
    """How an engine translates.

    Attributes:
        sentences: translated in a second.
        pieces: written in a second, as our tokenizer counts them in the text, with an end mark for each line.
        bleu: of the translations; None without references.
        alike: share of the lines that are translated as by the baseline.
    """

    sentences: float
    pieces: float
    bleu: float | None
    alike: float


@dataclass(frozen=True)
class DecodingTable(Table):
    """Engines that have translated the same lines."""

    rows: Sequence[DecodingRow]

    def markdown(self) -> str:
        """See :meth:`Table.markdown`; the ratios are of speeds."""
        numbers = ["speed, ratio", "quartiles", "sentences/s", "pieces/s", "rounds", "BLEU", "alike"]
        lines = [f"## {self.title}", "", in_line([*self.headings, *numbers])]
        lines.append("|" + " --- |" * len(self.headings) + " ---: |" * len(numbers))
        for row in self.rows:
            time = row.timing
            cells = [f"{1 / time.ratio:.2f}", f"{1 / time.high:.2f} – {1 / time.low:.2f}"]
            cells += [f"{row.sentences:,.1f}", f"{row.pieces:,.0f}", f"{time.rounds:,}"]
            cells += ["" if row.bleu is None else f"{row.bleu:.2f}", f"{row.alike:.1%}"]
            lines.append(in_line([*row.names, *cells]))
        return "\n".join(lines) + "\n"


def decode_tables(sizes: DecodeSizes, device: torch.device, seconds: float) -> Iterator[Table]:
    """Return a table for each size of beam, as soon as it is there.

    Args:
        sizes: what to translate.
        device: where; other engines are measured on a processor only.
        seconds: of timing for each table.

    Raises:
        UserError: the checkpoint or a file cannot be used.
    """
    sizes.check()
    assert sizes.checkpoint is not None
    assert sizes.input is not None
    lines = _first(sizes.input, sizes.lines)
    references = None if sizes.references is None else _first(sizes.references, len(lines))
    if references is not None and len(references) < len(lines):
        raise DataError(
            f"`decode.references` must have a line for each line of `decode.input`, {len(lines)}, but "
            f"{sizes.references} has {len(references)}"
        )
    _, snapshot = checkpoint.load_located(Path(sizes.checkpoint), warn)
    translator = Translator.restore(snapshot, "cpu")
    directions = directions_of(snapshot)
    check_language("decode.target", sizes.target, translator, directions)
    with tempfile.TemporaryDirectory() as folder:
        contenders = ours(snapshot, lines, sizes, device)
        if device.type == "cpu":
            contenders |= others(snapshot, lines, sizes, Path(folder))
        tokenizer = translator.target_tokenizer
        for beam in sizes.beams:
            yield _table(contenders, lines, references, beam, seconds, tokenizer, sizes.target or directions[0][1])


def _first(path: str, count: int) -> list[str]:
    found = [single_line(line).strip() for line in islice(read_lines(path), count)]
    if not any(found):
        raise DataError(f"{path} must have text to measure with, but has none")
    return found


def ours(
    snapshot: checkpoint.Snapshot, lines: Sequence[str], sizes: DecodeSizes, device: torch.device
) -> dict[str, Contender]:
    """Return this package in each of its precisions."""
    name: DeviceName = "cuda" if device.type == "cuda" else "cpu"
    precisions: tuple[Precision, ...] = ("fp32", "bf16")
    found: dict[str, Contender] = {}
    for precision in precisions:
        translator = Translator.restore(snapshot, name, precision=precision)
        longest = _longest(translator, lines, sizes.target)
        for words, patience in PATIENCE.items():
            found[f"seq2seq, {precision}{words}"] = {
                f"{tokens:,} pieces": partial(_translate, translator, tokens, longest, sizes.target, patience)
                for tokens in sizes.max_tokens
            }
    return found


def _longest(translator: Translator, lines: Sequence[str], target: str | None) -> int:
    """Return the pieces, EOS included, that a translation of any of these lines may have in any engine."""
    return int(LENGTH_RATIO * max(map(len, translator.encode(lines, target)))) + LENGTH_EXTRA


def _translate(
    translator: Translator,
    tokens: int,
    longest: int,
    target: str | None,
    patience: float | None,
    lines: Sequence[str],
    beam: int,
) -> list[str]:
    search = search_of_engines(beam, longest, patience=patience, max_tokens=tokens, max_source_length=longest)
    return translator.translate(lines, search, target)


def others(
    snapshot: checkpoint.Snapshot, lines: Sequence[str], sizes: DecodeSizes, folder: Path
) -> dict[str, Contender]:
    """Return the engines that are installed and can compute the model, with its weights exported for them."""
    translator = Translator.restore(snapshot, "cpu")
    model = translator.model.eval()
    forbid_special_pieces(model)
    tokenizers = translator.source_tokenizer, translator.target_tokenizer
    longest = _longest(translator, lines, sizes.target)
    threads = torch.get_num_threads()
    found: dict[str, Contender] = {}
    for way in (ctranslate2, huggingface):
        place = folder / way.ABILITIES.format
        place.mkdir()
        try:
            library(way.LIBRARY, way.ABILITIES.format)
            described = describe(model, way.ABILITIES)
        except ConfigError as error:
            say(f"Without {way.ABILITIES.format}: {error}")
            continue
        way.write(described, tokenizers, place, quantization="float32", longest=longest + 1)
    through = partial(_through, translator, longest, sizes.target)
    if (folder / ctranslate2.ABILITIES.format / "model.bin").is_file():
        for kind in ("float32", "int8"):
            ways: dict[str, Way] = {}
            for workers in sorted({1, threads}):
                engine = ctranslate2.CTranslate2(
                    folder / ctranslate2.ABILITIES.format, tokenizers, compute_type=kind, workers=workers
                )
                for size in sizes.sentences:
                    ways[f"{size:,} sentences, {workers} workers"] = partial(through, engine, size)
            found[f"CTranslate2, {kind}"] = ways
    if (folder / huggingface.ABILITIES.format / "config.json").is_file():
        generate = huggingface.HuggingFace(folder / huggingface.ABILITIES.format, tokenizers)
        found["Transformers, float32"] = {
            f"{size:,} sentences": partial(through, generate, size) for size in sizes.sentences
        }
    return found


def _through(
    translator: Translator,
    longest: int,
    target: str | None,
    engine: Engine,
    size: int,
    lines: Sequence[str],
    beam: int,
) -> list[str]:
    """Translate with another engine, from text to text, by our tokenizers; empty lines stay empty."""
    sources = translator.encode(lines, target)
    filled = [row for row, ids in enumerate(sources) if ids]
    found = engine.translate([sources[row] for row in filled], beam, longest, size)
    translations = [""] * len(lines)
    for row, text in zip(filled, translator.target_tokenizer.decode(found), strict=True):
        translations[row] = single_line(text)
    return translations


def _table(
    contenders: Mapping[str, Contender],
    lines: Sequence[str],
    references: Sequence[str] | None,
    beam: int,
    seconds: float,
    tokenizer: Tokenizer,
    language: str,
) -> DecodingTable:
    stopwatch = stopwatch_of(torch.device("cpu"))  # translations are text in the end, whatever has computed them
    written: dict[str, list[str]] = {}
    chosen: dict[str, str] = {}
    for name, ways in contenders.items():
        best = math.inf
        for words, way in ways.items():
            took = stopwatch(partial(_keep, written, name, way, lines, beam))
            if took < best:
                best, chosen[name] = took, words
    steps = {
        name: partial(_keep, written, name, ways[chosen[name]], lines, beam) for name, ways in contenders.items()
    }
    timings = alternate(steps, baseline=BASELINE, seconds=seconds, stopwatch=stopwatch)
    rows = []
    for name, timing in timings.items():
        found = written[name]
        pieces = sum(len(ids) + 1 for ids in tokenizer.encode(found))
        same = sum(one == other for one, other in zip(found, written[BASELINE], strict=True))
        bleu = None if references is None else corpus_bleu(found, references, target_language=language)
        speed = len(lines) / timing.seconds
        row = DecodingRow((name, chosen[name]), timing, None, speed, pieces / timing.seconds, bleu, same / len(lines))
        rows.append(row)
    what = "greedy search" if beam == 1 else f"a beam of {beam}"
    return DecodingTable(f"Translating {len(lines):,} lines, {what}", ("engine", "batches"), rows)


def _keep(written: dict[str, list[str]], name: str, way: Way, lines: Sequence[str], beam: int) -> None:
    written[name] = way(lines, beam)

"""The command that translates: from a checkpoint and lines to translated lines."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice, repeat, tee, zip_longest
from pathlib import Path
from typing import Literal

from seq2seq.config import Values
from seq2seq.data.alignment import format_links
from seq2seq.data.formats import read_lines, single_line
from seq2seq.ensemble import load_together
from seq2seq.errors import ConfigError, DataError, listing, suggest
from seq2seq.evaluation.attention import attention_links
from seq2seq.replacing import replaced
from seq2seq.restoring import Direction
from seq2seq.runtime import DeviceName
from seq2seq.search import Search, Translation
from seq2seq.terminal import warn
from seq2seq.translate import BUFFERED_LINES, Translator


@dataclass(frozen=True)
class TranslateConfig:
    """What to translate, with what.

    Attributes:
        checkpoint: a run folder (its best checkpoint) or one checkpoint; a list of them translates as an ensemble.
        input: a text file, one sentence a line; null for standard input.
        output: where translations go; null for standard output.
        format: ``text`` is the best translation of each line, ``jsonl`` all ``search.n_best`` with their scores.
        alignments: whether ``jsonl`` also holds the words of each translation linked to those of the input, by
            attention.
        target: language to translate into, where the model has several; null where it has one.
        prefix: how every translation must begin; null for anyhow.
        prefixes: instead, a text file with the beginning of each line's translation; empty lines for anyhow.
        search: how to translate.
        device: where to compute.
        allow_code: packages beside seq2seq whose classes the checkpoint may name.
    """

    checkpoint: Sequence[str] | str
    input: str | None
    output: str | None
    format: Literal["text", "jsonl"]
    alignments: bool
    target: str | None
    prefix: str | None
    prefixes: str | None
    search: Search
    device: DeviceName
    allow_code: Sequence[str]

    def __post_init__(self) -> None:
        if self.alignments and self.format != "jsonl":
            raise ConfigError(
                "`alignments` must be false where `format` is text, which has no room for them, but is true instead; "
                "give format=jsonl"
            )
        if self.prefix is not None and self.prefixes is not None:
            raise ConfigError(
                f"`prefix` must be null beside `prefixes`, which has one a line, but is {self.prefix!r} instead"
            )


def translate(config: TranslateConfig, values: Values) -> None:
    """Translate a file or standard input, line by line.

    Raises:
        UserError: the checkpoint or a file cannot be used.
    """
    translator, directions = load_together(several(config.checkpoint), config.device, config.allow_code, warn)
    check_language("target", config.target, directions)
    translator.source_tokenizer.tag(config.target)  # refused before any line is read
    lines, prefixes = with_prefixes(input_lines(config.input), config)
    with output_lines(config.output) as write:
        if not config.alignments:
            for found in translator.stream(lines, config.search, config.target, prefixes):
                write(found[0].text if config.format == "text" else json_line(found))
            return
        lines, sources = tee(lines)
        pairs = zip(sources, translator.stream(lines, config.search, config.target, prefixes), strict=True)
        while chunk := list(islice(pairs, BUFFERED_LINES)):
            for (_, found), links in zip(chunk, align(translator, chunk, config), strict=True):
                write(json_line(found, links))


def several(paths: Sequence[str] | str) -> Sequence[str]:
    """Return a list of one path for what is no list."""
    return [paths] if isinstance(paths, str) else paths


def check_language(setting: str, language: str | None, directions: Iterable[Direction]) -> None:
    """Refuse a language that the checkpoint does not translate into.

    Raises:
        ConfigError: names the setting and the languages.
    """
    languages = dict.fromkeys(target for _, target in directions)
    if language is not None and language not in languages:
        near = suggest(language, languages)
        raise ConfigError(
            f"`{setting}` must be a language of the checkpoint ({listing(languages)}), "
            f"but is {language!r} instead{near}"
        )


def with_prefixes(lines: Iterator[str], config: TranslateConfig) -> tuple[Iterator[str], Iterator[str] | None]:
    """Return lines and the beginnings of their translations, as many; None where none are wished for.

    Raises:
        DataError: the file of beginnings has more or fewer lines, as reading shows.
    """
    if config.prefix is not None:
        return lines, repeat(config.prefix)
    if config.prefixes is None:
        return lines, None
    first, second = tee(_paired(lines, config.prefixes))
    return (line for line, _ in first), (prefix for _, prefix in second)


def _paired(lines: Iterator[str], path: str) -> Iterator[tuple[str, str]]:
    for number, (line, prefix) in enumerate(zip_longest(lines, read_lines(path)), start=1):
        if line is None or prefix is None:
            which = "more" if line is None else "fewer"
            raise DataError(
                f"`prefixes` must have one line for each line of the input, but {path} has {which}: the shorter of "
                f"both ends before line {number}"
            )
        yield line, prefix


def align(
    translator: Translator, chunk: Sequence[tuple[str, Sequence[Translation]]], config: TranslateConfig
) -> Iterator[list[str]]:
    """Give, for each line, the links of each of its translations, as one line in Pharaoh format.

    The models read the translations again as texts, so that words are those between spaces.
    """
    encoded = translator.encode([single_line(line).strip() for line, _ in chunk], config.target)
    most = config.search.over_pieces.max_source_length
    sources = [ids[:most] for ids, (_, found) in zip(encoded, chunk, strict=True) for _ in found]
    targets = translator.target_tokenizer.encode([one.text for _, found in chunk for one in found])
    tokenizers = translator.source_tokenizer, translator.target_tokenizer
    links = iter(attention_links(translator.models, *tokenizers, sources, targets))
    for _, found in chunk:
        yield [format_links(next(links)) for _ in found]


def json_line(found: Sequence[Translation], alignments: Sequence[str] | None = None) -> str:
    """Return the translations of one line, best first, as one line of JSON."""
    values = [translation._asdict() for translation in found]
    if alignments is not None:
        values = [{**value, "alignment": links} for value, links in zip(values, alignments, strict=True)]
    return json.dumps({"translations": values}, ensure_ascii=False)


def input_lines(path: str | None) -> Iterator[str]:
    """Return the lines of a file, checked as any corpus is, or of standard input, forgiving as a pipe needs."""
    if path is not None:
        return read_lines(path)
    return (line.decode("utf-8", errors="replace").rstrip("\r\n") for line in sys.stdin.buffer)


@contextmanager
def output_lines(path: str | None) -> Iterator[Callable[[str], object]]:
    """Give a function that writes a line to a file or to standard output, always in UTF-8.

    A plain file gets its name only when all of it is written, so a translation of a file may even go over that file.
    Pipes and devices are written as they are.

    Raises:
        DataError: the file cannot be written.
    """
    if path is None:
        try:
            yield lambda line: sys.stdout.buffer.write(line.encode() + b"\n")
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise DataError(f"standard output cannot be written: {error.strerror}") from error
        return
    place = Path(path).resolve()  # a link stays a link
    plain = not place.exists() or place.is_file()
    try:
        with replaced(place) if plain else place.open("wb") as file:
            yield lambda line: file.write(line.encode() + b"\n")
    except BrokenPipeError:
        raise
    except OSError as error:
        raise DataError(f"`output` must be a file that can be written, but is not: {error}") from error

"""The command that translates: from a checkpoint and lines to translated lines."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO, Literal

from seq2seq.commands.inputs import BUFFERED_LINES, Few, groups, is_several, named_files
from seq2seq.commands.interactive import at_terminal, converse
from seq2seq.commands.meter import Meter, watched
from seq2seq.commands.outputs import make_folder, output_file, refuse_overwriting
from seq2seq.config import Values
from seq2seq.data.formats import read_lines, without_compression
from seq2seq.errors import ConfigError, DataError, listing, suggest
from seq2seq.restoring import Direction
from seq2seq.runtime import DeviceName, Precision
from seq2seq.search import Search, Translation
from seq2seq.terminal import warn
from seq2seq.translation.ensemble import load_together
from seq2seq.translation.linking import align
from seq2seq.translation.parts import joined
from seq2seq.translation.translator import Translator

Job = tuple[Path | None, Path | None]
"""What is read and what is written; None for standard input and output."""


@dataclass(frozen=True)
class TranslateConfig:
    """What to translate, with what.

    Attributes:
        checkpoint: a run folder (its best checkpoint) or one checkpoint; a list of them translates as an ensemble.
        input: a text file, one sentence a line; a pattern or a list for several; null for standard input.
        output: where translations go, for several files a folder; null for standard output.
        format: ``text`` is the best translation of each line, ``jsonl`` all ``search.n_best`` with their scores.
        alignments: whether ``jsonl`` also holds the words of each translation linked to those of the input, by
            attention.
        target: language to translate into, where the model has several; null where it has one.
        prefix: how every translation must begin; null for anyhow.
        prefixes: instead, a text file with the beginning of each line's translation; empty lines for anyhow.
        search: how to translate.
        heat_map: at a terminal, whether a heat map of its attention follows each translation.
        device: where to compute.
        precision: ``auto`` takes bfloat16 where it pays; see :func:`seq2seq.restoring.decoding_precision`.
        allow_code: packages beside seq2seq whose classes the checkpoint may name.
    """

    checkpoint: Sequence[str] | str
    input: Sequence[str] | str | None
    output: str | None
    format: Literal["text", "jsonl"]
    alignments: bool
    target: str | None
    prefix: str | None
    prefixes: str | None
    search: Search
    heat_map: bool
    device: DeviceName
    precision: Precision
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
        if self.prefixes is not None and self.input is not None and is_several(self.input):
            raise ConfigError(
                "`prefixes` must be null where `input` is a list or a pattern, because it has one line for each line "
                f"of a single file, but is {self.prefixes!r} instead"
            )


def translate(config: TranslateConfig, values: Values) -> None:
    """Translate files or standard input, line by line.

    Raises:
        UserError: the checkpoint or a file cannot be used.
    """
    jobs = jobs_of(config)  # refused before a model is loaded
    talks = is_conversation(config)
    if config.heat_map and not talks:
        raise ConfigError(
            "`heat_map` must be false unless lines are typed and read at a terminal, with format=text, but is true "
            "instead; scripts/evaluate.py draws attention, and format=jsonl with alignments=true links words"
        )
    for words in unheeded(config):
        warn(words)
    translator, directions = load_together(
        several(config.checkpoint), config.device, config.allow_code, warn, config.precision
    )
    check_language("target", config.target, translator, directions)  # refused before any line is read
    if talks:
        converse(translator, config.search, config.target, config.prefix, heat_map=config.heat_map)
        return
    if config.output is not None and config.input is not None and is_several(config.input):
        make_folder(Path(config.output))
    bar = watched(reads_terminal=config.input is None, writes_terminal=config.output is None)
    with Meter(bar=bar) as meter, nullcontext() if config.output is not None else output_file(None) as shared:
        for source, target in jobs:
            name = f"{source}, " if len(jobs) > 1 else ""
            with nullcontext(shared) if shared is not None else output_file(target) as file:
                translate_text(translator, source, file, config, meter, partial(_warn, name))


def is_conversation(config: TranslateConfig) -> bool:
    """Return whether each line is typed and its translation read at a terminal."""
    given = (config.input, config.output, config.prefixes)
    return config.format == "text" and given == (None, None, None) and at_terminal()


def unheeded(config: TranslateConfig) -> Iterator[str]:
    """Give a line for each setting that changes nothing as the others are."""
    yield from config.search.remarks()
    found = getattr(config.search, "n_best", 1)
    if config.format == "text" and found > 1:
        yield f"`search.n_best` is {found}, but format=text has room for the best translation only; give format=jsonl"


def _warn(name: str, words: str) -> None:
    warn(f"{name}{words}")


def jobs_of(config: TranslateConfig) -> list[Job]:
    """Return what is read and what is written.

    Raises:
        DataError: there are no such files, or what is written would take the place of something.
    """
    output = None if config.output is None else Path(config.output)
    if config.input is None:
        refuse_overwriting(output, {"prefixes": config.prefixes})
        return [(None, output)]
    sources = named_files(config.input)
    for source in sources:
        refuse_overwriting(output, {"input": source, "prefixes": config.prefixes})
    if output is None or not is_several(config.input):
        return [(source, output) for source in sources]
    if output.exists() and not output.is_dir():
        raise DataError(f"`output` must be a folder, because `input` is a list or a pattern, but {output} is a file")
    jobs: dict[Path, Path] = {}
    for source in sources:
        target = output / without_compression(source).name
        if target in jobs:
            raise DataError(
                f"`input` must name files of different names, because each is written to `output` under its own, but "
                f"{jobs[target]} and {source} would both become {target}"
            )
        if target.exists():
            raise DataError(
                f"`output` must be a folder without files of the names that are to be written, but {target} exists; "
                "move it away or name another folder"
            )
        jobs[target] = source
    return [(source, target) for target, source in jobs.items()]


def translate_text(
    translator: Translator,
    source: Path | None,
    file: IO[bytes],
    config: TranslateConfig,
    meter: Meter,
    warn: Callable[[str], None],
) -> None:
    """Translate one text, group by group; what is translated is written at once.

    Args:
        translator: the model or the ensemble.
        source: a file; None for standard input.
        file: to write to.
        config: how to translate.
        meter: told about each batch.
        warn: gets a line for what is odd but no mistake.

    Raises:
        DataError: a file cannot be used.
    """
    damaged = Few(warn, "lines had bytes that are no UTF-8")
    long = Few(warn, "lines were longer than search.max_source_length")
    first = 1
    for lines, prefixes in with_prefixes(groups(source, BUFFERED_LINES, damaged), config):
        found = translator.in_parts(
            lines,
            config.search,
            config.target,
            prefixes,
            first=first,
            between=partial(_show, meter, len(lines)),
            warn=long,
        )
        if config.format == "text":
            written = (joined(parts)[0].text for parts in found)
        elif not config.alignments:
            written = (json_line(joined(parts)) for parts in found)
        else:
            links = align(translator, found, max_tokens=config.search.over_pieces.max_tokens)
            written = (json_line(joined(parts), each) for parts, each in zip(found, links, strict=True))
        file.writelines(line.encode() + b"\n" for line in written)
        file.flush()
        meter.finished(len(lines))
        first += len(lines)
    damaged.close()
    long.close()


def _show(meter: Meter, lines: int, share: float) -> None:
    meter.show(int(share * lines))


def several(paths: Sequence[str] | str) -> Sequence[str]:
    """Return a list of one path for what is no list."""
    return [paths] if isinstance(paths, str) else paths


def check_language(
    setting: str, language: str | None, translator: Translator, directions: Iterable[Direction]
) -> None:
    """Refuse a language that the checkpoint does not translate into, and none where it has to be told one.

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
    translator.source_tokenizer.tag(language, setting=setting)


def with_prefixes(
    lines: Iterable[list[str]], config: TranslateConfig
) -> Iterator[tuple[list[str], list[str] | None]]:
    """Give groups of lines and the beginnings of their translations, as many; None where none are wished for.

    Raises:
        DataError: the file of beginnings has more or fewer lines, as reading shows.
    """
    if config.prefixes is None:
        for group in lines:
            yield group, None if config.prefix is None else [config.prefix] * len(group)
        return
    done, starts = 0, read_lines(config.prefixes)
    for group in lines:
        given = list(islice(starts, len(group)))
        if len(given) < len(group):
            raise _unequal(config.prefixes, "fewer", done + len(given) + 1)
        yield group, given
        done += len(group)
    if next(starts, None) is not None:
        raise _unequal(config.prefixes, "more", done + 1)


def _unequal(path: str, which: str, line: int) -> DataError:
    return DataError(
        f"`prefixes` must have one line for each line of the input, but {path} has {which}: the shorter of both ends "
        f"before line {line}"
    )


def json_line(found: Sequence[Translation], alignments: Sequence[str] | None = None) -> str:
    """Return the translations of one line, best first, as one line of JSON."""
    values = [translation._asdict() for translation in found]
    if alignments is not None:
        values = [{**value, "alignment": links} for value, links in zip(values, alignments, strict=True)]
    return json.dumps({"translations": values}, ensure_ascii=False)

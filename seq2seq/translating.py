"""The command that translates: from a checkpoint and lines to translated lines."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from seq2seq import checkpoint
from seq2seq.config import Values
from seq2seq.data.formats import read_lines
from seq2seq.errors import ConfigError, DataError, listing, suggest
from seq2seq.replacing import replaced
from seq2seq.runtime import DeviceName
from seq2seq.search import SearchConfig
from seq2seq.terminal import warn
from seq2seq.translate import Translation, Translator, directions_of


@dataclass(frozen=True)
class TranslateConfig:
    """What to translate, with what.

    Attributes:
        checkpoint: a run folder (its best checkpoint) or one checkpoint.
        input: a text file, one sentence a line; null for standard input.
        output: where translations go; null for standard output.
        format: ``text`` is the best translation of each line, ``jsonl`` all ``search.n_best`` with their scores.
        target: language to translate into, where the model has several; null where it has one.
        search: how to translate.
        device: where to compute.
        allow_code: packages beside seq2seq whose classes the checkpoint may name.
    """

    checkpoint: str
    input: str | None
    output: str | None
    format: Literal["text", "jsonl"]
    target: str | None
    search: SearchConfig
    device: DeviceName
    allow_code: Sequence[str]


def translate(config: TranslateConfig, values: Values) -> None:
    """Translate a file or standard input, line by line.

    Raises:
        UserError: the checkpoint or a file cannot be used.
    """
    snapshot = checkpoint.load(checkpoint.locate(Path(config.checkpoint), warn))
    languages = dict.fromkeys(target for _, target in directions_of(snapshot))
    if config.target is not None and config.target not in languages:
        near = suggest(config.target, languages)
        raise ConfigError(
            f"`target` must be a language of the checkpoint ({listing(languages)}), "
            f"but is {config.target!r} instead{near}"
        )
    translator = Translator.restore(snapshot, config.device, config.allow_code, warn)
    translator.source_tokenizer.tag(config.target)  # refused before any line is read
    with output_lines(config.output) as write:
        for found in translator.stream(input_lines(config.input), config.search, config.target):
            write(found[0].text if config.format == "text" else json_line(found))


def json_line(found: Sequence[Translation]) -> str:
    """Return the translations of one line, best first, as one line of JSON."""
    return json.dumps({"translations": [translation._asdict() for translation in found]}, ensure_ascii=False)


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

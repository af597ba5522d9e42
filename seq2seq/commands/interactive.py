"""Translating at a terminal: a prompt, each line translated at once, its attention drawn in characters."""

from __future__ import annotations

import importlib
import shutil
import sys
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

import numpy as np
import numpy.typing as npt

from seq2seq.data.batching import make_batch, pack
from seq2seq.errors import UserError, printable
from seq2seq.search import Search
from seq2seq.search.scoring import attention_weights
from seq2seq.terminal import say, warn
from seq2seq.translation.parts import Part, joined
from seq2seq.translation.translator import Translator, evaluating

PROMPT = "> "

SWITCH = ":map"
"""What is typed to have heat maps, or to have them no more."""

BLOCKS, PLAIN = " ░▒▓█", " .:+#"
"""Shades for weights of 0, 1/4, 1/2, 3/4 and 1; the second one where a terminal lacks the first."""

WIDEST_LABEL = 14
TALLEST_LABEL = 10

Weights = npt.NDArray[np.float32]


def at_terminal() -> bool:
    """Return whether somebody types and reads at the same terminal."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def converse(
    translator: Translator, search: Search, target: str | None, prefix: str | None, *, heat_map: bool
) -> None:
    """Translate each line that is typed, until there are no more or the user leaves.

    Args:
        translator: the model or the ensemble.
        search: how to translate.
        target: language to translate into, where the model has several.
        prefix: how every translation must begin; None for anyhow.
        heat_map: whether the attention of each translation is shown; :data:`SWITCH` changes it.
    """
    say(f"A line to translate, {SWITCH} for heat maps of attention, or Ctrl-D to leave.")
    prefixes = None if prefix is None else [prefix]
    with suppress(KeyboardInterrupt):  # also while a line is translated
        for number, line in enumerate(typed(input), 1):
            if line.strip() == SWITCH:
                heat_map = not heat_map
                say(f"Heat maps are {'on' if heat_map else 'off'}.")
                continue
            try:
                [parts] = translator.in_parts([line], search, target, prefixes, first=number)
            except UserError as error:
                warn(str(error))
                continue
            if not parts:  # nothing was typed
                continue
            say(joined(parts)[0].text)
            for part in parts if heat_map else ():
                for row in drawn(translator, part):
                    print(row, flush=True)


def typed(ask: Callable[[str], str]) -> Iterator[str]:
    """Give the lines that are typed; Ctrl-D and Ctrl-C end them, and the line that they stand in."""
    with suppress(ImportError):
        importlib.import_module("readline")  # lets lines be edited and called back, where the system has it
    while True:
        try:
            yield ask(PROMPT)
        except UnicodeDecodeError:
            warn("what was typed is no text in the encoding of this terminal")
        except (EOFError, KeyboardInterrupt):
            print(flush=True)
            return


def drawn(translator: Translator, part: Part) -> Iterator[str]:
    """Give the lines of a heat map of what the best translation of a part has looked at, as wide as the terminal."""
    target = translator.target_tokenizer.encode([part.found[0].text])[0]
    sources = [*translator.source_tokenizer.pieces(part.ids), "</s>"]
    targets = [*translator.target_tokenizer.pieces(target), "</s>"]
    shades = BLOCKS if _can_print(BLOCKS) else PLAIN
    width = shutil.get_terminal_size().columns
    return heat_map_lines(mean_attention(translator, part.ids, target), sources, targets, width, shades)


def mean_attention(translator: Translator, source: Sequence[int], target: Sequence[int]) -> Weights:
    """Return weights (T,S) of a translation that is read again, the mean of all models, layers and heads.

    Args:
        translator: the model or the ensemble.
        source: ids without EOS, at least one.
        target: ids without EOS.
    """
    device = next(translator.model.parameters()).device
    batch = make_batch(pack([source]), pack([target]), np.array([0])).to(device)
    with evaluating(translator.models):
        layers = [layer[0] for model in translator.models for layer in attention_weights(model, batch)]
    found: Weights = np.mean([layer.mean(dim=0).cpu().numpy() for layer in layers], axis=0)
    return found


def heat_map_lines(
    weights: Weights, sources: Sequence[str], targets: Sequence[str], width: int, shades: str
) -> Iterator[str]:
    """Give a heat map line by line: source pieces from left to right, downwards; target pieces below each other.

    Where the source is too long for a line, its maps stand below each other.

    Args:
        weights: (T,S), from 0 to 1.
        sources: S pieces.
        targets: T pieces.
        width: characters of a line.
        shades: characters for weights from 0 to 1, evenly spaced.
    """
    plain = shades.isascii()
    tops = [_label(piece, TALLEST_LABEL, plain) for piece in sources]
    labels = [_label(piece, WIDEST_LABEL, plain) for piece in targets]
    margin = max(map(_columns, labels)) + 1
    levels = np.rint(np.clip(np.nan_to_num(weights), 0.0, 1.0) * (len(shades) - 1)).astype(int)
    together = max(1, (width - margin) // 2)  # a piece takes two columns, as a wide character does
    for first in range(0, len(sources), together):
        part = tops[first : first + together]
        height = max(map(len, part))
        for row in range(height):
            signs = [top[row - height + len(top)] if row >= height - len(top) else " " for top in part]
            yield (" " * margin + "".join(_filled(sign, 2) for sign in signs)).rstrip()
        for label, of_row in zip(labels, levels[:, first : first + together], strict=True):
            yield (_filled(label, margin) + "".join(shades[level] * 2 for level in of_row)).rstrip()


def _label(piece: str, longest: int, plain: bool) -> str:
    """Return a piece as a label of at most so many characters; all of them are ASCII where it is to be plain."""
    text = printable(piece).replace("▁", "_")
    text = text.encode("ascii", "backslashreplace").decode() if plain else text
    # A mark that joins the character before it would take no column of its own.
    text = "".join(sign for sign in text if _columns(sign)) or "?"
    return text if len(text) <= longest else text[: longest - 1] + ("~" if plain else "…")


def _columns(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    return sum(
        0 if unicodedata.combining(sign) else 2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text
    )


def _filled(text: str, columns: int) -> str:
    return text + " " * (columns - _columns(text))


def _can_print(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True

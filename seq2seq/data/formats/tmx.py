"""Translation memories: TMX (LISA 1.4b), streamed through a parser that fetches and expands nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from xml.parsers import expat

from seq2seq.data.formats.lines import LONGEST_LINE, Pair, Tally, single_line
from seq2seq.data.formats.packed import damage_named, open_packed, refuse_packed
from seq2seq.data.formats.records import Selection
from seq2seq.errors import DataError, listing

_CHUNK = 1 << 20  # bytes parsed at a time
_DEEPEST = 64  # elements within each other; the format needs about ten
_MOST_LANGUAGES = 50  # named in a message

# What stands in these is the mark-up of another format, not text: begin, end, placeholder, isolated, unknown.
_CODES = frozenset({"bpt", "ept", "ph", "it", "ut"})
_LAYOUT = re.compile("[ \t\r\n]+")


def read_tmx(path: Path, selection: Selection, tally: Tally) -> Iterator[Pair]:
    """Yield the pairs of a translation memory.

    A variant belongs to a language if its ``xml:lang`` (or ``lang``) is that code or begins with it: ``en-US`` is
    ``en``, in capitals or not. Of several variants the first of each language counts. Inline elements are flattened:
    the text in ``hi`` stays, codes of other formats go, with what is in them. Line breaks of the file's layout are
    single spaces. A unit without both languages is left out and counted.

    The encoding is the one that the file declares, as XML has it. A DOCTYPE may name an outside definition, which is
    never fetched; one that defines anything itself, such as entities, is refused.

    Raises:
        DataError: the file is damaged, no XML, no TMX, defines or uses entities, has a text or tag of more than
            LONGEST_LINE bytes, all with the line's number; or has no unit in both languages.
    """
    memory = _Memory(path, selection.languages, tally)
    with open_packed(path) as handle, damage_named(path):
        refuse_packed(path, handle)
        for chunk in iter(partial(handle.read, _CHUNK), b""):
            yield from memory.feed(chunk)
        yield from memory.feed(b"", last=True)
    if memory.units and not memory.complete:
        wanted = " and ".join(selection.languages)
        raise DataError(f"{path}: must have units in {wanted}, but has only {listing(memory.languages)}")


class _Memory:
    """The state of a parser within the elements of a translation memory.

    Attributes:
        languages: those met so far, as the file writes them; no more than a message can hold.
        units: units met so far.
        complete: those of them that have both languages.
    """

    def __init__(self, path: Path, wanted: tuple[str, str], tally: Tally) -> None:
        self.languages: set[str] = set()
        self.units = self.complete = 0
        self._path, self._tally = path, tally
        # The longer code first, so that "en-GB" is not taken for "en" where both are wanted.
        codes = [(_normal(code), place) for place, code in enumerate(wanted)]
        self._wanted = sorted(codes, key=lambda one: -len(one[0]))
        self._pairs: list[Pair] = []
        self._unit: dict[int, str] = {}
        self._side: int | None = None
        self._segment: list[str] | None = None
        self._size = self._fed = self._depth = self._codes = 0
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.StartDoctypeDeclHandler = self._doctype
        self._parser.SkippedEntityHandler = self._skipped

    def feed(self, data: bytes, *, last: bool = False) -> list[Pair]:
        """Parse some bytes; return the pairs that they complete."""
        self._pairs = []
        try:
            self._parser.Parse(data, last)
        except expat.ExpatError as error:
            raise DataError(
                f"{self._path}, line {error.lineno}, column {error.offset + 1}: must be well-formed XML, but is not: "
                f"{expat.ErrorString(error.code)}"
            ) from None
        except (LookupError, ValueError) as error:  # an encoding that Python does not know, or not as one for XML
            raise DataError(f"{self._path}: must declare an encoding that can be read, but {error}") from None
        self._fed += len(data)
        if self._fed - self._parser.CurrentByteIndex > LONGEST_LINE + _CHUNK:
            self._refuse(f"a tag must have at most {LONGEST_LINE:,} bytes, but has more")
        return self._pairs

    def _refuse(self, message: str) -> None:
        raise DataError(f"{self._path}, line {self._parser.CurrentLineNumber}: {message}")

    def _doctype(self, name: str, system: str | None, public: str | None, defines: bool) -> None:
        if defines:
            self._refuse("a DOCTYPE must define nothing itself, but this one does; entities are not expanded")

    def _skipped(self, name: str, is_parameter: bool) -> None:
        self._refuse(f"must be text, but uses the entity {name!r}, which is defined elsewhere; nothing is fetched")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > _DEEPEST:
            self._refuse(f"elements must be nested at most {_DEEPEST} deep, but are nested deeper")
        if self._depth == 1 and name != "tmx":
            self._refuse(f"must be TMX, whose first element is 'tmx', but is {name!r} instead")
        if self._segment is not None:
            self._codes += name in _CODES
        elif name == "tu":
            self._unit = {}
        elif name == "tuv":
            self._side = self._side_of(attributes.get("xml:lang", attributes.get("lang", "")))
        elif name == "seg" and self._side is not None and self._side not in self._unit:
            self._segment, self._size = [], 0
            self._parser.CharacterDataHandler = self._text

    def _text(self, text: str) -> None:
        self._size += len(text)
        if self._size > LONGEST_LINE:
            self._refuse(f"a segment must have at most {LONGEST_LINE:,} characters, but has more")
        if not self._codes and self._segment is not None:
            self._segment.append(text)

    def _end(self, name: str) -> None:
        self._depth -= 1
        if self._segment is not None:
            self._codes -= name in _CODES
            if name == "seg" and self._side is not None:
                text = "".join(self._segment)
                self._unit[self._side] = single_line(_LAYOUT.sub(" ", text).strip(" ") if "\n" in text else text)
                self._segment = None
                self._parser.CharacterDataHandler = None
        elif name == "tuv":
            self._side = None
        elif name == "tu":
            self.units += 1
            if len(self._unit) == 2:
                self.complete += 1
                self._pairs.append((self._unit[0], self._unit[1]))
            else:
                self._tally.incomplete += 1

    def _side_of(self, language: str) -> int | None:
        """0 for the source, 1 for the target, None for any other language."""
        if len(self.languages) < _MOST_LANGUAGES:
            self.languages.add(language)
        code = f"{_normal(language)}-"
        return next((place for wanted, place in self._wanted if code.startswith(f"{wanted}-")), None)


def _normal(code: str) -> str:
    return code.lower().replace("_", "-")

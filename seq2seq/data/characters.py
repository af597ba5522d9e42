"""What text is made of: scripts, signs, numbers, and one form for sentences that differ only in looks.

Text is mapped by ``str.translate`` and ``re``, whose loops over characters run in C. Their tables are made from the
Unicode database once.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache

SIGN, CONTROL, OTHER = "!", "\x00", "."
"""What :func:`kinds` writes for punctuation and symbols, for what no text should hold, and for the rest."""

_DIGITS = re.compile(r"\d\d+")
_FIRST = 0xE000  # other scripts than Latin are numbered in the private use area, where no kind of character lies
_OVERRIDES = {*range(0x202A, 0x202F), *range(0x2066, 0x206A)}  # turn the direction of what follows
_REPLACEMENT = 0xFFFD  # what a failed decoding left behind

_CODES = {
    "Arab": "ARABIC", "Armn": "ARMENIAN", "Beng": "BENGALI", "Cyrl": "CYRILLIC", "Deva": "DEVANAGARI",
    "Ethi": "ETHIOPIC", "Geor": "GEORGIAN", "Grek": "GREEK", "Gujr": "GUJARATI", "Guru": "GURMUKHI",
    "Hans": "CJK BOPOMOFO", "Hant": "CJK BOPOMOFO", "Hebr": "HEBREW", "Jpan": "CJK HIRAGANA KATAKANA",
    "Khmr": "KHMER", "Knda": "KANNADA", "Kore": "HANGUL CJK", "Laoo": "LAO", "Latn": "LATIN", "Mlym": "MALAYALAM",
    "Mymr": "MYANMAR", "Orya": "ORIYA", "Sinh": "SINHALA", "Taml": "TAMIL", "Telu": "TELUGU", "Thai": "THAI",
    "Tibt": "TIBETAN",
}  # fmt: skip

_LANGUAGES = {
    "Arab": "ar arz fa ckb ps ur ug sd", "Armn": "hy", "Beng": "bn as", "Cyrl": "ru uk be bg mk kk ky tg mn tt ba cv",
    "Deva": "hi mr ne sa mai bho", "Ethi": "am ti", "Geor": "ka", "Grek": "el", "Gujr": "gu", "Guru": "pa",
    "Hans": "zh yue", "Hebr": "he iw yi", "Jpan": "ja", "Khmr": "km", "Knda": "kn", "Kore": "ko", "Laoo": "lo",
    "Latn": "af az bs br ca ceb cs cy da de en eo es et eu fi fil fo fr fy ga gd gl ha hr ht hu id ig is it jv ku la "
    "lb lt lv mg mi ms mt nb nl nn no nso oc pl pt qu ro rw sk sl sm sn so sq st su sv sw tk tl tn tr ts uz vi wo xh "
    "yo zu",
    "Mlym": "ml", "Mymr": "my", "Orya": "or", "Sinh": "si", "Taml": "ta", "Telu": "te", "Thai": "th",
    "Tibt": "bo dz",
}  # fmt: skip

_SCRIPT_OF = {language: code for code, languages in _LANGUAGES.items() for language in languages.split()}
_SCRIPT_OF |= {"sr": "Cyrl Latn", "cnr": "Cyrl Latn"}  # written in either

# A plain letter for Latin, so that the kinds of ASCII text are ASCII too: str.translate is then three times as fast.
_numbers: dict[str, str] = {"LATIN": "a"}


def _script_sign(script: str) -> str:
    return _numbers.setdefault(script, chr(_FIRST + len(_numbers)))


class _Kinds(dict[int, str]):
    def __missing__(self, code: int) -> str:
        self[code] = kind = _kind(code)
        return kind


@cache
def _no_letters() -> re.Pattern[str]:
    """Find what is no letter, mark or digit, but for plain spaces; and all beyond 16 bits, which :func:`_kept` knows.

    Of the latter, an expression has no table but a list, which it would search at every character.
    """
    others = (chr(code) for code in range(2**16) if chr(code) != " " and not _is_kept(chr(code)))
    return re.compile(f"[{re.escape(''.join(others))}\U00010000-\U0010ffff]")


def _is_kept(character: str) -> bool:
    return unicodedata.category(character)[0] in "LMN"


def _kept(found: re.Match[str]) -> str:
    return found[0] if _is_kept(found[0]) else " "


def _kind(code: int) -> str:
    character = chr(code)
    category = unicodedata.category(character)
    if category in {"Cc", "Cn", "Co", "Cs"} or code in _OVERRIDES or code == _REPLACEMENT:
        return CONTROL
    if category[0] in "PS":
        return SIGN
    if category[0] != "L" or category == "Lm":  # letters that modify others belong to every script
        return OTHER
    words = unicodedata.name(character, "OTHER").replace("-", " ").split()
    first = words[1] if words[0] in {"FULLWIDTH", "HALFWIDTH"} and len(words) > 1 else words[0]
    return OTHER if first in {"FEMININE", "MASCULINE", "MICRO", "MATHEMATICAL", "OTHER"} else _script_sign(first)


_kinds = _Kinds()


def kinds(text: str) -> str:
    """Return for each character its kind: SIGN, CONTROL, OTHER, or for a letter the sign of its script."""
    return text.translate(_kinds)


def scripts_of(language: str) -> str | None:
    """Return the signs of the scripts that a language is written in, or None where that is not known.

    Args:
        language: such as ``de``, ``pt_BR`` or ``sr-Latn``; a script in the code comes before the usual one.
    """
    name, *rest = re.split("[-_]", language)
    given = [part.title() for part in rest if part.title() in _CODES]
    codes = given or _SCRIPT_OF.get(name.lower(), "").split()
    return "".join(_script_sign(script) for code in codes for script in _CODES[code].split()) or None


def share_of_letters(kinds_of_text: str, scripts: str) -> float:
    """Return how many of the letters of a text, given by their :func:`kinds`, are of these scripts; 1 without any."""
    letters = len(kinds_of_text) - sum(map(kinds_of_text.count, (SIGN, CONTROL, OTHER)))
    return sum(map(kinds_of_text.count, scripts)) / letters if letters else 1.0


def numbers_in(text: str) -> list[str]:
    """Return the numbers of at least two digits, in the digits 0 to 9.

    Signs between digits part numbers, so that 1,000.5 and 1.000,5 have the same; a number below 10 may well be a
    word on the other side.
    """
    return [
        run if run.isascii() else "".join(str(unicodedata.decimal(digit)) for digit in run)
        for run in _DIGITS.findall(text)
    ]


def normalised(text: str) -> str:
    """Return letters and digits alone: NFKC, case-folded, everything between words one space.

    Sentences that are equal in this form are the same sentence to a reader.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(_no_letters().sub(_kept, folded).split())

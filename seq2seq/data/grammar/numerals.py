"""Numbers, days of the year and times of day in words, in both languages."""

from __future__ import annotations

from .words import Adverb

_UNITS = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
]  # fmt: skip
_TENS = ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_EINER = [
    "null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun", "zehn", "elf", "zwölf",
    "dreizehn", "vierzehn", "fünfzehn", "sechzehn", "siebzehn", "achtzehn", "neunzehn",
]  # fmt: skip
_ZEHNER = ["", "", "zwanzig", "dreißig", "vierzig", "fünfzig", "sechzig", "siebzig", "achtzig", "neunzig"]

_ORDINALS = {
    "one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth",
    "twelve": "twelfth", "twenty": "twentieth", "thirty": "thirtieth",
}  # fmt: skip
_ORDNUNGSZAHLEN = {1: "erst", 3: "dritt", 7: "siebt", 8: "acht"}

MONTHS = (
    ("January", "Januar"), ("February", "Februar"), ("March", "März"), ("April", "April"), ("May", "Mai"),
    ("June", "Juni"), ("July", "Juli"), ("August", "August"), ("September", "September"), ("October", "Oktober"),
    ("November", "November"), ("December", "Dezember"),
)  # fmt: skip
WEEKDAYS = (
    ("Monday", "Montag"), ("Tuesday", "Dienstag"), ("Wednesday", "Mittwoch"), ("Thursday", "Donnerstag"),
    ("Friday", "Freitag"), ("Saturday", "Samstag"), ("Sunday", "Sonntag"),
)  # fmt: skip


def english_number(value: int) -> str:
    """Write a number from 0 to 999 in English: ``one hundred and forty-three``."""
    hundreds, rest = divmod(value, 100)
    if hundreds:
        head = f"{_UNITS[hundreds]} hundred"
        return f"{head} and {english_number(rest)}" if rest else head
    tens, units = divmod(rest, 10)
    if tens < 2:
        return _UNITS[rest]
    return f"{_TENS[tens]}-{_UNITS[units]}" if units else _TENS[tens]


def german_number(value: int) -> str:
    """Write a number from 0 to 999 in German, units before tens: ``hundertdreiundvierzig``."""
    hundreds, rest = divmod(value, 100)
    if hundreds:
        head = "hundert" if hundreds == 1 else f"{_EINER[hundreds]}hundert"
        return head + german_number(rest) if rest else head
    tens, units = divmod(rest, 10)
    if tens < 2:
        return _EINER[rest]
    if not units:
        return _ZEHNER[tens]
    return ("ein" if units == 1 else _EINER[units]) + "und" + _ZEHNER[tens]


def english_ordinal(value: int) -> str:
    """Write an ordinal from 1 to 31 in English: ``twenty-third``."""
    *head, last = english_number(value).split("-")
    return "-".join([*head, _ORDINALS.get(last, last + "th")])


def german_ordinal(value: int) -> str:
    """Write the stem of an ordinal from 1 to 31 in German, without its ending: ``dreiundzwanzigst``."""
    return _ORDNUNGSZAHLEN.get(value, german_number(value) + ("t" if value < 20 else "st"))


def date(day: int, month: int) -> Adverb:
    """``date(3, 5)`` is *on the third of May*, *am dritten Mai*: a weak adjective in the dative."""
    english, german = MONTHS[month - 1]
    return Adverb(f"on the {english_ordinal(day)} of {english}", f"am {german_ordinal(day)}en {german}")


def weekday(day: int) -> Adverb:
    """``weekday(0)`` is *on Monday*, *am Montag*."""
    english, german = WEEKDAYS[day]
    return Adverb(f"on {english}", f"am {german}")


def in_month(month: int) -> Adverb:
    """``in_month(5)`` is *in May*, *im Mai*."""
    english, german = MONTHS[month - 1]
    return Adverb(f"in {english}", f"im {german}")


def clock(hour: int, minute: int) -> Adverb:
    """Tell the time; ``minute`` is a multiple of five. ``clock(3, 30)`` is *at half past three*, *um halb vier*.

    English counts from the last hour up to the half and then towards the next one. German already looks to the
    next hour at the half, and counts the five minutes around the half from there: *fünf vor halb vier*.
    """
    this, following = hour, hour % 12 + 1
    if minute == 0:
        return Adverb(
            f"at {english_number(this)} o'clock", "um ein Uhr" if this == 1 else f"um {german_number(this)} Uhr"
        )
    towards = following if minute > 30 else this
    english = {15: "a quarter", 30: "half"}.get(minute if minute <= 30 else 60 - minute)
    english = english or english_number(minute if minute <= 30 else 60 - minute)
    english = f"at {english} {'to' if minute > 30 else 'past'} {english_number(towards)}"
    return Adverb(english, f"um {_german_clock(this, following, minute)}")


def _german_clock(this: int, following: int, minute: int) -> str:
    if minute == 30:
        return f"halb {german_number(following)}"
    if abs(minute - 30) == 5:
        return f"fünf {'vor' if minute < 30 else 'nach'} halb {german_number(following)}"
    distance, side, hour = (minute, "nach", this) if minute < 30 else (60 - minute, "vor", following)
    return f"{'Viertel' if distance == 15 else german_number(distance)} {side} {german_number(hour)}"

"""Draw the parts of a clause: noun phrases and times."""

from __future__ import annotations

from functools import cache
from typing import TypeAlias

from .dice import Dice
from .lexicon import ADJECTIVES, FUTURE_TIMES, HABITUAL_TIMES, NAMES, NOUNS, PAST_TIMES, PRONOUNS
from .numerals import MONTHS, WEEKDAYS, clock, date, in_month, weekday
from .plans import Article, Determiner, Nominal, NounPhrase, Pair
from .words import Adjective, Adverb, Kind, Name, Noun, Number, Person, Pronoun, Tense

_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)

# Weights of determiners. A class stands for all determiners of that class: a pronoun is a possessive, a name or
# a noun phrase an owner, int a number.
_Choice: TypeAlias = Article | type[Pronoun] | type[Name] | type[NounPhrase] | type[int]
_Weights: TypeAlias = tuple[tuple[int, _Choice], ...]
_SINGULAR: _Weights = (
    (34, Article.DEFINITE), (22, Article.INDEFINITE), (10, Article.THIS), (4, Article.EVERY),
    (17, Pronoun), (5, Name), (8, NounPhrase),
)  # fmt: skip
_PLURAL: _Weights = (
    (28, Article.DEFINITE), (14, Article.NONE), (8, Article.THIS), (10, Article.MANY), (6, Article.ALL),
    (14, Pronoun), (20, int), (3, Name), (5, NounPhrase),
)  # fmt: skip
_MASS: _Weights = ((30, Article.DEFINITE), (40, Article.NONE), (10, Article.THIS), (15, Pronoun), (5, Name))

_INDEFINITE = (Article.INDEFINITE, Article.NONE, Article.MANY, Article.ALL, Article.EVERY)
_OWNED_BY_NOBODY = ("man", "woman")  # my man and my woman would be married to me


@cache
def nouns(kind: Kind) -> tuple[Noun, ...]:
    """Return the nouns of any of these kinds."""
    return tuple(noun for noun in NOUNS if noun.kind & kind)


@cache
def adjectives(kind: Kind) -> tuple[Adjective, ...]:
    """Return the adjectives that go with any of these kinds."""
    return tuple(adjective for adjective in ADJECTIVES if adjective.kind & kind)


def person(dice: Dice, *, apart_from: Nominal | None = None) -> Nominal:
    """Draw somebody. An object must be ``apart_from`` its subject: I see myself would be reflexive."""
    kind = dice.weigh(((40, NounPhrase), (38, Pronoun), (22, Name)))
    if kind is NounPhrase:
        return noun_phrase(dice, Kind.PERSON)
    if kind is Name:
        return _another_name(dice, apart_from)
    pronoun = dice.pick(PRONOUNS)
    while isinstance(apart_from, Pronoun) and _overlap(pronoun, apart_from):
        pronoun = dice.pick(PRONOUNS)
    return pronoun


def subject(dice: Dice) -> Nominal:
    """Draw the subject of an action."""
    return Pair(*_two_names(dice)) if dice.chance(0.05) else person(dice)


def _overlap(one: Pronoun, other: Pronoun) -> bool:
    return one.person is other.person and (one.person is not Person.THIRD or one is other)


def _another_name(dice: Dice, other: Nominal | None) -> Name:
    taken = (other.first, other.second) if isinstance(other, Pair) else (other,)
    return dice.pick([name for name in NAMES if name not in taken])


def _two_names(dice: Dice) -> tuple[Name, Name]:
    first = dice.pick(NAMES)
    return first, _another_name(dice, first)


def noun_phrase(
    dice: Dice, kind: Kind, *, definite: bool = False, adjective: float = 0.5, plural: float = 0.32
) -> NounPhrase:
    """Draw a noun phrase about one of these kinds; a ``definite`` one is never bare, indefinite or counted."""
    noun = dice.pick(nouns(kind))
    if noun.german_plural is None:
        number, determiners = Number.SINGULAR, _MASS
    elif dice.chance(plural):
        number, determiners = Number.PLURAL, _PLURAL
    else:
        number, determiners = Number.SINGULAR, _SINGULAR
    choice = dice.weigh(determiners)
    while not _suits(choice, noun, definite):
        choice = dice.weigh(determiners)
    return NounPhrase(_determiner(dice, noun, choice), _adjectives(dice, noun, adjective), noun, number)


def _suits(choice: _Choice, noun: Noun, definite: bool) -> bool:
    if choice is Article.NONE and noun.kind is Kind.PERSON:
        return False
    if noun.english in _OWNED_BY_NOBODY and choice in (Pronoun, Name, NounPhrase):
        return False
    return not (definite and (choice is int or choice in _INDEFINITE))


def _determiner(dice: Dice, noun: Noun, choice: _Choice) -> Determiner:
    if isinstance(choice, Article):
        return choice
    if choice is Pronoun:
        return dice.pick(PRONOUNS)
    if choice is Name:
        return dice.pick(NAMES)
    if choice is int:
        return count(dice, most=20 if noun.kind & (Kind.PERSON | Kind.ANIMAL | Kind.PLACE) else 99)
    number = Number.SINGULAR if dice.chance(0.75) else Number.PLURAL
    owner = dice.pick(nouns(Kind.PERSON))
    belongs = owner.english not in _OWNED_BY_NOBODY and dice.chance(0.4)
    definite: Determiner = dice.pick(PRONOUNS) if belongs else Article.DEFINITE
    return NounPhrase(definite, _adjectives(dice, owner, 0.2), owner, number)


def _adjectives(dice: Dice, noun: Noun, probability: float) -> tuple[Adjective, ...]:
    return (dice.pick(adjectives(noun.kind)),) if dice.chance(probability) else ()


def count(dice: Dice, most: int) -> int:
    """Draw a number from 2 on, small ones more often. 101 and its like would need a singular in German."""
    high = min(most, dice.weigh(((50, 20), (30, 99), (20, 999))))
    value = dice.between(2, high)
    return value + 1 if value % 100 == 1 else value


def which(dice: Dice, kind: Kind) -> NounPhrase:
    """Draw a noun phrase that asks: which red car."""
    noun = dice.pick(nouns(kind))
    number = Number.SINGULAR if noun.german_plural is None or dice.chance(0.7) else Number.PLURAL
    return NounPhrase(Article.WHICH, _adjectives(dice, noun, 0.3), noun, number)


def time(dice: Dice, tense: Tense, *, negated: bool = False) -> Adverb:
    """Draw a time that fits a tense. Not every day is something else than every day not: none is negated."""
    if tense is Tense.PRESENT:
        return _clock(dice) if negated or dice.chance(0.4) else dice.pick(HABITUAL_TIMES)
    if dice.chance(0.4):
        return dice.pick(PAST_TIMES if tense is Tense.PAST else FUTURE_TIMES)
    kind = dice.weigh(((34, "clock"), (30, "date"), (12, "weekday"), (8, "month"), (16, "day and clock")))
    match kind:
        case "clock":
            return _clock(dice)
        case "date":
            month = dice.between(1, len(MONTHS))
            return date(dice.between(1, _DAYS[month - 1]), month)
        case "weekday":
            return weekday(dice.between(0, len(WEEKDAYS) - 1))
        case "month":
            return in_month(dice.between(1, len(MONTHS)))
    day = PAST_TIMES[0] if tense is Tense.PAST else FUTURE_TIMES[0]
    hour = _clock(dice)
    return Adverb(f"{day.english} {hour.english}", f"{day.german} {hour.german}")


def _clock(dice: Dice) -> Adverb:
    minute = dice.weigh(((25, 0), (25, 30), (15, 15), (15, 45), (20, 5 * dice.between(0, 11))))
    return clock(dice.between(1, 12), minute)

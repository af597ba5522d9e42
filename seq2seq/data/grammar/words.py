"""Kinds of word and their grammatical features: what a lexicon entry must say, and no more than that.

An entry holds the forms that cannot be derived. Everything regular is left to :mod:`.inflection` for German
and to :mod:`.english` for English.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, Flag, auto


class Gender(Enum):
    """Grammatical gender of a German noun."""

    MASCULINE = auto()
    FEMININE = auto()
    NEUTER = auto()


class Number(Enum):
    """Grammatical number."""

    SINGULAR = auto()
    PLURAL = auto()


class Case(Enum):
    """The four German cases."""

    NOMINATIVE = auto()
    ACCUSATIVE = auto()
    DATIVE = auto()
    GENITIVE = auto()


class Person(Enum):
    """Grammatical person."""

    FIRST = auto()
    SECOND = auto()
    THIRD = auto()


class Tense(Enum):
    """Tense of a clause. PAST is the simple past in English and the perfect in German."""

    PRESENT = auto()
    PAST = auto()
    FUTURE = auto()


class Kind(Flag):
    """What a noun stands for; verbs and adjectives say which kinds they go with."""

    PERSON = auto()
    ANIMAL = auto()
    FOOD = auto()
    DRINK = auto()
    TEXT = auto()
    VEHICLE = auto()
    DEVICE = auto()
    CLOSABLE = auto()
    CLOTHES = auto()
    PORTABLE = auto()
    FURNITURE = auto()
    PLACE = auto()
    MONEY = auto()


@dataclass(frozen=True, slots=True)
class Noun:
    """A noun. Mass nouns have no plural; ``weak`` marks the n-declension (der Junge, den Jungen)."""

    english: str
    english_plural: str | None
    german: str
    german_plural: str | None
    gender: Gender
    kind: Kind
    weak: bool = False


@dataclass(frozen=True, slots=True)
class Adjective:
    """An adjective; ``stem`` is the form that takes endings (teuer, but teur-e). Colours are not compared."""

    english: str
    english_comparative: str | None
    german: str
    stem: str
    comparative: str | None
    kind: Kind


@dataclass(frozen=True, slots=True)
class Preposition:
    """A preposition and the case it governs; ``in`` is listed once with each of its two cases."""

    english: str
    german: str
    case: Case


class Frame(Enum):
    """The complements a verb takes."""

    INTRANSITIVE = auto()
    ACCUSATIVE = auto()
    DATIVE = auto()
    DITRANSITIVE = auto()
    PREPOSITIONAL = auto()
    MOTION = auto()
    PLACING = auto()


@dataclass(frozen=True, slots=True)
class Verb:
    """A verb in both languages.

    ``german`` is the infinitive and ``participle`` the past participle, both without the separable ``prefix``.
    ``changed`` is the present stem of du and er where its vowel differs (laden, but du lädst). A ``particle``
    follows its object if that is a pronoun (picks up the child, picks her up). ``kind`` says what its object
    may be, or its place if it has no object. A ``stative`` verb names no event: it takes neither a time nor a
    modal verb.
    """

    english: str
    past: str
    german: str
    participle: str
    frame: Frame
    kind: Kind
    prefix: str = ""
    particle: str = ""
    changed: str = ""
    preposition: Preposition | None = None
    moves: bool = False  # the perfect is formed with sein instead of haben
    stative: bool = False


@dataclass(frozen=True, slots=True)
class Modal:
    """A modal verb; ``supported`` if English treats it as a full verb, with do and to (does not want to)."""

    english: str
    english_past: str | None
    infinitive: str
    singular: str
    past: str | None
    supported: bool


@dataclass(frozen=True, slots=True)
class Pronoun:
    """A personal pronoun with its cases and its possessive."""

    subject: str
    object: str
    possessive: str
    nominative: str
    accusative: str
    dative: str
    german_possessive: str
    person: Person
    number: Number


@dataclass(frozen=True, slots=True)
class Name:
    """A first name, the same in both languages."""

    text: str


@dataclass(frozen=True, slots=True)
class Adverb:
    """An adverbial that needs no grammar: a time, a question word."""

    english: str
    german: str


@dataclass(frozen=True, slots=True)
class Conjunction:
    """A conjunction."""

    english: str
    german: str

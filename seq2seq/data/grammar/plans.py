"""Plans: what a sentence says, before either language says it.

A plan is a small tree. Both languages are realised from the same tree, so neither is translated from the
other, and every choice that German needs is a choice that English shows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeAlias, Union

from .words import (
    Adjective,
    Adverb,
    Conjunction,
    Modal,
    Name,
    Noun,
    Number,
    Person,
    Preposition,
    Pronoun,
    Tense,
    Verb,
)


class Article(Enum):
    """Determiners that are just a word. NONE stands before plurals and mass nouns."""

    DEFINITE = auto()
    INDEFINITE = auto()
    NONE = auto()
    THIS = auto()
    EVERY = auto()
    MANY = auto()
    ALL = auto()
    WHICH = auto()


# A pronoun as a determiner is its possessive (my), a number counts (three), a name or a noun phrase is the
# owner: Anna's car, the old doctor's car.
Determiner: TypeAlias = Union[Article, Pronoun, int, Name, "NounPhrase"]


@dataclass(frozen=True, slots=True)
class NounPhrase:
    """A determiner, adjectives, a noun and perhaps a relative clause."""

    determiner: Determiner
    adjectives: tuple[Adjective, ...]
    noun: Noun
    number: Number
    relative: Clause | None = None


@dataclass(frozen=True, slots=True)
class Pair:
    """Two people: *Anna and Peter*."""

    first: Name
    second: Name


@dataclass(frozen=True, slots=True)
class Relative:
    """A relative pronoun; it takes gender and number from its noun and its case from its place in the clause."""

    noun: Noun
    number: Number


class Interrogative(Enum):
    """Question words that stand for a nominal."""

    WHO = auto()
    WHAT = auto()


Nominal: TypeAlias = NounPhrase | Pair | Name | Pronoun | Relative | Interrogative


@dataclass(frozen=True, slots=True)
class PrepositionalPhrase:
    """A preposition with its nominal."""

    preposition: Preposition
    nominal: Nominal


@dataclass(frozen=True, slots=True)
class Predicate:
    """What the copula links to: *tired*."""

    adjective: Adjective


@dataclass(frozen=True, slots=True)
class Comparison:
    """What the copula links to: *older than the house*, *as old as the house*."""

    adjective: Adjective
    equal: bool
    standard: Nominal


@dataclass(frozen=True, slots=True)
class Age:
    """The predicate *forty-seven years old*."""

    years: int


class Slot(Enum):
    """A place in a clause that can be moved to its front."""

    SUBJECT = auto()
    DATIVE = auto()
    ACCUSATIVE = auto()
    TIME = auto()
    PLACE = auto()


@dataclass(frozen=True, slots=True)
class Clause:
    """One verb with all that belongs to it.

    ``prepositional`` is a prepositional object or a companion; ``time`` also holds *why*.
    """

    subject: Nominal
    verb: Verb
    tense: Tense
    modal: Modal | None = None
    negated: bool = False
    dative: Nominal | None = None
    accusative: Nominal | None = None
    time: Adverb | None = None
    prepositional: PrepositionalPhrase | None = None
    place: PrepositionalPhrase | Adverb | None = None
    predicate: Predicate | Comparison | Age | None = None

    def nominals(self) -> Iterator[Nominal]:
        """Yield every nominal directly in this clause."""
        yield self.subject
        for nominal in (self.dative, self.accusative):
            if nominal is not None:
                yield nominal
        for phrase in (self.prepositional, self.place):
            if isinstance(phrase, PrepositionalPhrase):
                yield phrase.nominal
        if isinstance(self.predicate, Comparison):
            yield self.predicate.standard


@dataclass(frozen=True, slots=True)
class Statement:
    """A main clause that starts with its subject, its time or its place."""

    clause: Clause
    front: Slot = Slot.SUBJECT


@dataclass(frozen=True, slots=True)
class Question:
    """A question: about what stands in front, or for yes or no if nothing does."""

    clause: Clause
    front: Slot | None = None


@dataclass(frozen=True, slots=True)
class Subordination:
    """A main clause and a clause that depends on it, which may come first."""

    main: Statement
    conjunction: Conjunction
    subordinate: Clause
    subordinate_first: bool = False


@dataclass(frozen=True, slots=True)
class Coordination:
    """Two main clauses side by side."""

    first: Statement
    conjunction: Conjunction
    second: Statement


@dataclass(frozen=True, slots=True)
class Infinitive:
    """A main clause with an infinitive of the same subject: its object, or its ``purpose`` (in order to)."""

    main: Statement
    infinitive: Clause
    purpose: bool


Plan: TypeAlias = Statement | Question | Subordination | Coordination | Infinitive


def clauses(plan: Plan) -> tuple[Clause, ...]:
    """Return the clauses of a plan, those inside noun phrases left out."""
    match plan:
        case Statement() | Question():
            return (plan.clause,)
        case Subordination():
            return (plan.main.clause, plan.subordinate)
        case Coordination():
            return (plan.first.clause, plan.second.clause)
        case Infinitive():
            return (plan.main.clause, plan.infinitive)


def number_of(nominal: Nominal) -> Number:
    """Return the number a verb agrees with."""
    match nominal:
        case NounPhrase() | Pronoun() | Relative():
            return nominal.number
        case Pair():
            return Number.PLURAL
        case _:
            return Number.SINGULAR


def person_of(nominal: Nominal) -> Person:
    """Return the person a verb agrees with."""
    return nominal.person if isinstance(nominal, Pronoun) else Person.THIRD

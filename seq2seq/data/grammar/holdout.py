"""Combinations that training never sees: the held-out splits test whether words combine anew.

Every word of a reserved combination is seen in training, with other partners. A combination is reserved by its
place in the lexicon: numbering adjectives, verbs and nouns, one diagonal in seven of the tables
adjective x noun and verb x object belongs to the held-out splits, so that no word loses more than about one
partner in seven. Of the cardinal numbers, every seventh is reserved.
"""

from __future__ import annotations

from collections.abc import Iterator

from .lexicon import ADJECTIVES, EURO, NOUNS
from .plans import Age, Clause, Nominal, NounPhrase, Plan, Relative, clauses
from .verbs import VERBS
from .words import Adjective, Noun, Verb

_STEP = 7
_ADJECTIVE = {adjective.english: index for index, adjective in enumerate(ADJECTIVES)}
_VERB = {(verb.english, verb.particle): index for index, verb in enumerate(VERBS)}
_NOUN = {noun.english: index for index, noun in enumerate(NOUNS)}

Combination = tuple[Adjective, Noun] | tuple[Verb, Noun] | int
"""An adjective before its noun, a verb with the noun of its object, or a cardinal number."""


def is_reserved(combination: Combination) -> bool:
    """Say whether a combination is kept out of training."""
    match combination:
        case int():
            return combination > 20 and combination % _STEP == 3
        case Adjective() as adjective, noun:
            return (_ADJECTIVE[adjective.english] + _NOUN[noun.english]) % _STEP == 0
        case Verb() as verb, noun:
            return (_VERB[verb.english, verb.particle] + _NOUN[noun.english]) % _STEP == 1
    raise AssertionError("a combination is one of the three")


def is_novel(plan: Plan) -> bool:
    """Say whether a sentence holds a reserved combination."""
    return any(map(is_reserved, combinations(plan)))


def combinations(plan: Plan) -> Iterator[Combination]:
    """Yield every combination in a sentence."""
    for clause in clauses(plan):
        yield from _in_clause(clause)


def _in_clause(clause: Clause) -> Iterator[Combination]:
    if isinstance(clause.predicate, Age):
        yield clause.predicate.years
    objects: list[Nominal | None] = [clause.accusative, clause.dative if clause.accusative is None else None]
    if clause.verb.preposition is not None and clause.prepositional is not None:
        objects.append(clause.prepositional.nominal)
    for nominal in objects:
        if isinstance(nominal, NounPhrase | Relative) and nominal.noun is not EURO:
            yield clause.verb, nominal.noun
    for nominal in clause.nominals():
        yield from _in_nominal(nominal)


def _in_nominal(nominal: Nominal) -> Iterator[Combination]:
    if not isinstance(nominal, NounPhrase):
        return
    for adjective in nominal.adjectives:
        yield adjective, nominal.noun
    if isinstance(nominal.determiner, int):
        yield nominal.determiner
    if isinstance(nominal.determiner, NounPhrase):
        yield from _in_nominal(nominal.determiner)
    if nominal.relative is not None:
        yield from _in_clause(nominal.relative)

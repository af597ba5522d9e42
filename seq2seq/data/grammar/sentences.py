"""Draw sentences: every construction of the grammar, each in its share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from . import clauses
from .clauses import action, with_relative
from .dice import Dice
from .lexicon import ALTHOUGH, AND, BECAUSE, BUT, IF, THAT, WHEN, WHERE, WHETHER, WHY
from .phrases import noun_phrase, subject, which
from .plans import (
    Clause,
    Coordination,
    Infinitive,
    Interrogative,
    Nominal,
    NounPhrase,
    Plan,
    Question,
    Slot,
    Statement,
    Subordination,
)
from .verbs import ASK, BELIEVE, HOPE, KNOW_THAT, SAY, TRY_TO
from .words import Frame, Kind, Tense

_TENSES = (Tense.PRESENT, Tense.PAST)


def draw(dice: Dice) -> Plan:
    """Draw a sentence."""
    return dice.weigh(_CONSTRUCTIONS)(dice)


def _statement(dice: Dice) -> Statement:
    """A plain statement; half of those with a time start with it, some start with their place."""
    return _fronted(dice, action(dice, when=0.8))


def _fronted(dice: Dice, clause: Clause) -> Statement:
    if clause.time is not None and dice.chance(0.5):
        return Statement(clause, Slot.TIME)
    if clause.place is not None and clause.verb.frame is Frame.INTRANSITIVE and dice.chance(0.4):
        return Statement(clause, Slot.PLACE)
    return Statement(clause)


def _position(dice: Dice) -> Statement:
    return _fronted(dice, clauses.position(dice))


def _comparison(dice: Dice) -> Statement:
    return Statement(clauses.comparison(dice))


def _price(dice: Dice) -> Statement:
    return Statement(clauses.price(dice))


def _age(dice: Dice) -> Statement:
    return Statement(clauses.age(dice))


def _relative_subject(dice: Dice) -> Statement:
    who = with_relative(dice, noun_phrase(dice, Kind.PERSON, adjective=0.25))
    return Statement(action(dice, who=who, when=0.3, plain=True))


def _relative_object(dice: Dice) -> Statement:
    """Only the front of the main clause may hold its time: at the end it would belong to the relative clause."""
    clause = action(dice, when=0.6, plain=True)
    while not isinstance(clause.accusative, NounPhrase) or clause.place is not None:
        clause = action(dice, when=0.6, plain=True)
    clause = replace(clause, accusative=with_relative(dice, clause.accusative))
    return Statement(clause, Slot.TIME if clause.time is not None else Slot.SUBJECT)


def _reason(dice: Dice) -> Subordination:
    """Two clauses joined by because, although or if, in either order."""
    conjunction = dice.weigh(((42, BECAUSE), (28, ALTHOUGH), (30, IF)))
    tense = Tense.PRESENT if conjunction is IF else dice.pick(_TENSES)
    main_tense = Tense.FUTURE if conjunction is IF else tense
    main = action(dice, tense=main_tense, when=0.35)
    subordinate = clauses.state(dice, tense) if dice.chance(0.3) else action(dice, tense=tense, when=0.3)
    return Subordination(Statement(main), conjunction, subordinate, subordinate_first=dice.chance(0.4))


def _report(dice: Dice) -> Subordination:
    tense = dice.pick(_TENSES)
    conjunction = THAT if dice.chance(0.65) else WHETHER
    if conjunction is THAT:
        main = Clause(subject(dice), dice.pick((BELIEVE, HOPE, SAY, KNOW_THAT)), tense)
    else:
        verb = dice.pick((ASK, KNOW_THAT))
        main = Clause(subject(dice), verb, tense, negated=verb is KNOW_THAT)
    content = clauses.state(dice, tense) if dice.chance(0.15) else action(dice, tense=tense, when=0.5)
    return Subordination(Statement(main), conjunction, content)


def _coordination(dice: Dice) -> Coordination:
    tense = dice.pick(_TENSES)
    conjunction = AND if dice.chance(0.5) else BUT
    first, second = (action(dice, tense=tense, when=0.35) for _ in range(2))
    return Coordination(_fronted(dice, first), conjunction, _fronted(dice, second))


def _infinitive(dice: Dice) -> Infinitive:
    """The time stands in front, so that it can only belong to the main clause."""
    purpose = dice.chance(0.5)
    tense = dice.weigh(((35, Tense.PRESENT), (65, Tense.PAST)))
    main = _event(dice, tense=tense, when=0.5)
    if not purpose:
        main = Clause(main.subject, TRY_TO, tense, time=main.time)
    goal = _event(dice, who=main.subject, tense=Tense.PRESENT, when=0)
    return Infinitive(Statement(main, Slot.TIME if main.time is not None else Slot.SUBJECT), goal, purpose)


def _event(dice: Dice, *, tense: Tense, when: float, who: Nominal | None = None) -> Clause:
    while (clause := action(dice, who=who, tense=tense, when=when, plain=True)).verb.stative:
        pass
    return clause


def _question(dice: Dice) -> Question:
    return Question(action(dice, when=0.7, plain=True))


def _question_about_circumstances(dice: Dice) -> Question:
    adverb = dice.pick((WHEN, WHERE, WHY))
    clause = action(dice, when=0, plain=True)
    while (adverb is not WHY and clause.verb.stative) or (adverb is WHERE and clause.place is not None):
        clause = action(dice, when=0, plain=True)
    if adverb is WHERE:
        return Question(replace(clause, place=adverb), Slot.PLACE)
    return Question(replace(clause, time=adverb), Slot.TIME)


def _question_about_nominal(dice: Dice) -> Question:
    slot = dice.pick((Slot.SUBJECT, Slot.ACCUSATIVE, Slot.ACCUSATIVE, Slot.DATIVE))
    if slot is Slot.SUBJECT:
        return Question(action(dice, who=Interrogative.WHO, when=0.5, plain=True), slot)
    frame = Frame.DATIVE if slot is Slot.DATIVE else Frame.ACCUSATIVE
    clause = action(dice, when=0.5, plain=True)
    while clause.verb.frame is not frame:
        clause = action(dice, when=0.5, plain=True)
    kind = clause.verb.kind
    if frame is Frame.DATIVE:
        return Question(replace(clause, dative=Interrogative.WHO), slot)
    if dice.chance(0.5):
        return Question(replace(clause, accusative=which(dice, kind)), slot)
    word = Interrogative.WHO if kind is Kind.PERSON else Interrogative.WHAT
    return Question(replace(clause, accusative=word), slot)


_CONSTRUCTIONS: tuple[tuple[int, Callable[[Dice], Plan]], ...] = (
    (26, _statement),
    (3, _position),
    (5, _comparison),
    (4, _price),
    (3, _age),
    (7, _relative_subject),
    (8, _relative_object),
    (14, _reason),
    (9, _report),
    (7, _coordination),
    (6, _infinitive),
    (4, _question),
    (3, _question_about_circumstances),
    (5, _question_about_nominal),
)

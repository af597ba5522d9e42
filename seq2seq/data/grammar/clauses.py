"""Draw clauses: a verb, its complements and its circumstances."""

from __future__ import annotations

from dataclasses import replace

from .dice import Dice
from .lexicon import CAN, EURO, FOR, HAVE_TO, INTO, MODALS, NAMES, ON, ONTO, PLACES, TO, WANT_TO, WARE, WITH, WITHOUT
from .phrases import adjectives, count, noun_phrase, person, subject, time
from .plans import Age, Article, Clause, Comparison, Nominal, NounPhrase, Predicate, PrepositionalPhrase, Relative
from .verbs import BE, COST, LIE, VERBS
from .words import Frame, Kind, Modal, Number, Preposition, Tense, Verb

_FRAMES = tuple(
    (weight, tuple(verb for verb in VERBS if verb.frame is frame))
    for weight, frame in (
        (50, Frame.ACCUSATIVE), (11, Frame.DATIVE), (10, Frame.DITRANSITIVE), (7, Frame.PREPOSITIONAL),
        (12, Frame.INTRANSITIVE), (7, Frame.MOTION), (3, Frame.PLACING),
    )
)  # fmt: skip
_COMPARED = Kind.VEHICLE, Kind.FURNITURE, Kind.CLOTHES, Kind.DEVICE, Kind.TEXT, Kind.PERSON, Kind.ANIMAL
_CONSUMED = Kind.FOOD, Kind.DRINK
_CARRIED = Kind.TEXT | Kind.CLOTHES | Kind.PORTABLE


def action(
    dice: Dice, *, who: Nominal | None = None, tense: Tense | None = None, when: float = 0.55, plain: bool = False
) -> Clause:
    """Draw a clause in which somebody does something.

    ``when`` is the probability of a time. A ``plain`` clause has neither modal verb nor negation.
    """
    agent = subject(dice) if who is None else who
    verb = dice.pick(dice.weigh(_FRAMES))
    return _complete(dice, agent, verb, tense, when=when, plain=plain)


def _complete(dice: Dice, agent: Nominal, verb: Verb, tense: Tense | None, *, when: float, plain: bool) -> Clause:
    modal = None if plain or verb.stative or not dice.chance(0.27) else _modal(dice, tense)
    if tense is None:
        tense = dice.weigh(((30, Tense.PRESENT), (45, Tense.PAST), (25, Tense.FUTURE)))
    if modal is not None:
        tense = Tense.PAST if tense is Tense.PAST and modal.past is not None else Tense.PRESENT
    if verb.stative and tense is Tense.FUTURE:
        tense = Tense.PRESENT
    quantified = isinstance(agent, NounPhrase) and _is_quantified(agent)
    negated = not plain and not quantified and dice.chance(0.22)
    clause = Clause(agent, verb, tense, modal, negated)
    clause = _with_complements(dice, clause)
    if not verb.stative and dice.chance(when):
        period = Tense.FUTURE if modal and tense is Tense.PRESENT else tense
        clause = replace(clause, time=time(dice, period, negated=negated))
    return clause


def _modal(dice: Dice, tense: Tense | None) -> Modal:
    return dice.pick((CAN, HAVE_TO, WANT_TO) if tense is Tense.PAST else MODALS)


def _with_complements(dice: Dice, clause: Clause) -> Clause:
    """Give the verb what it needs. Only an accusative object may be indefinite in a negated clause: kein."""
    verb, agent = clause.verb, clause.subject
    match verb.frame:
        case Frame.ACCUSATIVE:
            return replace(clause, accusative=object_of(dice, clause))
        case Frame.DATIVE:
            return replace(clause, dative=object_of(dice, clause, definite=clause.negated))
        case Frame.DITRANSITIVE:
            receiver = _somebody(dice, agent, definite=clause.negated)
            return replace(clause, dative=receiver, accusative=_thing(dice, clause))
        case Frame.PREPOSITIONAL:
            assert verb.preposition is not None
            aim = object_of(dice, clause, definite=clause.negated)
            return replace(clause, prepositional=PrepositionalPhrase(verb.preposition, aim))
        case Frame.MOTION:
            return replace(clause, place=_place(dice, (INTO, INTO, TO), verb.kind))
        case Frame.PLACING:
            return replace(clause, accusative=_thing(dice, clause), place=_place(dice, (ONTO,), Kind.FURNITURE))
        case Frame.INTRANSITIVE:
            return _with_circumstances(dice, clause)


def _with_circumstances(dice: Dice, clause: Clause) -> Clause:
    companion = None
    if clause.verb.english in ("work", "sing", "dance") and dice.chance(0.4):
        preposition = dice.pick((WITH, WITHOUT, FOR))
        companion = PrepositionalPhrase(preposition, _somebody(dice, clause.subject, definite=True))
    place = _place(dice, PLACES, clause.verb.kind) if clause.verb.kind and dice.chance(0.7) else None
    return replace(clause, prepositional=companion, place=place)


def object_of(dice: Dice, clause: Clause, *, definite: bool = False) -> Nominal:
    """Draw an object that suits the verb."""
    if clause.verb.kind & Kind.PERSON and dice.chance(0.7):
        return _somebody(dice, clause.subject, definite=definite or clause.negated)
    return _thing(dice, clause, definite=definite)


def _thing(dice: Dice, clause: Clause, *, definite: bool = False) -> NounPhrase:
    thing = noun_phrase(dice, clause.verb.kind, definite=definite)
    if clause.negated and not definite and dice.chance(0.4):
        countable = thing.number is Number.SINGULAR and thing.noun.german_plural is not None
        return replace(thing, determiner=Article.INDEFINITE if countable else Article.NONE)
    while clause.negated and _is_quantified(thing):
        thing = noun_phrase(dice, clause.verb.kind, definite=definite)
    return thing


def _is_quantified(phrase: NounPhrase) -> bool:
    """Say whether negation could mean two things: not all came, or all stayed away."""
    return isinstance(phrase.determiner, int) or phrase.determiner in (Article.MANY, Article.ALL, Article.EVERY)


def _somebody(dice: Dice, agent: Nominal, *, definite: bool) -> Nominal:
    somebody = person(dice, apart_from=agent)
    if definite and isinstance(somebody, NounPhrase):
        return noun_phrase(dice, Kind.PERSON, definite=True)
    return somebody


def _place(dice: Dice, prepositions: tuple[Preposition, ...], kind: Kind) -> PrepositionalPhrase:
    return PrepositionalPhrase(
        dice.pick(prepositions), noun_phrase(dice, kind, definite=True, adjective=0.35, plural=0.1)
    )


def state(dice: Dice, tense: Tense) -> Clause:
    """Draw a clause that says how somebody is or was: she was tired."""
    adjective = dice.pick(adjectives(Kind.PERSON))
    return Clause(subject(dice), BE, tense, negated=dice.chance(0.2), predicate=Predicate(adjective))


def comparison(dice: Dice) -> Clause:
    """Draw a clause that compares two things of a kind."""
    kind = dice.pick(_COMPARED)
    adjective = dice.pick([adjective for adjective in adjectives(kind) if adjective.comparative])
    one, other = (noun_phrase(dice, kind, definite=True, adjective=0.3) for _ in range(2))
    predicate = Comparison(adjective, dice.chance(0.35), other)
    return Clause(one, BE, dice.pick((Tense.PRESENT, Tense.PAST)), negated=dice.chance(0.15), predicate=predicate)


def price(dice: Dice) -> Clause:
    """Draw a clause that names a price in the present."""
    goods = noun_phrase(dice, WARE & ~Kind.VEHICLE, definite=True)
    return Clause(goods, COST, Tense.PRESENT, accusative=NounPhrase(count(dice, 999), (), EURO, Number.PLURAL))


def age(dice: Dice) -> Clause:
    """Draw a clause that tells an age."""
    somebody = dice.pick(NAMES) if dice.chance(0.3) else noun_phrase(dice, Kind.PERSON, definite=True)
    is_child = isinstance(somebody, NounPhrase) and somebody.noun.english in ("child", "girl", "boy")
    years = dice.between(3, 15) if is_child else dice.between(18, 99)
    return Clause(somebody, BE, dice.pick((Tense.PRESENT, Tense.PAST)), predicate=Age(years))


def position(dice: Dice) -> Clause:
    """Draw a clause that says where a thing lies."""
    return _lying(dice, noun_phrase(dice, _CARRIED), dice.pick((Tense.PRESENT, Tense.PAST)))


def _lying(dice: Dice, thing: Nominal, tense: Tense) -> Clause:
    return Clause(thing, LIE, tense, place=_place(dice, (ON,), Kind.FURNITURE))


def with_relative(dice: Dice, phrase: NounPhrase) -> NounPhrase:
    """Give a noun phrase a relative clause."""
    return replace(phrase, relative=_relative(dice, phrase))


def _relative(dice: Dice, phrase: NounPhrase) -> Clause:
    pronoun = Relative(phrase.noun, phrase.number)
    kind = phrase.noun.kind
    tense = dice.weigh(((40, Tense.PRESENT), (60, Tense.PAST)))
    if kind is Kind.PERSON:
        role = dice.weigh(((50, "nominative"), (32, "accusative"), (18, "dative")))
        if role == "nominative":
            return action(dice, who=pronoun, tense=tense, when=0.25, plain=True)
        frame = Frame.DATIVE if role == "dative" else Frame.ACCUSATIVE
    elif kind & _CARRIED and dice.chance(0.3):
        return _lying(dice, pronoun, tense)
    else:
        frame = Frame.ACCUSATIVE
    # what was eaten or drunk is gone: nothing else can be said about it
    verbs = [verb for verb in VERBS if verb.frame is frame and verb.kind & kind and verb.kind not in _CONSUMED]
    verb = dice.pick(verbs)
    clause = Clause(person(dice), verb, tense)
    return replace(clause, dative=pronoun) if frame is Frame.DATIVE else replace(clause, accusative=pronoun)

"""German: from a plan to a sentence. The syntax is here, the forms of words are in :mod:`.inflection`.

A clause has a front, a left bracket, a middle field and a right bracket; a relative clause follows at the end:

    Gestern   hat    der Mann das Kind   angerufen,   das im Garten schläft.

The finite verb is the left bracket of a main clause, and prefix, participle or infinitive the right one. In a
subordinate clause the whole verb is in the right bracket. That is all there is to German word order here.
"""

from __future__ import annotations

from enum import Enum, auto

from . import inflection
from .numerals import german_number
from .plans import (
    Age,
    Article,
    Clause,
    Comparison,
    Coordination,
    Infinitive,
    Interrogative,
    Nominal,
    NounPhrase,
    Pair,
    Plan,
    Predicate,
    PrepositionalPhrase,
    Question,
    Relative,
    Slot,
    Statement,
    Subordination,
    number_of,
    person_of,
)
from .words import Adverb, Case, Name, Pronoun, Tense


class Order(Enum):
    """Where the finite verb stands. ZU has none, but an infinitive with zu."""

    SECOND = auto()
    FIRST = auto()
    LAST = auto()
    ZU = auto()


_STRONG_WORDS = {
    Article.THIS: "dies",
    Article.EVERY: "jed",
    Article.MANY: "viel",
    Article.ALL: "all",
    Article.WHICH: "welch",
}
_INTERROGATIVES = {
    Interrogative.WHO: {Case.NOMINATIVE: "wer", Case.ACCUSATIVE: "wen", Case.DATIVE: "wem"},
    Interrogative.WHAT: {Case.NOMINATIVE: "was", Case.ACCUSATIVE: "was"},
}
_CONTRACTIONS = {"in dem": "im", "in das": "ins", "von dem": "vom", "zu dem": "zum", "zu der": "zur"}


def sentence(plan: Plan) -> str:
    """Write a plan as a German sentence."""
    # a clause that ends with the sentence or before a comma needs no comma of its own
    text = _body(plan).replace(",,", ",").removesuffix(",")
    return text[0].upper() + text[1:] + ("?" if isinstance(plan, Question) else ".")


def _body(plan: Plan) -> str:
    match plan:
        case Statement():
            return clause(plan.clause, Order.SECOND, plan.front)
        case Question():
            return clause(plan.clause, Order.SECOND if plan.front else Order.FIRST, plan.front)
        case Subordination():
            subordinate = f"{plan.conjunction.german} {clause(plan.subordinate, Order.LAST)}"
            if plan.subordinate_first:  # the subordinate clause is the front of the main clause
                return f"{subordinate}, {clause(plan.main.clause, Order.FIRST)}"
            return f"{_body(plan.main)}, {subordinate}"
        case Coordination():
            comma = "," if plan.conjunction.german == "aber" else ""
            return f"{_body(plan.first)}{comma} {plan.conjunction.german} {_body(plan.second)}"
        case Infinitive():
            link = ", um " if plan.purpose else ", "
            return f"{_body(plan.main)}{link}{clause(plan.infinitive, Order.ZU)}"


def clause(plan: Clause, order: Order, front: Slot | None = None) -> str:
    """Write one clause in the given order with ``front``, if any, at its head."""
    field = _middle_field(plan)
    head = [text for slot, text in field if front is not None and slot is front]
    middle = [text for slot, text in field if front is None or slot is not front]
    finite, right = _verb(plan)
    match order:
        case Order.SECOND | Order.FIRST:
            words = [*head, finite, *middle, right]
        case Order.LAST:
            # the prefix joins its verb: weil sie den Arzt anruft
            whole = right + finite if right and right == plan.verb.prefix else f"{right} {finite}".strip()
            words = [*head, *middle, whole]
        case Order.ZU:
            words = [
                *(text for slot, text in field if slot is not Slot.SUBJECT),
                inflection.infinitive(plan.verb, zu=True),
            ]
    return " ".join(filter(None, words)) + _extraposed(plan)


def _verb(plan: Clause) -> tuple[str, str]:
    """Return the finite verb and the right bracket of a main clause."""
    verb, person, number = plan.verb, person_of(plan.subject), number_of(plan.subject)
    past = plan.tense is Tense.PAST
    if plan.modal is not None:
        return inflection.modal(plan.modal, person, number, past=past), inflection.infinitive(verb)
    if plan.tense is Tense.FUTURE:
        return inflection.auxiliary("werden", person, number), inflection.infinitive(verb)
    if past and verb.german == "sein":
        return inflection.past_of_sein(person, number), ""
    if past:
        perfect = inflection.auxiliary("sein" if verb.moves else "haben", person, number)
        return perfect, inflection.participle(verb)
    return inflection.present(verb, person, number), verb.prefix


def _middle_field(plan: Clause) -> list[tuple[Slot | None, str]]:
    """Return the constituents in their order, the subject first.

    Pronouns come before the time, other objects after it; but nicht follows definite objects and the time, and
    then the time stands nearer to nicht (das Auto heute nicht). Nicht precedes places and predicates.
    """
    has_kein = plan.negated and _takes_kein(plan.accusative)
    dative = _object(Slot.DATIVE, plan.dative, Case.DATIVE, kein=False)
    accusative = _object(Slot.ACCUSATIVE, plan.accusative, Case.ACCUSATIVE, kein=has_kein)
    pronouns = [
        constituent
        for constituent, nominal_ in ((accusative, plan.accusative), (dative, plan.dative))
        if isinstance(nominal_, Pronoun)
    ]
    objects = [constituent for constituent in (dative, accusative) if constituent not in pronouns]
    time: tuple[Slot | None, str] = (Slot.TIME, plan.time.german if plan.time else "")
    has_nicht = plan.negated and not has_kein
    return [
        (Slot.SUBJECT, _with_relative(plan.subject, Case.NOMINATIVE)),
        *pronouns,
        *([*objects, time, (None, "nicht")] if has_nicht else [time, *objects]),
        (None, _phrase(plan.prepositional)),
        (Slot.PLACE, _phrase(plan.place)),
        (None, _predicate(plan.predicate)),
    ]


def _object(slot: Slot, plan: Nominal | None, case: Case, *, kein: bool) -> tuple[Slot | None, str]:
    return slot, "" if plan is None else nominal(plan, case, kein=kein)


def _takes_kein(plan: Nominal | None) -> bool:
    """Say whether negation falls on the article: ein Auto becomes kein Auto, but das Auto nicht."""
    return isinstance(plan, NounPhrase) and plan.determiner in (Article.INDEFINITE, Article.NONE)


def nominal(plan: Nominal, case: Case, *, kein: bool = False) -> str:
    """Write a nominal in its case, without a relative clause."""
    match plan:
        case NounPhrase():
            return _noun_phrase(plan, case, kein=kein)
        case Pair():
            return f"{plan.first.text} und {plan.second.text}"
        case Name():
            return plan.text
        case Pronoun():
            forms = {Case.NOMINATIVE: plan.nominative, Case.ACCUSATIVE: plan.accusative, Case.DATIVE: plan.dative}
            return forms[case]
        case Relative():
            return inflection.relative_pronoun(case, plan.noun.gender, plan.number)
        case Interrogative():
            return _INTERROGATIVES[plan][case]


def _noun_phrase(plan: NounPhrase, case: Case, *, kein: bool) -> str:
    features = (case, plan.noun.gender, plan.number)
    owner = ""
    adjective = inflection.weak_adjective
    match plan.determiner:
        case Article.INDEFINITE | Article.NONE if kein:
            determiner, adjective = inflection.ein_word("kein", *features), inflection.mixed_adjective
        case Article.INDEFINITE:
            determiner, adjective = inflection.ein_word("ein", *features), inflection.mixed_adjective
        case Article.NONE:
            determiner, adjective = "", inflection.strong_adjective
        case Article.DEFINITE:
            determiner = inflection.definite_article(*features)
        case Article():
            determiner = inflection.strong_word(_STRONG_WORDS[plan.determiner], *features)
            if plan.determiner is Article.MANY:
                adjective = inflection.strong_adjective
        case Pronoun():
            determiner = inflection.ein_word(plan.determiner.german_possessive, *features)
            adjective = inflection.mixed_adjective
        case int():
            determiner, adjective = german_number(plan.determiner), inflection.strong_adjective
        case Name():
            determiner, adjective = plan.determiner.text + "s", inflection.strong_adjective
        case NounPhrase():  # the doctor's car: das Auto des Arztes
            determiner = inflection.definite_article(*features)
            owner = nominal(plan.determiner, Case.GENITIVE)
    adjectives = [adjective(word, *features) for word in plan.adjectives]
    return " ".join(filter(None, [determiner, *adjectives, inflection.noun(plan.noun, case, plan.number), owner]))


def _with_relative(plan: Nominal, case: Case) -> str:
    text = nominal(plan, case)
    relative = plan.relative if isinstance(plan, NounPhrase) else None
    return f"{text}, {_relative_clause(relative)}," if relative else text


def _extraposed(plan: Clause) -> str:
    """Return the relative clause of an object: it follows the right bracket (ruft den Mann an, der ...)."""
    for nominal_ in (plan.dative, plan.accusative):
        if isinstance(nominal_, NounPhrase) and nominal_.relative is not None:
            return f", {_relative_clause(nominal_.relative)},"
    return ""


def _relative_clause(plan: Clause) -> str:
    if isinstance(plan.accusative, Relative):
        return clause(plan, Order.LAST, Slot.ACCUSATIVE)
    return clause(plan, Order.LAST, Slot.DATIVE if isinstance(plan.dative, Relative) else Slot.SUBJECT)


def _phrase(plan: PrepositionalPhrase | Adverb | None) -> str:
    if plan is None:
        return ""
    if isinstance(plan, Adverb):
        return plan.german
    case = plan.preposition.case
    article, *rest = nominal(plan.nominal, case).split(" ")
    head = f"{plan.preposition.german} {article}"
    return " ".join([_CONTRACTIONS.get(head, head), *rest])


def _predicate(plan: Predicate | Comparison | Age | None) -> str:
    match plan:
        case None:
            return ""
        case Predicate():
            return plan.adjective.german
        case Comparison(equal=True):
            return f"so {plan.adjective.german} wie {nominal(plan.standard, Case.NOMINATIVE)}"
        case Comparison():
            return f"{plan.adjective.comparative} als {nominal(plan.standard, Case.NOMINATIVE)}"
        case Age():
            return f"{german_number(plan.years)} Jahre alt"

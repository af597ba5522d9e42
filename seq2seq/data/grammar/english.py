"""English: from a plan to a sentence."""

from __future__ import annotations

from .numerals import english_number
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
from .words import Adverb, Kind, Name, Number, Person, Pronoun, Tense

_ARTICLES = {
    Article.DEFINITE: ("the", "the"),
    Article.NONE: ("", ""),
    Article.THIS: ("this", "these"),
    Article.EVERY: ("every", "every"),
    Article.MANY: ("many", "many"),
    Article.ALL: ("all the", "all the"),
    Article.WHICH: ("which", "which"),
}


def sentence(plan: Plan) -> str:
    """Write a plan as an English sentence."""
    text = _body(plan)
    return text[0].upper() + text[1:] + ("?" if isinstance(plan, Question) else ".")


def _body(plan: Plan) -> str:
    match plan:
        case Statement():
            return clause(plan.clause, plan.front)
        case Question():
            return clause(plan.clause, plan.front, inverted=plan.front is not Slot.SUBJECT)
        case Subordination():
            main = _body(plan.main)
            subordinate = f"{plan.conjunction.english} {clause(plan.subordinate)}"
            return f"{subordinate}, {main}" if plan.subordinate_first else f"{main} {subordinate}"
        case Coordination():
            comma = "," if plan.conjunction.english == "but" else ""
            return f"{_body(plan.first)}{comma} {plan.conjunction.english} {_body(plan.second)}"
        case Infinitive():
            link = "in order to" if plan.purpose else "to"
            predicate = [plan.infinitive.verb.english, *_complements(plan.infinitive, Slot.SUBJECT)]
            return _join([_body(plan.main), link, *predicate])


def clause(plan: Clause, front: Slot | None = Slot.SUBJECT, *, inverted: bool = False) -> str:
    """Write one clause with ``front`` at its head; a question inverts its subject and its auxiliary."""
    subject = nominal(plan.subject, subject=True)
    helper, main = _verb(plan, inverted=inverted)
    words = [_fronted(plan, front)]
    words += [helper, subject, main] if inverted else [subject, helper, main]
    return _join(words + _complements(plan, front))


def _fronted(plan: Clause, front: Slot | None) -> str:
    match front:
        case Slot.TIME if plan.time is not None:
            return plan.time.english
        case Slot.PLACE if plan.place is not None:
            return _phrase(plan.place)
        case Slot.ACCUSATIVE if plan.accusative is not None:
            return nominal(plan.accusative)
        case Slot.DATIVE if plan.dative is not None:
            return nominal(plan.dative)
        case _:
            return ""


def _complements(plan: Clause, front: Slot | None) -> list[str]:
    """Return what follows the verb, but for what stands in front."""
    words = []
    if plan.dative is not None and front is not Slot.DATIVE:
        words.append(nominal(plan.dative))
    if isinstance(plan.accusative, Pronoun):  # picks her up, but picks up the child
        words += [nominal(plan.accusative), plan.verb.particle]
    else:
        words.append(plan.verb.particle)
        if plan.accusative is not None and front is not Slot.ACCUSATIVE:
            words.append(nominal(plan.accusative, any_=plan.negated))
    if plan.prepositional is not None:
        words.append(_phrase(plan.prepositional))
    if plan.place is not None and front is not Slot.PLACE:
        words.append(_phrase(plan.place))
    if plan.predicate is not None:
        words.append(_predicate(plan.predicate))
    if plan.time is not None and front is not Slot.TIME:
        words.append(plan.time.english)
    return words


def _verb(plan: Clause, *, inverted: bool) -> tuple[str, str]:
    """Return the auxiliary, if there is one, and the rest of the verb."""
    person, number = person_of(plan.subject), number_of(plan.subject)
    past = plan.tense is Tense.PAST
    if plan.verb.english == "be":
        return be(person, number, past=past) + (" not" if plan.negated else ""), ""
    base, finite_past, rest = plan.verb.english, plan.verb.past, ""
    if plan.modal is not None:
        modal = (plan.modal.english_past if past else None) or plan.modal.english
        if not plan.modal.supported:
            negation = ("not" if modal == "can" else " not") if plan.negated else ""
            return modal + negation, base
        base, finite_past, rest = plan.modal.english, plan.modal.english_past or "", f"to {base}"
    elif plan.tense is Tense.FUTURE:
        return "will" + (" not" if plan.negated else ""), base
    third = person is Person.THIRD and number is Number.SINGULAR
    if plan.negated or inverted:
        support = "did" if past else "does" if third else "do"
        return support + (" not" if plan.negated else ""), _join([base, rest])
    return "", _join([finite_past if past else third_person(base) if third else base, rest])


def be(person: Person, number: Number, *, past: bool) -> str:
    """Inflect the copula. The second person is plural in form: you are."""
    if number is Number.PLURAL or person is Person.SECOND:
        return "were" if past else "are"
    if past:
        return "was"
    return "am" if person is Person.FIRST else "is"


def third_person(base: str) -> str:
    """Return the third person singular of a verb: calls, washes, carries, listens to."""
    head, *rest = base.split(" ")
    if head == "have":
        head = "has"
    elif head.endswith(("s", "sh", "ch", "x", "o")):
        head += "es"
    elif head.endswith("y") and head[-2] not in "aeou":
        head = head[:-1] + "ies"
    else:
        head += "s"
    return " ".join([head, *rest])


def nominal(plan: Nominal, *, subject: bool = False, any_: bool = False) -> str:
    """Write a nominal; ``any_`` says that a negated clause puts any before a bare noun."""
    match plan:
        case NounPhrase():
            return _noun_phrase(plan, any_=any_)
        case Pair():
            return f"{plan.first.text} and {plan.second.text}"
        case Name():
            return plan.text
        case Pronoun():
            return plan.subject if subject else plan.object
        case Relative():
            who = "who" if subject else "whom"
            return who if plan.noun.kind is Kind.PERSON else "which"
        case Interrogative.WHAT:
            return "what"
        case Interrogative.WHO:
            return "who" if subject else "whom"


def _noun_phrase(plan: NounPhrase, *, any_: bool) -> str:
    plural = plan.number is Number.PLURAL
    word = (plan.noun.english_plural or plan.noun.english) if plural else plan.noun.english
    words = _join([*(adjective.english for adjective in plan.adjectives), word])
    match plan.determiner:
        case Article.NONE if any_:
            determiner = "any"
        case Article.INDEFINITE:
            determiner = "an" if words[0] in "aeiou" else "a"
        case Article():
            determiner = _ARTICLES[plan.determiner][plural]
        case Pronoun():
            determiner = plan.determiner.possessive
        case int():
            determiner = english_number(plan.determiner)
        case Name() | NounPhrase():
            owner = nominal(plan.determiner)
            determiner = owner + ("'" if owner.endswith("s") else "'s")
    text = _join([determiner, words])
    if plan.relative is None:
        return text
    return f"{text} {clause(plan.relative, _relative_slot(plan.relative))}"


def _relative_slot(plan: Clause) -> Slot:
    if isinstance(plan.accusative, Relative):
        return Slot.ACCUSATIVE
    return Slot.DATIVE if isinstance(plan.dative, Relative) else Slot.SUBJECT


def _phrase(plan: PrepositionalPhrase | Adverb) -> str:
    if isinstance(plan, Adverb):
        return plan.english
    return f"{plan.preposition.english} {nominal(plan.nominal)}"


def _predicate(plan: Predicate | Comparison | Age) -> str:
    match plan:
        case Predicate():
            return plan.adjective.english
        case Comparison(equal=True):
            return f"as {plan.adjective.english} as {nominal(plan.standard, subject=True)}"
        case Comparison():
            return f"{plan.adjective.english_comparative} than {nominal(plan.standard, subject=True)}"
        case Age():
            return f"{english_number(plan.years)} years old"


def _join(words: list[str]) -> str:
    return " ".join(filter(None, words))

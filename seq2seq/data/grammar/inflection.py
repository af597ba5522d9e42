"""German morphology: the forms of articles, adjectives, nouns, pronouns and verbs."""

from __future__ import annotations

from .words import Adjective, Case, Gender, Modal, Noun, Number, Person, Verb

# Columns: masculine, feminine, neuter, plural.
_DEFINITE = {
    Case.NOMINATIVE: ("der", "die", "das", "die"),
    Case.ACCUSATIVE: ("den", "die", "das", "die"),
    Case.DATIVE: ("dem", "der", "dem", "den"),
    Case.GENITIVE: ("des", "der", "des", "der"),
}
_STRONG = {
    Case.NOMINATIVE: ("er", "e", "es", "e"),
    Case.ACCUSATIVE: ("en", "e", "es", "e"),
    Case.DATIVE: ("em", "er", "em", "en"),
    Case.GENITIVE: ("es", "er", "es", "er"),
}
_WEAK = {
    Case.NOMINATIVE: ("e", "e", "e", "en"),
    Case.ACCUSATIVE: ("en", "e", "e", "en"),
    Case.DATIVE: ("en", "en", "en", "en"),
    Case.GENITIVE: ("en", "en", "en", "en"),
}
_COLUMNS = {Gender.MASCULINE: 0, Gender.FEMININE: 1, Gender.NEUTER: 2}

# ich, du, er, and one form for wir and sie
_IRREGULAR_PRESENT = {
    "sein": ("bin", "bist", "ist", "sind"),
    "haben": ("habe", "hast", "hat", "haben"),
    "werden": ("werde", "wirst", "wird", "werden"),
    "wissen": ("weiß", "weißt", "weiß", "wissen"),
}
_PAST_OF_SEIN = ("war", "warst", "war", "waren")


def _column(gender: Gender, number: Number) -> int:
    return 3 if number is Number.PLURAL else _COLUMNS[gender]


def definite_article(case: Case, gender: Gender, number: Number) -> str:
    """Return der, die, das in its case."""
    return _DEFINITE[case][_column(gender, number)]


def relative_pronoun(case: Case, gender: Gender, number: Number) -> str:
    """Return the relative pronoun: the article, but for the dative plural."""
    if case is Case.DATIVE and number is Number.PLURAL:
        return "denen"
    return definite_article(case, gender, number)


def strong_word(stem: str, case: Case, gender: Gender, number: Number) -> str:
    """Inflect a determiner that shows every case, such as dies-, jed-, all-, welch- and viel-."""
    return stem + _STRONG[case][_column(gender, number)]


def ein_word(stem: str, case: Case, gender: Gender, number: Number) -> str:
    """Inflect ein, kein or a possessive: like dies-, but bare in three forms."""
    return stem if _is_bare(case, gender, number) else strong_word(stem, case, gender, number)


def _is_bare(case: Case, gender: Gender, number: Number) -> bool:
    if number is Number.PLURAL:
        return False
    return (case is Case.NOMINATIVE and gender is not Gender.FEMININE) or (
        case is Case.ACCUSATIVE and gender is Gender.NEUTER
    )


def strong_adjective(adjective: Adjective, case: Case, gender: Gender, number: Number) -> str:
    """Inflect after nothing that shows the case: kalter Kaffee, drei alte Bücher, Annas altes Auto."""
    if case is Case.GENITIVE and number is Number.SINGULAR and gender is not Gender.FEMININE:
        return adjective.stem + "en"  # the noun shows the case: der Preis kalten Wassers
    return adjective.stem + _STRONG[case][_column(gender, number)]


def weak_adjective(adjective: Adjective, case: Case, gender: Gender, number: Number) -> str:
    """Inflect after a determiner that shows the case: der alte Mann, diesem alten Mann."""
    return adjective.stem + _WEAK[case][_column(gender, number)]


def mixed_adjective(adjective: Adjective, case: Case, gender: Gender, number: Number) -> str:
    """Inflect after an ein-word: strong where that is bare (ein alter Mann), weak elsewhere (einem alten Mann)."""
    if _is_bare(case, gender, number):
        return strong_adjective(adjective, case, gender, number)
    return weak_adjective(adjective, case, gender, number)


def noun(word: Noun, case: Case, number: Number) -> str:
    """Inflect a noun."""
    plural = word.german_plural or word.german
    if number is Number.PLURAL:
        return plural + "n" if case is Case.DATIVE and plural[-1] not in "ns" else plural
    if word.weak:
        return word.german if case is Case.NOMINATIVE else plural
    if case is Case.GENITIVE and word.gender is not Gender.FEMININE:
        return word.german + ("es" if _syllables(word.german) == 1 else "s")
    return word.german


def _syllables(word: str) -> int:
    """Count groups of vowels."""
    vowels = [letter in "aeiouäöü" for letter in word.lower()]
    return sum(now and not before for before, now in zip([False, *vowels], vowels, strict=False))


def present(verb: Verb, person: Person, number: Number) -> str:
    """Inflect a full verb in the present, without its prefix."""
    if verb.german in _IRREGULAR_PRESENT:
        return auxiliary(verb.german, person, number)
    if number is Number.PLURAL:
        return verb.german
    stem = verb.german.removesuffix("n").removesuffix("e")
    if person is Person.FIRST:
        return stem + "e"
    changed = verb.changed or stem
    # arbeit-e-t, but lädt: a changed vowel leaves no room for the e
    link = "e" if changed[-1] in "td" and not verb.changed else ""
    if person is Person.SECOND:
        return changed + link + ("t" if changed[-1] in "sßzx" else "st")
    return changed + link + "t"


def auxiliary(infinitive: str, person: Person, number: Number) -> str:
    """Inflect sein, haben, werden or wissen in the present."""
    return _IRREGULAR_PRESENT[infinitive][_row(person, number)]


def past_of_sein(person: Person, number: Number) -> str:
    """Inflect sein in its simple past, which speech prefers to its perfect."""
    return _PAST_OF_SEIN[_row(person, number)]


def _row(person: Person, number: Number) -> int:
    if number is Number.PLURAL:
        return 3
    return {Person.FIRST: 0, Person.SECOND: 1, Person.THIRD: 2}[person]


def modal(word: Modal, person: Person, number: Number, *, past: bool) -> str:
    """Inflect a modal verb: ich and er share a form without an ending."""
    if past:
        if word.past is None:
            raise ValueError(f"{word.infinitive} has no past in this grammar")
        return word.past + ("n" if number is Number.PLURAL else "st" if person is Person.SECOND else "")
    if number is Number.PLURAL:
        return word.infinitive
    if person is Person.SECOND:
        return word.singular + ("t" if word.singular.endswith("s") else "st")
    return word.singular


def participle(verb: Verb) -> str:
    """Return the past participle: an + gerufen."""
    return verb.prefix + verb.participle


def infinitive(verb: Verb, *, zu: bool = False) -> str:
    """Return the infinitive; zu goes between the prefix and the verb: anzurufen, but zu verkaufen."""
    if not zu:
        return verb.prefix + verb.german
    return f"{verb.prefix}zu{verb.german}" if verb.prefix else f"zu {verb.german}"

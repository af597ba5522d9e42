"""The embedded grammar: hand-checked German for every construction, and the promises about the splits."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from dataclasses import replace

import pytest

from seq2seq.data import grammar
from seq2seq.data.grammar import english, german, inflection, lexicon, verbs
from seq2seq.data.grammar.dice import Dice
from seq2seq.data.grammar.holdout import combinations, is_novel, is_reserved
from seq2seq.data.grammar.numerals import (
    clock,
    date,
    english_number,
    english_ordinal,
    german_number,
    german_ordinal,
    in_month,
    weekday,
)
from seq2seq.data.grammar.plans import (
    Age,
    Article,
    Clause,
    Comparison,
    Coordination,
    Determiner,
    Infinitive,
    Interrogative,
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
)
from seq2seq.data.grammar.sentences import draw
from seq2seq.data.grammar.words import (
    Adverb,
    Case,
    Conjunction,
    Frame,
    Gender,
    Name,
    Number,
    Person,
    Preposition,
    Tense,
)
from seq2seq.errors import DataError

NOUNS = {noun.english: noun for noun in lexicon.NOUNS}
ADJECTIVES = {adjective.english: adjective for adjective in lexicon.ADJECTIVES}
VERBS = {f"{verb.english} {verb.particle}".strip(): verb for verb in verbs.VERBS}
ME, YOU, HIM, HER, US, THEM = lexicon.PRONOUNS
ANNA, TOM = Name("Anna"), Name("Tom")
THE, A, BARE = Article.DEFINITE, Article.INDEFINITE, Article.NONE
YESTERDAY, TODAY = Adverb("yesterday", "gestern"), Adverb("today", "heute")
PRESENT, PAST, FUTURE = Tense.PRESENT, Tense.PAST, Tense.FUTURE
SINGULAR, PLURAL = Number.SINGULAR, Number.PLURAL
CASES = (Case.NOMINATIVE, Case.ACCUSATIVE, Case.DATIVE, Case.GENITIVE)


def np(determiner: Determiner, words: str, number: Number = SINGULAR, relative: Clause | None = None) -> NounPhrase:
    """``np(THE, "old car")``: the last word is the noun."""
    *adjectives, noun = words.split()
    return NounPhrase(determiner, tuple(ADJECTIVES[word] for word in adjectives), NOUNS[noun], number, relative)


CALL = Clause(HER, VERBS["call"], PRESENT, accusative=np(THE, "doctor"))
SELL = Clause(HIM, VERBS["sell"], PRESENT, accusative=np(THE, "old car"))
SLEEP = Clause(HER, VERBS["sleep"], PRESENT)


def because(clause: Clause) -> Subordination:
    return Subordination(Statement(SLEEP), lexicon.BECAUSE, clause)


def check(plan: Plan, source: str, target: str) -> None:
    assert (english.sentence(plan), german.sentence(plan)) == (source, target)


@pytest.fixture(scope="module")
def corpus() -> dict[str, list[tuple[Plan, str, str]]]:
    return grammar.plans(seed=7, train=8000, validation=300, test=300)


# ---------------------------------------------------------------- numbers, dates, times


@pytest.mark.parametrize(
    ("value", "source", "target"),
    [
        (0, "zero", "null"), (1, "one", "eins"), (7, "seven", "sieben"), (11, "eleven", "elf"),
        (12, "twelve", "zwölf"), (16, "sixteen", "sechzehn"), (17, "seventeen", "siebzehn"),
        (20, "twenty", "zwanzig"), (21, "twenty-one", "einundzwanzig"), (30, "thirty", "dreißig"),
        (36, "thirty-six", "sechsunddreißig"), (66, "sixty-six", "sechsundsechzig"),
        (77, "seventy-seven", "siebenundsiebzig"), (100, "one hundred", "hundert"),
        (101, "one hundred and one", "hunderteins"), (112, "one hundred and twelve", "hundertzwölf"),
        (143, "one hundred and forty-three", "hundertdreiundvierzig"), (200, "two hundred", "zweihundert"),
        (717, "seven hundred and seventeen", "siebenhundertsiebzehn"),
        (999, "nine hundred and ninety-nine", "neunhundertneunundneunzig"),
    ],
)  # fmt: skip
def test_numbers_are_written_in_words(value: int, source: str, target: str) -> None:
    assert (english_number(value), german_number(value)) == (source, target)


def test_all_numbers_below_a_thousand_are_distinct_in_both_languages() -> None:
    assert len({english_number(value) for value in range(1000)}) == 1000
    assert len({german_number(value) for value in range(1000)}) == 1000


@pytest.mark.parametrize(
    ("day", "source", "target"),
    [
        (1, "first", "erst"), (2, "second", "zweit"), (3, "third", "dritt"), (5, "fifth", "fünft"),
        (7, "seventh", "siebt"), (8, "eighth", "acht"), (9, "ninth", "neunt"), (12, "twelfth", "zwölft"),
        (16, "sixteenth", "sechzehnt"), (19, "nineteenth", "neunzehnt"), (20, "twentieth", "zwanzigst"),
        (21, "twenty-first", "einundzwanzigst"), (28, "twenty-eighth", "achtundzwanzigst"),
        (30, "thirtieth", "dreißigst"), (31, "thirty-first", "einunddreißigst"),
    ],
)  # fmt: skip
def test_ordinals_are_written_in_words(day: int, source: str, target: str) -> None:
    assert (english_ordinal(day), german_ordinal(day)) == (source, target)


def test_dates_days_and_months_take_am_and_im() -> None:
    assert date(3, 5) == Adverb("on the third of May", "am dritten Mai")
    assert date(21, 12) == Adverb("on the twenty-first of December", "am einundzwanzigsten Dezember")
    assert weekday(0) == Adverb("on Monday", "am Montag")
    assert in_month(3) == Adverb("in March", "im März")


@pytest.mark.parametrize(
    ("hour", "minute", "source", "target"),
    [
        (1, 0, "one o'clock", "ein Uhr"), (7, 0, "seven o'clock", "sieben Uhr"),
        (3, 5, "five past three", "fünf nach drei"), (6, 10, "ten past six", "zehn nach sechs"),
        (2, 15, "a quarter past two", "Viertel nach zwei"), (4, 20, "twenty past four", "zwanzig nach vier"),
        (3, 25, "twenty-five past three", "fünf vor halb vier"), (3, 30, "half past three", "halb vier"),
        (12, 30, "half past twelve", "halb eins"), (3, 35, "twenty-five to four", "fünf nach halb vier"),
        (8, 40, "twenty to nine", "zwanzig vor neun"), (4, 45, "a quarter to five", "Viertel vor fünf"),
        (12, 50, "ten to one", "zehn vor eins"), (11, 55, "five to twelve", "fünf vor zwölf"),
    ],
)  # fmt: skip
def test_german_looks_to_the_next_hour_from_the_half_on(hour: int, minute: int, source: str, target: str) -> None:
    assert clock(hour, minute) == Adverb(f"at {source}", f"um {target}")


# ---------------------------------------------------------------- noun phrases


@pytest.mark.parametrize(
    ("determiner", "words", "number", "forms"),
    [
        (THE, "old man", SINGULAR, "der alte Mann/den alten Mann/dem alten Mann/des alten Mannes"),
        (THE, "old woman", SINGULAR, "die alte Frau/die alte Frau/der alten Frau/der alten Frau"),
        (THE, "old car", SINGULAR, "das alte Auto/das alte Auto/dem alten Auto/des alten Autos"),
        (THE, "old child", PLURAL, "die alten Kinder/die alten Kinder/den alten Kindern/der alten Kinder"),
        (A, "old man", SINGULAR, "ein alter Mann/einen alten Mann/einem alten Mann/eines alten Mannes"),
        (A, "old woman", SINGULAR, "eine alte Frau/eine alte Frau/einer alten Frau/einer alten Frau"),
        (A, "old car", SINGULAR, "ein altes Auto/ein altes Auto/einem alten Auto/eines alten Autos"),
        (BARE, "cold coffee", SINGULAR, "kalter Kaffee/kalten Kaffee/kaltem Kaffee/kalten Kaffees"),
        (BARE, "cold milk", SINGULAR, "kalte Milch/kalte Milch/kalter Milch/kalter Milch"),
        (BARE, "cold water", SINGULAR, "kaltes Wasser/kaltes Wasser/kaltem Wasser/kalten Wassers"),
        (BARE, "old book", PLURAL, "alte Bücher/alte Bücher/alten Büchern/alter Bücher"),
        (Article.THIS, "clever boy", SINGULAR, "dieser kluge Junge/diesen klugen Jungen/diesem klugen Jungen/"
         "dieses klugen Jungen"),
        (Article.EVERY, "new hat", SINGULAR, "jeder neue Hut/jeden neuen Hut/jedem neuen Hut/jedes neuen Hutes"),
        (Article.MANY, "new key", PLURAL, "viele neue Schlüssel/viele neue Schlüssel/vielen neuen Schlüsseln/"
         "vieler neuer Schlüssel"),
        (Article.ALL, "new car", PLURAL, "alle neuen Autos/alle neuen Autos/allen neuen Autos/aller neuen Autos"),
        (US, "expensive lamp", SINGULAR, "unsere teure Lampe/unsere teure Lampe/unserer teuren Lampe/"
         "unserer teuren Lampe"),
        (US, "dark garden", SINGULAR, "unser dunkler Garten/unseren dunklen Garten/unserem dunklen Garten/"
         "unseres dunklen Gartens"),
        (HER, "tired neighbour", PLURAL, "ihre müden Nachbarn/ihre müden Nachbarn/ihren müden Nachbarn/"
         "ihrer müden Nachbarn"),
        (3, "old book", PLURAL, "drei alte Bücher/drei alte Bücher/drei alten Büchern/drei alter Bücher"),
        (ANNA, "old house", SINGULAR, "Annas altes Haus/Annas altes Haus/Annas altem Haus/Annas alten Hauses"),
    ],
)  # fmt: skip
def test_german_adjective_endings_follow_case_gender_and_article(
    determiner: Determiner, words: str, number: Number, forms: str
) -> None:
    phrase = np(determiner, words, number)
    assert "/".join(german.nominal(phrase, case) for case in CASES) == forms


def test_owners_follow_in_the_genitive_but_names_precede() -> None:
    car = np(np(THE, "old doctor"), "red car")
    assert english.nominal(car) == "the old doctor's red car"
    assert german.nominal(car, Case.ACCUSATIVE) == "das rote Auto des alten Arztes"
    boys = np(np(ME, "boy", PLURAL), "hat", PLURAL)
    assert english.nominal(boys) == "my boys' hats"
    assert german.nominal(boys, Case.DATIVE) == "den Hüten meiner Jungen"


def test_relative_pronouns_are_articles_but_for_the_dative_plural() -> None:
    genders = (Gender.MASCULINE, Gender.FEMININE, Gender.NEUTER)
    table = [[inflection.relative_pronoun(case, gender, SINGULAR) for gender in genders] for case in CASES[:3]]
    assert table == [["der", "die", "das"], ["den", "die", "das"], ["dem", "der", "dem"]]
    assert inflection.relative_pronoun(Case.DATIVE, Gender.FEMININE, PLURAL) == "denen"


# ---------------------------------------------------------------- verbs


@pytest.mark.parametrize(
    ("verb", "forms"),
    [
        ("call", "rufe rufst ruft rufen"), ("invite", "lade lädst lädt laden"), ("eat", "esse isst isst essen"),
        ("work", "arbeite arbeitest arbeitet arbeiten"), ("find", "finde findest findet finden"),
        ("dance", "tanze tanzt tanzt tanzen"), ("wash", "wasche wäschst wäscht waschen"),
        ("give", "gebe gibst gibt geben"), ("forget", "vergesse vergisst vergisst vergessen"),
        ("sleep", "schlafe schläfst schläft schlafen"), ("wait", "warte wartest wartet warten"),
    ],
)  # fmt: skip
def test_german_verbs_are_conjugated(verb: str, forms: str) -> None:
    persons = [(Person.FIRST, SINGULAR), (Person.SECOND, SINGULAR), (Person.THIRD, SINGULAR), (Person.FIRST, PLURAL)]
    assert " ".join(inflection.present(VERBS[verb], *person) for person in persons) == forms


def test_modal_verbs_are_conjugated() -> None:
    for modal, forms in ((lexicon.HAVE_TO, "muss musst müssen"), (lexicon.WANT_TO, "will willst wollen")):
        persons = [(Person.THIRD, SINGULAR), (Person.SECOND, SINGULAR), (Person.THIRD, PLURAL)]
        assert " ".join(inflection.modal(modal, *person, past=False) for person in persons) == forms
    assert inflection.modal(lexicon.CAN, Person.SECOND, SINGULAR, past=True) == "konntest"


def test_english_verbs_are_conjugated() -> None:
    forms = [english.third_person(base) for base in ("call", "wash", "go", "try", "buy", "have", "listen to")]
    assert forms == ["calls", "washes", "goes", "tries", "buys", "has", "listens to"]


def test_no_english_verb_hides_its_tense_and_no_noun_its_number() -> None:
    assert all(verb.english != verb.past for verb in verbs.VERBS)
    assert all(noun.english != noun.english_plural for noun in lexicon.NOUNS)


# ---------------------------------------------------------------- clauses


def test_a_separable_prefix_ends_the_main_clause_and_joins_its_verb_elsewhere() -> None:
    check(Statement(CALL), "She calls the doctor.", "Sie ruft den Arzt an.")
    check(because(CALL), "She sleeps because she calls the doctor.", "Sie schläft, weil sie den Arzt anruft.")
    modal = replace(CALL, modal=lexicon.HAVE_TO, time=TODAY)
    check(Statement(modal), "She has to call the doctor today.", "Sie muss heute den Arzt anrufen.")
    check(because(modal), "She sleeps because she has to call the doctor today.",
          "Sie schläft, weil sie heute den Arzt anrufen muss.")  # fmt: skip
    past = replace(CALL, tense=PAST, time=YESTERDAY)
    check(Statement(past), "She called the doctor yesterday.", "Sie hat gestern den Arzt angerufen.")
    check(because(past), "She sleeps because she called the doctor yesterday.",
          "Sie schläft, weil sie gestern den Arzt angerufen hat.")  # fmt: skip
    check(Statement(replace(CALL, tense=FUTURE)), "She will call the doctor.", "Sie wird den Arzt anrufen.")


def test_the_finite_verb_is_second_whatever_comes_first() -> None:
    past = replace(SELL, tense=PAST, time=YESTERDAY)
    check(Statement(past, Slot.TIME), "Yesterday he sold the old car.", "Gestern hat er das alte Auto verkauft.")
    wants = replace(SELL, modal=lexicon.WANT_TO, time=TODAY)
    check(Statement(wants), "He wants to sell the old car today.", "Er will heute das alte Auto verkaufen.")
    place = PrepositionalPhrase(lexicon.IN, np(THE, "garden"))
    check(Statement(replace(SLEEP, place=place), Slot.PLACE), "In the garden she sleeps.", "Im Garten schläft sie.")
    check(Subordination(Statement(SLEEP), lexicon.BECAUSE, CALL, subordinate_first=True),
          "Because she calls the doctor, she sleeps.", "Weil sie den Arzt anruft, schläft sie.")  # fmt: skip


def test_verbs_of_motion_form_their_perfect_with_sein() -> None:
    goes = Clause(US, VERBS["go"], PAST, place=PrepositionalPhrase(lexicon.INTO, np(THE, "house")))
    check(Statement(goes), "We went into the house.", "Wir sind ins Haus gegangen.")
    check(Statement(Clause(ME, VERBS["get up"], PAST)), "I got up.", "Ich bin aufgestanden.")


@pytest.mark.parametrize(
    ("preposition", "words", "target"),
    [
        (lexicon.IN, "garden", "im Garten"), (lexicon.INTO, "garden", "in den Garten"),
        (lexicon.INTO, "house", "ins Haus"), (lexicon.INTO, "kitchen", "in die Küche"),
        (lexicon.IN, "kitchen", "in der Küche"), (lexicon.TO, "station", "zum Bahnhof"),
        (lexicon.TO, "school", "zur Schule"), (lexicon.ON, "table", "auf dem Tisch"),
        (lexicon.ONTO, "table", "auf den Tisch"), (lexicon.WITHOUT, "friend", "ohne den Freund"),
        (lexicon.WITH, "student", "mit dem Studenten"),
    ],
)  # fmt: skip
def test_prepositions_govern_a_case_and_contract(preposition: Preposition, words: str, target: str) -> None:
    phrase = PrepositionalPhrase(preposition, np(THE, words))
    text = german.sentence(Statement(replace(SLEEP, place=phrase)))
    assert text == f"Sie schläft {target}."


def test_negation_is_kein_before_indefinite_objects_and_nicht_elsewhere() -> None:
    no = replace(SELL, negated=True)
    check(Statement(replace(no, accusative=np(A, "old table"))), "He does not sell an old table.",
          "Er verkauft keinen alten Tisch.")  # fmt: skip
    check(Statement(replace(no, accusative=np(BARE, "new lamp", PLURAL))), "He does not sell any new lamps.",
          "Er verkauft keine neuen Lampen.")  # fmt: skip
    check(Statement(replace(no, tense=PAST, time=YESTERDAY)), "He did not sell the old car yesterday.",
          "Er hat das alte Auto gestern nicht verkauft.")  # fmt: skip
    check(Statement(replace(CALL, negated=True)), "She does not call the doctor.", "Sie ruft den Arzt nicht an.")
    place = PrepositionalPhrase(lexicon.IN, np(THE, "house"))
    check(Statement(Clause(HER, VERBS["sleep"], PAST, negated=True, place=place)), "She did not sleep in the house.",
          "Sie hat nicht im Haus geschlafen.")  # fmt: skip
    tired = Predicate(ADJECTIVES["tired"])
    check(Statement(Clause(ME, verbs.BE, PAST, negated=True, predicate=tired)), "I was not tired.",
          "Ich war nicht müde.")  # fmt: skip
    check(Statement(replace(no, modal=lexicon.CAN)), "He cannot sell the old car.",
          "Er kann das alte Auto nicht verkaufen.")  # fmt: skip


def test_pronouns_take_their_case_and_precede_the_time() -> None:
    check(Statement(replace(CALL, accusative=HIM, time=TODAY)), "She calls him today.", "Sie ruft ihn heute an.")
    check(Statement(Clause(ME, VERBS["help"], PAST, dative=THEM)), "I helped them.", "Ich habe ihnen geholfen.")
    pick = Clause(YOU, VERBS["pick up"], PRESENT, accusative=HER)
    check(Statement(pick), "You pick her up.", "Du holst sie ab.")
    gives = Clause(YOU, VERBS["give"], PRESENT, dative=HER, accusative=np(A, "apple"), time=TODAY)
    check(Statement(gives), "You give her an apple today.", "Du gibst ihr heute einen Apfel.")
    check(Statement(replace(gives, dative=np(THE, "child", PLURAL))), "You give the children an apple today.",
          "Du gibst heute den Kindern einen Apfel.")  # fmt: skip
    us = PrepositionalPhrase(Preposition("for", "auf", Case.ACCUSATIVE), US)
    wait = Clause(HER, VERBS["wait"], PAST, prepositional=us)
    check(Statement(wait), "She waited for us.", "Sie hat auf uns gewartet.")


def relative(words: str, number: Number = SINGULAR) -> Relative:
    return Relative(NOUNS[words], number)


def test_relative_clauses_agree_are_verb_final_and_follow_the_right_bracket() -> None:
    who = Clause(relative("man"), VERBS["sell"], PAST, accusative=np(THE, "car"))
    check(Statement(replace(CALL, subject=np(THE, "man", relative=who))),
          "The man who sold the car calls the doctor.",
          "Der Mann, der das Auto verkauft hat, ruft den Arzt an.")  # fmt: skip
    whom = Clause(ANNA, VERBS["call"], PRESENT, accusative=relative("man"))
    check(Statement(replace(CALL, tense=PAST, accusative=np(THE, "man", relative=whom))),
          "She called the man whom Anna calls.", "Sie hat den Mann angerufen, den Anna anruft.")  # fmt: skip
    which = Clause(ANNA, VERBS["buy"], PAST, accusative=relative("book"))
    check(Statement(replace(SELL, accusative=np(THE, "book", relative=which))),
          "He sells the book which Anna bought.", "Er verkauft das Buch, das Anna gekauft hat.")  # fmt: skip
    helped = Clause(ANNA, VERBS["help"], PRESENT, dative=relative("woman", PLURAL))
    check(because(replace(SLEEP, subject=np(THE, "woman", PLURAL, helped))),
          "She sleeps because the women whom Anna helps sleep.",
          "Sie schläft, weil die Frauen, denen Anna hilft, schlafen.")  # fmt: skip
    check(Coordination(Statement(replace(SELL, accusative=np(THE, "book", relative=which))), lexicon.BUT,
                       Statement(SLEEP)),
          "He sells the book which Anna bought, but she sleeps.",
          "Er verkauft das Buch, das Anna gekauft hat, aber sie schläft.")  # fmt: skip


@pytest.mark.parametrize(
    ("conjunction", "source", "target"),
    [
        (lexicon.BECAUSE, "because", "weil"), (lexicon.ALTHOUGH, "although", "obwohl"), (lexicon.IF, "if", "wenn"),
        (lexicon.THAT, "that", "dass"), (lexicon.WHETHER, "whether", "ob"),
    ],
)  # fmt: skip
def test_subordinate_clauses_follow_a_comma_and_end_with_their_verb(
    conjunction: Conjunction, source: str, target: str
) -> None:
    plan = Subordination(Statement(Clause(HER, verbs.KNOW_THAT, PRESENT)), conjunction, SELL)
    check(plan, f"She knows {source} he sells the old car.", f"Sie weiß, {target} er das alte Auto verkauft.")


def test_infinitives_put_zu_between_prefix_and_verb() -> None:
    tries = Statement(Clause(HER, verbs.TRY_TO, PAST, time=YESTERDAY), Slot.TIME)
    check(Infinitive(tries, CALL, purpose=False), "Yesterday she tried to call the doctor.",
          "Gestern hat sie versucht, den Arzt anzurufen.")  # fmt: skip
    check(Infinitive(Statement(SLEEP), replace(SELL, subject=HER), purpose=True),
          "She sleeps in order to sell the old car.", "Sie schläft, um das alte Auto zu verkaufen.")  # fmt: skip


def test_questions_start_with_the_verb_or_with_what_they_ask_for() -> None:
    past = replace(SELL, tense=PAST)
    check(Question(past), "Did he sell the old car?", "Hat er das alte Auto verkauft?")
    check(Question(CALL), "Does she call the doctor?", "Ruft sie den Arzt an?")
    check(Question(replace(past, subject=Interrogative.WHO), Slot.SUBJECT), "Who sold the old car?",
          "Wer hat das alte Auto verkauft?")  # fmt: skip
    check(Question(replace(CALL, accusative=Interrogative.WHO), Slot.ACCUSATIVE), "Whom does she call?",
          "Wen ruft sie an?")  # fmt: skip
    check(Question(Clause(TOM, VERBS["thank"], FUTURE, dative=Interrogative.WHO), Slot.DATIVE),
          "Whom will Tom thank?", "Wem wird Tom danken?")  # fmt: skip
    check(Question(replace(past, accusative=Interrogative.WHAT), Slot.ACCUSATIVE), "What did he sell?",
          "Was hat er verkauft?")  # fmt: skip
    check(Question(replace(past, accusative=np(Article.WHICH, "red car")), Slot.ACCUSATIVE),
          "Which red car did he sell?", "Welches rote Auto hat er verkauft?")  # fmt: skip
    check(Question(replace(CALL, time=lexicon.WHY), Slot.TIME), "Why does she call the doctor?",
          "Warum ruft sie den Arzt an?")  # fmt: skip
    check(Question(replace(SLEEP, place=lexicon.WHERE), Slot.PLACE), "Where does she sleep?", "Wo schläft sie?")


def test_comparisons_ages_and_prices() -> None:
    than = Comparison(ADJECTIVES["old"], False, np(THE, "red car"))
    check(Statement(Clause(np(Article.THIS, "boat"), verbs.BE, PRESENT, predicate=than)),
          "This boat is older than the red car.", "Dieses Boot ist älter als das rote Auto.")  # fmt: skip
    as_ = Comparison(ADJECTIVES["expensive"], True, np(Article.THIS, "hat"))
    check(Statement(Clause(np(ME, "coat"), verbs.BE, PAST, negated=True, predicate=as_)),
          "My coat was not as expensive as this hat.", "Mein Mantel war nicht so teuer wie dieser Hut.")  # fmt: skip
    check(Statement(Clause(np(ME, "uncle"), verbs.BE, PRESENT, predicate=Age(47))),
          "My uncle is forty-seven years old.", "Mein Onkel ist siebenundvierzig Jahre alt.")  # fmt: skip
    price = NounPhrase(352, (), lexicon.EURO, PLURAL)
    check(Statement(Clause(np(THE, "car"), verbs.COST, PRESENT, accusative=price)),
          "The car costs three hundred and fifty-two euros.",
          "Das Auto kostet dreihundertzweiundfünfzig Euro.")  # fmt: skip


def test_coordinated_clauses_are_both_main_clauses() -> None:
    plan = Coordination(Statement(CALL), lexicon.AND, Statement(replace(SLEEP, subject=Pair(ANNA, TOM))))
    check(plan, "She calls the doctor and Anna and Tom sleep.", "Sie ruft den Arzt an und Anna und Tom schlafen.")


# ---------------------------------------------------------------- the lexicon and the corpus


def test_the_lexicon_is_rich_enough() -> None:
    assert len(lexicon.NOUNS) >= 40
    assert {noun.gender for noun in lexicon.NOUNS} == set(Gender)
    assert len(lexicon.ADJECTIVES) >= 15
    assert len(verbs.VERBS) >= 25
    assert sum(bool(verb.prefix) for verb in verbs.VERBS) >= 8
    assert {verb.frame for verb in verbs.VERBS} == set(Frame)


def test_an_english_sentence_never_has_two_translations() -> None:
    dice = Dice(11)
    translations: dict[str, str] = {}
    for _ in range(15_000):
        plan = draw(dice)
        source, target = english.sentence(plan), german.sentence(plan)
        assert translations.setdefault(source, target) == target, source


def test_a_seed_gives_the_same_corpus_in_another_process_whatever_the_size_of_train() -> None:
    code = (
        "from seq2seq.data import grammar\n"
        "print(ascii(grammar.generate(seed=3, train=50, validation=20, test=20)))"
    )  # fmt: skip
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    here = grammar.generate(seed=3, train=50, validation=20, test=20)
    assert other.stdout.strip() == ascii(here)
    longer = grammar.generate(seed=3, train=90, validation=20, test=20)
    assert (longer["test"], longer["validation"], longer["train"][:50]) == tuple(
        here[name] for name in ("test", "validation", "train")
    )
    assert grammar.generate(seed=4, train=50, validation=20, test=20) != here


def test_sizes_are_kept_and_no_sentence_occurs_twice(corpus: dict[str, list[tuple[Plan, str, str]]]) -> None:
    assert {name: len(sentences) for name, sentences in corpus.items()} == {
        "train": 8000, "validation": 300, "test": 300,
    }  # fmt: skip
    everything = [sentence for sentences in corpus.values() for sentence in sentences]
    assert len({source for _, source, _ in everything}) == len(everything)
    assert len({target for _, _, target in everything}) == len(everything)


def test_held_out_splits_combine_words_that_training_never_combines(
    corpus: dict[str, list[tuple[Plan, str, str]]],
) -> None:
    trained = {combination for plan, _, _ in corpus["train"] for combination in combinations(plan)}
    assert not any(map(is_reserved, trained))
    for split in ("validation", "test"):
        assert [is_novel(plan) for plan, _, _ in corpus[split]] == [True, False] * 150
        reserved = {pair for plan, _, _ in corpus[split] for pair in combinations(plan) if is_reserved(pair)}
        assert {type(pair[0]) if isinstance(pair, tuple) else int for pair in reserved} == {
            type(lexicon.ADJECTIVES[0]), type(verbs.VERBS[0]), int,
        }  # fmt: skip


def test_every_single_word_of_the_test_split_is_seen_in_training(
    corpus: dict[str, list[tuple[Plan, str, str]]],
) -> None:
    def words(split: str) -> set[str]:
        return {word for _, source, _ in corpus[split] for word in re.findall(r"[a-z']+", source.lower())}

    assert words("test") <= words("train")


def test_every_phenomenon_has_its_share(corpus: dict[str, list[tuple[Plan, str, str]]]) -> None:
    patterns = {
        "subordinate": r", (weil|obwohl|wenn|dass|ob) |^(Weil|Obwohl|Wenn) ",
        "relative": r", (der|die|das|den|dem|denen) ",
        "kein": r"\bkein",
        "nicht": r"\bnicht\b",
        "question": r"\?$",
        "zu": r", um |versuch",
        "comparison": r" als | so .* wie ",
        "time of day": r"\bum .*(Uhr|halb|vor|nach) ",
        "date": r"\b[Aa]m \w+ten ",
        "compound number": r"und(zwanzig|[dvfsan]\w+ig)",
        "perfect": r"\b([Hh]a(be|st|t|ben)|[Bb]in|[Bb]ist|[Ii]st|[Ss]ind)\b.* \w*ge\w+(t|en)\b",
    }
    targets = [target for _, _, target in corpus["train"]]
    for name, pattern in patterns.items():
        share = sum(bool(re.search(pattern, target)) for target in targets) / len(targets)
        assert share > 0.02, name


def test_sentences_look_like_sentences(corpus: dict[str, list[tuple[Plan, str, str]]]) -> None:
    lengths = []
    for _, *pair in corpus["train"]:
        for text in pair:
            assert text[0].isupper()
            assert re.fullmatch(r"[\w'-]+(,? [\w'-]+)*[.?]", text), text
            lengths.append(len(text.split()))
    assert max(lengths) <= grammar.LONGEST
    assert 9 <= sum(lengths) / len(lengths) <= 12


def test_german_nouns_are_capital_and_infinitival_and_subordinate_clauses_have_a_comma(
    corpus: dict[str, list[tuple[Plan, str, str]]],
) -> None:
    nouns = {form.lower() for noun in lexicon.NOUNS for form in (noun.german, noun.german_plural) if form}
    nouns -= {"junge", "jungen"}  # these are adjectives too
    for _, _, target in corpus["train"]:
        assert not nouns & {word for word in re.findall(r"\w+", target) if word[0].islower()}
        assert not re.search(r"[^,] (weil|obwohl|wenn|dass|ob) ", target)


@pytest.mark.parametrize("name", ["train", "validation", "test"])
def test_a_size_that_cannot_be_had_is_refused(name: str) -> None:
    sizes = {"train": 1, "validation": 1, "test": 1}
    with pytest.raises(DataError, match=re.escape(f"`{name}` must be at least 1, but is 0 instead.")):
        grammar.generate(seed=1, **(sizes | {name: 0}))
    with pytest.raises(DataError, match=r"must be at most \d+, but is \d+ instead\."):
        grammar.generate(seed=1, **(sizes | {name: grammar.LARGEST}))


def test_another_text_needs_another_version() -> None:
    """Prepared data is keyed by the version: raise it, then take the new hash over."""
    text = json.dumps(grammar.generate(seed=1, train=300, validation=50, test=50), ensure_ascii=False)
    assert (grammar.VERSION, hashlib.sha256(text.encode()).hexdigest()[:16]) == (
        1,
        "542363e2407c48d4",
    )

"""The words: nouns, adjectives, pronouns, names and function words. Verbs have a file of their own.

No English word here has two meanings, and no noun or verb has two equal forms (sheep, put): the English
sentence alone must determine the German one. ``you`` is always du.
"""

from __future__ import annotations

from .words import (
    Adjective,
    Adverb,
    Case,
    Conjunction,
    Gender,
    Kind,
    Modal,
    Name,
    Noun,
    Number,
    Person,
    Preposition,
    Pronoun,
)

M, F, N = Gender.MASCULINE, Gender.FEMININE, Gender.NEUTER

ANIMATE = Kind.PERSON | Kind.ANIMAL
WARE = Kind.TEXT | Kind.VEHICLE | Kind.DEVICE | Kind.CLOTHES | Kind.PORTABLE | Kind.FURNITURE
EDIBLE = Kind.FOOD | Kind.DRINK
PRICED = (WARE & ~Kind.TEXT) | Kind.FOOD


def _noun(english: str, german: str, gender: Gender, plural: str, kind: Kind, *, weak: bool = False) -> Noun:
    return Noun(english, _english_plural(english), german, plural, gender, kind, weak)


def _mass(english: str, german: str, gender: Gender, kind: Kind) -> Noun:
    return Noun(english, None, german, None, gender, kind)


def _english_plural(noun: str) -> str:
    irregular = {"man": "men", "woman": "women", "child": "children", "knife": "knives", "shelf": "shelves"}
    if noun in irregular:
        return irregular[noun]
    return noun + ("es" if noun.endswith(("s", "ch", "ato")) else "s")


NOUNS = (
    _noun("man", "Mann", M, "Männer", Kind.PERSON),
    _noun("woman", "Frau", F, "Frauen", Kind.PERSON),
    _noun("child", "Kind", N, "Kinder", Kind.PERSON),
    _noun("girl", "Mädchen", N, "Mädchen", Kind.PERSON),
    _noun("boy", "Junge", M, "Jungen", Kind.PERSON, weak=True),
    _noun("student", "Student", M, "Studenten", Kind.PERSON, weak=True),
    _noun("neighbour", "Nachbar", M, "Nachbarn", Kind.PERSON, weak=True),
    _noun("doctor", "Arzt", M, "Ärzte", Kind.PERSON),
    _noun("teacher", "Lehrer", M, "Lehrer", Kind.PERSON),
    _noun("nurse", "Krankenschwester", F, "Krankenschwestern", Kind.PERSON),
    _noun("aunt", "Tante", F, "Tanten", Kind.PERSON),
    _noun("uncle", "Onkel", M, "Onkel", Kind.PERSON),
    _noun("sister", "Schwester", F, "Schwestern", Kind.PERSON),
    _noun("brother", "Bruder", M, "Brüder", Kind.PERSON),
    _noun("daughter", "Tochter", F, "Töchter", Kind.PERSON),
    _noun("friend", "Freund", M, "Freunde", Kind.PERSON),
    _noun("dog", "Hund", M, "Hunde", Kind.ANIMAL),
    _noun("cat", "Katze", F, "Katzen", Kind.ANIMAL),
    _noun("horse", "Pferd", N, "Pferde", Kind.ANIMAL),
    _noun("car", "Auto", N, "Autos", Kind.VEHICLE),
    _noun("bicycle", "Fahrrad", N, "Fahrräder", Kind.VEHICLE),
    _noun("boat", "Boot", N, "Boote", Kind.VEHICLE),
    _noun("book", "Buch", N, "Bücher", Kind.TEXT),
    _noun("letter", "Brief", M, "Briefe", Kind.TEXT),
    _noun("poem", "Gedicht", N, "Gedichte", Kind.TEXT),
    _noun("lamp", "Lampe", F, "Lampen", Kind.DEVICE),
    _noun("radio", "Radio", N, "Radios", Kind.DEVICE),
    _noun("computer", "Computer", M, "Computer", Kind.DEVICE),
    _noun("door", "Tür", F, "Türen", Kind.CLOSABLE),
    _noun("window", "Fenster", N, "Fenster", Kind.CLOSABLE),
    _noun("suitcase", "Koffer", M, "Koffer", Kind.CLOSABLE | Kind.PORTABLE),
    _noun("bag", "Tasche", F, "Taschen", Kind.CLOSABLE | Kind.PORTABLE),
    _noun("coat", "Mantel", M, "Mäntel", Kind.CLOTHES),
    _noun("jacket", "Jacke", F, "Jacken", Kind.CLOTHES),
    _noun("dress", "Kleid", N, "Kleider", Kind.CLOTHES),
    _noun("hat", "Hut", M, "Hüte", Kind.CLOTHES),
    _noun("key", "Schlüssel", M, "Schlüssel", Kind.PORTABLE),
    _noun("picture", "Bild", N, "Bilder", Kind.PORTABLE),
    _noun("flower", "Blume", F, "Blumen", Kind.PORTABLE),
    _noun("knife", "Messer", N, "Messer", Kind.PORTABLE),
    _noun("apple", "Apfel", M, "Äpfel", Kind.FOOD),
    _noun("pear", "Birne", F, "Birnen", Kind.FOOD),
    _noun("egg", "Ei", N, "Eier", Kind.FOOD),
    _noun("cake", "Kuchen", M, "Kuchen", Kind.FOOD),
    _noun("tomato", "Tomate", F, "Tomaten", Kind.FOOD),
    _mass("bread", "Brot", N, Kind.FOOD),
    _mass("cheese", "Käse", M, Kind.FOOD),
    _mass("milk", "Milch", F, Kind.DRINK),
    _mass("coffee", "Kaffee", M, Kind.DRINK),
    _mass("water", "Wasser", N, Kind.DRINK),
    _noun("table", "Tisch", M, "Tische", Kind.FURNITURE),
    _noun("chair", "Stuhl", M, "Stühle", Kind.FURNITURE),
    _noun("bed", "Bett", N, "Betten", Kind.FURNITURE),
    _noun("shelf", "Regal", N, "Regale", Kind.FURNITURE),
    _noun("garden", "Garten", M, "Gärten", Kind.PLACE),
    _noun("kitchen", "Küche", F, "Küchen", Kind.PLACE),
    _noun("house", "Haus", N, "Häuser", Kind.PLACE),
    _noun("school", "Schule", F, "Schulen", Kind.PLACE),
    _noun("station", "Bahnhof", M, "Bahnhöfe", Kind.PLACE),
    _noun("park", "Park", M, "Parks", Kind.PLACE),
    _noun("hotel", "Hotel", N, "Hotels", Kind.PLACE),
    _noun("church", "Kirche", F, "Kirchen", Kind.PLACE),
)

EURO = _noun("euro", "Euro", M, "Euro", Kind.MONEY)


def _adjective(
    english: str, german: str, kind: Kind, english_comparative: str | None, comparative: str | None, stem: str = ""
) -> Adjective:
    return Adjective(english, english_comparative, german, stem or german, comparative, kind)


ADJECTIVES = (
    _adjective("old", "alt", ANIMATE | WARE | Kind.PLACE, "older", "älter"),
    _adjective("young", "jung", ANIMATE, "younger", "jünger"),
    _adjective("tall", "groß", Kind.PERSON, "taller", "größer"),
    _adjective("friendly", "freundlich", ANIMATE, "friendlier", "freundlicher"),
    _adjective("clever", "klug", ANIMATE, "cleverer", "klüger"),
    _adjective("strong", "stark", ANIMATE, "stronger", "stärker"),
    _adjective("famous", "berühmt", Kind.PERSON, "more famous", "berühmter"),
    _adjective("tired", "müde", ANIMATE, "more tired", "müder", "müd"),
    _adjective("happy", "glücklich", Kind.PERSON, "happier", "glücklicher"),
    _adjective("hungry", "hungrig", ANIMATE, "hungrier", "hungriger"),
    _adjective("new", "neu", WARE | Kind.CLOSABLE | Kind.PLACE, "newer", "neuer"),
    _adjective("small", "klein", WARE | Kind.ANIMAL | Kind.CLOSABLE | Kind.PLACE, "smaller", "kleiner"),
    _adjective("big", "groß", WARE | Kind.ANIMAL | Kind.CLOSABLE | Kind.PLACE, "bigger", "größer"),
    _adjective("expensive", "teuer", PRICED, "more expensive", "teurer", "teur"),
    _adjective("cheap", "billig", PRICED, "cheaper", "billiger"),
    _adjective("beautiful", "schön", WARE | Kind.PLACE, "more beautiful", "schöner"),
    _adjective("heavy", "schwer", Kind.VEHICLE | Kind.DEVICE | Kind.FURNITURE | Kind.CLOSABLE, "heavier", "schwerer"),
    _adjective("dark", "dunkel", Kind.CLOTHES | Kind.FURNITURE | Kind.PLACE, "darker", "dunkler", "dunkl"),
    _adjective("red", "rot", Kind.VEHICLE | Kind.DEVICE | Kind.CLOTHES | Kind.CLOSABLE, None, None),
    _adjective("white", "weiß", WARE | Kind.ANIMAL | Kind.CLOSABLE, None, None),
    _adjective("fresh", "frisch", EDIBLE, "fresher", "frischer"),
    _adjective("warm", "warm", EDIBLE | Kind.CLOTHES, "warmer", "wärmer"),
    _adjective("cold", "kalt", EDIBLE, "colder", "kälter"),
    _adjective("good", "gut", EDIBLE | Kind.TEXT, "better", "besser"),
)

_S, _P = Number.SINGULAR, Number.PLURAL
PRONOUNS = (
    Pronoun("I", "me", "my", "ich", "mich", "mir", "mein", Person.FIRST, _S),
    Pronoun("you", "you", "your", "du", "dich", "dir", "dein", Person.SECOND, _S),
    Pronoun("he", "him", "his", "er", "ihn", "ihm", "sein", Person.THIRD, _S),
    Pronoun("she", "her", "her", "sie", "sie", "ihr", "ihr", Person.THIRD, _S),
    Pronoun("we", "us", "our", "wir", "uns", "uns", "unser", Person.FIRST, _P),
    Pronoun("they", "them", "their", "sie", "sie", "ihnen", "ihr", Person.THIRD, _P),
)

# No name ends in s, x or z: their genitive would need an apostrophe.
NAMES = tuple(map(Name, ("Anna", "Peter", "Maria", "Paul", "Lena", "Martin", "Eva", "Tom")))

CAN = Modal("can", "could", "können", "kann", "konnte", False)
HAVE_TO = Modal("have", "had", "müssen", "muss", "musste", True)  # not must: must not means nicht dürfen
WANT_TO = Modal("want", "wanted", "wollen", "will", "wollte", True)
MAY = Modal("may", None, "dürfen", "darf", None, False)
MODALS = (CAN, HAVE_TO, WANT_TO, MAY)

WITH = Preposition("with", "mit", Case.DATIVE)
FOR = Preposition("for", "für", Case.ACCUSATIVE)
WITHOUT = Preposition("without", "ohne", Case.ACCUSATIVE)
IN = Preposition("in", "in", Case.DATIVE)
INTO = Preposition("into", "in", Case.ACCUSATIVE)
TO = Preposition("to", "zu", Case.DATIVE)
ON = Preposition("on", "auf", Case.DATIVE)
ONTO = Preposition("onto", "auf", Case.ACCUSATIVE)
PLACES = (
    IN,
    Preposition("in front of", "vor", Case.DATIVE),
    Preposition("behind", "hinter", Case.DATIVE),
    Preposition("next to", "neben", Case.DATIVE),
)

BECAUSE = Conjunction("because", "weil")
ALTHOUGH = Conjunction("although", "obwohl")
IF = Conjunction("if", "wenn")
THAT = Conjunction("that", "dass")
WHETHER = Conjunction("whether", "ob")
AND = Conjunction("and", "und")
BUT = Conjunction("but", "aber")

WHEN, WHERE, WHY = Adverb("when", "wann"), Adverb("where", "wo"), Adverb("why", "warum")

HABITUAL_TIMES = (
    Adverb("every day", "jeden Tag"),
    Adverb("every evening", "jeden Abend"),
    Adverb("every Sunday", "jeden Sonntag"),
    Adverb("every week", "jede Woche"),
    Adverb("every morning", "jeden Morgen"),
)
PAST_TIMES = (
    Adverb("yesterday", "gestern"),
    Adverb("last week", "letzte Woche"),
    Adverb("last year", "letztes Jahr"),
    Adverb("last Saturday", "letzten Samstag"),
    Adverb("an hour ago", "vor einer Stunde"),
    Adverb("three weeks ago", "vor drei Wochen"),
)
FUTURE_TIMES = (
    Adverb("tomorrow", "morgen"),
    Adverb("today", "heute"),
    Adverb("soon", "bald"),
    Adverb("next week", "nächste Woche"),
    Adverb("next Friday", "nächsten Freitag"),
    Adverb("in an hour", "in einer Stunde"),
)

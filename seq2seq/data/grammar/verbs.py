"""The verbs. The separable prefix is written apart: ``rufen`` with the prefix ``an`` is anrufen."""

from __future__ import annotations

from .lexicon import ANIMATE, WARE
from .words import Case, Frame, Kind, Preposition, Verb

_THING = WARE | Kind.FOOD
_CARRIED = Kind.TEXT | Kind.CLOTHES | Kind.PORTABLE
_A, _D = Frame.ACCUSATIVE, Frame.DATIVE
_NOTHING = Kind(0)

VERBS = (
    # accusative objects
    Verb("call", "called", "rufen", "gerufen", _A, Kind.PERSON, prefix="an"),
    Verb("pick", "picked", "holen", "geholt", _A, Kind.PERSON, prefix="ab", particle="up"),
    Verb("invite", "invited", "laden", "geladen", _A, Kind.PERSON, prefix="ein", changed="läd"),
    Verb("visit", "visited", "besuchen", "besucht", _A, Kind.PERSON),
    Verb("see", "saw", "sehen", "gesehen", _A, ANIMATE | _THING, changed="sieh"),
    Verb("know", "knew", "kennen", "gekannt", _A, Kind.PERSON, stative=True),
    Verb("love", "loved", "lieben", "geliebt", _A, ANIMATE, stative=True),
    Verb("find", "found", "finden", "gefunden", _A, ANIMATE | _THING),
    Verb("need", "needed", "brauchen", "gebraucht", _A, _THING | Kind.DRINK, stative=True),
    Verb("sell", "sold", "verkaufen", "verkauft", _A, _THING),
    Verb("buy", "bought", "kaufen", "gekauft", _A, _THING | Kind.DRINK),
    Verb("repair", "repaired", "reparieren", "repariert", _A, Kind.VEHICLE | Kind.DEVICE | Kind.FURNITURE),
    Verb("wash", "washed", "waschen", "gewaschen", _A, Kind.CLOTHES | Kind.VEHICLE | Kind.ANIMAL, changed="wäsch"),
    Verb("forget", "forgot", "vergessen", "vergessen", _A, _CARRIED, changed="vergiss"),
    Verb("translate", "translated", "übersetzen", "übersetzt", _A, Kind.TEXT),
    Verb("eat", "ate", "essen", "gegessen", _A, Kind.FOOD, changed="iss"),
    Verb("drink", "drank", "trinken", "getrunken", _A, Kind.DRINK),
    Verb("carry", "carried", "tragen", "getragen", _A, Kind.PORTABLE | Kind.FURNITURE, changed="träg"),
    Verb("open", "opened", "machen", "gemacht", _A, Kind.CLOSABLE, prefix="auf"),
    Verb("close", "closed", "machen", "gemacht", _A, Kind.CLOSABLE, prefix="zu"),
    Verb("turn", "turned", "schalten", "geschaltet", _A, Kind.DEVICE, prefix="ein", particle="on"),
    Verb("turn", "turned", "schalten", "geschaltet", _A, Kind.DEVICE, prefix="aus", particle="off"),
    Verb("throw", "threw", "werfen", "geworfen", _A, _CARRIED, prefix="weg", particle="away", changed="wirf"),
    Verb("bring", "brought", "bringen", "gebracht", _A, _THING, prefix="mit", particle="along"),
    Verb("try", "tried", "probieren", "probiert", _A, Kind.CLOTHES, prefix="an", particle="on"),
    Verb("borrow", "borrowed", "leihen", "geliehen", _A, Kind.TEXT | Kind.VEHICLE, prefix="aus"),
    # dative objects
    Verb("help", "helped", "helfen", "geholfen", _D, Kind.PERSON, changed="hilf"),
    Verb("thank", "thanked", "danken", "gedankt", _D, Kind.PERSON),
    Verb("follow", "followed", "folgen", "gefolgt", _D, ANIMATE, moves=True),
    Verb("listen to", "listened to", "hören", "gehört", _D, Kind.PERSON, prefix="zu"),
    # a dative and an accusative object
    Verb("give", "gave", "geben", "gegeben", Frame.DITRANSITIVE, _THING, changed="gib"),
    Verb("show", "showed", "zeigen", "gezeigt", Frame.DITRANSITIVE, Kind.ANIMAL | WARE),
    Verb("send", "sent", "schicken", "geschickt", Frame.DITRANSITIVE, Kind.TEXT | Kind.PORTABLE | Kind.CLOTHES),
    # a prepositional object
    Verb(
        "wait",
        "waited",
        "warten",
        "gewartet",
        Frame.PREPOSITIONAL,
        Kind.PERSON | Kind.TEXT,
        preposition=Preposition("for", "auf", Case.ACCUSATIVE),
    ),
    Verb(
        "think",
        "thought",
        "denken",
        "gedacht",
        Frame.PREPOSITIONAL,
        ANIMATE | WARE,
        preposition=Preposition("of", "an", Case.ACCUSATIVE),
    ),
    Verb(
        "talk",
        "talked",
        "sprechen",
        "gesprochen",
        Frame.PREPOSITIONAL,
        Kind.PERSON,
        changed="sprich",
        preposition=Preposition("to", "mit", Case.DATIVE),
    ),
    Verb(
        "dream",
        "dreamt",
        "träumen",
        "geträumt",
        Frame.PREPOSITIONAL,
        ANIMATE | WARE,
        preposition=Preposition("of", "von", Case.DATIVE),
    ),
    # no object, but a place if the verb goes with one
    Verb("work", "worked", "arbeiten", "gearbeitet", Frame.INTRANSITIVE, Kind.PLACE),
    Verb("sleep", "slept", "schlafen", "geschlafen", Frame.INTRANSITIVE, Kind.PLACE, changed="schläf"),
    Verb("dance", "danced", "tanzen", "getanzt", Frame.INTRANSITIVE, Kind.PLACE),
    Verb("sing", "sang", "singen", "gesungen", Frame.INTRANSITIVE, Kind.PLACE),
    Verb("get", "got", "stehen", "gestanden", Frame.INTRANSITIVE, _NOTHING, prefix="auf", particle="up", moves=True),
    Verb("arrive", "arrived", "kommen", "gekommen", Frame.INTRANSITIVE, _NOTHING, prefix="an", moves=True),
    # a goal
    Verb("go", "went", "gehen", "gegangen", Frame.MOTION, Kind.PLACE, moves=True),
    Verb("drive", "drove", "fahren", "gefahren", Frame.MOTION, Kind.PLACE, changed="fähr", moves=True),
    Verb("run", "ran", "laufen", "gelaufen", Frame.MOTION, Kind.PLACE, changed="läuf", moves=True),
    # an object and a goal
    Verb("place", "placed", "legen", "gelegt", Frame.PLACING, _CARRIED),
)

BE = Verb("be", "was", "sein", "gewesen", Frame.INTRANSITIVE, _NOTHING, moves=True, stative=True)
COST = Verb("cost", "cost", "kosten", "gekostet", _A, Kind.MONEY, stative=True)  # drawn in the present only
LIE = Verb("lie", "lay", "liegen", "gelegen", Frame.INTRANSITIVE, _NOTHING, stative=True)
TRY_TO = Verb("try", "tried", "versuchen", "versucht", Frame.INTRANSITIVE, _NOTHING)

# Verbs with a clause as their object: the first take that, the others whether.
BELIEVE = Verb("believe", "believed", "glauben", "geglaubt", Frame.INTRANSITIVE, _NOTHING, stative=True)
HOPE = Verb("hope", "hoped", "hoffen", "gehofft", Frame.INTRANSITIVE, _NOTHING, stative=True)
SAY = Verb("say", "said", "sagen", "gesagt", Frame.INTRANSITIVE, _NOTHING, stative=True)
KNOW_THAT = Verb("know", "knew", "wissen", "gewusst", Frame.INTRANSITIVE, _NOTHING, stative=True)
ASK = Verb("ask", "asked", "fragen", "gefragt", Frame.INTRANSITIVE, _NOTHING, stative=True)

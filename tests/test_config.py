"""Reading plain values against annotations: what is accepted, what is refused, and in which words."""

from __future__ import annotations

import importlib
import re
import sys
from dataclasses import dataclass
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seq2seq.config import (
    SECONDS,
    THOUSANDS,
    Component,
    Duration,
    Layers,
    PositiveInt,
    Probability,
    Range,
    Width,
    parse,
    without_unit,
)
from seq2seq.encoders.base import Encoder
from seq2seq.errors import ConfigError


class Engine:
    """A component."""

    def __init__(self, size: int, *, power: PositiveInt, kind: Literal["diesel", "electric"]) -> None:
        if power > 100:
            raise ConfigError(f"`power` must be at most 100, but is {power} instead")
        self.size, self.power, self.kind = size, power, kind


class Turbo(Engine):
    """Another component of the kind."""


class Broken:
    """Of no kind that anybody asks for."""


@dataclass(frozen=True)
class Wheel:
    """A section."""

    radius: float
    spare: bool


@dataclass(frozen=True)
class Car:
    """The whole."""

    engine: Component[Engine]
    wheel: Wheel
    doors: PositiveInt | None
    seats: Literal["auto", "all"] | PositiveInt | None
    rust: Probability
    service: Duration
    colours: tuple[str, ...]


HERE = __name__


def car(**changes: Any) -> dict[str, Any]:
    """Values that are right, but for ``changes``; a dotted key is written with two underscores."""
    values: dict[str, Any] = {
        "engine": {"_target_": f"{HERE}.Engine", "power": 50, "kind": "diesel"},
        "wheel": {"radius": 1, "spare": False},
        "doors": None,
        "seats": "auto",
        "rust": 0.25,
        "service": "2h",
        "colours": ["red"],
    }
    for key, value in changes.items():
        *path, last = key.split("__")
        node = values
        for part in path:
            node = node[part]
        node[last] = value
    return values


def mistakes(values: dict[str, Any], allowed: tuple[str, ...] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(Car, values, allowed=allowed)
    return caught.value.mistakes


def test_values_arrive_typed() -> None:
    read = parse(Car, car())
    assert read.wheel == Wheel(radius=1.0, spare=False)
    assert isinstance(read.wheel.radius, float)
    assert (read.doors, read.rust, read.service, read.colours) == (None, 0.25, 7200.0, ("red",))


def test_a_component_waits_for_its_sizes() -> None:
    engine = parse(Car, car()).engine(7)
    assert (engine.size, engine.power, engine.kind) == (7, 50, "diesel")


def test_a_subclass_may_stand_for_its_base() -> None:
    assert type(parse(Car, car(engine___target_=f"{HERE}.Turbo")).engine(1)) is Turbo


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"doors": 0}, "`doors` must be at least 1, but is 0 instead"),
        ({"doors": "many"}, "`doors` must be a number such as '8000', '8k', '2M', but is 'many' instead"),
        ({"doors": True}, "`doors` must be a whole number, but is True instead"),
        ({"doors": 2.0}, "`doors` must be a whole number, but is 2.0 instead"),
        (
            {"seats": "aut"},
            "`seats` must be a number such as '8000', '8k', '2M', or 'auto' or 'all', but is 'aut' instead; "
            "did you mean 'auto'?",
        ),
        ({"seats": 0}, "`seats` must be at least 1, or 'auto' or 'all', but is 0 instead"),
        ({"seats": 2.5}, "`seats` must be a whole number, or 'auto' or 'all', but is 2.5 instead"),
        ({"rust": 1}, "`rust` must be at least 0 and less than 1, but is 1.0 instead"),
        ({"rust": float("nan")}, "`rust` must be a finite number, but is nan instead"),
        ({"service": "soon"}, "`service` must be a number such as '90s', '15m', '2h', but is 'soon' instead"),
        ({"service": 0}, "`service` must be greater than 0, but is 0.0 instead"),
        ({"colours": "red"}, "`colours` must be a list, but is 'red' instead"),
        ({"colours": ["red", 3]}, "`colours[1]` must be text, but is 3 instead"),
        ({"wheel": 3}, "`wheel` must be a group of settings, but is 3 instead"),
        ({"wheel__spare": "no"}, "`wheel.spare` must be true or false, but is 'no' instead"),
        (
            {"wheel__radus": 1},
            "`wheel.radus` must be a setting of Wheel (radius, spare), but is unknown; did you mean 'wheel.radius'?",
        ),
        ({"engine": "Engine"}, "`engine` must be a group of settings, but is 'Engine' instead"),
        ({"engine__power": 0}, "`engine.power` must be at least 1, but is 0 instead"),
        (
            {"engine__kind": "diesl"},
            "`engine.kind` must be one of diesel, electric, but is 'diesl' instead; did you mean 'diesel'?",
        ),
        ({"engine__kind": 1}, "`engine.kind` must be one of diesel, electric, but is 1 instead"),
        ({"engine__size": 3}, "`engine.size` is given at run time and must not be set"),
        (
            {"engine__powr": 3},
            "`engine.powr` must be a setting of Engine (kind, power), but is unknown; did you mean 'engine.power'?",
        ),
        (
            {"engine___target_": "Engine"},
            "`engine._target_` must name a class as 'package.module.Class', but is 'Engine' instead",
        ),
        ({"engine___target_": 5}, "`engine._target_` must name a class as 'package.module.Class', but is 5 instead"),
        (
            {"engine___target_": f"{HERE}.Broken"},
            f"`engine._target_` must name a kind of Engine, but '{HERE}.Broken' is not one",
        ),
        (
            {"engine___target_": f"{HERE}.car"},
            f"`engine._target_` must name a kind of Engine, but '{HERE}.car' is not one",
        ),
        (
            {"speed": 3},
            "`speed` must be a setting of Car (colours, doors, engine, rust, seats, service, wheel), but is unknown",
        ),
    ],
)
def test_a_wrong_value_is_refused_in_these_words(changes: dict[str, Any], words: str) -> None:
    assert mistakes(car(**changes)) == [words]


@pytest.mark.parametrize("target", [f"{HERE}.Missing", "no_such_package.Engine", "os.path.no_such_thing"])
def test_a_class_that_cannot_be_imported_is_named(target: str) -> None:
    [words] = mistakes(car(engine___target_=target))
    assert words.startswith(f"`engine._target_` must name a class that can be imported, but '{target}' cannot: ")


@pytest.mark.parametrize(
    "target", ["..Engine", ".Engine", "a..b.Engine", "engine.", " .x", "os..path.X", "__main__.X"]
)
def test_no_spelling_of_a_class_gives_anything_but_a_message(target: str) -> None:
    [words] = mistakes(car(engine___target_=target))
    assert words.startswith("`engine._target_` must name a class")


def test_every_missing_value_is_named() -> None:
    values = car()
    del values["rust"], values["wheel"]["spare"], values["engine"]["kind"]
    found = mistakes(values)
    assert [re.findall("`(.*?)`", words)[0] for words in found] == ["engine.kind", "rust", "wheel.spare"]
    assert all("must have a value" in words and "is missing" in words for words in found)


def test_all_mistakes_are_reported_at_once_and_in_order() -> None:
    found = mistakes(car(doors=0, rust=2, wheel__spare=3, engine__kind="x"))
    assert [re.findall("`(.*?)`", words)[0] for words in found] == ["doors", "engine.kind", "rust", "wheel.spare"]


def test_a_refusal_of_the_class_itself_gets_the_path_of_its_key() -> None:
    engine = parse(Car, car(engine__power=101)).engine
    with pytest.raises(ConfigError) as caught:
        engine(1)
    assert caught.value.mistakes == ["`engine.power` must be at most 100, but is 101 instead"]


@pytest.mark.parametrize("allowed", [(), ("seq2seq",), ("seq2seq", "other")])
def test_a_class_outside_the_trusted_packages_is_not_even_imported(allowed: tuple[str, ...]) -> None:
    [words] = mistakes(car(engine___target_="no_such_package.Engine"), allowed)
    assert words.startswith("`engine._target_` must be in one of the packages ")
    assert all(package in words for package in allowed)
    assert "`allow_code`" in words


@pytest.mark.parametrize("target", ["seq2seqx.Engine", "os.seq2seq.Engine", "xseq2seq.optim.AdamW"])
def test_a_name_that_only_looks_trusted_is_not(target: str) -> None:
    [words] = mistakes(car(engine___target_=target), ("seq2seq",))
    assert "must be in one of the packages seq2seq, but" in words


def test_a_package_that_the_user_trusts_is_accepted() -> None:
    assert parse(Car, car(), allowed=("seq2seq", HERE)).engine(1).power == 50


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90.0),
        ("90s", 90.0),
        ("1.5m", 90.0),
        (" 2 h ", 7200.0),
        ("1d", 86400.0),
        ("1w", None),
        ("m", None),
        ("-1s", None),
        ("1m30s", None),
        ("", None),
    ],
)
def test_times_have_units(text: str, seconds: float | None) -> None:
    assert SECONDS.parse(text) == seconds


@given(st.integers(0, 10**6))
def test_thousands_and_millions_have_letters(number: int) -> None:
    assert THOUSANDS.parse(f"{number}k") == THOUSANDS.parse(f"{number}K") == number * 1000
    assert THOUSANDS.parse(f"{number}M") == number * 1_000_000
    assert THOUSANDS.parse(str(number)) == number


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        ("2k", 2000),
        ("2000", 2000),
        ("1M", 1_000_000),
        ("15m", 900),
        ("1.5h", 5400),
        (2000, 2000),
        (None, None),
        ("auto", "auto"),
        ("2 weeks", "2 weeks"),
        (["2k"], ["2k"]),
    ],
)
def test_a_number_is_the_same_however_it_is_written(value: Any, plain: Any) -> None:
    assert without_unit(value) == plain


@pytest.mark.parametrize("text", ["8.25k", "0.5k", "1M"])
def test_a_whole_number_may_be_written_with_a_fraction_of_a_thousand(text: str) -> None:
    assert parse(Car, car(doors=text)).doors == {"8.25k": 8250, "0.5k": 500, "1M": 1_000_000}[text]


@pytest.mark.parametrize("text", ["0.5", "1.0005k"])
def test_what_is_left_of_a_whole_number_must_be_whole(text: str) -> None:
    assert mistakes(car(doors=text)) == [
        f"`doors` must be a number such as '8000', '8k', '2M', but is '{text}' instead"
    ]


@given(low=st.floats(-5, 5), width=st.floats(0.5, 5), value=st.floats(-12, 12))
def test_a_range_holds_what_lies_between_its_ends(low: float, width: float, value: float) -> None:
    high = low + width
    assert (value in Range(low, high)) == (low <= value <= high)
    assert (value in Range(low, high, open_start=True, open_end=True)) == (low < value < high)
    assert low in Range(low, high)
    assert low not in Range(low, high, open_start=True)
    assert high not in Range(low, high, open_end=True)


@dataclass(frozen=True)
class Sizes:
    """A section of sizes."""

    layers: Layers
    width: Width


@pytest.mark.parametrize(
    ("name", "value"),
    [("layers", 1001), ("layers", 10**9), ("layers", 0), ("width", 10**12), ("width", "2M"), ("width", -1)],
)
def test_sizes_have_ends(name: str, value: object) -> None:
    sizes = {"layers": 1000, "width": "8k"}
    assert parse(Sizes, sizes) == Sizes(1000, 8000)
    with pytest.raises(ConfigError, match=f"`{name}` must be at least 1 and at most"):
        parse(Sizes, sizes | {name: value})


def test_a_number_beyond_all_others_is_refused() -> None:
    for value in (10**400, -(10**400), float("inf"), float("nan")):
        with pytest.raises(ConfigError, match=r"`wheel\.radius` must be a finite number"):
            parse(Car, car(wheel__radius=value))
    with pytest.raises(ConfigError, match="`doors` must be a number such as"):
        parse(Car, car(doors="9" * 400))


def test_a_value_of_many_characters_is_shown_by_its_beginning() -> None:
    with pytest.raises(ConfigError) as caught:
        parse(Car, {"doors": "9" * 10**6, "x\nerror: y": 1, **{f"z{number}": 1 for number in range(1000)}})
    assert len(caught.value.mistakes) < 50
    assert all(len(mistake) < 1000 and "\n" not in mistake for mistake in caught.value.mistakes)


@pytest.mark.parametrize("name", ["engines", "a..b", ".b", "a.", "a.b-c", "a.\0", "a." * 500 + "b", "a.b\n"])
def test_what_cannot_name_a_class_is_not_imported(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib, "import_module", None)
    with pytest.raises(ConfigError, match=r"_target_` must name a class as 'package\.module\.Class'"):
        parse(_OnlyEngine, {"engine": {"_target_": name}})


@pytest.mark.parametrize(
    "name", ["seq2seq.errors.os.system", "seq2seq.config.importlib.import_module", "seq2seq.model.nn.LSTM"]
)
def test_nothing_foreign_is_reached_through_a_module_of_ours(name: str) -> None:
    importlib.import_module("seq2seq.model")  # whose own libraries are no foreign ones
    before = set(sys.modules)
    with pytest.raises(ConfigError, match=r"_target_` must name a (class that can be imported|kind of)"):
        parse(_OnlyEngine, {"engine": {"_target_": name}}, allowed=("seq2seq",))
    assert {module for module in set(sys.modules) - before if not module.startswith("seq2seq")} == set()


@dataclass(frozen=True)
class _OnlyEngine:
    engine: Component[Encoder]


def test_a_class_that_leaves_its_work_to_others_is_none_to_build() -> None:
    with pytest.raises(ConfigError, match=r"must name a kind of Encoder, but .*\.Encoder' is not"):
        parse(_OnlyEngine, {"engine": {"_target_": "seq2seq.encoders.base.Encoder"}})

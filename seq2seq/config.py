"""Typed configuration: plain YAML values in, checked Python objects out.

There is one rule for every level. A mapping is read against the signature of a class: parameters give the
names and the types, the YAML file gives the values. Two kinds of class occur:

* a *section* is a frozen dataclass with a fixed place, such as ``trainer``; it is built at once; where the class is
  abstract, as that of ``search``, ``_target_`` names one of its kinds;
* a *component* is chosen by name with ``_target_``, such as ``encoder``; it becomes a :class:`Component`, which
  waits for the sizes known only at run time. Those are the positional parameters of the class; the
  keyword-only parameters are its hyper-parameters, and every one of them must have a value in the YAML file.

Nothing below this module sees OmegaConf. All mistakes of a configuration are reported together.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import math
import re
import sys
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Generic, Literal, TypeVar, Union

from seq2seq.errors import LONGEST_SHOWN, ConfigError, either, listing, plain_name, shown, suggest

T = TypeVar("T")

MOST_UNKNOWN = 20  # settings of one group that are named as unknown; nobody has mistyped more

Values = Mapping[str, Any]
"""A configuration as plain values: mappings, lists, text, numbers."""


@dataclass(frozen=True)
class Range:
    """Allowed numbers: ``low <= value <= high``, or ``value < high`` where ``open_end`` is set."""

    low: float = -math.inf
    high: float = math.inf
    open_start: bool = False
    open_end: bool = False

    def __contains__(self, value: float) -> bool:
        above = value > self.low if self.open_start else value >= self.low
        below = value < self.high if self.open_end else value <= self.high
        return above and below

    def __str__(self) -> str:
        parts = []
        if self.low > -math.inf:
            parts.append(f"{'greater than' if self.open_start else 'at least'} {self.low}")
        if self.high < math.inf:
            parts.append(f"{'less than' if self.open_end else 'at most'} {self.high}")
        return " and ".join(parts)


@dataclass(frozen=True, eq=False)
class Unit:
    """Suffixes a number may carry on the command line, each with its factor."""

    factors: Mapping[str, float]
    example: str

    def parse(self, text: str) -> float | None:
        """Return the number that ``text`` stands for, or None where it is not one."""
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*", text)
        if not match or (match[2] and match[2] not in self.factors):
            return None
        return float(match[1]) * (self.factors[match[2]] if match[2] else 1.0)


SECONDS = Unit({"s": 1, "m": 60, "h": 3600, "d": 86400}, "'90s', '15m', '2h'")
THOUSANDS = Unit({"k": 1e3, "K": 1e3, "M": 1e6}, "'8000', '8k', '2M'")


def without_unit(value: Any) -> Any:
    """Return 2000.0 for ``'2k'`` and 900.0 for ``'15m'``, so that equal numbers are equal however they are written.

    No letter is a unit of both kinds, so the kind of setting need not be known. Any other value stays as it is.
    """
    numbers = [unit.parse(value) for unit in (THOUSANDS, SECONDS)] if isinstance(value, str) else []
    return next((number for number in numbers if number is not None), value)


# Sizes have ends, for a stranger's checkpoint may ask for any. A thousand layers have been trained (Wang et al.
# 2022); a square matrix of the greatest width takes four terabytes.
PositiveInt = Annotated[int, Range(low=1), THOUSANDS]
Layers = Annotated[int, Range(low=1, high=1000)]
Width = Annotated[int, Range(low=1, high=2**20), THOUSANDS]
NonNegativeInt = Annotated[int, Range(low=0), THOUSANDS]
PositiveFloat = Annotated[float, Range(low=0, open_start=True)]
NonNegativeFloat = Annotated[float, Range(low=0)]
Probability = Annotated[float, Range(low=0, high=1, open_end=True)]
Fraction = Annotated[float, Range(low=0, high=1)]
Duration = Annotated[float, Range(low=0, open_start=True), SECONDS]


@dataclass(frozen=True)
class Component(Generic[T]):
    """A class and its hyper-parameters, waiting for the arguments known only at run time."""

    target: type[T]
    settings: Mapping[str, Any]
    path: str = ""

    def __call__(self, *runtime: Any) -> T:
        """Build the object.

        Raises:
            ConfigError: the class refuses its values; the message gets the key path of this component.
        """
        try:
            return self.target(*runtime, **self.settings)
        except ConfigError as error:
            raise ConfigError([_prefixed(self.path, mistake) for mistake in error.mistakes]) from None


def _is_dotted(name: Any) -> bool:
    """Return whether a value can be the full name of a class; to import whatever else would be asking for trouble."""
    parts = name.split(".") if isinstance(name, str) and len(name) <= LONGEST_SHOWN else []
    return len(parts) > 1 and all(part.isidentifier() for part in parts)


def _prefixed(path: str, mistake: str) -> str:
    """Turn "`x` must be" into "`path.x` must be" where the message begins with a bare name."""
    name = mistake[1:].partition("`")[0] if mistake.startswith("`") else ""
    return f"`{path}.{mistake[1:]}" if path and name and "." not in name else mistake


@dataclass
class _Reader:
    """Reads values against annotations and collects the mistakes on the way."""

    allowed: tuple[str, ...] | None
    mistakes: list[str] = field(default_factory=list)

    def refuse(self, message: str) -> Any:
        """Note a mistake; returns None, so that a reader can end with ``return self.refuse(...)``."""
        self.mistakes.append(message)
        return None

    def value(self, annotation: Any, value: Any, path: str) -> Any:
        """Return ``value`` as ``annotation`` asks, or note a mistake and return None."""
        origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
        if annotation is Any:
            return value
        if value == "???":  # OmegaConf's sign for a value that only the user can give
            return self.refuse(f"`{path}` must be given, as {path}=VALUE")
        if origin is Annotated:
            return self.annotated(arguments[0], arguments[1:], value, path)
        if origin in (Union, types.UnionType):
            return self.union(arguments, value, path)
        if origin is Literal:
            if value in arguments and type(value) in {type(choice) for choice in arguments}:
                return value
            choices = [str(choice) for choice in arguments]
            near = suggest(str(value), choices)
            return self.refuse(f"`{path}` must be one of {listing(choices)}, but is {shown(value)} instead{near}")
        if origin is Component:
            return self.component(arguments[0], value, path)
        if origin is Mapping:
            node, kind = self.mapping(value, path) or {}, arguments[1]
            return {str(name): self.value(kind, item, f"{path}.{plain_name(name)}") for name, item in node.items()}
        if origin in (tuple, Sequence):
            if isinstance(value, str) or not isinstance(value, Sequence):
                return self.refuse(f"`{path}` must be a list, but is {shown(value)} instead")
            kinds = arguments if origin is tuple and ... not in arguments else arguments[:1] * len(value)
            if len(value) != len(kinds):
                return self.refuse(f"`{path}` must have {len(kinds)} values, but is {shown(value)} instead")
            return tuple(
                self.value(kind, item, f"{path}[{i}]")
                for i, (kind, item) in enumerate(zip(kinds, value, strict=True))
            )
        if dataclasses.is_dataclass(annotation) and isinstance(annotation, type):
            return self.section(annotation, value, path)
        return self.plain(annotation, value, path)

    def annotated(self, kind: Any, notes: Sequence[Any], value: Any, path: str) -> Any:
        unit = next((note for note in notes if isinstance(note, Unit)), None)
        if unit and isinstance(value, str):
            parsed = unit.parse(value)
            if parsed is None or not math.isfinite(parsed) or (kind is int and parsed != int(parsed)):
                return self.refuse(f"`{path}` must be a number such as {unit.example}, but is {shown(value)} instead")
            value = int(parsed) if kind is int else parsed
        before = len(self.mistakes)
        value = self.value(kind, value, path)
        if len(self.mistakes) == before:
            for note in notes:
                if isinstance(note, Range) and value not in note:
                    self.refuse(f"`{path}` must be {note}, but is {shown(value)} instead")
        return value

    def union(self, kinds: Sequence[Any], value: Any, path: str) -> Any:
        if value is None and type(None) in kinds:
            return None
        kinds = [kind for kind in kinds if kind is not type(None)]
        attempts = []
        for kind in kinds:
            attempt = _Reader(self.allowed)
            result = attempt.value(kind, value, path)
            if not attempt.mistakes:
                return result
            attempts.append(attempt.mistakes)
        # The last kind of a union is its general case, so its message is the most useful one; names come on top.
        names = [str(name) for kind in kinds if typing.get_origin(kind) is Literal for name in typing.get_args(kind)]
        general, end = attempts[-1], ", but is "
        if names and typing.get_origin(kinds[-1]) is not Literal:
            words = f", or {either([repr(name) for name in names])}{end}"
            general = [mistake.replace(end, words, 1) + suggest(str(value), names) for mistake in general]
        self.mistakes.extend(general)
        return None

    def plain(self, kind: Any, value: Any, path: str) -> Any:
        if kind is float and isinstance(value, (int, float)) and not isinstance(value, bool):
            if abs(value) <= sys.float_info.max:  # as a whole number may be larger than any other
                return float(value)
        elif isinstance(kind, type) and isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
            return value
        names = {int: "a whole number", float: "a finite number", bool: "true or false", str: "text"}
        wanted = names.get(kind, getattr(kind, "__name__", str(kind)))
        return self.refuse(f"`{path}` must be {wanted}, but is {shown(value)} instead")

    def mapping(self, value: Any, path: str) -> Mapping[str, Any] | None:
        if isinstance(value, Mapping):
            return value
        self.refuse(f"`{path}` must be a group of settings, but is {shown(value)} instead")
        return None

    def section(self, cls: type, value: Any, path: str) -> Any:
        node = self.mapping(value, path)
        if node is None:
            return None
        if inspect.isabstract(cls):
            cls = self.target(node.get("_target_"), cls, f"{path}._target_")
            if cls is None:
                return None
            node = {key: item for key, item in node.items() if key != "_target_"}
        hints = typing.get_type_hints(cls, include_extras=True)
        before = len(self.mistakes)
        settings = self.settings({f.name: hints[f.name] for f in dataclasses.fields(cls)}, node, path, cls.__name__)
        if len(self.mistakes) > before:
            return None
        try:
            return cls(**settings)
        except ConfigError as error:  # a rule that spans several fields
            self.mistakes.extend(_prefixed(path, mistake) for mistake in error.mistakes)
            return None

    def component(self, base: type, value: Any, path: str) -> Any:
        node = self.mapping(value, path)
        if node is None:
            return None
        target = self.target(node.get("_target_"), base, f"{path}._target_")
        if target is None:
            return None
        hints = typing.get_type_hints(typing.cast(Any, target).__init__, include_extras=True)
        parameters = list(inspect.signature(target).parameters.values())
        runtime = {p.name for p in parameters if p.kind is not p.KEYWORD_ONLY}
        given = {key: item for key, item in node.items() if key != "_target_"}
        for name in sorted(runtime & given.keys()):
            self.refuse(f"`{path}.{name}` is given at run time and must not be set")
            del given[name]
        wanted = {p.name: hints[p.name] for p in parameters if p.kind is p.KEYWORD_ONLY}
        return Component(target, self.settings(wanted, given, path, target.__name__), path)

    def settings(self, wanted: Mapping[str, Any], given: Mapping[str, Any], path: str, owner: str) -> dict[str, Any]:
        join = f"{path}." if path else ""
        unknown = sorted(given.keys() - wanted.keys(), key=str)
        for name in unknown[:MOST_UNKNOWN]:
            end = f"but is unknown{suggest(str(name), wanted, above=join)}"
            self.refuse(f"`{join}{plain_name(name)}` must be a setting of {owner} ({listing(wanted)}), {end}")
        if len(unknown) > MOST_UNKNOWN:
            self.refuse(f"`{path}` must have settings of {owner} only, but {len(unknown)} are unknown")
        for name in wanted.keys() - given.keys():
            self.refuse(f"`{join}{name}` must have a value, because {owner} needs it, but is missing")
        return {name: self.value(wanted[name], given[name], join + name) for name in wanted if name in given}

    def target(self, name: Any, base: type, path: str) -> Any:
        if not _is_dotted(name):
            return self.refuse(f"`{path}` must name a class as 'package.module.Class', but is {shown(name)} instead")
        if self.allowed is not None and not any(name.startswith(f"{package}.") for package in self.allowed):
            return self.refuse(
                f"`{path}` must be in one of the packages {listing(self.allowed)}, but is {shown(name)} instead; "
                "if you trust that code, add its package to `allow_code`"
            )
        module_name, _, class_name = name.rpartition(".")
        try:
            found = getattr(importlib.import_module(module_name), class_name)
        except (ImportError, AttributeError, ValueError, TypeError, OSError) as error:
            return self.refuse(f"`{path}` must name a class that can be imported, but {shown(name)} cannot: {error}")
        if not (isinstance(found, type) and issubclass(found, base)) or inspect.isabstract(found):
            return self.refuse(f"`{path}` must name a kind of {base.__name__}, but {shown(name)} is not one")
        return found


def parse(cls: type[T], values: Values, *, allowed: Sequence[str] | None = None) -> T:
    """Read ``values`` into the dataclass ``cls``.

    Args:
        cls: the section that describes the whole configuration.
        values: plain mappings, lists and scalars, as read from YAML or JSON.
        allowed: where given, ``_target_`` may only name classes of these packages.

    Raises:
        ConfigError: holds every mistake found, each with its key path.
    """
    reader = _Reader(None if allowed is None else tuple(allowed))
    result = reader.section(cls, values, "")
    if reader.mistakes:
        raise ConfigError(sorted(reader.mistakes))
    return typing.cast(T, result)

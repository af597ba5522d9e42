"""What is wrong with overrides, and what would do: from Hydra's refusals to words.

Nothing here knows a part by name. What can be chosen, and where, is read from the files and the defaults lists.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import hydra
from hydra._internal.utils import get_args_parser as hydra_arguments
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from seq2seq.commandline.composed import (
    HYDRA_ERRORS,
    RUNS,
    Composed,
    Groups,
    dotted,
    full_key,
    key_paths,
    place_of,
    runs,
    value_of,
    value_text,
)
from seq2seq.config import parse
from seq2seq.errors import ConfigError, either, listing, suggest
from seq2seq.spelling import CONFIGS, TARGET

MOST_PLACES = 3
"""Places elsewhere in which a setting of the same name is worth mentioning."""


@dataclass(frozen=True)
class Explainer:
    """Explains the overrides of one command.

    Attributes:
        name: its primary configuration.
        schema: the dataclass that is read from it.
        groups: what can be chosen.
    """

    name: str
    schema: type[Any]
    groups: Groups

    def before(self, override: Override, now: Composed) -> str | None:
        """Say what is wrong with an override that Hydra takes, but that cannot be meant; None where nothing is."""
        if override.is_delete():
            return None
        key, value = full_key(override), value_of(override)
        if found := self.not_added(override, now):
            return found
        held = now.at(key)
        if isinstance(held, list) and not isinstance(value, list):
            return not_a_list(key, value_text(override))
        if isinstance(held, Mapping) and not isinstance(value, dict) and key not in now.choices:
            return self.not_a_group(key, value, now)
        return None

    def not_added(self, override: Override, now: Composed) -> str | None:
        """Say how to add a part under a name of the user's own, where there is room for any number of them."""
        key, value = override.key_or_group, value_of(override)
        path = override.package or key
        room = path.rpartition(".")[0]
        group = key if override.package else room.partition(".")[0]
        if not isinstance(now.at(room), Mapping) or TARGET in now.at(room) or TARGET not in (now.at(group) or {}):
            return None
        if path in now.keys or isinstance(value, dict) or (override.is_add() and override.package):
            return None
        names = self.groups.options(group)
        near = "" if value in names else f", where NAME must be one of {listing(names)}{suggest(str(value), names)}"
        written = value if value in names else "NAME"
        return f"`{path}` must be added before it can be set; write `+{group}@{path}={written}`{near}"

    def not_a_group(self, key: str, value: Any, now: Composed) -> str | None:
        """Say how the settings at ``key`` are chosen by name, if they are."""
        roads = self.roads(key, None, value, now)
        return f"`{key}` must be chosen by name; {roads}" if roads else None

    def after(self, override: Override, reason: Exception, now: Composed) -> str:
        """Say what is wrong with an override that Hydra refuses."""
        key, value = full_key(override), value_of(override)
        if key in now.choices:
            return self.not_an_option(key, value)
        elsewhere = self.of_runs(override, now)
        if elsewhere:
            return elsewhere
        roads = self.roads(override.key_or_group, override.package, value, now)
        if roads:
            return f"`{key}` must be a known setting, but there is none of that name; {roads}"
        known = [*now.keys, *now.choices]
        if key in known:
            return f"`{key}`: {first_line(reason)}"
        return self.unknown(key, known, now)

    def not_an_option(self, spelling: str, value: Any) -> str:
        """Say what can be chosen instead of ``value``."""
        group = spelling.partition("@")[0]
        names = self.groups.options(group)
        given = "null" if value is None else repr(str(value))
        near = "" if value is None else suggest(str(value), names) or self.by_author(group, str(value))
        return f"`{spelling}` must be one of {listing(names)}, but is {given} instead{near}"

    def by_author(self, group: str, word: str) -> str:
        """Suggest what a word is another name of, or who has written of it, such as ``luong``."""
        found = [repr(name) for name in self.groups.known_as(group, word)]
        return f"; did you mean {either(found)}?" if found else ""

    def of_runs(self, override: Override, now: Composed) -> str | None:
        """Say where a setting belongs that a training run has and this command has not."""
        names = {field.name for field in fields(self.schema)}
        if self.name == RUNS or not {"checkpoint", "overrides"} & names:
            return None
        run, key = runs(), full_key(override)
        roads = self.ways(override.key_or_group, override.package, run)
        known = key in run.keys or key in run.choices
        if not (known or roads or key.partition(".")[0] in run.values) or key in now.choices:
            return None
        if key.partition(".")[0] in now.values:
            return None
        if "checkpoint" in names:
            last = key.rpartition(".")[2]
            near = f"; did you mean '{last}'?" if last in now.values and last != key else ""
            return f"the checkpoint decides `{key}`; it cannot be changed here{near}"
        value = value_text(override)
        spelled = key if known and key not in run.places else roads[0] if len(roads) == 1 else key
        group = spelled.partition("@")[0]
        text = f"{spelled}={value}"
        if f"{group}s" in names:
            return f"`{key}` must be left to the comparison; give `{group}s=[{value}]`"
        row = f"; for one row give attentions=[...]: 'attentions=[\"dot {text}\"]'" if "attention" in spelled else ""
        return (
            f"`{key}` must be given to the runs, not here; "
            f"put settings of the runs into overrides: 'overrides=[\"{text}\"]'{row}"
        )

    def roads(self, group: str, package: str | None, value: Any, now: Composed) -> str:
        """Say how to write what a spelling of a group may have meant; empty where it cannot have meant one."""
        spellings = self.ways(group, package, now)
        if not spellings:
            return ""
        names = {name for spelling in spellings for name in self.groups.options(spelling.partition("@")[0])}
        written = either([f"`{spelling}={value if value in names else 'NAME'}`" for spelling in spellings])
        path = dotted(package or group)
        last = path.rpartition(".")[2]
        whole = any(spelling.partition("@")[0].rpartition("/")[2] == last for spelling in spellings)
        verb = "write" if whole or path in now.places or package else f"choose the {last} with"
        if value in names:
            return f"{verb} {written}"
        near = "" if value is None else suggest(str(value), names)
        given = "null" if value is None else repr(value)
        return f"{verb} {written}, where NAME must be one of {listing(names)}, but is {given} instead{near}"

    def ways(self, group: str, package: str | None, now: Composed) -> list[str]:
        """Return the spellings of all places that a wrong spelling may have meant."""
        path, places = dotted(package or group), now.places
        same = {place: spelled for place, spelled in places.items() if spelled.partition("@")[0] == group}
        inside = [spelled for place, spelled in same.items() if package and place.startswith(f"{path}.")]
        if inside or path in places:
            return inside if path not in same and inside else [places[path]]
        if package is not None:
            return sorted(same.values(), key=len)
        above, _, last = path.rpartition(".")
        named = [spelled for spelled in places.values() if spelled.partition("@")[0].rpartition("/")[2] == last]
        if named and path not in now.keys:
            inside = [spelled for spelled in named if above and place_of(spelled).startswith(f"{above}.")]
            return sorted(inside or named, key=len)
        # A part that has no files of its own is chosen with the part around it.
        parts = [key for key in now.keys if key == path or (not above and key.endswith(f".{last}"))]
        around = [now.place_above(key) for key in parts if isinstance(now.at(key), Mapping) and TARGET in now.at(key)]
        return [places[place] for place in around if place is not None]

    def unknown(self, key: str, known: Sequence[str], now: Composed) -> str:
        """Say what is known instead of a key."""
        parent, _, name = key.rpartition(".")
        beside = [path.rpartition(".")[2] for path in known if path.rpartition(".")[0] == parent]
        beside = [setting for setting in beside if setting != TARGET]
        words = f"`{key}` must be a known setting, but "
        place = now.place_above(key)
        if place is not None:
            spelling = now.places[place]
            group, rest = spelling.partition("@")[0], key.removeprefix(f"{place}.")
            deeper = [path for path in now.keys if path.startswith(f"{place}.") and path.endswith(f".{rest}")]
            if parent == place and deeper:
                return f"{words}`{spelling}={now.choices[spelling]}` has it further inside; write {either(deeper)}"
            others = [
                one for one in self.groups.options(group) if rest in key_paths(self.groups.settings(group, one))
            ]
            if others:
                chosen = f"`{spelling}={now.choices[spelling]}`"
                only = f"only `{spelling}={others[0]}` has it"
                way = only if len(others) == 1 else f"choose {either([f'`{spelling}={one}`' for one in others])}"
                if parent != place:
                    return f"{words}{chosen} has none of that name; {way}"
                has = f"has only {listing(beside)}" if beside else "has no settings"
                return f"{words}{chosen} {has}; {way}"
        there = f"; {parent} has {listing(beside)}" if parent and beside else suggest(key, known)
        elsewhere = [repr(path) for path in known if path.rpartition(".")[2] == name]
        if 0 < len(elsewhere) <= MOST_PLACES:
            return f"{words}there is none of that name; did you mean {either(elsewhere)}?"
        near = suggest(name, beside, above=f"{parent}." if parent else "")
        return f"{words}there is none of that name{near or there}"


def explain(error: Exception, name: str, schema: type[Any], arguments: Sequence[str]) -> ConfigError:
    """Find every override that cannot be used, and say of each what would do.

    Hydra stops at its first error, so the overrides are tried again one after the other, groups first.

    Args:
        error: what was raised, by Hydra or by reading what it composed.
        name: the primary configuration.
        schema: the dataclass that is read from it.
        arguments: the command line, Hydra's own options included.
    """
    parser = hydra_arguments().parse_args(list(arguments))
    groups = Groups.of(arguments)
    explainer = Explainer(name, schema, groups)
    mistakes: list[str] = []
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(CONFIGS), version_base="1.3"):
        good = groups.override
        now = Composed.of(name, good)
        overrides: list[Override] = []
        for text in parser.overrides:
            try:
                overrides += OverridesParser.create().parse_overrides([text])
            except HydraException:
                mistakes.append(unreadable(text, explainer, now))
        # Groups come first, as Hydra takes them, whatever their order.
        for override in sorted(
            each_value(overrides, parser.multirun), key=lambda one: full_key(one) not in now.choices
        ):
            text = str(override.input_line)
            if override.is_sweep_override() and not parser.multirun:
                mistakes.append(several_values(override, now))
                continue
            found = explainer.before(override, now)
            if found is None:
                try:
                    then = Composed.of(name, [*good, text])
                except HYDRA_ERRORS as reason:
                    found = explainer.after(override, reason, now)
                else:
                    key = full_key(override)
                    if key in now.choices and place_of(key) in now.values and place_of(key) not in then.values:
                        found = explainer.not_an_option(key, None)
            if found is None:
                good.append(text)
                now = then
            else:
                mistakes.append(found)
        try:
            parse(schema, now.values)
        except ConfigError as further:
            mistakes += further.mistakes
    if not mistakes:
        mistakes = error.mistakes if isinstance(error, ConfigError) else [first_line(error)]
    return ConfigError(list(dict.fromkeys(mistakes)))


def unreadable(text: str, explainer: Explainer, now: Composed) -> str:
    """Say what is wrong with an override that Hydra cannot read."""
    found = re.fullmatch(r"[+]*([\w/.]+)(?:@([\w/.]+))?=(.*)", text)
    if found:
        key, package, value = found.groups()
        if isinstance(now.at(key), list) and not value.startswith("["):
            return not_a_list(key, value)
        roads = explainer.roads(key, package, value, now) if package else ""
        if roads:
            return f"`{key}@{package}` must be a known group; {roads}"
    return f"the override {text!r} must be KEY=VALUE; quote values with spaces or signs: 'key=\"a b\"'"


def several_values(override: Override, now: Composed) -> str:
    """Say what to do with several values where only one is allowed."""
    key = full_key(override)
    if isinstance(now.at(key), list):
        return not_a_list(key, value_text(override))
    return f"`{override.input_line}` must have one value; put -m before the overrides to run several in turn"


def not_a_list(key: str, value: str) -> str:
    """Say how a list is written."""
    quoted = value if re.fullmatch(r"[\w.,+-]+", value) else '"' + value.strip("\"'") + '"'
    return f"`{key}` must be a list, but is {value} instead; write '{key}=[{quoted}]'"


def each_value(overrides: Sequence[Override], multirun: bool) -> list[Override]:
    """Return the overrides, in a multirun with each value of a sweep as an override of its own."""
    if not multirun:
        return list(overrides)
    texts = []
    for override in overrides:
        if override.is_interval_sweep():
            continue  # of which only a sweeper knows the values
        if override.is_sweep_override():
            texts += [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]
        else:
            texts.append(str(override.input_line))
    return OverridesParser.create().parse_overrides(texts)


def first_line(error: Exception) -> str:
    """Return the first line of an error's message."""
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__

"""Overrides that are right but change nothing, or less than they seem to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser

from seq2seq.commandline.composed import Composed, Groups, full_key, key_paths, place_of, value_of
from seq2seq.errors import either


def unheeded(overrides: Sequence[str], now: Composed, groups: Groups, unused: Mapping[str, str]) -> list[str]:
    """Say of each override that is right but changes nothing, or not all that it seems to, why that is.

    Args:
        overrides: as they were typed.
        now: what they have composed.
        groups: what could be chosen.
        unused: sections and single settings that there is no use for, and why.
    """
    given = OverridesParser.create().parse_overrides(list(overrides))
    keys = {full_key(override) for override in given}
    winners = [
        f"`{spelling}={name}`"
        for spelling, name in now.choices.items()
        if name and now.at(place_of(spelling)) is None
    ]
    found = []
    for override in given:
        key, value = full_key(override), value_of(override)
        place = place_of(key)
        if useless := next((name for name in unused if f"{place}.".startswith(f"{name}.")), None):
            found.append(f"`{key}` has no effect, because {unused[useless]}")
        elif (
            winners
            and key in now.choices
            and isinstance(now.at(place), Mapping)
            and value in groups.options(key.partition("@")[0])
        ):
            chosen = groups.settings(key.partition("@")[0], value)
            for name in key_paths(chosen):
                own, got, setting = Composed(chosen, {}).at(name), now.at(f"{place}.{name}"), f"{place}.{name}"
                if setting not in keys and not isinstance(own, Mapping) and own != got:
                    found.append(
                        f"`{setting}` is {got}, as {either(winners)} has it, not {own} as in `{key}={value}`; "
                        f"give {setting}={own} for that"
                    )
    return found

"""From a setting to what one writes on the command line for it, read from the files in ``configs/``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from seq2seq.config import Values, without_unit

CONFIGS = Path(__file__).resolve().parent.parent / "configs"

TARGET = "_target_"


def spelling(group: str, place: str) -> str:
    """Return how a group is chosen for a place: ``attention/window``, or with ``@`` where it is not its own place."""
    return group if place == group.replace("/", ".") else f"{group}@{place}"


def choice(key: str, target: object) -> tuple[str, str] | None:
    """Return the spelling and the name that give a class, or None where no file in ``configs/`` names that class.

    Args:
        key: where the class stands, such as ``self_attention.score._target_``.
        target: its full name.
    """
    named = re.compile(rf"^( *){TARGET}: {re.escape(str(target))}$", re.MULTILINE)
    for path in sorted(CONFIGS.glob("*/**/*.yaml")):
        if found := named.search(path.read_text(encoding="utf-8")):
            group = path.parent.relative_to(CONFIGS).as_posix()
            above = key.split(".")[:-1]
            # A class that stands further inside a file, such as a score, is chosen with the part around it.
            place = above[: group.count("/") + 1] if found[1] else above
            return spelling(group, ".".join(place)), path.stem
    return None


def options(group: str, folders: Sequence[Path] = (CONFIGS,)) -> list[str]:
    """Return the names to choose from in a group of settings, from all folders that hold such groups."""
    return sorted({path.stem for folder in folders for path in (folder / group).glob("*.yaml")})


def changes(before: Values, now: Values, keys: Iterable[str]) -> list[tuple[str, str, str]]:
    """Return what has changed among these dotted keys: how it is spelled, what it was and what it is.

    What another class brings along is left out: it is enough to be told of the class. ``2k`` is the same as ``2000``.

    Args:
        before: every setting by its dotted key, as it was.
        now: the same, as it is.
        keys: those to look at.
    """
    changed = [key for key in sorted(keys) if without_unit(before.get(key)) != without_unit(now.get(key))]
    parts = tuple(key.removesuffix(TARGET) for key in changed if key.endswith(f".{TARGET}"))
    found = []
    for key in changed:
        if key.startswith(parts) and not key.endswith(TARGET):
            continue
        name, was, given = key, _written(before.get(key)), _written(now.get(key))
        if key.endswith(f".{TARGET}"):
            spelled = choice(key, before.get(key)), choice(key, now.get(key))
            if spelled[0] and spelled[1]:
                (name, was), given = spelled[0], spelled[1][1]
        found.append((name, was, given))
    return found


def differences(before: Values, now: Values, keys: Iterable[str], began: str) -> list[str]:
    """Say of each of these dotted keys whose value has changed what it must be; see :func:`changes`.

    Args:
        before: every setting by its dotted key, as it was.
        now: the same, as it is.
        keys: those that must not change.
        began: what it was before, such as a run folder.
    """
    return [
        f"`{name}` must be {was}, as it was when {began} began, but is {given} instead"
        for name, was, given in changes(before, now, keys)
    ]


def _written(value: Any) -> str:
    return "null" if value is None else repr(value)

"""What Hydra composes: values, what was chosen for them, and the files that could be chosen."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import hydra
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.utils import get_args_parser as hydra_arguments
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, QuotedString
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from seq2seq.spelling import CONFIGS, TARGET, options

# What Hydra raises for a bad override: its own errors, OmegaConf's, and a ValueError for a group set to a number.
HYDRA_ERRORS = (HydraException, OmegaConfBaseException, ValueError)

RUNS = "train"
"""The command that trains: what it has and another command lacks is decided by a checkpoint, or given to runs."""


def plain(config: DictConfig) -> dict[str, Any]:
    """Return a configuration as plain values, every interpolation resolved."""
    return _container(config, resolve=True)


def _container(config: Any, *, resolve: bool) -> dict[str, Any]:
    values = OmegaConf.to_container(config, resolve=resolve)
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


def own_choices(choices: Mapping[str, str | None]) -> dict[str, str | None]:
    """Return the choices that are ours, not Hydra's own."""
    return {spelling: name for spelling, name in choices.items() if not spelling.startswith("hydra/")}


@dataclass(frozen=True)
class Composed:
    """A configuration and what was chosen for it.

    Attributes:
        values: every setting.
        choices: by spelling, such as ``attention/window@self_attention.window``, the name chosen.
    """

    values: Mapping[str, Any]
    choices: Mapping[str, str | None]

    @classmethod
    def of(cls, name: str, overrides: Sequence[str]) -> Composed:
        """Compose a primary configuration. Hydra must be initialised."""
        config = hydra.compose(name, list(overrides), return_hydra_config=True)
        chosen = own_choices(config.hydra.runtime.choices)
        with open_dict(config):
            del config["hydra"]
        return cls(plain(config), chosen)

    @property
    def places(self) -> dict[str, str]:
        """Every dotted key whose settings are chosen by name, with the spelling that chooses them."""
        return {place_of(spelling): spelling for spelling in self.choices}

    @property
    def keys(self) -> list[str]:
        """The dotted path of every setting and of every group of settings."""
        return key_paths(self.values)

    def at(self, key: str) -> Any:
        """Return the value of a dotted key; None where there is none."""
        value: Any = self.values
        for part in key.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        return value

    def place_above(self, key: str) -> str | None:
        """Return the innermost place that a setting belongs to."""
        above = [place for place in self.places if key.startswith(f"{place}.")]
        return max(above, key=len, default=None)


@dataclass(frozen=True)
class Groups:
    """The files that groups of settings are chosen from.

    Attributes:
        folders: where groups lie, our own first.
    """

    folders: Sequence[Path]

    @classmethod
    def of(cls, arguments: Sequence[str]) -> Groups:
        """Return the groups of a command line, which may add a folder with ``--config-dir``."""
        added = hydra_arguments().parse_args(list(arguments)).config_dir
        return cls([CONFIGS, *([Path(added).resolve()] if added else [])])

    @property
    def override(self) -> list[str]:
        """What Hydra has to be told to find the files of an added folder."""
        return [f"hydra.searchpath=[{','.join(map(str, self.folders[1:]))}]"]

    def options(self, group: str) -> list[str]:
        """Return the names to choose from in a group."""
        return options(group, self.folders)

    def file(self, group: str, name: str) -> Path:
        """Return the file of a choice."""
        return next(path for folder in self.folders if (path := folder / group / f"{name}.yaml").is_file())

    def settings(self, group: str, name: str) -> dict[str, Any]:
        """Return what a choice sets, what it takes over from others of its group included."""
        own = OmegaConf.load(self.file(group, name))
        assert isinstance(own, DictConfig)
        above = [one for one in own.pop("defaults", []) if isinstance(one, str) and one != "_self_"]
        parts: list[dict[str, Any]] = []
        for one in above:
            base, _, place = one.partition("@")  # ``files@corpora.books``: settings of files, at corpora.books
            part = self.settings(group, base)
            for key in reversed(place.split(".") if place else []):
                part = {key: part}
            parts.append(part)
        # Interpolations stay as they are written: what they lead to is not here.
        return _container(OmegaConf.merge(*parts, own), resolve=False)

    def known_as(self, group: str, word: str) -> list[str]:
        """Return the choices whose first comment, which names author and other names, has a word."""
        heads = {
            name: self.file(group, name).read_text(encoding="utf-8").partition("\n")[0].partition(":")[0]
            for name in self.options(group)
        }
        return [
            name
            for name, head in heads.items()
            if word.isalpha() and head.startswith("#") and re.search(rf"\b{word}\b", head, re.IGNORECASE)
        ]


def jobs(name: str, arguments: Sequence[str]) -> list[list[str]]:
    """Return the overrides of every job of a command line with ``-m``, as Hydra's own sweeper runs them.

    Hydra must be initialised.

    Args:
        name: the primary configuration.
        arguments: the command line, Hydra's own options included.

    Returns:
        none where there is nothing to sweep over, or where only Hydra can say what there is.
    """
    options = hydra_arguments().parse_args(list(arguments))
    others = (options.config_name, options.config_path, options.cfg, options.info, options.help, options.hydra_help)
    if any(others):
        return []
    parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())  # which glob() asks
    try:
        given = parser.parse_overrides(options.overrides)
        fixed = [str(override.input_line) for override in given if not override.is_sweep_override()]
        sweeper = hydra.compose(
            name, [*Groups.of(arguments).override, *fixed], return_hydra_config=True
        ).hydra.sweeper
        if sweeper[TARGET] != f"{BasicSweeper.__module__}.{BasicSweeper.__name__}":
            return []
        swept = [f"{key}={value}" for key, value in (sweeper.params or {}).items()]
        found = BasicSweeper.split_arguments(parser.parse_overrides(swept) + given, None)
    except (*HYDRA_ERRORS, AttributeError):
        return []  # Hydra meets it too, and then it is explained
    return found[0]


@cache
def runs() -> Composed:
    """Return what a training run is made of. Hydra must be initialised."""
    return Composed.of(RUNS, [])


def full_key(override: Override) -> str:
    """Return the key of an override with its package."""
    return override.key_or_group if override.package is None else f"{override.key_or_group}@{override.package}"


def dotted(path: str) -> str:
    """``attention/window`` -> ``attention.window``."""
    return path.replace("/", ".")


def place_of(spelling: str) -> str:
    """Return the dotted key whose settings a spelling chooses."""
    group, _, package = spelling.partition("@")
    return package or dotted(group)


def key_paths(values: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Return the dotted path of every key."""
    paths = []
    for key, value in values.items():
        paths.append(prefix + key)
        if isinstance(value, Mapping):
            paths += key_paths(value, f"{prefix}{key}.")
    return paths


def value_of(override: Override) -> Any:
    """Return the value of an override; quotes do not matter."""
    value = None if override.is_delete() else override.value()
    return value.text if isinstance(value, QuotedString) else value


def value_text(override: Override) -> str:
    """Return the value of an override as it was typed."""
    return str(override.input_line).partition("=")[2]

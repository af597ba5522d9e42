"""The bridge from Hydra's command line to typed configurations, and from mistakes to clear words."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from seq2seq.config import parse
from seq2seq.errors import ConfigError, UserError, listing, suggest

T = TypeVar("T")

CONFIGS = Path(__file__).resolve().parent.parent / "configs"

USER_MISTAKE = 2
"""Exit status for anything the user can mend."""


def command(name: str, schema: type[T]) -> Callable[[Callable[[T, Mapping[str, Any]], object]], Callable[[], None]]:
    """Make a command-line program of a function.

    Args:
        name: the primary configuration, ``configs/<name>.yaml``.
        schema: the dataclass that it is read into.

    Returns:
        a decorator. The function gets the typed configuration and the same as plain values.
    """

    def decorate(function: Callable[[T, Mapping[str, Any]], object]) -> Callable[[], None]:
        def task(config: DictConfig) -> None:
            try:
                values = plain(config)
                function(parse(schema, values), values)
            except UserError as error:
                fail(error)

        def program() -> None:
            # Otherwise Hydra prints its own errors and leaves with status 1.
            os.environ["HYDRA_FULL_ERROR"] = "1"
            try:
                hydra.main(version_base="1.3", config_path=str(CONFIGS), config_name=name)(task)()
            except (HydraException, OmegaConfBaseException) as error:
                fail(explain(error, name, schema, sys.argv[1:]))
            except BrokenPipeError:
                # The reader has closed the pipe, as `head` does; there is nobody left to tell.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

        return program

    return decorate


def plain(config: DictConfig) -> dict[str, Any]:
    """Return a configuration as plain values, every interpolation resolved."""
    values = OmegaConf.to_container(config, resolve=True, throw_on_missing=False)
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


def fail(error: Exception) -> None:
    """Print what the user can mend and leave."""
    lines = error.mistakes if isinstance(error, ConfigError) else [str(error)]
    for line in lines:
        print(f"error: {line}", file=sys.stderr)
    sys.exit(USER_MISTAKE)


def explain(error: Exception, name: str, schema: type[Any], arguments: Sequence[str]) -> ConfigError:
    """Find every override that Hydra refuses, and say of each what would do.

    Hydra stops at its first error, so the overrides are tried again one after the other, groups first.
    """
    texts = [argument for argument in arguments if not argument.startswith("-") and "=" in argument]
    mistakes: list[str] = []
    overrides: list[Override] = []
    for text in texts:
        try:
            overrides += OverridesParser.create().parse_overrides([text])
        except HydraException:
            mistakes.append(f"the override {text!r} cannot be read; quote values with spaces or signs: 'key=\"a b\"'")
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(CONFIGS), version_base="1.3"):
        groups = {path.relative_to(CONFIGS).as_posix() for path in CONFIGS.rglob("*") if path.is_dir()}
        good: list[str] = []
        for override in sorted(overrides, key=lambda one: one.key_or_group not in groups):
            text = str(override.input_line)
            try:
                hydra.compose(name, [*good, text])
                good.append(text)
            except (HydraException, OmegaConfBaseException) as reason:
                mistakes.append(explain_override(override, reason, name, good, groups))
        try:
            parse(schema, plain(hydra.compose(name, good)))
        except ConfigError as further:
            mistakes += further.mistakes
        except (HydraException, OmegaConfBaseException) as further:
            mistakes.append(first_line(further))
    return ConfigError(mistakes or [first_line(error)])


def explain_override(override: Override, reason: Exception, name: str, good: Sequence[str], groups: set[str]) -> str:
    """Say in one line what is wrong with one override."""
    key = override.key_or_group
    if key in groups:
        known = [path.stem for path in (CONFIGS / key).glob("*.yaml")]
        value = str(override.value())
        return f"`{key}` must be one of {listing(known)}, but is {value!r} instead{suggest(value, known)}"
    known = [*key_paths(plain(hydra.compose(name, list(good)))), *groups]
    if key not in known:
        parent = key.rpartition(".")[0]
        beside = [path for path in known if path.rpartition(".")[0] == parent]
        near = suggest(key, known) or (f"; known there: {listing(beside)}" if parent and beside else "")
        return f"`{key}` must be a known setting, but there is none of that name{near}"
    return f"`{key}`: {first_line(reason)}"


def key_paths(values: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Return the dotted path of every key."""
    paths = []
    for key, value in values.items():
        paths.append(prefix + key)
        if isinstance(value, Mapping):
            paths += key_paths(value, f"{prefix}{key}.")
    return paths


def first_line(error: Exception) -> str:
    """Return the first line of an error's message."""
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__

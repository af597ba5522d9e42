"""The bridge from Hydra's command line to typed configurations, and from mistakes to clear words."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import hydra
from hydra._internal.utils import get_args_parser as hydra_arguments
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from seq2seq.config import parse
from seq2seq.errors import ConfigError, UserError, listing, printable, suggest

T = TypeVar("T")

CONFIGS = Path(__file__).resolve().parent.parent / "configs"

# What Hydra raises for a bad override: its own errors, OmegaConf's, and a ValueError for a group set to a number.
HYDRA_ERRORS = (HydraException, OmegaConfBaseException, ValueError)

USER_MISTAKE = 2
"""Exit status for anything the user can mend."""

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""


def command(name: str, schema: type[T]) -> Callable[[Callable[[T, Mapping[str, Any]], object]], Callable[[], None]]:
    """Make a command-line program of a function.

    Args:
        name: the primary configuration, ``configs/<name>.yaml``.
        schema: the dataclass that it is read into.

    Returns:
        a decorator. The function gets the typed configuration and the same as plain values.
    """

    def decorate(function: Callable[[T, Mapping[str, Any]], object]) -> Callable[[], None]:
        composed = False

        def task(config: DictConfig) -> None:
            nonlocal composed
            try:
                values = plain(config)
                parsed = parse(schema, values)
                composed = True
                function(parsed, values)
            except UserError as error:
                fail(error)
            except BrokenPipeError:
                # The reader has closed the pipe, as `head` does; there is nobody left to tell.
                os.dup2(os.open(os.devnull, os.O_WRONLY), 1)

        def program() -> None:
            # Otherwise Hydra prints its own errors and leaves with status 1.
            os.environ["HYDRA_FULL_ERROR"] = "1"
            try:
                hydra.main(version_base="1.3", config_path=str(CONFIGS), config_name=name)(task)()
            except HYDRA_ERRORS as error:
                if composed:  # not about the command line: a bug, which deserves its traceback
                    raise
                fail(explain(error, name, schema, sys.argv[1:]))
            except KeyboardInterrupt:
                print("stopped by SIGINT", file=sys.stderr)
                sys.exit(INTERRUPTED)

        return program

    return decorate


def read(name: str, schema: type[T], overrides: Sequence[str]) -> tuple[T, dict[str, Any]]:
    """Return the configuration that a program would get from these overrides, typed and as plain values.

    Raises:
        ConfigError: holds every mistake in them.
    """
    GlobalHydra.instance().clear()  # the program that asks may be one of Hydra's, too
    try:
        with hydra.initialize_config_dir(str(CONFIGS), version_base="1.3"):
            values = plain(hydra.compose(name, list(overrides)))
    except HYDRA_ERRORS as error:
        raise explain(error, name, schema, overrides) from None
    return parse(schema, values), values


def plain(config: DictConfig) -> dict[str, Any]:
    """Return a configuration as plain values, every interpolation resolved."""
    values = OmegaConf.to_container(config, resolve=True, throw_on_missing=False)
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


def fail(error: Exception) -> None:
    """Print what the user can mend and leave."""
    lines = error.mistakes if isinstance(error, ConfigError) else [str(error)]
    for line in lines:
        print(f"error: {printable(line)}", file=sys.stderr)
    sys.exit(USER_MISTAKE)


def explain(error: Exception, name: str, schema: type[Any], arguments: Sequence[str]) -> ConfigError:
    """Find every override that Hydra refuses, and say of each what would do.

    Hydra stops at its first error, so the overrides are tried again one after the other, groups first.
    """
    parser = hydra_arguments().parse_args(list(arguments))
    mistakes: list[str] = []
    overrides: list[Override] = []
    for text in parser.overrides:
        try:
            overrides += OverridesParser.create().parse_overrides([text])
        except HydraException:
            mistakes.append(
                f"the override {text!r} must be KEY=VALUE; quote values with spaces or signs: 'key=\"a b\"'"
            )
    folders = [CONFIGS] + ([Path(parser.config_dir).resolve()] if parser.config_dir else [])
    compose = partial(hydra.compose, name)
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(CONFIGS), version_base="1.3"):
        good = [f"hydra.searchpath=[{','.join(map(str, folders[1:]))}]"]
        options = group_options(folders)
        for override in sorted(
            each_value(overrides, parser.multirun), key=lambda one: one.key_or_group not in options
        ):
            text = str(override.input_line)
            if override.is_sweep_override() and not parser.multirun:
                mistakes.append(f"`{text}` must have one value; put -m before the overrides to run several in turn")
                continue
            try:
                compose([*good, text])
                good.append(text)
            except HYDRA_ERRORS as reason:
                known = key_paths(plain(compose(good)))
                mistakes.append(explain_override(override, reason, known, options))
        try:
            parse(schema, plain(compose(good)))
        except ConfigError as further:
            mistakes += further.mistakes
    return ConfigError(list(dict.fromkeys(mistakes)) or [first_line(error)])


def each_value(overrides: Sequence[Override], multirun: bool) -> list[Override]:
    """Return the overrides, in a multirun with each value of a sweep as an override of its own."""
    if not multirun:
        return list(overrides)
    texts = []
    for override in overrides:
        if override.is_sweep_override():
            texts += [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]
        else:
            texts.append(str(override.input_line))
    return OverridesParser.create().parse_overrides(texts)


def group_options(folders: Sequence[Path]) -> dict[str, set[str]]:
    """Return the names to choose from in each group of these configuration folders."""
    options: dict[str, set[str]] = {}
    for folder in folders:
        for path in folder.rglob("*.yaml"):
            options.setdefault(path.parent.relative_to(folder).as_posix(), set()).add(path.stem)
    options["self_attention"] = options["attention@self_attention"] = options["attention"]
    return options


def explain_override(
    override: Override, reason: Exception, settings: Sequence[str], options: Mapping[str, set[str]]
) -> str:
    """Say in one line what is wrong with one override."""
    key = override.key_or_group if override.package is None else f"{override.key_or_group}@{override.package}"
    if key in options:
        value, names = str(override.value()), options[key]
        return f"`{key}` must be one of {listing(names)}, but is {value!r} instead{suggest(value, names)}"
    known = [*settings, *options]
    if key not in known:
        parent, _, name = key.rpartition(".")
        beside = [path.rpartition(".")[2] for path in known if path.rpartition(".")[0] == parent]
        there = f"; {parent} has {listing(beside)}" if parent and beside else suggest(key, known)
        near = suggest(name, beside) or there
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

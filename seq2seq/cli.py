"""The bridge from Hydra's command line to typed configurations, and from mistakes to clear words."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any, TypeVar

import hydra
from hydra._internal.utils import get_args_parser as hydra_arguments
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from seq2seq.commandline.composed import HYDRA_ERRORS, Composed, Groups, jobs, own_choices, plain
from seq2seq.commandline.mistakes import explain
from seq2seq.commandline.resuming import RESUME, RUN_DIR, implied, resumed
from seq2seq.commandline.unheeded import unheeded
from seq2seq.config import parse
from seq2seq.errors import ConfigError, UserError
from seq2seq.runs.folder import decisive
from seq2seq.spelling import CONFIGS, differences
from seq2seq.terminal import complain, print_anything, silence, warn

T = TypeVar("T")

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
        a decorator. The function gets the typed configuration and the same as plain values; what it returns is for
        Hydra's sweepers.
    """

    def decorate(function: Callable[[T, Mapping[str, Any]], object]) -> Callable[[], None]:
        composed = False
        added: list[str] = []

        def task(config: DictConfig) -> object:
            nonlocal composed
            try:
                groups = Groups.of(sys.argv[1:])
                given = [text for text in HydraConfig.get().overrides.task if text not in added]
                values = resumed(plain(config), given, groups)
                parsed = understood(name, schema, values, sys.argv[1:])
                composed = True
                for words in unheeded(
                    given,
                    Composed(values, own_choices(HydraConfig.get().runtime.choices)),
                    groups,
                    getattr(parsed, "unused", {}),
                ):
                    warn(words)
                return function(parsed, values)
            except UserError as error:
                fail(error)
            except HYDRA_ERRORS as error:
                if composed:  # not about the command line: a bug, which deserves its traceback
                    raise
                fail(explain(error, name, schema, sys.argv[1:]))  # here, or Hydra would print a line of its own
            except BrokenPipeError:
                # The reader has closed the pipe, as `head` does; there is nobody left to tell.
                os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            return None

        def program() -> None:
            # Otherwise Hydra prints its own errors and leaves with status 1.
            os.environ["HYDRA_FULL_ERROR"] = "1"
            print_anything()
            if os.environ.get("LOCAL_RANK", "0") != "0":
                silence()  # the first of the processes of a machine says what all of them read
            try:
                added.extend(implied(schema, sys.argv[1:], Groups.of(sys.argv[1:])))
                sys.argv[1:] = with_added(sys.argv[1:], added)
                refuse_wrong_jobs(name, schema, sys.argv[1:], added)
                hydra.main(version_base="1.3", config_path=str(CONFIGS), config_name=name)(task)()
            except HYDRA_ERRORS as error:
                if composed:  # not about the command line: a bug, which deserves its traceback
                    raise
                fail(explain(error, name, schema, sys.argv[1:]))
            except ConfigError as error:
                fail(error)
            except KeyboardInterrupt:
                print("stopped by SIGINT", file=sys.stderr)
                sys.exit(INTERRUPTED)

        return program

    return decorate


def read(name: str, schema: type[T], arguments: Sequence[str]) -> tuple[T, dict[str, Any]]:
    """Return the configuration that a program would get from this command line, typed and as plain values.

    Raises:
        ConfigError: holds every mistake in them.
    """
    GlobalHydra.instance().clear()  # the program that asks may be one of Hydra's, too
    groups = Groups.of(arguments)
    overrides = hydra_arguments().parse_args(list(arguments)).overrides
    added = implied(schema, overrides, groups)
    try:
        with hydra.initialize_config_dir(str(CONFIGS), version_base="1.3"):
            values = resumed(plain(hydra.compose(name, [*groups.override, *added, *overrides])), overrides, groups)
    except HYDRA_ERRORS as error:
        raise explain(error, name, schema, arguments) from None
    return understood(name, schema, values, arguments), values


def with_added(arguments: Sequence[str], added: Sequence[str]) -> list[str]:
    """Return a command line with further overrides, which stand before the first that is given."""
    first = next((place for place, text in enumerate(arguments) if text.partition("=")[0].lstrip("+") == RESUME), 0)
    return [*arguments[:first], *added, *arguments[first:]]


def refuse_wrong_jobs(name: str, schema: type[T], arguments: Sequence[str], added: Sequence[str] = ()) -> None:
    """Read the settings of all jobs of a sweep, so that the last one's mistakes do not show after hours of the first.

    Args:
        name: the primary configuration.
        schema: the dataclass that it is read into.
        arguments: the command line.
        added: overrides among them that the user has not given.

    Raises:
        ConfigError: holds every mistake in any of them.
    """
    if not hydra_arguments().parse_args(list(arguments)).multirun:
        return
    groups = Groups.of(arguments)
    refused: dict[str, tuple[Exception, list[str]]] = {}
    runs: dict[str, list[Mapping[str, Any]]] = {}
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(CONFIGS), version_base="1.3"):
        for job in jobs(name, arguments):
            try:
                config = hydra.compose(name, [*groups.override, *job])
            except HYDRA_ERRORS as error:
                refused.setdefault(str(error), (error, job))
                continue
            try:
                given = [text for text in job if text not in added]
                values = resumed(plain(config), given, groups)
                parse(schema, values)
            except HYDRA_ERRORS:
                continue  # it refers to what only the job itself has, such as its number
            except ConfigError as error:
                refused.setdefault(str(error), (error, job))
            else:
                runs.setdefault(str(values.get(RUN_DIR)), []).append(values)
    folder = [f"--config-dir={path}" for path in groups.folders[1:]]
    mistakes = [explain(error, name, schema, [*folder, *job]).mistakes for error, job in refused.values()]
    mistakes += [found for jobs_of_a_run in runs.values() if (found := changed_on_the_way(jobs_of_a_run))]
    if mistakes:
        raise ConfigError(list(dict.fromkeys(chain.from_iterable(mistakes))))


def changed_on_the_way(jobs_of_a_run: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say what jobs of a sweep cannot go on with in the run folder that the first of them has begun.

    Args:
        jobs_of_a_run: the settings of each job that has this folder, in order.
    """
    first, *others = jobs_of_a_run
    run = first.get(RUN_DIR)
    if run is None:  # each gets a new folder
        return []
    before = decisive(first)
    return [
        f"{mistake}; leave {RUN_DIR} and {RESUME} out, or give each job of -m its own"
        for job in others
        for mistake in differences(before, decisive(job), before.keys(), f"the first job in {run}")
    ]


def understood(name: str, schema: type[T], values: Mapping[str, Any], arguments: Sequence[str]) -> T:
    """Return composed values as a typed configuration.

    Raises:
        ConfigError: holds every mistake in the arguments they come from.
    """
    try:
        return parse(schema, values)
    except ConfigError as error:
        raise explain(error, name, schema, arguments) from None


def fail(error: Exception) -> None:
    """Print what the user can mend and leave."""
    lines = error.mistakes if isinstance(error, ConfigError) else [str(error)]
    for line in lines:
        complain(line)
    sys.exit(USER_MISTAKE)

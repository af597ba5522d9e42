"""The command that averages: from several checkpoints to a new one."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from seq2seq import checkpoint
from seq2seq.config import PositiveInt, Values
from seq2seq.errors import ConfigError, listing
from seq2seq.runs.folder import new_place, run_of
from seq2seq.terminal import say, warn


@dataclass(frozen=True)
class AverageConfig:
    """Which checkpoints to average.

    Attributes:
        checkpoint: a run folder, of whose checkpoints ``last`` or ``best`` says which; null beside ``checkpoints``.
        last: how many of its newest.
        best: how many of those validated best, by ``trainer.best_metric`` of the run.
        checkpoints: instead, checkpoints one by one; a run folder among them means its best.
        output: the new checkpoint; null for ``averaged/last-5`` or the like in the run folder.
    """

    checkpoint: str | None
    last: PositiveInt | None
    best: PositiveInt | None
    checkpoints: Sequence[str]
    output: str | None

    def __post_init__(self) -> None:
        mistakes = []
        given = [name for name in ("last", "best", "checkpoints") if getattr(self, name)]
        if len(given) != 1:
            found = f"{listing(given)} are" if given else "none is"
            mistakes.append(
                f"one of `last`, `best` and `checkpoints` must be given, but {found}; give last=5 for the newest five"
            )
        if self.checkpoint is None and not self.checkpoints:
            mistakes.append("`checkpoint` must be given, as checkpoint=RUN, but is null instead")
        if self.checkpoint is not None and self.checkpoints:
            mistakes.append(
                "`checkpoint` must be null beside `checkpoints`, which names each by itself, "
                f"but is {self.checkpoint!r} instead"
            )
        if self.checkpoints and self.output is None:
            mistakes.append(
                "`output` must name a new folder beside `checkpoints`, which may be of several runs, "
                "but is null instead; give output=FOLDER"
            )
        if mistakes:
            raise ConfigError(mistakes)


def average(config: AverageConfig, values: Values) -> Path:
    """Average checkpoints into a new one and return its folder.

    Raises:
        UserError: there are too few checkpoints, they cannot be averaged, or the new one cannot be written.
    """
    folders = chosen(config)
    output = place_of_average(config, folders)
    say(f"Averaging {len(folders)} checkpoints: {', '.join(checkpoint.names_of(folders))}")
    checkpoint.write(checkpoint.average(folders), output)
    say(f"Checkpoint: {output}")
    say(f"To evaluate it: python scripts/evaluate.py {shlex.quote(f'checkpoint={output}')}")
    return output


def chosen(config: AverageConfig) -> list[Path]:
    """Return the checkpoints that are asked for, those of a run with the newest last.

    Raises:
        CheckpointError: there are none.
        ConfigError: there are fewer than asked for, or one is named twice.
    """
    if config.checkpoints:
        folders = [
            checkpoint.locate(Path(path), warn, setting=f"checkpoints[{place}]")
            for place, path in enumerate(config.checkpoints)
        ]
        twice = [folder for place, folder in enumerate(folders) if folder in folders[:place]]
        if twice:
            raise ConfigError(f"`checkpoints` must be different ones, but {twice[0]} is meant by two of them")
        return folders
    assert config.checkpoint is not None
    path = Path(config.checkpoint)
    steps = checkpoint.steps_in(path) or checkpoint.steps_in(path / "checkpoints")
    if not steps:
        found = checkpoint.locate(path, warn)  # which knows what to say where there is none
        raise ConfigError(
            f"`checkpoint` must be a run folder, but {path} is the one checkpoint {found}; "
            "give its run folder, or checkpoints=[...]"
        )
    name, wanted, kept = ("last", config.last, steps)
    if config.best is not None:
        name, wanted, kept = "best", config.best, checkpoint.best_first(steps, metric_of(steps[0].parent))[::-1]
    assert wanted is not None
    if wanted > len(kept):
        raise ConfigError(
            f"`{name}` must be at most {len(kept)}, as many {'' if name == 'last' else 'validated '}checkpoints "
            f"as {path} holds, but is {wanted} instead; "
            "how many are kept while a run trains is up to trainer.keep_last and trainer.keep_best"
        )
    return sorted(folder.resolve() for folder in kept[-wanted:])


def metric_of(checkpoints: Path) -> checkpoint.Metric:
    """Return by what a run tells its best checkpoint, as the newest of its checkpoints has it.

    Raises:
        CheckpointError: all of them are damaged.
    """
    newest, warnings = checkpoint.load_newest(checkpoints)
    for words in warnings:
        warn(words)
    assert newest is not None
    trainer = newest.config["settings"].get("trainer", {})
    return "loss" if trainer.get("best_metric") == "loss" else "bleu"


def place_of_average(config: AverageConfig, folders: Sequence[Path]) -> Path:
    """Return where the new checkpoint goes.

    Raises:
        ConfigError: something is there already, or it is the place of a run's own checkpoints.
    """
    name = f"last-{config.last}" if config.last else f"best-{config.best}"
    output = new_place(config.output, run_of(folders[-1]), f"{checkpoint.AVERAGED}/{name}", folders[-1].parent)
    if output.resolve().parent in {folder.parent for folder in folders}:
        raise ConfigError(
            f"`output` must be a folder outside of {output.parent}, where a run keeps its own checkpoints, "
            f"but is {output} instead"
        )
    return output

"""The command that measures, prints a table as soon as it has one, and keeps all of them in a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from seq2seq.attention.normalizers import Normalizer
from seq2seq.benchmark.attention import AttentionSizes, Parts, attention_tables, every_part
from seq2seq.benchmark.decode import DecodeSizes, decode_tables
from seq2seq.benchmark.kernels import kernel_tables
from seq2seq.benchmark.table import Table, facts_in_words, machine, write
from seq2seq.config import Component, Duration, Values
from seq2seq.errors import ConfigError
from seq2seq.runconfig import RunConfig
from seq2seq.runtime import DeviceName, choose_device, seed_everything
from seq2seq.terminal import say

CONFIGS = Path(__file__).resolve().parent.parent.parent / "configs"

SEED = 1
"""Of all numbers that are computed with; how long a sparse normalizer takes depends on them a little."""

Compose = Callable[[Sequence[str]], tuple[RunConfig, Values]]
"""Gives the configuration of a training run for its overrides."""


@dataclass(frozen=True)
class BenchmarkConfig:
    """What to measure, and where.

    Attributes:
        what: ``attention``: every score with every normalizer against the fused kernel alone. ``kernels``: choices
            between two ways to compute the same. ``decode``: a checkpoint translates, in each precision and in
            other engines.
        device: where.
        seconds: of timing for each table.
        output: a file that ends in .md; numbers go into a .json beside it. None for neither.
        attention: sizes for ``what=attention``.
        decode: what to translate for ``what=decode``.
    """

    what: Literal["attention", "kernels", "decode"]
    device: DeviceName
    seconds: Duration
    output: str | None
    attention: AttentionSizes
    decode: DecodeSizes

    def __post_init__(self) -> None:
        if self.output is not None and Path(self.output).suffix != ".md":
            raise ConfigError(f"`output` must be a file that ends in .md, but is {self.output!r} instead")


def benchmark(config: BenchmarkConfig, compose: Compose) -> None:
    """Measure and print.

    Raises:
        UserError: the device or the output cannot be used.
    """
    device = choose_device(config.device)
    path = None if config.output is None else Path(config.output)
    if path is not None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)  # now, before minutes of measuring
        except OSError as error:
            raise ConfigError(f"`output` must be in a folder that can be written, but is not: {error}") from None
    seed_everything(SEED)
    facts = machine(device)
    pages = [facts_in_words(facts)]
    say(pages[0])
    tables = []
    for table in measure(config, device, compose):
        tables.append(table)
        pages.append(table.markdown())
        say(pages[-1])
    if path is not None:
        write("\n".join(pages), facts, tables, path)


def measure(config: BenchmarkConfig, device: torch.device, compose: Compose) -> Iterator[Table]:
    """Return the tables that are asked for, each as soon as it is there."""
    if config.what == "decode":
        return decode_tables(config.decode, device, config.seconds)
    if config.what == "kernels":
        return kernel_tables(device, config.seconds)
    return attention_tables(config.attention, parts(compose, config.attention.heads), device, config.seconds)


def parts(compose: Compose, heads: int) -> Parts:
    """Return every attention with every normalizer that ``configs/`` has.

    Args:
        compose: reads their files.
        heads: H.
    """
    attentions = {name: compose([f"attention={name}"])[0].attention for name in names("attention")}
    normalizers: dict[str, Component[Normalizer]] = {
        name: compose([f"attention/normalizer={name}"])[0].attention.settings["normalizer"]
        for name in names("attention/normalizer")
    }
    return every_part(attentions, normalizers, heads)


def names(group: str) -> list[str]:
    """Return the choices of a group of configurations."""
    return sorted(path.stem for path in (CONFIGS / group).glob("*.yaml"))

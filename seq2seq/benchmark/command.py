"""The command that measures, prints a table as soon as it has one, and keeps all of them in a file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from seq2seq.attention.normalizers import Normalizer
from seq2seq.benchmark.attention import AttentionSizes, Parts, attention_tables, every_part
from seq2seq.benchmark.decode import DecodeSizes, decode_tables
from seq2seq.benchmark.kernels import kernel_tables
from seq2seq.benchmark.table import Page, check_page, facts_in_words, machine, writable_page, write
from seq2seq.benchmark.training import training_table
from seq2seq.config import Component, Duration
from seq2seq.runs.config import Compose
from seq2seq.runtime import DeviceName, choose_device, seed_everything
from seq2seq.spelling import options
from seq2seq.terminal import say

SEED = 1
"""Of all numbers that are computed with; how long a sparse normalizer takes depends on them a little."""


@dataclass(frozen=True)
class BenchmarkConfig:
    """What to measure, and where.

    Attributes:
        what: ``attention``: every score with every normalizer against the fused kernel alone. ``kernels``: choices
            between two ways to compute the same. ``train``: what an update of a training run takes, phase by phase.
            ``decode``: a checkpoint translates, in each precision and in other engines.
        device: where.
        seconds: of timing for each table.
        output: a file that ends in .md; numbers go into a .json beside it. None for neither.
        attention: sizes for ``what=attention``.
        train: overrides of ``configs/train.yaml`` for ``what=train``.
        decode: what to translate for ``what=decode``.
    """

    what: Literal["attention", "kernels", "train", "decode"]
    device: DeviceName
    seconds: Duration
    output: str | None
    attention: AttentionSizes
    train: Sequence[str]
    decode: DecodeSizes

    def __post_init__(self) -> None:
        check_page(self.output)


def benchmark(config: BenchmarkConfig, compose: Compose) -> None:
    """Measure and print.

    Raises:
        UserError: the device or the output cannot be used.
    """
    device = choose_device(config.device)
    path = writable_page(config.output)
    seed_everything(SEED)
    facts = machine(device)
    pages = [facts_in_words(facts)]
    say(pages[0])
    tables: list[Page] = []
    for table in measure(config, device, compose):
        tables.append(table)
        pages.append(table.markdown())
        say(pages[-1])
    if path is not None:
        write("\n".join(pages), facts, tables, path)


def measure(config: BenchmarkConfig, device: torch.device, compose: Compose) -> Iterator[Page]:
    """Return the tables that are asked for, each as soon as it is there."""
    match config.what:
        case "attention":
            found = parts(compose, config.attention.heads)
            return attention_tables(config.attention, found, device, config.seconds)
        case "kernels":
            return kernel_tables(device, config.seconds)
        case "train":
            return training_table(compose(config.train)[0], device, config.seconds)
        case "decode":
            return decode_tables(config.decode, device, config.seconds)


def parts(compose: Compose, heads: int) -> Parts:
    """Return every attention with every normalizer that ``configs/`` has.

    Args:
        compose: reads their files.
        heads: H.
    """
    attentions = {name: compose([f"attention={name}"])[0].attention for name in options("attention")}
    normalizers: dict[str, Component[Normalizer]] = {
        name: compose([f"attention/normalizer={name}"])[0].attention.settings["normalizer"]
        for name in options("attention/normalizer")
    }
    return every_part(attentions, normalizers, heads)

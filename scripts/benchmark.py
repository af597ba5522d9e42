"""Measure speed and memory of parts of the package."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from seq2seq.benchmark.command import BenchmarkConfig, benchmark
from seq2seq.cli import command, read
from seq2seq.runs.config import RunConfig


@command("benchmark", BenchmarkConfig)
def main(config: BenchmarkConfig, values: Mapping[str, Any]) -> None:
    benchmark(config, partial(read, "train", RunConfig))


if __name__ == "__main__":
    main()

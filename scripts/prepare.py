"""Prepare a corpus for training."""

from collections.abc import Mapping
from typing import Any

from seq2seq.cli import command
from seq2seq.run import prepare_data
from seq2seq.runs.config import RunConfig


@command("train", RunConfig)
def main(config: RunConfig, values: Mapping[str, Any]) -> None:
    prepare_data(config)


if __name__ == "__main__":
    main()

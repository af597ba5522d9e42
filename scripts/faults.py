"""Do harm to runs and checkpoints on purpose, and tell whether every promise was kept."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from seq2seq.cli import command, read
from seq2seq.faults.command import FaultsConfig, faults
from seq2seq.runs.config import RunConfig


@command("faults", FaultsConfig)
def main(config: FaultsConfig, values: Mapping[str, Any]) -> None:
    faults(config, partial(read, "train", RunConfig))


if __name__ == "__main__":
    main()

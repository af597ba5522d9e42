"""Train one recipe with every attention, and write a table of the scores."""

import sys
from collections.abc import Mapping
from functools import partial
from typing import Any

from seq2seq.cli import command, read
from seq2seq.commandline.composed import Groups
from seq2seq.comparison.command import compare
from seq2seq.comparison.plan import CompareAttentionConfig
from seq2seq.runs.config import RunConfig


@command("compare_attention", CompareAttentionConfig)
def main(config: CompareAttentionConfig, values: Mapping[str, Any]) -> None:
    compare(config, partial(read, "train", RunConfig), Groups.of(sys.argv[1:]).folders[1:])


if __name__ == "__main__":
    main()

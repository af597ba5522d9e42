"""A program that reads and writes as scripts/translate.py does, with a search that repeats the source."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import Any

from tiny import compose

from seq2seq.commands.translate import TranslateConfig, translate
from seq2seq.config import parse
from seq2seq.search import Greedy, Hypothesis, Request, Scorer


@dataclass(frozen=True, kw_only=True)
class Echo(Greedy):
    """Gives each sentence as its own translation."""

    def find(self, scorer: Scorer, request: Request) -> list[list[Hypothesis]]:
        rows = zip(request.batch.source.tolist(), request.batch.source_lengths.tolist(), strict=True)
        return [[Hypothesis(ids[: length - 1], 0.0)] for ids, length in rows]


if __name__ == "__main__":
    values: dict[str, Any] = compose(f"checkpoint={sys.argv[1]}", "search=greedy", "device=cpu", name="translate")
    config = parse(TranslateConfig, values)
    translate(replace(config, search=Echo(**vars(config.search))), values)

"""Searches that read a translation out of any decoder."""

from seq2seq.data.batching import Batch
from seq2seq.model import Seq2SeqModel
from seq2seq.search.base import Hypothesis, SearchConfig
from seq2seq.search.beam import beam_search
from seq2seq.search.greedy import greedy_search

__all__ = ["Hypothesis", "SearchConfig", "beam_search", "greedy_search", "search"]


def search(model: Seq2SeqModel, batch: Batch, config: SearchConfig) -> list[list[Hypothesis]]:
    """Translate a batch greedily where one hypothesis is kept, else with a beam."""
    return (greedy_search if config.beam_size == 1 else beam_search)(model, batch, config)

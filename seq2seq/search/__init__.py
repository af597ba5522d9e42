"""Searches that read translations out of any decoder."""

from seq2seq.search.base import Hypothesis, PieceSearch, Request, Search, Translation, settings_of
from seq2seq.search.beam import Beam
from seq2seq.search.diverse import DiverseBeam
from seq2seq.search.greedy import Greedy
from seq2seq.search.mbr import MBR
from seq2seq.search.sampling import Sampling
from seq2seq.search.scorer import Scorer

__all__ = [
    "MBR",
    "Beam",
    "DiverseBeam",
    "Greedy",
    "Hypothesis",
    "PieceSearch",
    "Request",
    "Sampling",
    "Scorer",
    "Search",
    "Translation",
    "settings_of",
]

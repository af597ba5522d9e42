"""Subword regularisation, the drawing itself: other pieces for stored sentences, as ids, by whole arrays.

Vocabularies of byte-pair encoding are drawn from by :mod:`.merges`, unigram language models by :mod:`.lattice`, both
from the distributions of SentencePiece's own sampling.
"""

from seq2seq.data.segmentation.inventory import Inventory
from seq2seq.data.segmentation.lattice import LatticeSegmenter
from seq2seq.data.segmentation.merges import MergeSegmenter
from seq2seq.data.segmentation.segmenter import Segmenter

__all__ = [
    "Inventory",
    "LatticeSegmenter",
    "MergeSegmenter",
    "Segmenter",
]

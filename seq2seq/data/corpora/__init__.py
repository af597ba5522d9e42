"""Corpora by name: the generated grammar corpus, Multi30k, and any folder of parallel text files.

A new corpus is one class derived from :class:`Corpus` and one YAML file in ``configs/data``.
"""

from seq2seq.data.corpora.base import TRAIN, VALIDATION, Corpus, resolve_split
from seq2seq.data.corpora.files import Files
from seq2seq.data.corpora.generated import GrammarCorpus
from seq2seq.data.corpora.multi30k import Multi30k

__all__ = ["TRAIN", "VALIDATION", "Corpus", "Files", "GrammarCorpus", "Multi30k", "resolve_split"]

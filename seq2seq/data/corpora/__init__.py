"""Corpora by name: the generated grammar corpus, Multi30k, WMT, IWSLT and OPUS, and your own files.

A new corpus is one class derived from :class:`Corpus` and one YAML file in ``configs/data``.
"""

from seq2seq.data.corpora.base import TRAIN, VALIDATION, Corpus, is_validation, resolve_split, resolve_splits
from seq2seq.data.corpora.files import Files
from seq2seq.data.corpora.generated import GrammarCorpus
from seq2seq.data.corpora.hub_corpus import HubCorpus
from seq2seq.data.corpora.iwslt14 import Iwslt14
from seq2seq.data.corpora.mixture import MANY, Mixture
from seq2seq.data.corpora.multi30k import Multi30k
from seq2seq.data.corpora.paths import Paths

__all__ = [
    "MANY",
    "TRAIN",
    "VALIDATION",
    "Corpus",
    "Files",
    "GrammarCorpus",
    "HubCorpus",
    "Iwslt14",
    "Mixture",
    "Multi30k",
    "Paths",
    "is_validation",
    "resolve_split",
    "resolve_splits",
]

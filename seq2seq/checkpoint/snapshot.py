"""What a checkpoint holds, and what its files are called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from seq2seq.data.tokenizer import JOINT_MODEL, SIDE_MODELS

FORMAT = 1
MANIFEST = "manifest.json"

WEIGHTS, TRAINING_TENSORS = "model.safetensors", "training.safetensors"
CONFIG, METRICS, TRAINING = "config.json", "metrics.json", "training.json"

TENSOR_FILES = frozenset({WEIGHTS, TRAINING_TENSORS})
JSON_FILES = frozenset({CONFIG, METRICS, TRAINING})
TOKENIZER_FILES = frozenset({JOINT_MODEL, *SIDE_MODELS.values()})

Json = dict[str, Any]


@dataclass(frozen=True)
class Snapshot:
    """All that a checkpoint holds.

    Attributes:
        weights: parameters by name, as they are to be used for translating; of any floating type.
        config: the resolved configuration.
        tokenizers: SentencePiece models by file name.
        metrics: what is known of its quality.
        training_tensors: optimizer and averages, by name.
        training: step, position in the data and other plain values of the loop.
    """

    weights: Mapping[str, Tensor]
    config: Json
    tokenizers: Mapping[str, bytes]
    metrics: Json
    training_tensors: Mapping[str, Tensor] = field(default_factory=dict)
    training: Json = field(default_factory=dict)

    def model_of(self, side: str) -> bytes:
        """Return the SentencePiece model of the ``source`` or the ``target``: its own, or the one that both have."""
        return self.tokenizers[SIDE_MODELS[side] if SIDE_MODELS[side] in self.tokenizers else JOINT_MODEL]

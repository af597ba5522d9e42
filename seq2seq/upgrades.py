"""What settings of earlier versions mean in this one, so that old checkpoints go on being read.

A setting that did not exist had one meaning all the same; here it is written down.
"""

from __future__ import annotations

import copy
from typing import Any

# By class: the settings that came later, with the value that stands for what the class did before.
ADDED: dict[str, dict[str, Any]] = {
    # 0.2.0
    "seq2seq.attention.core.Attention": {
        "normalizer": {"_target_": "seq2seq.attention.normalizers.Softmax"},
        "window": {"_target_": "seq2seq.attention.windows.Global"},
    },
    "seq2seq.attention.scores.Cosine": {"temperature": None},
    "seq2seq.decoders.rnn.RNNDecoder": {"attend": "after"},
}


def upgraded(settings: Any) -> Any:
    """Return settings, or any part of them, with what came later filled in; nothing given is changed."""
    if not isinstance(settings, dict):
        return settings
    later = ADDED.get(str(settings.get("_target_")), {})
    return copy.deepcopy(later) | {key: upgraded(value) for key, value in settings.items()}

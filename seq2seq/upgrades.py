"""What settings of earlier versions mean in this one, so that old checkpoints go on being read.

A setting that did not exist had one meaning all the same; here it is written down.
"""

from __future__ import annotations

import copy
from typing import Any

from seq2seq.data.cleaning import OFF

# By class: the settings that came later, with the value that stands for what the class did before.
ADDED: dict[str, dict[str, Any]] = {
    # 0.2.0
    "seq2seq.attention.core.Attention": {
        "normalizer": {"_target_": "seq2seq.attention.normalizers.Softmax"},
        "window": {"_target_": "seq2seq.attention.windows.Global"},
    },
    "seq2seq.attention.scores.Cosine": {"temperature": None},
    "seq2seq.decoders.rnn.RNNDecoder": {"attend": "after"},
    # later
    "seq2seq.search.beam.Beam": {"patience": None},
    "seq2seq.search.diverse.DiverseBeam": {"patience": None},
}

# The same for sections, which have a fixed place. One that has come to be chosen by name had no name before.
ADDED_SECTIONS: dict[str, dict[str, Any]] = {
    # 0.2.0
    "search": {
        "_target_": "seq2seq.search.beam.Beam",  # of which greedy search was the one with a single hypothesis
        "coverage_penalty": 0.0,
        "no_repeat_ngram": 0,
        "repetition_penalty": 1.0,
    },
    "cleaning": dict(OFF),
    "trainer": {
        "keep_best": 1,
        "deterministic": False,
        "parallel": "ddp",
        "compile": "none",
        "recompute_activations": False,
    },
    "tokenizer": {"model": None},
}

# The same for whole sections and for settings outside of any: what a run did that had none.
ADDED_WHOLE: dict[str, Any] = {
    # 0.2.0
    "sampling": {"_target_": "seq2seq.data.sampling.NoSampling"},
    "mixing": {"temperature": 1.0, "weights": None},
    "resume": None,
    "init_from": None,
    "freeze": [],
}


def upgraded(settings: Any) -> Any:
    """Return the settings of a run with what came later filled in; nothing given is changed."""
    if not isinstance(settings, dict):
        return settings
    sections = {
        name: later | settings[name]
        for name, later in ADDED_SECTIONS.items()
        if _is_group(settings, name) and "_target_" not in settings[name]
    }
    # Only a run has them all; what is no run's settings stays what it is.
    whole = copy.deepcopy(ADDED_WHOLE) if _is_group(settings, "trainer") else {}
    return _components(whole | settings | sections)


def _is_group(settings: dict[str, Any], name: str) -> bool:
    return isinstance(settings.get(name), dict)


def _components(settings: Any) -> Any:
    if not isinstance(settings, dict):
        return settings
    later = ADDED.get(str(settings.get("_target_")), {})
    return copy.deepcopy(later) | {key: _components(value) for key, value in settings.items()}

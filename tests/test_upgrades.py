"""Settings of earlier versions keep their meaning.

``settings_0.1.0.json`` is what version 0.1.0 itself composed, for two commands; it must never be written anew.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from tiny import compose

from seq2seq.config import parse
from seq2seq.runs.config import RunConfig
from seq2seq.runs.folder import leaves
from seq2seq.upgrades import upgraded

FIRST: dict[str, dict[str, Any]] = json.loads(
    Path(__file__).with_name("settings_0.1.0.json").read_text(encoding="utf-8")
)

SOFTMAX = "seq2seq.attention.normalizers.Softmax"
GLOBAL = "seq2seq.attention.windows.Global"

EVERYWHERE = {
    "attention.normalizer._target_": SOFTMAX,
    "attention.window._target_": GLOBAL,
    "self_attention.normalizer._target_": SOFTMAX,
    "self_attention.window._target_": GLOBAL,
    "search._target_": "seq2seq.search.beam.Beam",
    "search.coverage_penalty": 0.0,
    "search.patience": None,
    "search.no_repeat_ngram": 0,
    "search.repetition_penalty": 1.0,
    "cleaning.max_characters": None,
    "cleaning.max_character_ratio": None,
    "cleaning.drop_control_characters": False,
    "cleaning.drop_identical": False,
    "cleaning.min_script_share": 0.0,
    "cleaning.max_sign_difference": None,
    "cleaning.max_number_mismatch": 1.0,
    "cleaning.language_confidence": None,
    "cleaning.decontaminate": "none",
    "cleaning.duplicates": "keep",
    "trainer.keep_best": 1,
    "trainer.deterministic": False,
    "trainer.compile": "none",
    "trainer.recompute_activations": False,
    "trainer.parallel": "ddp",
    "sampling._target_": "seq2seq.data.sampling.NoSampling",
    "mixing.temperature": 1.0,
    "mixing.weights": None,
    "tokenizer.model": None,
    "resume": None,
    "init_from": None,
    "freeze": [],
}
"""What has come since, with the values that stand for what version 0.1.0 did."""

OF_PARTS = {
    "recurrent": {"decoder.attend": "after"},
    "transformer": {"attention.score.temperature": None, "self_attention.score.temperature": None},
}


@pytest.mark.parametrize("kind", FIRST)
def test_settings_of_the_first_version_mean_what_they_meant(kind: str) -> None:
    before = copy.deepcopy(FIRST[kind])
    after = upgraded(before)
    assert leaves(after) == leaves(before) | EVERYWHERE | OF_PARTS[kind]
    assert before == FIRST[kind]
    parse(RunConfig, after).build(100, 100)


def test_settings_of_today_stay_as_they_are() -> None:
    now = compose(
        "decoder=rnn", "decoder.attend=before", "attention/normalizer=sparsemax", "attention/window=local_p"
    )
    assert upgraded(now) == now


def test_strange_values_pass_through() -> None:
    for value in (None, 3, "text", [1, {"_target_": 5}], {"_target_": ["x"]}):
        assert upgraded(value) == value

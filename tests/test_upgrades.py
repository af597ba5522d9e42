"""Settings of earlier versions keep their meaning."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from tiny import compose

from seq2seq.config import parse
from seq2seq.model import Architecture
from seq2seq.upgrades import ADDED, ADDED_SECTIONS, ADDED_WHOLE, upgraded


def stripped(settings: Any, name: str = "") -> Any:
    """The same settings as a version wrote them that had none of those added since."""
    if not isinstance(settings, dict):
        return settings
    later = ADDED.get(settings.get("_target_", ""), ADDED_SECTIONS.get(name, {}))
    return {key: stripped(value, key) for key, value in settings.items() if key not in later}


@pytest.mark.parametrize(
    "overrides",
    [
        ("encoder=bilstm", "attention=additive", "decoder=rnn", "decoder.input_feeding=true"),
        ("attention=cosine", "attention@self_attention=cosine"),
    ],
    ids=["recurrent", "transformer"],
)
def test_settings_of_the_first_version_mean_what_they_meant(overrides: tuple[str, ...]) -> None:
    now = compose(*overrides)
    before = {name: value for name, value in stripped(now).items() if name not in ADDED_WHOLE}
    assert before != now
    given = copy.deepcopy(before)
    assert upgraded(before) == now
    assert before == given
    parse(Architecture, {name: upgraded(before)[name] for name in Architecture.__dataclass_fields__})


def test_settings_of_today_stay_as_they_are() -> None:
    now = compose(
        "decoder=rnn", "decoder.attend=before", "attention/normalizer=sparsemax", "attention/window=local_p"
    )
    assert upgraded(now) == now


def test_strange_values_pass_through() -> None:
    for value in (None, 3, "text", [1, {"_target_": 5}], {"_target_": ["x"]}):
        assert upgraded(value) == value

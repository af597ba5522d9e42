"""What the plain values of a checkpoint must look like: whoever uses them need not ask again.

Hashes tell that a checkpoint is as it was written, not that what was written makes sense.
"""

from __future__ import annotations

from typing import Any

from seq2seq.checkpoint.files import DamagedError
from seq2seq.checkpoint.snapshot import CONFIG, METRICS, TRAINING, Json
from seq2seq.data.corpora.base import check_language
from seq2seq.disk.plainjson import is_number, is_whole
from seq2seq.errors import ConfigError, shown
from seq2seq.upgrades import upgraded

SECTIONS = frozenset(
    {
        *("model", "encoder", "attention", "self_attention", "decoder", "data", "cleaning", "tokenizer", "sampling"),
        *("mixing", "objective", "optimizer", "scheduler", "trainer", "search"),
    }
)
"""Settings that are groups of settings."""

PRECISIONS = ("float32", "bfloat16")
"""What matrix products of a run may be computed in."""


def config_of(values: Any, *, training: bool) -> Json:
    """Return what ``config.json`` says of a run, its settings as this version has them.

    Args:
        values: what is in the file.
        training: whether a run is to go on from it, which needs more than translating does.

    Raises:
        DamagedError: something is missing or of another kind.
    """
    config = {name: value for name, value in _group(values, CONFIG).items() if name != "format"}
    settings = _group(config.get("settings"), f"settings in {CONFIG}")
    for name in sorted(SECTIONS & settings.keys()):
        _group(settings[name], f"settings.{name} in {CONFIG}")
    for name in ("directions", "languages"):
        if config.get(name) is not None:
            _check_directions(name, config[name] if name == "directions" else [config[name]])
    kinds = {"data": isinstance(config.get("data"), str), "precision": config.get("precision") in PRECISIONS}
    kinds["max_tokens"] = is_whole(config.get("max_tokens", 1)) and config.get("max_tokens", 1) > 0
    for name, right in kinds.items():
        if not right and (training or name in config):
            raise DamagedError(f"{CONFIG} must have `{name}` as a run writes it, but {_found(config, name)}")
    if training:
        _group(settings.get("trainer"), f"settings.trainer in {CONFIG}")
        _check_weights(settings.get("mixing"))
    # One, before there were mixtures.
    languages = config.pop("languages", None)
    if not config.get("directions") and languages:
        config["directions"] = [languages]
    return {**config, "settings": upgraded(settings)}


def metrics_of(values: Any) -> Json:
    """Return what ``metrics.json`` says.

    Raises:
        DamagedError: a step in it is no number of a step.
    """
    metrics = _group(values, METRICS)
    for name in ("step", "validated_at"):
        if name in metrics and not is_whole(metrics[name]):
            raise DamagedError(f"{METRICS} must have a step as `{name}`, but {_found(metrics, name)}")
    return metrics


def training_of(values: Any) -> Json:
    """Return what ``training.json`` says; its details are up to the training loop, which alone knows them.

    Raises:
        DamagedError: what every run must know is missing or of another kind.
    """
    training = _group(values, TRAINING)
    best = training.get("best")
    kinds = {
        "step": is_whole(training.get("step")),
        "position": isinstance(training.get("position"), dict),
        "best": best is None or is_number(best),
    }
    for name, right in kinds.items():
        if not right:
            raise DamagedError(f"{TRAINING} must have `{name}` as a run writes it, but {_found(training, name)}")
    return {"best": None, **training}


def _group(values: Any, name: str) -> Json:
    if not isinstance(values, dict):
        raise DamagedError(f"{name} must be a group of values, but is {shown(values)} instead")
    return values


def _found(values: Json, name: str) -> str:
    return f"has {shown(values[name])} instead" if name in values else "has none"


def _check_directions(name: str, directions: Any) -> None:
    try:
        for source, target in directions:
            check_language("source", source)
            check_language("target", target)
    except (TypeError, ValueError, ConfigError):
        directions = None
    if not directions:
        raise DamagedError(f"{CONFIG} must have languages as its `{name}`, such as 'en' and 'de', but has not")


def _check_weights(mixing: Any) -> None:
    weights = mixing.get("weights") if isinstance(mixing, dict) else None
    if weights is not None and not (isinstance(weights, dict) and all(map(is_number, weights.values()))):
        raise DamagedError(f"settings.mixing.weights in {CONFIG} must be numbers, but are {shown(weights)}")

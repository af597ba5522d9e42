"""Every shipped YAML file composes, fits the class it is for, and gives a model that works."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
from dataclasses import replace
from typing import Any

import pytest
import torch
from tiny import VOCABULARY, choices, compose, groups, random_batch, shrink

from seq2seq.benchmark.command import BenchmarkConfig
from seq2seq.cli import CONFIGS
from seq2seq.commands.average import AverageConfig
from seq2seq.commands.evaluate import EvaluateConfig
from seq2seq.commands.score import ScoreConfig
from seq2seq.commands.translate import TranslateConfig
from seq2seq.comparison.plan import CompareAttentionConfig
from seq2seq.config import Component, parse
from seq2seq.decoders.base import Decoder
from seq2seq.errors import ConfigError
from seq2seq.export.command import ExportConfig
from seq2seq.faults.command import FaultsConfig
from seq2seq.optim import Progress
from seq2seq.run import check_parts
from seq2seq.runs.config import RunConfig

SHIPPED = [(group, name) for group in groups() for name in choices(group)]
PRIMARY = {
    "train": RunConfig,
    "evaluate": EvaluateConfig,
    "translate": TranslateConfig,
    "average": AverageConfig,
    "export": ExportConfig,
    "score": ScoreConfig,
    "compare_attention": CompareAttentionConfig,
    "benchmark": BenchmarkConfig,
    "faults": FaultsConfig,
}

# What only the user can say.
ASKED = {
    "evaluate": ["checkpoint=somewhere"],
    "translate": ["checkpoint=somewhere"],
    "average": ["checkpoint=somewhere", "last=2"],
    "export": ["checkpoint=somewhere"],
    "score": ["checkpoint=somewhere", "source=here", "target=there"],
}

# Data that needs to be told where it lies says so by name, and so does what is made for one tokenizer; no other file
# may need more.
NEEDED = {
    ("data", "files"): ["data.root=somewhere"],
    ("data", "prepared"): ["data.folder=somewhere"],
    ("data", "iwslt14"): ["data.archive=somewhere"],
    ("data", "paths"): ["data.train=somewhere.tsv"],
    ("sampling", "unigram"): ["tokenizer=unigram"],
}


def overrides(group: str, name: str) -> list[str]:
    return [f"{group}={name}", *NEEDED.get((group, name), [])]


def class_of(target: str) -> Any:
    module, _, name = target.rpartition(".")
    return getattr(importlib.import_module(module), name)


def components(values: dict[str, Any], path: str = "") -> list[tuple[str, dict[str, Any]]]:
    """Every mapping with a ``_target_``, with its path."""
    found = [(path, values)] if "_target_" in values else []
    for key, value in values.items():
        if isinstance(value, dict):
            found += components(value, f"{path}.{key}".strip("."))
    return found


@pytest.mark.parametrize(("group", "name"), SHIPPED)
def test_every_file_composes_to_a_configuration_whose_parts_fit(group: str, name: str) -> None:
    check_parts(parse(RunConfig, compose(*overrides(group, name))))


@pytest.mark.parametrize("name", sorted(PRIMARY))
def test_every_command_has_a_configuration(name: str) -> None:
    parse(PRIMARY[name], compose(*ASKED.get(name, []), name=name))


def test_there_is_no_other_file() -> None:
    assert {path.stem for path in CONFIGS.glob("*.yaml")} == {*PRIMARY, "common"}
    assert {path.suffix for path in CONFIGS.rglob("*") if path.is_file()} == {".yaml"}


@pytest.mark.parametrize(("group", "name"), SHIPPED)
def test_the_keys_of_every_component_are_the_keyword_parameters_of_its_class(group: str, name: str) -> None:
    for path, node in components(compose(*overrides(group, name))):
        parameters = inspect.signature(class_of(node["_target_"])).parameters.values()
        assert node.keys() - {"_target_"} == {p.name for p in parameters if p.kind is p.KEYWORD_ONLY}, path


@pytest.mark.parametrize(
    ("key", "target"),
    [
        ("encoder", "encoders.base.Encoder"),
        ("decoder", "decoders.base.Decoder"),
        ("attention.normalizer", "attention.normalizers.Normalizer"),
        ("attention.window", "attention.windows.Window"),
        ("data", "data.corpora.base.Corpus"),
        ("sampling", "data.sampling.Sampling"),
        ("objective", "objectives.Objective"),
        ("objective", "objectives.AttentionObjective"),
        ("optimizer", "optim.Optimizer"),
        ("scheduler", "optim.Schedule"),
        ("search", "search.base.Search"),
        ("search", "search.beam.BeamSearch"),
    ],
)
def test_a_class_that_is_there_to_be_derived_from_is_no_part(key: str, target: str) -> None:
    values = compose()
    parent, _, last = key.rpartition(".")
    (values[parent] if parent else values)[last]["_target_"] = f"seq2seq.{target}"
    with pytest.raises(ConfigError, match=rf"`{key}\._target_` must name a kind of \w+, but .*{target}' is not one"):
        parse(RunConfig, values)


def test_a_decoder_lacks_nothing_that_a_model_calls() -> None:
    assert Decoder.__abstractmethods__ == {"attentions", "init_state", "forward"}


@pytest.mark.parametrize(("group", "name"), SHIPPED)
def test_the_keys_of_every_section_are_the_fields_of_its_class(group: str, name: str) -> None:
    values = compose(*overrides(group, name))
    config = parse(RunConfig, values)
    assert values.keys() == {field.name for field in dataclasses.fields(config)}
    for field in dataclasses.fields(config):
        section = getattr(config, field.name)
        if dataclasses.is_dataclass(section) and not isinstance(section, Component):
            names = {inner.name for inner in dataclasses.fields(section)}
            assert values[field.name].keys() - {"_target_"} == names, field.name


@pytest.mark.parametrize(("group", "name"), SHIPPED)
def test_the_composed_model_learns_something_from_a_batch(group: str, name: str) -> None:
    config = parse(RunConfig, shrink(compose(*overrides(group, name))))
    model = config.build(VOCABULARY, VOCABULARY)
    optimizer, schedule, objective = (
        config.optimizer(list(model.named_parameters())),
        config.scheduler(),
        config.objective(),
    )
    batch = replace(random_batch([5, 3, 6], [4, 6, 2]), links=torch.tensor([[0, 0, 1], [2, 1, 4]]))
    losses = []
    for step in range(12):
        with torch.no_grad():
            losses.append(float(objective.eval()(model.eval(), batch).nll))
        objective.train()(model.train(), batch).total.backward()
        assert 0 < schedule.factor(Progress(step, 0.0)) <= 1
        optimizer.step(1.0)
        optimizer.zero_grad()
    assert losses[-1] < losses[0]

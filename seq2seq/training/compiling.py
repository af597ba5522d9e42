"""A model compiled by torch: fewer and larger kernels, for some time before the first update."""

from __future__ import annotations

import os
import shutil
import sysconfig
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from seq2seq.errors import ConfigError
from seq2seq.model import Seq2SeqModel

Compile = Literal["none", "default", "max-autotune"]

# Graphs recorded on a GPU are kept for each shape, of which training has dozens; tuning does not need them.
MODES = {"default": "default", "max-autotune": "max-autotune-no-cudagraphs"}


def missing(device: torch.device) -> str | None:
    """Return what torch's compiler needs for a device and this machine lacks, in words; None where it has all."""
    if device.type == "cuda":
        from torch.utils._triton import has_triton  # which looks for drivers

        return None if has_triton() else "the package triton, or of a GPU that it knows"
    names = [os.environ["CXX"]] if os.environ.get("CXX") else ["g++", "clang++", "cl"]
    if not any(map(shutil.which, names)):
        return f"a C++ compiler ({' or '.join(names)})"
    return (
        None if (Path(sysconfig.get_path("include")) / "Python.h").is_file() else "the headers of Python (Python.h)"
    )


def require_compiler(how: Compile, device: torch.device) -> None:
    """Refuse to compile where torch could not, before any data is read.

    Raises:
        ConfigError: a program that torch's compiler needs is missing.
    """
    lacking = None if how == "none" else missing(device)
    if lacking is not None:
        raise ConfigError(
            f"`trainer.compile` must be 'none' where torch's compiler cannot work, but is {how!r} instead and there "
            f"is no sign of {lacking}; install it, or give trainer.compile=none"
        )


def compile_model(model: Seq2SeqModel, how: Compile) -> None:
    """Let torch compile a model when it is called first; its parameters keep their names.

    All sizes are symbols, so that one graph serves all batches that are padded, and another those that are not. Of
    searches nothing is compiled: they step by parts of the model, not by the whole.

    Raises:
        ConfigError: the model has recurrent layers, which torch's compiler leaves as they are.
    """
    if how == "none":
        return
    if any(isinstance(part, nn.RNNBase) for part in model.modules()):
        raise ConfigError(
            "`trainer.compile` must be 'none' where encoder or decoder is recurrent, because torch's compiler leaves "
            f"recurrent layers as they are, but is {how!r} instead"
        )
    model.compile(dynamic=True, mode=MODES[how])


def compiled() -> tuple[int, float]:
    """Return how many graphs torch has compiled in this process, and in how many seconds.

    With symbols for sizes, the backward pass of a graph is compiled with its forward pass and is no graph of its own.
    """
    from torch._dynamo import utils  # which takes a second to import, and is there already where it counts

    return int(utils.counters["stats"]["unique_graphs"]), float(
        sum(utils.compilation_time_metrics.get("_compile.compile_inner", ()))
    )

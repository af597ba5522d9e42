"""One model trained by several processes: what each of them holds, and how their gradients become one."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import nn

from seq2seq.data.batching import Batch
from seq2seq.distributed.processes import Processes
from seq2seq.errors import ConfigError
from seq2seq.layers import CrossAttention, FeedForwardLayer, SelfAttention
from seq2seq.model import Seq2SeqModel
from seq2seq.objectives import LossSums, Objective
from seq2seq.terminal import warn
from seq2seq.training.config import Parallel


class Alone:
    """A model that one process trains.

    Args:
        model: the model, on the device of this process.
        objective: what is minimised.
        processes: who trains it.

    Attributes:
        factor: what a gradient must be multiplied by, so that it counts as one of a sum.
        validators: those who share the sentences of a validation.
    """

    def __init__(self, model: Seq2SeqModel, objective: Objective, processes: Processes) -> None:
        self.model, self.objective, self.processes = model, objective, processes
        self.validators = processes
        self.factor = float(processes.count)  # what is added up is also divided by it

    def sums(self, batch: Batch) -> LossSums:
        """Return the sums of losses over a batch, with gradients."""
        sums: LossSums = self.objective(self.model, batch)
        return sums

    def adding(self, *, last: bool) -> AbstractContextManager[None]:
        """Compute, in a ``with`` block, losses and gradients of a batch.

        Args:
            last: whether it is the last one of this process in an update. After it gradients are those of all.
        """
        return contextlib.nullcontext()

    def reading(self) -> AbstractContextManager[None]:
        """Let the model be used, in a ``with`` block, by other ways than its ``forward``."""
        return contextlib.nullcontext()

    def gives_up(self, wish: bool) -> bool:
        """Return whether a validation is to be given up where this process wishes it."""
        return wish


class Replicated(Alone):
    """A model that each process has as a whole: DistributedDataParallel (Li et al. 2020).

    Gradients are added up once an update, while the last batch of each process is still on its way back.
    """

    def __init__(self, model: Seq2SeqModel, objective: Objective, processes: Processes) -> None:
        super().__init__(model, objective, processes)
        # What the objective uses of the model's parameters must be used inside of what is wrapped.
        self.wrapped = nn.parallel.DistributedDataParallel(_Lesson(model, objective), gradient_as_bucket_view=True)

    def sums(self, batch: Batch) -> LossSums:
        """See :meth:`Alone.sums`.

        Raises:
            ConfigError: a part of the model has parameters that it does not use.
        """
        try:
            sums: LossSums = self.wrapped(batch)
        except RuntimeError as error:
            if "finished reduction in the prior iteration" not in str(error):
                raise
            raise ConfigError(
                "`trainer.parallel` must be fsdp for a model with parameters that no loss comes from, but is 'ddp' "
                f"instead, which waits for their gradients; or give freeze=[{','.join(self._unused(str(error)))}]"
            ) from None
        return sums

    def _unused(self, words: str) -> list[str]:
        """Return the names of parameters that the library names by number."""
        names = [name for name, parameter in self.model.named_parameters() if parameter.requires_grad]
        found = re.search(r"did not receive grad for rank \d+: ([\d ]+)", words)
        return [names[int(number)] for number in found[1].split()] if found else ["NAME"]

    def adding(self, *, last: bool) -> AbstractContextManager[None]:
        """See :meth:`Alone.adding`."""
        quiet: AbstractContextManager[None] = self.wrapped.no_sync()
        return contextlib.nullcontext() if last else quiet


class Sharded(Alone):
    """A model of which each process has a part (Rajbhandari et al. 2020, ZeRO-3; Zhao et al. 2023, FSDP).

    Weights, gradients, moments and averages are shared out. A part of the model is put together when it computes, and
    taken apart again behind it. Gradients are added up with every batch, since to keep them for an update would take
    the memory that this is to save. All processes validate all sentences, because none can compute by itself.
    """

    def __init__(self, model: Seq2SeqModel, objective: Objective, processes: Processes) -> None:
        super().__init__(model, objective, processes)
        self.validators = Processes()

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """See :meth:`Alone.reading`."""
        # Which has got methods by being sharded. The library wants the whole model to compute before any part of it
        # does by itself; the loss of a validation comes before its translations.
        model: Any = self.model
        model.unshard()
        try:
            yield
        finally:
            model.reshard()

    def gives_up(self, wish: bool) -> bool:
        """See :meth:`Alone.gives_up`; here none can compute on without the others."""
        return self.processes.any(wish)


class _Lesson(nn.Module):
    """An objective with its model, as one module."""

    def __init__(self, model: Seq2SeqModel, objective: Objective) -> None:
        super().__init__()
        self.model, self.objective = model, objective

    def forward(self, batch: Batch) -> LossSums:
        sums: LossSums = self.objective(self.model, batch)
        return sums


def settle(kind: Parallel, model: Seq2SeqModel, device: torch.device, processes: Processes) -> None:
    """Put a model on the device of a process; with ``fsdp`` each of several processes keeps a part of it only.

    Then every sub-layer of a Transformer and every recurrent layer of an encoder is put together by itself when it
    computes. All else, such as embeddings, norms and recurrent decoders, which go step by step, is put together once.
    """
    if kind != "fsdp" or processes.count == 1:
        model.to(device)
        return
    # These two take a third of a second, which nobody else need pay.
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method  # as well

    mesh = init_device_mesh(device.type, (processes.count,))
    layers: list[nn.Module] = [part for part in model.modules() if isinstance(part, SelfAttention | FeedForwardLayer)]
    layers += [part for part in model.encoder.modules() if isinstance(part, nn.RNNBase)]
    crossings = [part.attention for part in model.modules() if isinstance(part, CrossAttention)]
    for layer in (*layers, *crossings):
        if next(layer.parameters(), None) is not None:
            fully_shard(layer, mesh=mesh)
    for crossing in crossings:
        register_fsdp_forward_method(crossing, "project_memory")
    fully_shard(model, mesh=mesh)


def spread(kind: Parallel, model: Seq2SeqModel, objective: Objective, processes: Processes) -> Alone:
    """Return how processes train a model that :func:`settle` has put on their devices."""
    if processes.count == 1:
        if kind == "fsdp":
            warn("`trainer.parallel` has no effect on a single process; start several with torchrun")
        return Alone(model, objective, processes)
    return (Sharded if kind == "fsdp" else Replicated)(model, objective, processes)

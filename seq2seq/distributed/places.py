"""Which of several processes this one is, and the device that it has to itself."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.distributed as dist

from seq2seq.errors import ConfigError
from seq2seq.runtime import DeviceName, choose_device


@dataclass(frozen=True)
class Place:
    """What whoever starts the processes says to each of them.

    Attributes:
        rank: which of them it is, from 0.
        count: how many there are.
        local_rank: which of those of its machine it is, from 0.
        local_count: how many its machine has.
        host: where the first of them is.
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0
    local_count: int = 1
    host: str = "localhost"

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Place:
        """Read what torchrun says; without it there is one process.

        Raises:
            ConfigError: it is not whole.
        """
        if "RANK" not in environment and "WORLD_SIZE" not in environment:
            return cls()
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
        missing = [name for name in names if not environment.get(name)]
        if missing:
            raise ConfigError(
                f"the environment must have all that torchrun sets, but lacks {', '.join(missing)}; start several "
                "processes with torchrun, or unset RANK and WORLD_SIZE for a single one"
            )
        try:
            rank, count, local_rank, local_count = (int(environment[name]) for name in names[:4])
        except ValueError:
            rank = count = local_rank = local_count = -1
        if not (0 <= rank < count and 0 <= local_rank < local_count <= count):
            given = " ".join(f"{name}={environment[name]!r}" for name in names[:4])
            raise ConfigError(f"the environment must number the processes as torchrun does, but has {given} instead")
        return cls(rank, count, local_rank, local_count, environment["MASTER_ADDR"])

    @property
    def speaks(self) -> bool:
        """Whether this process says what all those of its machine know."""
        return self.local_rank == 0


def place_here() -> Place:
    """Return which of several processes this one is.

    In a job that submitit has sent Slurm starts the processes, and what torchrun would say is made of what it says.

    Raises:
        ConfigError: see :meth:`Place.of`.
    """
    if "SUBMITIT_EXECUTOR" in os.environ and "RANK" not in os.environ:
        # Whatever has set that variable has brought the package.
        from submitit.helpers import TorchDistributedEnvironment

        TorchDistributedEnvironment().export(set_cuda_visible_devices=False)
    return Place.of(os.environ)


def device_of(place: Place, name: DeviceName) -> torch.device:
    """Return the device of a process: each has a GPU to itself, where there are any.

    Raises:
        ConfigError: there are too few, or none where they are asked for.
    """
    device = choose_device(name)
    if place.count == 1 or device.type == "cpu":
        return device
    there = torch.cuda.device_count()
    if place.local_count > there:
        raise ConfigError(
            f"`--nproc-per-node` of torchrun must be at most the number of GPUs of this machine, {there}, but is "
            f"{place.local_count} instead; start fewer processes, or take trainer.device=cpu"
        )
    torch.cuda.set_device(place.local_rank)
    return torch.device("cuda", place.local_rank)


def require_backends(device: torch.device) -> None:
    """Refuse a build of torch that lacks what several processes need.

    Raises:
        ConfigError: says what is missing.
    """
    wanted = {"gloo": dist.is_available() and dist.is_gloo_available()}
    if device.type == "cuda":
        wanted["NCCL"] = dist.is_available() and dist.is_nccl_available()
    for name, there in wanted.items():
        if not there:
            raise ConfigError(
                f"torch must be built with {name} for several processes, but {torch.__version__} is not; install "
                "another build, or start a single process without torchrun"
            )

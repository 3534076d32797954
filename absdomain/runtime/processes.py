"""Several processes that work as one: which of them this is, what the first one does for all, and sums over all.

torchrun starts them (`torchrun --nproc-per-node 4 -m absdomain.cli train ...`), or a program that has made torch's
default process group itself. Together they are one world, and all of them call its methods in the same order.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed

T = TypeVar("T")
PATIENCE = timedelta(days=7)  # processes wait for each other as long as the slowest share of a certification takes


@dataclass(frozen=True)
class World:
    """Processes 0..size - 1, of which this one is `rank`. A single process needs no process group."""

    rank: int = 0
    size: int = 1

    @staticmethod
    def here() -> World:
        """The world of this process: that of torch's default process group, else torchrun's, else itself alone."""
        if not distributed.is_available():
            return ALONE
        if not distributed.is_initialized():
            if launched() == 1:
                return ALONE
            distributed.init_process_group(_backend(), timeout=PATIENCE)
            atexit.register(distributed.destroy_process_group)
        return World(distributed.get_rank(), distributed.get_world_size())

    @property
    def alone(self) -> bool:
        """Whether there is no other process."""
        return self.size == 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files and speaks."""
        return self.rank == 0

    def sum(self, x: Tensor) -> Tensor:
        """The sum of the processes' x, of one shape; the same bits in each. Differentiable: see `Share.mean`."""
        return x if self.alone else _Sum.apply(x)

    def wait(self) -> None:
        """Return when every process has called this."""
        if not self.alone:  # not `barrier`, which takes a CUDA device even where all work is on CPUs
            distributed.all_gather_object([None] * self.size, None)

    def once(self, work: Callable[[], T]) -> T:
        """work() of the first process: what it returns, or raises, is what each one returns or raises."""
        if self.alone:
            return work()
        found: list[Any] = [None, None]
        if self.first:
            try:
                found[0] = work()
            except Exception as error:  # raised below, in every process
                found[1] = error
        distributed.broadcast_object_list(found, src=0)
        if found[1] is not None:
            raise found[1]
        return found[0]

    def ahead(self, work: Callable[[], T]) -> T:
        """work() in each process, first in process 0: what that one has downloaded, the others find."""
        found = []
        self.once(lambda: found.append(work()))
        return found[0] if self.first else work()


ALONE = World()


def launched() -> int:
    """How many processes torchrun has started; 1 without it."""
    return int(os.environ["WORLD_SIZE"]) if "TORCHELASTIC_RUN_ID" in os.environ else 1


def _backend() -> str:
    return "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"


class _Sum(torch.autograd.Function):
    """y = sum over processes of x, so that the gradient in x is the sum over processes of the gradients in y."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.detach().clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return _Sum.apply(gradients[0])

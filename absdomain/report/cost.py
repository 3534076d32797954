"""What a step of a recipe costs beside a natural step of the same network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from absdomain.data import Images
from absdomain.runtime import timing
from absdomain.runtime.modes import copied
from absdomain.runtime.timing import Work
from absdomain.trainers import Moment, Natural, Objective, Recipe, read
from absdomain.trainers.run.folder import build_network


@dataclass(frozen=True)
class Cost:
    """Seconds of processor time, MiB of tensors at the peak, and the ratios to those of a natural step."""

    seconds: float
    mib: float
    time_ratio: float
    memory_ratio: float


class Steps(NamedTuple):
    """A natural step of a recipe's network, and a step of its method; each may be repeated."""

    natural: Work
    method: Work


def cost(recipe: Recipe, images: Images, *, seconds: float = 2.0) -> Cost:
    """The cost of `steps`, run in turn for so many seconds; on one thread, as processor time adds up all threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        works = steps(recipe, images)
        times = timing.interleaved(works, seconds=seconds, least=3)
        peaks = [timing.peak_memory(work) for work in works]
    finally:
        torch.set_num_threads(threads)
    return Cost(times[1], peaks[1], times[1] / times[0], peaks[1] / peaks[0])


def steps(recipe: Recipe, images: Images) -> Steps:
    """Steps on the recipe's first batch, on the CPU, in the middle of the ramp of its radius.

    There every term of the usual losses is present. A method that learns from held-out images is given the batch.
    """
    x, y = images[: recipe.batch]
    x = x.to(recipe.torch_dtype)
    torch.manual_seed(recipe.seed)
    network = build_network(recipe, images.shape, images.classes)
    plain = Natural(copied(network))
    method = read(recipe.trainer).build(network, x[:1], images.classes, recipe)
    per_epoch = -(-len(images) // recipe.batch)
    step = Moment(0, per_epoch).at(recipe.warmup + recipe.ramp * 0.5)
    now = {**recipe.at(step, per_epoch)._asdict(), "at": Moment(step, per_epoch)}
    method.set(**now)
    with torch.no_grad():
        method.eval().epoch_end([(x, y)])
    method.set(**now)
    return Steps(stepping(plain.train(), x, y), stepping(method.train(), x, y))


def stepping(objective: Objective, x: Tensor, y: Tensor) -> Work:
    """One step of training: loss, gradients, Adam, at a rate that hardly moves the weights: every repeat is alike."""
    optimiser = torch.optim.Adam(objective.parameters(), lr=1e-9)

    def work() -> None:
        optimiser.zero_grad()
        objective(x, y).loss.backward()
        optimiser.step()

    return work

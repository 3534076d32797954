"""What a step of a recipe costs beside a natural step of the same network."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor

from absdomain import _timing
from absdomain.data import Images
from absdomain.trainers import Moment, Natural, Objective, Recipe, read
from absdomain.trainers.folder import build_network


@dataclass(frozen=True)
class Cost:
    """Seconds of processor time, MiB of tensors at the peak, and the ratios to those of a natural step."""

    seconds: float
    mib: float
    time_ratio: float
    memory_ratio: float


def cost(recipe: Recipe, images: Images, *, seconds: float = 2.0) -> Cost:
    """One loss and its gradients on the recipe's first batch, on the CPU, in the middle of the ramp of its radius.

    There every term of the usual losses is present. What a method learns from held-out images, it learns of the batch.
    """
    x, y = images[: recipe.batch]
    x = x.to(recipe.torch_dtype)
    torch.manual_seed(recipe.seed)
    network = build_network(recipe, images.shape, images.classes)
    plain = Natural(copy.deepcopy(network))
    method = read(recipe.trainer).build(network, x[:1], images.classes, recipe)
    per_epoch = -(-len(images) // recipe.batch)
    step = round((recipe.warmup + recipe.ramp / 2) * per_epoch)
    now = {**recipe.at(step, per_epoch)._asdict(), "at": Moment(step, per_epoch)}
    method.set(**now)
    with torch.no_grad():
        method.eval().epoch_end([(x, y)])
    method.set(**now)
    works = [lambda o=o: _step(o, x, y) for o in (plain.train(), method.train())]
    times = _timing.interleaved(works, seconds=seconds, least=3)
    peaks = [_timing.peak_memory(work) for work in works]
    return Cost(times[1], peaks[1], times[1] / times[0], peaks[1] / peaks[0])


def _step(objective: Objective, x: Tensor, y: Tensor) -> None:
    objective.zero_grad()
    objective(x, y).loss.backward()

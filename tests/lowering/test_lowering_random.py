"""The graph of a random program is the program."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from absdomain.laws import drawing
from tests.written import Written, same

Forward = Callable[[Any, Tensor], Any]


def linear(rng: Random, x: Tensor) -> nn.Module:
    return nn.Linear(x.shape[-1], rng.randint(1, 5))


def conv(rng: Random, x: Tensor) -> nn.Module:
    kind: Any = {3: nn.Conv1d, 4: nn.Conv2d}[x.dim()]
    mode = rng.choice(("zeros", "reflect", "replicate", "circular"))
    options = {"stride": rng.randint(1, 2), "padding": rng.randint(0, 2), "dilation": rng.randint(1, 2)}
    return kind(x.shape[1], 2 * x.shape[1], rng.randint(1, 3), groups=x.shape[1], padding_mode=mode, **options)


def norm(rng: Random, x: Tensor) -> nn.Module:
    kind: Any = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d}[x.dim()]
    made = kind(x.shape[1], affine=rng.random() < 0.5)
    made(torch.randn(20, *x.shape[1:]))
    return made.eval()


def constant(rng: Random, x: Tensor) -> nn.Module:
    c = nn.Parameter(torch.randn([n if rng.random() < 0.5 else 1 for n in x.shape[rng.randint(1, x.dim() - 1) :]]))
    use = rng.choice(
        (lambda s, h: h + s.c, lambda s, h: s.c - h, lambda s, h: s.c * h, lambda s, h: h / (2 + s.c.abs()))
    )
    return Written(use, c=c)


def residual(rng: Random, x: Tensor) -> nn.Module:
    inner = nn.Sequential(nn.Linear(x.shape[-1], x.shape[-1]), nn.ReLU(inplace=True))
    use = rng.choice(
        (lambda s, h: h + s.inner(h), lambda s, h: h - 2 * s.inner(h), lambda s, h: torch.cat([s.inner(h), h], 1))
    )
    return Written(use, inner=inner)


def pool(rng: Random, x: Tensor) -> nn.Module:
    kernel, stride, ceil = rng.randint(2, 3), rng.randint(1, 3), rng.random() < 0.5
    options: dict[str, Any] = {
        "kernel_size": kernel,
        "stride": stride,
        "padding": rng.randint(0, kernel // 2),
        "ceil_mode": ceil,
    }
    return rng.choice((nn.MaxPool2d, nn.AvgPool2d))(**options) if x.dim() == 4 else nn.Flatten()


def moved(rng: Random, x: Tensor) -> nn.Module:
    axis, k = rng.randint(1, x.dim() - 1), rng.randint(1, 3)
    order = [0, *rng.sample(range(1, x.dim()), x.dim() - 1)]
    amounts = [rng.randint(-1, 2) if rng.random() < 0.5 else 0 for _ in range(2 * rng.randint(1, x.dim() - 1))]
    amounts = [abs(a) for a in amounts] if rng.random() < 0.7 else [min(a, 0) for a in amounts]
    uses: tuple[Forward, ...] = (
        lambda s, h: h.permute(order), lambda s, h: h.flip(axis), lambda s, h: h.roll(k, axis), lambda s, h: h[:, ::2],
        lambda s, h: F.pad(h, amounts), lambda s, h: h.narrow(axis, 0, max(1, h.shape[axis] - k)),
        lambda s, h: h.select(axis, -1), lambda s, h: h.unsqueeze(axis), lambda s, h: h.squeeze(axis),
        lambda s, h: torch.cat(h.chunk(2, axis)[::-1], axis), lambda s, h: torch.stack([h, -h], axis),
        lambda s, h: h.unflatten(1, (h.shape[1] // 2, 2)), lambda s, h: h.view(h.size(0), -1),
        lambda s, h: h.transpose(1, -1), lambda s, h: h.flatten(1),
    )  # fmt: skip
    return Written(rng.choice(uses))


def reduced(rng: Random, x: Tensor) -> nn.Module:
    axis, keep = rng.randint(1, x.dim() - 1), rng.random() < 0.7
    uses: tuple[Forward, ...] = (
        lambda s, h: h.sum(axis, keep),
        lambda s, h: h.mean(axis, keep),
        lambda s, h: h.amax(axis, keep),
    )
    return Written(rng.choice(uses))


def activated(rng: Random, x: Tensor) -> nn.Module:
    return rng.choice((nn.ReLU(), nn.LeakyReLU(rng.choice((0.1, -0.5, 2.0)))))


STEPS = (linear, conv, norm, constant, residual, pool, moved, moved, moved, reduced, activated, activated)


def program(rng: Random) -> tuple[nn.Module, tuple[int, ...]]:
    """A random chain of at most eight steps that can be run, and its input's shape."""
    shape = drawing.shape(rng)
    x, steps = torch.randn(2, *shape), [nn.Sequential(nn.Linear(shape[-1], shape[-1]))]
    while len(steps) < 8 and x.dim() > 1:
        try:
            step: nn.Module = rng.choice(STEPS)(rng, x)
            value = step.eval()(x)
        except (RuntimeError, ValueError, KeyError, IndexError):  # it does not suit this shape
            continue
        if 0 < value.numel() <= 400:
            steps.append(step)  # type: ignore[arg-type]
            x = value.detach()
    return nn.Sequential(*steps), shape


@pytest.mark.sampled(3)
@pytest.mark.parametrize("seed", [*range(10), *(pytest.param(s, marks=pytest.mark.slow) for s in range(10, 200))])
def test_the_graph_of_a_random_program_is_the_program(seed: int) -> None:
    torch.manual_seed(seed)
    module, shape = program(Random(seed))
    same(module, *shape)

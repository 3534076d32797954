"""Random ops with all their parameters, as functions of a `random.Random`.

`Random(seed)` gives the same op every time; hypothesis' choices (`absdomain.laws.choices`) give ops that shrink: the
first of several choices is the simplest, and what happens with some chance is the less simple.
"""

from __future__ import annotations

from collections.abc import Callable
from math import gcd, log2, prod
from random import Random

import torch
from torch import Tensor

from absdomain.kinds import Op, Shape
from absdomain.laws.activations import PIECEWISE as PIECEWISE
from absdomain.laws.activations import SMOOTH as SMOOTH
from absdomain.laws.activations import STEPS as STEPS
from absdomain.laws.activations import Maker as Maker
from absdomain.laws.activations import leaky_relu as leaky_relu
from absdomain.laws.activations import matmul as matmul
from absdomain.laws.activations import max_ as max_
from absdomain.laws.activations import product as product
from absdomain.laws.activations import relu as relu
from absdomain.laws.choices import coefficients, indices
from absdomain.laws.choices import generator as generator
from absdomain.laws.choices import normal as normal
from absdomain.ops import (
    Add,
    Along,
    AvgPool,
    BatchNorm,
    Concat,
    Conv,
    ConvTranspose,
    Dense,
    Gather,
    Mean,
    Pad,
    Permute,
    Reshape,
    Scale,
    Scatter,
    Sum,
    windows,
)

LARGEST = 64  # entries of an activation


def _plain(rng: Random, w: Tensor) -> Tensor:
    return w


def _sparse(rng: Random, w: Tensor) -> Tensor:
    return w * (normal(rng, *w.shape) <= 0)


def _whole(rng: Random, w: Tensor) -> Tensor:
    return (2 * w).round()  # ties between neurons, and zeros


def _huge(rng: Random, w: Tensor) -> Tensor:
    return 1e3 * w


def _tiny(rng: Random, w: Tensor) -> Tensor:
    return 1e-6 * w


STYLES = (*[_plain] * 8, _sparse, _sparse, _whole, _whole, _huge, _tiny)


def weights(rng: Random, *shape: int, fan: int = 1) -> Tensor:
    """Entries of variance about 1 / fan; now and then sparse, whole numbers, huge or tiny."""
    style, size = rng.choice(STYLES), 2.0 ** round(log2(max(fan, 1)) / 2)  # a power of two: few digits stay few
    return style(rng, coefficients(rng, *shape) / size)


def biases(rng: Random, *shape: int) -> Tensor:
    """Entries that leave most neurons undecided: half of standard normal ones; now and then of another style."""
    return (weights if rng.random() < 0.15 else normal)(rng, *shape) / 2


def perhaps(rng: Random, make: Callable[[], Tensor], chance: float = 0.7) -> Tensor | None:
    """make() with this chance, else None."""
    return make() if rng.random() < chance else None


def dense(rng: Random, shape: Shape) -> Op | None:
    """Dense on the last axis."""
    m = rng.randint(1, 5)
    return Dense(weights(rng, m, shape[-1], fan=shape[-1]), perhaps(rng, lambda: biases(rng, m)))


def dense_per_sample(rng: Random, shape: Shape) -> Op | None:
    """Dense with a matrix for each of two samples, as a spec is."""
    if len(shape) != 1:
        return None
    m = rng.randint(1, 4)
    return Dense(weights(rng, 2, m, shape[0], fan=shape[0]), perhaps(rng, lambda: biases(rng, 2, m)))


def _conv(rng: Random, shape: Shape, axes: int) -> Op | None:
    if len(shape) != axes + 1:
        return None
    kernel, stride, padding, dilation = (
        tuple(rng.choice(sizes) for _ in range(axes)) for sizes in ((1, 2, 3, 4), (1, 2, 3), (0, 1, 2), (1, 1, 2))
    )
    if any(n + 2 * p < d * (k - 1) + 1 for n, p, d, k in zip(shape[1:], padding, dilation, kernel, strict=True)):
        return None
    groups = rng.choice([g for g in range(1, shape[0] + 1) if shape[0] % g == 0])
    channels = groups * rng.randint(1, max(1, 4 // groups))
    w = weights(rng, channels, shape[0] // groups, *kernel, fan=prod(kernel) * shape[0] // groups)
    return Conv(w, perhaps(rng, lambda: biases(rng, channels)), stride, padding, dilation, groups)


def conv1d(rng: Random, shape: Shape) -> Op | None:
    """Conv over one axis."""
    return _conv(rng, shape, 1)


def conv2d(rng: Random, shape: Shape) -> Op | None:
    """Conv over two axes."""
    return _conv(rng, shape, 2)


def conv_transpose(rng: Random, shape: Shape) -> Op | None:
    """ConvTranspose over one axis or two."""
    axes = len(shape) - 1
    if axes not in (1, 2):
        return None
    kernel, stride, padding, dilation = (
        tuple(rng.choice(sizes) for _ in range(axes)) for sizes in ((1, 2, 3), (1, 2, 3), (0, 1), (1, 1, 2))
    )
    more = tuple(rng.randrange(max(s, d)) for s, d in zip(stride, dilation, strict=True))
    groups = rng.choice([g for g in range(1, shape[0] + 1) if shape[0] % g == 0])
    each = rng.randint(1, max(1, 3 // groups))
    w = weights(rng, shape[0], each, *kernel, fan=prod(kernel) * shape[0] // groups)
    op = ConvTranspose(w, perhaps(rng, lambda: biases(rng, each * groups)), stride, padding, more, dilation, groups)
    return op if min(op.shape(shape)) > 0 else None


def along(rng: Random, shape: Shape) -> Op | None:
    """A matrix along any axis."""
    axis, m = rng.randint(1, len(shape)), rng.randint(1, 5)
    return Along(weights(rng, m, shape[axis - 1], fan=shape[axis - 1]), axis)


def scale(rng: Random, shape: Shape) -> Op | None:
    """Scale by a number, along some axes or entry by entry."""

    def sizes() -> Shape:
        kept = rng.randint(0, len(shape))
        return tuple(n if rng.random() < 0.6 else 1 for n in shape[len(shape) - kept :])

    return Scale(perhaps(rng, lambda: weights(rng, *sizes())), perhaps(rng, lambda: biases(rng, *sizes())))


def batch_norm(rng: Random, shape: Shape) -> Op | None:
    """BatchNorm over the first axis; variances down to nearly zero."""
    c = shape[0]
    variance = coefficients(rng, c).abs() * rng.choice((1.0, 1.0, 1e-4))
    gain, shift = perhaps(rng, lambda: weights(rng, c)), perhaps(rng, lambda: biases(rng, c))
    return BatchNorm(biases(rng, c), variance, gain, shift, eps=rng.choice((1e-5, 1e-3)), axes=len(shape) - 1)


def reshape(rng: Random, shape: Shape) -> Op | None:
    """Flatten, or a factorisation of the entries into two axes or three."""
    n = prod(shape)
    a = gcd(n, rng.choice((1, 2, 3, 4, 6)))
    b = gcd(n // a, rng.choice((1, 2, 3)))
    return Reshape(rng.choice(((n,), (n,), (a, n // a), (b, a, n // a // b))))


def permute(rng: Random, shape: Shape) -> Op | None:
    """Any order of the axes."""
    axes = list(range(1, len(shape) + 1))
    rng.shuffle(axes)
    return Permute((0, *axes))


def gather(rng: Random, shape: Shape) -> Op | None:
    """Any entries, repeated or left out, in one axis or two."""
    sizes = rng.choice(((rng.randint(1, 8),), (rng.randint(1, 4), rng.randint(1, 4))))
    return Gather(indices(rng, prod(shape), *sizes))


def scatter(rng: Random, shape: Shape) -> Op | None:
    """Entries added up at any places, some of which get none."""
    sizes = rng.choice(((rng.randint(1, 8),), (rng.randint(1, 4), rng.randint(1, 4))))
    return Scatter(indices(rng, prod(sizes), *shape), sizes)


def pool_windows(rng: Random, shape: Shape) -> Op | None:
    """Gather of the windows of a max pooling, (C, kernel size, H_out, W_out): padding, dilation and ceil_mode."""
    kernel, stride = (rng.randint(1, 3), rng.randint(1, 3)), (rng.randint(1, 3), rng.randint(1, 3))
    padding, dilation = (rng.randint(0, kernel[0] // 2), rng.randint(0, kernel[1] // 2)), rng.choice(((1, 1), (1, 2)))
    if dilation[1] > 1:
        padding = (padding[0], 0)  # a window with no entry inside the plane has no max
    if len(shape) != 3 or any(
        n + 2 * p < d * (k - 1) + 1 for n, p, d, k in zip(shape[1:], padding, dilation, kernel, strict=True)
    ):
        return None
    plane = windows(shape[1:], kernel, stride, padding, dilation, rng.random() < 0.3)
    index = torch.arange(shape[0]).view(-1, 1, 1, 1) * prod(shape[1:]) + plane
    return Gather(index) if index.numel() <= 3 * LARGEST else None


def pad(rng: Random, shape: Shape) -> Op | None:
    """Zeros around one axis or more."""
    return Pad(tuple(rng.randint(0, 2) for _ in range(2 * rng.randint(1, len(shape)))))


def add(rng: Random, shape: Shape) -> Op | None:
    """A sum of any number of arguments."""
    return Add()


def concat(rng: Random, shape: Shape) -> Op | None:
    """Concatenation along any axis."""
    return Concat(rng.randint(1, len(shape)))


def _reduced_axes(rng: Random, shape: Shape) -> tuple[tuple[int, ...], bool]:
    count = rng.randint(1, len(shape))
    return tuple(sorted(rng.sample(range(1, len(shape) + 1), count))), count == len(shape) or rng.random() < 0.5


def mean(rng: Random, shape: Shape) -> Op | None:
    """The mean over one axis or more."""
    return Mean(*_reduced_axes(rng, shape))


def sum_(rng: Random, shape: Shape) -> Op | None:
    """The sum over one axis or more."""
    return Sum(*_reduced_axes(rng, shape))


def avg_pool(rng: Random, shape: Shape) -> Op | None:
    """AvgPool with every option of PyTorch's."""
    kernel = (rng.randint(1, 3), rng.randint(1, 3))
    padding = (rng.randint(0, kernel[0] // 2), rng.randint(0, kernel[1] // 2))
    if len(shape) != 3 or any(n + 2 * p < k for n, p, k in zip(shape[1:], padding, kernel, strict=True)):
        return None
    stride, divisor = (rng.randint(1, 3), rng.randint(1, 3)), rng.choice((None, None, None, 3))
    return AvgPool(kernel, stride, padding, rng.random() < 0.3, rng.random() < 0.5, divisor)


AFFINE: tuple[Maker, ...] = (
    dense, conv1d, conv2d, conv_transpose, along, scale, batch_norm, reshape, permute, gather, scatter, pool_windows,
    pad, add, concat, mean, sum_, avg_pool,
)  # fmt: skip
NONLINEAR = PIECEWISE + STEPS + SMOOTH
MAKERS = AFFINE + NONLINEAR  # one for each op of absdomain.ops, and for each of its uses that differ in shape
# What graphs are grown from: spatial ops suit few shapes, so they are offered more often; nonlinear ones are the point.
MIXTURE = 7 * (relu,) + 2 * (dense,) + MAKERS + 4 * (conv1d, conv2d, avg_pool) + (batch_norm,) + 3 * (leaky_relu, max_)

# Without jumps: at one, an op counts both sides, and no bound has a gradient.
CONTINUOUS = tuple(make for make in MIXTURE if make not in STEPS)


def shape(rng: Random, axes: int | None = None) -> Shape:
    """A small shape of one to three axes."""
    axes = rng.choice((1, 2, 2, 3, 3, 3)) if axes is None else axes
    return ((rng.randint(1, 6),), (rng.randint(1, 4), rng.randint(2, 6)), (rng.randint(1, 3), *_plane(rng)))[axes - 1]


def _plane(rng: Random) -> Shape:
    return rng.randint(2, 5), rng.randint(2, 5)


def arguments(make: Maker) -> int:
    """How many arguments an op of this kind is given when it is tried alone."""
    return 2 if make in (add, concat, product, matmul) else 1


def suited(rng: Random, make: Maker) -> tuple[Op, Shape]:
    """An op of this kind and the shape of an argument that suits it."""
    while True:
        arg = shape(rng)
        op = make(rng, arg)
        if op is not None and prod(op.shape(*[arg] * arguments(make))) <= 2 * LARGEST:
            return op, arg

"""Random nonlinear ops with all their parameters, as functions of a `random.Random`."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import torch

from absdomain.kinds import Op, Shape
from absdomain.laws.choices import coefficients
from absdomain.ops import (
    ELU,
    GELU,
    Abs,
    Ceil,
    Clamp,
    Cos,
    Exp,
    Floor,
    GELUTanh,
    HardSwish,
    HardTanh,
    Heaviside,
    LeakyReLU,
    Log,
    MatMul,
    Max,
    Pow,
    PReLU,
    Product,
    Reciprocal,
    ReLU,
    Round,
    Sigmoid,
    Sign,
    SiLU,
    Sin,
    Softplus,
    Sqrt,
    Square,
    Tanh,
)

Maker = Callable[[Random, Shape], Op | None]  # None: the op does not suit an argument of that shape


def relu(rng: Random, shape: Shape) -> Op | None:
    """ReLU."""
    return ReLU()


def leaky_relu(rng: Random, shape: Shape) -> Op | None:
    """LeakyReLU: slopes below 0, at 0, log-uniform near 0 and 1, and above 1 (where it is concave)."""
    near = 10 ** -rng.uniform(0, 9)
    return LeakyReLU(rng.choice((0.01, 0.1, 0.3, 0.0, near, -near, 1 - near, 1 + near, 1.0, 2.0, -0.5)))


def prelu(rng: Random, shape: Shape) -> Op | None:
    """PReLU with a slope for each entry of the first axis, of any sign, some above 1."""
    return PReLU(coefficients(rng, shape[0], *(1,) * (len(shape) - 1)))


def max_(rng: Random, shape: Shape) -> Op | None:
    """Max over an axis of at most nine entries that is not the only one."""
    axes = [a for a in range(-len(shape), 0) if shape[a] <= 9]
    return Max(rng.choice(axes)) if len(shape) > 1 and axes else None


def abs_(rng: Random, shape: Shape) -> Op | None:
    """Abs."""
    return Abs()


def clamp(rng: Random, shape: Shape) -> Op | None:
    """Clamp with one end or two, close or far apart."""
    low, high = rng.choice(((-0.5, 2.0), (0.2, 0.3), (-torch.inf, 0.4), (-1.0, torch.inf)))
    return Clamp(low, high)


def hard_tanh(rng: Random, shape: Shape) -> Op | None:
    """HardTanh."""
    return HardTanh()


def sign(rng: Random, shape: Shape) -> Op | None:
    """Sign."""
    return Sign()


def heaviside(rng: Random, shape: Shape) -> Op | None:
    """Heaviside with any value at 0."""
    return Heaviside(rng.choice((0.0, 1.0, 0.5)))


def floor(rng: Random, shape: Shape) -> Op | None:
    """Floor."""
    return Floor()


def ceil(rng: Random, shape: Shape) -> Op | None:
    """Ceil."""
    return Ceil()


def round_(rng: Random, shape: Shape) -> Op | None:
    """Round."""
    return Round()


def sigmoid(rng: Random, shape: Shape) -> Op | None:
    """Sigmoid."""
    return Sigmoid()


def tanh(rng: Random, shape: Shape) -> Op | None:
    """Tanh."""
    return Tanh()


def softplus(rng: Random, shape: Shape) -> Op | None:
    """Softplus, gentle and sharp, with thresholds that are seen and not."""
    return Softplus(rng.choice((1.0, 0.5, 5.0)), rng.choice((20.0, 40.0)))


def elu(rng: Random, shape: Shape) -> Op | None:
    """ELU: convex, with a derivative that falls at 0, and SELU."""
    return ELU(*rng.choice(((1.0, 1.0), (0.3, 1.0), (2.0, 0.5), (1.6732632423543772, 1.0507009873554805))))


def silu(rng: Random, shape: Shape) -> Op | None:
    """SiLU."""
    return SiLU()


def gelu(rng: Random, shape: Shape) -> Op | None:
    """GELU."""
    return GELU()


def gelu_tanh(rng: Random, shape: Shape) -> Op | None:
    """GELUTanh."""
    return GELUTanh()


def hard_swish(rng: Random, shape: Shape) -> Op | None:
    """HardSwish."""
    return HardSwish()


def sin(rng: Random, shape: Shape) -> Op | None:
    """Sin."""
    return Sin()


def cos(rng: Random, shape: Shape) -> Op | None:
    """Cos."""
    return Cos()


def exp(rng: Random, shape: Shape) -> Op | None:
    """Exp."""
    return Exp()


def square(rng: Random, shape: Shape) -> Op | None:
    """Square."""
    return Square()


def pow_(rng: Random, shape: Shape) -> Op | None:
    """Pow, whole or with a floor, since an activation may be negative."""
    return Pow(*rng.choice(((3.0,), (4.0,), (-0.5, 0.3), (1.5, 0.2), (-2.0, 0.5))))


def sqrt(rng: Random, shape: Shape) -> Op | None:
    """Sqrt with a floor."""
    return Sqrt(floor=rng.choice((0.1, 1.0)))


def reciprocal(rng: Random, shape: Shape) -> Op | None:
    """Reciprocal with a floor."""
    return Reciprocal(floor=rng.choice((0.3, 1.0)))


def log(rng: Random, shape: Shape) -> Op | None:
    """Log with a floor."""
    return Log(rng.choice((0.3, 1.0)))


def product(rng: Random, shape: Shape) -> Op | None:
    """The product of two activations."""
    return Product()


def matmul(rng: Random, shape: Shape) -> Op | None:
    """The product of two square matrices, or of several pairs; small ones, whose corners a law can try."""
    return MatMul() if len(shape) > 1 and shape[-1] == shape[-2] <= 3 else None


PIECEWISE: tuple[Maker, ...] = (relu, leaky_relu, prelu, max_, abs_, clamp, hard_tanh)
STEPS: tuple[Maker, ...] = (sign, heaviside, floor, ceil, round_)
SMOOTH: tuple[Maker, ...] = (
    sigmoid, tanh, softplus, elu, silu, gelu, gelu_tanh, hard_swish, sin, cos, exp, square, pow_, sqrt, reciprocal, log,
    product, matmul,
)  # fmt: skip
STEEP: tuple[Maker, ...] = (exp, square, pow_)  # few in a row overflow: a graph clamps what goes into them

"""f(x) in 200 decimal digits: what a graph's value is in real arithmetic, from the floats that it holds.

Apart from the ops' own arithmetic: an affine op is read as the matrix that it is, a nonlinear one by its formula.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np
import torch
from mpmath.ctx_mp import MPContext
from numpy.typing import NDArray
from torch import Tensor

from absdomain import ops
from absdomain.graph import Graph
from absdomain.kinds import Affine, Op, Shape

MP: Any = MPContext()  # of its own precision: mpmath's other users keep theirs
MP.dps = 200
_FAR = 1e6  # beyond it a gate is 0 or 1 to exp(-1e6), and mpmath is slow or has no answer

Digits = NDArray[np.object_]  # of mpmath's numbers
Function = Callable[[Any, Any], Any]  # an op and a number
Form = Callable[[list[Digits]], Digits]  # of an op's arguments


def value(graph: Graph, x: Tensor | Digits) -> list[Any]:
    """graph(x) at one point (*input shape), floats or mpmath's numbers: the entries of the output, flat.

    Parameters and Python numbers are taken as what they are stored as; nothing is rounded but to 200 digits. NaN where
    an op is not defined.
    """
    return list(values(graph, x)[-1].flat)


def values(graph: Graph, x: Tensor | Digits) -> list[Digits]:
    """The value of every node at one point."""
    return evaluator(graph)(x)


def evaluator(graph: Graph) -> Callable[[Tensor | Digits], list[Digits]]:
    """x -> the value of every node, for many points: the present weights are read once."""
    shapes = [node.shape for node in graph.nodes]
    forms = [_form(step.op, [shapes[a] for a in step.args]) for step in graph.schedule]

    def run(x: Tensor | Digits) -> list[Digits]:
        found = [digits(x).reshape(shapes[0])]
        for step, form in zip(graph.schedule, forms, strict=True):
            found.append(form([found[a] for a in step.args]).reshape(shapes[step.place]))
        return found

    return run


def in_digits(op: Op, xs: Sequence[Tensor]) -> Tensor | None:
    """op at points xs, (P, *shape) each, to the nearest float64; None where its formula is not known here."""
    try:
        form = _form(op, [tuple(x.shape[1:]) for x in xs])
        made = [form([digits(x) for x in point]) for point in zip(*xs, strict=True)]
    except NotImplementedError:
        return None
    except (ValueError, ZeroDivisionError):  # not defined at one of them
        return None
    return torch.tensor([[float(v) for v in y.flat] for y in made], dtype=torch.float64)


def digits(x: Tensor | Digits | Sequence[float]) -> Digits:
    """The same numbers, exactly."""
    listed = x.detach().double().numpy() if isinstance(x, Tensor) else np.asarray(x, dtype=object)
    return _each(MP.mpf, listed)


def _each(f: Callable[[Any], Any], x: NDArray[Any]) -> Digits:
    made = np.empty(x.size, dtype=object)
    made[:] = [f(v) for v in x.flat]
    return made.reshape(x.shape)


def _form(op: Op, shapes: list[Shape]) -> Form:
    """op as a function of arguments of these shapes."""
    if type(op) in _FORMULAS:
        f = _FORMULAS[type(op)]
        return lambda args: _each(lambda v: f(op, v), args[0])
    match op:
        case ops.Max(axis=axis):
            return lambda args: np.asarray(args[0].max(axis), dtype=object)
        case ops.PReLU():
            slope = digits(op.slope)
            return lambda args: _rectified(args[0], slope)
        case ops.Product():
            return lambda args: np.asarray(args[0] * args[1], dtype=object)
        case ops.MatMul():
            return lambda args: np.asarray(np.matmul(args[0], args[1]), dtype=object)
        case Affine():
            return _affine(op, shapes)
    raise NotImplementedError(f"{op} has no value in {MP.dps} digits; add its formula to absdomain.laws.digits")


# --- affine ops -------------------------------------------------------------------------------------------------------


def _affine(op: Affine, shapes: list[Shape]) -> Form:
    """A x + b, A by the places of its entries among the weights (no two of which meet in one), b as the op holds it."""
    weight, offset = _normalising(op) if isinstance(op, ops.BatchNorm) else (_held(op.weight), _held(op.offset))
    entries, shape = _matrix(op, weight, shapes), op.shape(*shapes)

    def apply(args: list[Digits]) -> Digits:
        joined = np.concatenate([a.flatten() for a in args])
        sums = np.empty(prod(shape), dtype=object)
        sums.fill(MP.zero)
        for row, column, entry in entries:
            sums[row] += entry * joined[column]
        total = sums.reshape(shape)
        return total if offset is None else np.asarray(total + offset, dtype=object)

    return apply


def _held(t: Tensor | None) -> Digits | None:
    return None if t is None else digits(t)


def _matrix(op: Affine, weight: Digits | None, shapes: list[Shape]) -> list[tuple[int, int, Any]]:
    """The entries of A that are not 0, with their rows and columns."""
    marks = None if weight is None else torch.arange(1.0, weight.size + 1, dtype=torch.float64).view(weight.shape)
    zeros = [torch.zeros(1, *shape, dtype=torch.float64) for shape in shapes]
    found, column = [], 0
    for place, shape in enumerate(shapes):
        for unit in torch.eye(prod(shape), dtype=torch.float64).view(-1, 1, *shape):
            marked = op.linear(marks, *zeros[:place], unit, *zeros[place + 1 :]).flatten()
            for row in marked.nonzero().flatten().tolist():
                mark = marked[row].item()
                found.append((row, column, _whole(1 / mark, op) if weight is None else weight.flat[round(mark) - 1]))
            column += 1
    return found


def _whole(inverse: float, op: Affine) -> Any:
    """1 / n for the whole number n that is meant: all that an op without weights, as a sum or a mean, multiplies by."""
    if abs(inverse - round(inverse)) > 1e-6 * inverse:
        raise NotImplementedError(f"{op} multiplies by {1 / inverse}, which is not one over a whole number")
    return 1 / MP.mpf(round(inverse))


def _normalising(op: ops.BatchNorm) -> tuple[Digits, Digits]:
    """gain / sqrt(variance + eps), and shift - mean times that: an op computes both in floats."""
    lay = (-1, *(1,) * op.axes)
    scale = _each(lambda v: 1 / MP.sqrt(v + MP.mpf(op.eps)), digits(op.variance))
    scale = scale if op.gain is None else scale * digits(op.gain)
    offset = -digits(op.mean) * scale
    offset = offset if op.shift is None else offset + digits(op.shift)
    return scale.reshape(lay), offset.reshape(lay)


# --- nonlinear ops ----------------------------------------------------------------------------------------------------


def _rectified(x: Digits, slope: Digits) -> Digits:
    """max(x, 0) + slope min(x, 0)."""
    return np.asarray(_each(lambda v: max(v, MP.zero), x) + slope * _each(lambda v: min(v, MP.zero), x), dtype=object)


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + MP.exp(-x)) if abs(x) < _FAR else MP.mpf(x > 0)


def _softplus(op: Any, x: Any) -> Any:
    scaled = MP.mpf(op.beta) * x
    return x if scaled > op.threshold else MP.log1p(MP.exp(scaled)) / MP.mpf(op.beta)


def _gelu(x: Any) -> Any:
    return x * MP.erfc(-x / MP.sqrt(2)) / 2 if abs(x) < _FAR else max(x, MP.zero)


def _gelu_tanh(x: Any) -> Any:
    return x * _sigmoid(2 * MP.sqrt(2 / MP.pi) * (x + MP.mpf(0.044715) * x**3)) if abs(x) < _FAR else max(x, MP.zero)


def _elu(op: Any, x: Any) -> Any:
    return MP.mpf(op.scale) * (x if x > 0 else MP.mpf(op.alpha) * MP.expm1(x))


def _power(op: Any, x: Any) -> Any:
    base = x if op.floor is None else max(x, MP.mpf(op.floor))
    if base == 0 and op.exponent < 0:
        return MP.nan  # a pole
    if float(op.exponent).is_integer():
        return base ** int(op.exponent)
    return base ** MP.mpf(op.exponent) if base >= 0 else MP.nan


def _log(op: Any, x: Any) -> Any:
    level = x if op.floor is None else max(x, MP.mpf(op.floor))
    return MP.log(level) if level >= 0 else MP.nan


_FORMULAS: dict[type[Op], Function] = {
    ops.ReLU: lambda op, x: max(x, MP.zero),
    ops.LeakyReLU: lambda op, x: x if x > 0 else MP.mpf(op.slope) * x,
    ops.Abs: lambda op, x: abs(x),
    ops.Clamp: lambda op, x: min(max(x, MP.mpf(op.low)), MP.mpf(op.high)),
    ops.HardTanh: lambda op, x: min(max(x, MP.mpf(op.low)), MP.mpf(op.high)),
    ops.Sign: lambda op, x: MP.sign(x),
    ops.Heaviside: lambda op, x: MP.mpf(op.at_zero) if x == 0 else MP.mpf(x > 0),
    ops.Floor: lambda op, x: MP.floor(x),
    ops.Ceil: lambda op, x: MP.ceil(x),
    ops.Round: lambda op, x: MP.nint(x),
    ops.Sigmoid: lambda op, x: _sigmoid(x),
    ops.Tanh: lambda op, x: MP.tanh(x),
    ops.SiLU: lambda op, x: x * _sigmoid(x),
    ops.GELU: lambda op, x: _gelu(x),
    ops.GELUTanh: lambda op, x: _gelu_tanh(x),
    ops.HardSwish: lambda op, x: x * min(max(x + 3, MP.zero), MP.mpf(6)) / 6,
    ops.Softplus: _softplus,
    ops.ELU: _elu,
    ops.Exp: lambda op, x: MP.exp(x),
    ops.Log: _log,
    ops.Sin: lambda op, x: MP.sin(x),
    ops.Cos: lambda op, x: MP.cos(x),
    ops.Pow: _power,
    ops.Square: _power,
    ops.Sqrt: _power,
    ops.Reciprocal: _power,
}

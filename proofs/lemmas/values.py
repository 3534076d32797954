"""The values of affine operations, and their transposes, at dyadic numbers: the definitions, written down again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import torch
from torch import Tensor

from absdomain.kinds import Affine
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
)
from absdomain.proofs.kernel.world import World
from absdomain.proofs.lemmas.windows import equal, numbers

Definition = Callable[..., Tensor]


def convolved(op: Conv, x: Tensor) -> Tensor:
    """Every output entry as a sum over taps, padding left out, two axes."""
    (sh, sw), (ph, pw), (dh, dw) = op.stride, op.padding, op.dilation
    n, inside, kh, kw = op.weight.shape
    _, _, height, width = x.shape
    rows, columns = ((size + 2 * p - d * (k - 1) - 1) // s + 1 for size, p, d, k, s in zip(
        (height, width), op.padding, op.dilation, (kh, kw), op.stride, strict=True))  # fmt: skip
    out = torch.zeros(len(x), n, rows, columns, dtype=x.dtype)
    for c, i, j, a, b, q in product(range(n), range(rows), range(columns), range(kh), range(kw), range(inside)):
        row, column, channel = i * sh - ph + a * dh, j * sw - pw + b * dw, q + c // (n // op.groups) * inside
        if 0 <= row < height and 0 <= column < width:
            out[:, c, i, j] += op.weight[c, q, a, b] * x[:, channel, row, column]
    return out if op.bias is None else out + op.bias.view(-1, 1, 1)


def spread_out(op: ConvTranspose, x: Tensor) -> Tensor:
    """Every input entry times the kernel, added up where it falls in the output, two axes."""
    (sh, sw), (ph, pw), (dh, dw) = op.stride, op.padding, op.dilation
    inside, each, kh, kw = op.weight.shape
    _, _, height, width = x.shape
    rows, columns = ((size - 1) * s - 2 * p + d * (k - 1) + 1 + more for size, p, d, k, s, more in zip(
        (height, width), op.padding, op.dilation, (kh, kw), op.stride, op.output_padding, strict=True))  # fmt: skip
    out = torch.zeros(len(x), each * op.groups, rows, columns, dtype=x.dtype)
    for q, i, j, a, b, c in product(range(inside), range(height), range(width), range(kh), range(kw), range(each)):
        row, column, channel = i * sh - ph + a * dh, j * sw - pw + b * dw, c + q // (inside // op.groups) * each
        if 0 <= row < rows and 0 <= column < columns:
            out[:, channel, row, column] += op.weight[q, c, a, b] * x[:, q, i, j]
    return out if op.bias is None else out + op.bias.view(-1, 1, 1)


def normalised(op: BatchNorm, x: Tensor) -> Tensor:
    """(x - mean) / sqrt(variance + eps) gain + shift."""
    mean, variance = (v.view(-1, *(1,) * (x.dim() - 2)) for v in (op.mean, op.variance))
    y = (x - mean) / (variance + op.eps).sqrt()
    for v, combine in ((op.gain, torch.mul), (op.shift, torch.add)):
        y = y if v is None else combine(y, v.view(-1, *(1,) * (x.dim() - 2)))
    return y


def gathered(x: Tensor) -> Tensor:
    """The entries 3 and 0, 0 and 5 of 2 x 3."""
    return torch.stack([torch.stack([x[:, 1, 0], x[:, 0, 0]], 1), torch.stack([x[:, 0, 0], x[:, 1, 2]], 1)], 1)


def scattered(x: Tensor) -> Tensor:
    """The entries of 2 x 2 at the places 3 and 0, 0 and 1 of 2 x 2."""
    first = torch.stack([x[:, 0, 1] + x[:, 1, 0], x[:, 1, 1]], 1)
    return torch.stack([first, torch.stack([0 * x[:, 0, 0], x[:, 0, 0]], 1)], 1)


def averaged(x: Tensor) -> Tensor:
    """Windows of 2 x 2 at stride (1, 2) of a padded 3 x 4 plane, the padding counted."""
    wide = torch.zeros(*x.shape[:2], 5, 6, dtype=x.dtype)
    wide[:, :, 1:4, 1:5] = x
    return torch.stack([torch.stack([wide[:, :, i : i + 2, j : j + 2].sum((2, 3)) / 4 for j in (0, 2, 4)], 2)
                        for i in range(4)], 2)  # fmt: skip


def norm(**more: Any) -> BatchNorm:
    """Batch norm of two channels."""
    return BatchNorm(numbers(2), numbers(2, start=4).abs() + 0.5, **more)


_CONVS = (
    Conv(numbers(3, 2, 2, 3), numbers(3), (2, 2), (1, 1)), Conv(numbers(2, 2, 3, 2), None, (1, 2), (0, 2), (2, 1)),
    Conv(numbers(4, 1, 2, 2), numbers(4), (2, 1), (1, 0), (1, 2), groups=2), Conv(numbers(2, 2, 2, 2), numbers(2)),
    Conv(numbers(2, 2, 3, 3), None, (3, 2), (2, 1), (1, 2)),
)  # fmt: skip
_BACK = (
    ConvTranspose(numbers(2, 3, 2, 3), numbers(3), (2, 1), (1, 0), (1, 0), (1, 2)),
    ConvTranspose(numbers(2, 1, 1, 2), None, (3, 2), (0, 1), (2, 1), groups=2), ConvTranspose(numbers(2, 2, 2, 2)),
    ConvTranspose(numbers(2, 1, 2, 2), None, (1, 1), (0, 0), (1, 0), (2, 1)),
)  # fmt: skip
_NORMS = (norm(), norm(gain=numbers(2, start=7)), norm(shift=numbers(2, start=8)),
          norm(gain=numbers(2, start=7), shift=numbers(2, start=8), eps=0.25))  # fmt: skip
PLANE = (2, 5, 6)
CASES: Sequence[tuple[Affine, Sequence[tuple[int, ...]], Definition]] = (
    *((op, (PLANE,), lambda x, op=op: convolved(op, x)) for op in _CONVS),
    *((op, ((2, 3, 4),), lambda x, op=op: spread_out(op, x)) for op in _BACK),
    (Along(numbers(3, 4), 2), ((2, 4, 2),), lambda x: torch.einsum("mn,bcnd->bcmd", numbers(3, 4), x)),
    (Along(numbers(3, 2), -1), ((4, 2),), lambda x: torch.einsum("mn,bcn->bcm", numbers(3, 2), x)),
    *((op, (PLANE,), lambda x, op=op: normalised(op, x)) for op in _NORMS),
    (Dense(numbers(3, 4), numbers(3)), ((4,),), lambda x: torch.einsum("ij,bj->bi", numbers(3, 4), x) + numbers(3)),
    (Dense(numbers(2, 3, 4), numbers(2, 3)), ((4,),),
     lambda x: torch.einsum("bij,bj->bi", numbers(2, 3, 4), x) + numbers(2, 3)),
    (Add(), (PLANE, PLANE, PLANE), lambda x, y, z: torch.stack([x, y, z]).sum(0)),
    (Mean((1, 2)), (PLANE,), lambda x: x.reshape(2, 10, 6).sum(1) / 10),
    (Mean((2,), keepdim=True), (PLANE,), lambda x: x.sum(2, keepdim=True) / 5),
    (Sum((2,)), (PLANE,), lambda x: torch.stack(x.unbind(2)).sum(0)),
    (Sum((1,), keepdim=True), (PLANE,), lambda x: (x[:, 0] + x[:, 1]).unsqueeze(1)),
    (AvgPool((2, 2), (1, 2), (1, 1)), ((2, 3, 4),), averaged),
    (AvgPool((2, 2), (1, 2), (1, 1), divisor=3), ((2, 3, 4),), lambda x: averaged(x) * 4 / 3),
    (Reshape((3, 2)), ((6,),), lambda x: torch.stack([x[:, :2], x[:, 2:4], x[:, 4:]], 1)),
    (Permute((0, 2, 1)), ((2, 3),), lambda x: torch.stack(x.unbind(2), 1)),
    (Gather(torch.tensor([[3, 0], [0, 5]])), ((2, 3),), gathered),
    (Scatter(torch.tensor([[3, 0], [0, 1]]), (2, 2)), ((2, 2),), scattered),
    (Pad((1, 0)), ((2,),), lambda x: torch.cat([0 * x[:, :1], x], 1)),
    (Concat(1), ((1, 2), (2, 2)), lambda x, y: torch.stack([x[:, 0], y[:, 0], y[:, 1]], 1)),
    (Scale(numbers(2, 1), numbers(3)), ((2, 3),), lambda x: x * numbers(2, 1) + numbers(3)),
)  # fmt: skip


def by_definition(world: World) -> None:
    """Each op's value is that of its definition, on two samples."""
    for op, shapes, definition in CASES:
        xs = [numbers(2, *shape, start=7 * i + 2) for i, shape in enumerate(shapes)]
        equal(world, op(*xs), definition(*xs), str(op))


def transposed(world: World) -> None:
    """<y, A x> = <A^T y, x> on numbers, for ops whose transpose goes more than one way."""
    for op, shapes, _ in CASES:
        xs = [numbers(2, *shape, start=7 * i + 2) for i, shape in enumerate(shapes)]
        value = op.linear(op.weight, *xs)
        y = numbers(*value.shape, start=6)
        back = (
            op.transpose(op.weight, y, *shapes)
            if op.weight is None or op.weight.dim() < 3 or len(shapes[0]) > 1
            else ()
        )
        total = (
            sum(((b * x).sum() for b, x in zip(back, xs, strict=True)), start=torch.zeros(()))
            if back
            else (y * value).sum()
        )
        equal(world, total.double(), (y * value).sum(), f"{op}: <y, A x> = <A^T y, x>")

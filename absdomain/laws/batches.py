"""An affine op's action, modulus and adjoint for batches of 1 to 7, in both dtypes, at sizes of 1e-6 to 1e6."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from math import prod
from random import Random

import torch
from torch import Tensor

from absdomain.kinds import Affine, Shape
from absdomain.laws.broken import LawBroken
from absdomain.laws.drawing import generator, normal
from absdomain.laws.everywhere import BATCHES, UNITS, of_dtype
from absdomain.laws.rows import over_the_edge, seen
from absdomain.linear import Rows, roots


def check_batches(
    op: Affine, *shapes: Shape, rng: Random, matrix: Tensor, offset: Tensor, batch: int | None = None
) -> None:
    """f(xs) = A xs + b, modulus |A| and adjoint c A, with A (1 or B, m, n) and b written out in float64.

    `batch` is that of an op with a matrix per sample, which is tried with no other.
    """
    for dtype in UNITS:
        for size in BATCHES if batch is None else [batch]:
            laws = _Laws(op, shapes, rng, size, dtype, matrix, offset)
            laws.action()
            laws.adjoint()


class _Laws:
    def __init__(
        self, op: Affine, shapes: tuple[Shape, ...], rng: Random, batch: int, dtype: torch.dtype, A: Tensor, b: Tensor
    ) -> None:
        self.twin: Affine = of_dtype(op, dtype)
        self.op, self.shapes, self.rng, self.batch, self.dtype = op, shapes, rng, batch, dtype
        self.matrix, self.offset, self.unit = A, b, UNITS[dtype]
        self.out = tuple(b.shape[1:])

    def sized(self, t: Tensor, lead: int) -> Tensor:
        """t times one size for each of its first axes, from 1e-6 to 1e6; in this dtype."""
        sizes = 10 ** (12 * torch.rand(t.shape[:lead], dtype=torch.float64, generator=generator(self.rng)) - 6)
        return (sizes.view(*t.shape[:lead], *[1] * (t.dim() - lead)) * t).to(self.dtype)

    def action(self) -> None:
        """The value and the modulus; the arguments stay as they are."""
        xs = [self.sized(normal(self.rng, self.batch, *shape), 1) for shape in self.shapes]
        given, flat = [x.clone() for x in xs], torch.cat([x.flatten(1).double() for x in xs], 1).unsqueeze(-1)
        y = self.twin(*xs)
        if not all(torch.equal(a, b) for a, b in zip(given, xs, strict=True)):
            raise LawBroken("f does not change its arguments", repr(self.op))
        size = (self.matrix.abs() @ flat.abs()).squeeze(-1)
        level = self.offset.flatten(1).abs() * (1 + flat.abs().amax(1))  # A is known to rounding of f(0)
        exact = (self.matrix @ flat).squeeze(-1) + self.offset.flatten(1)
        self.near(y.flatten(1), exact, size + level, "f(xs) = A xs + b")
        modulus = self.twin.modulus(*(x.abs() for x in xs)).flatten(1)
        self.near(modulus, size, size + level, "modulus(r) = |A| r")

    def adjoint(self) -> None:
        """c A and <c, b>, for rows that are written out, of one sample or of each, and for rows on windows."""
        like = torch.zeros(self.batch, *self.out, dtype=self.dtype)
        counts = ((1, self.batch), (2, self.batch), (3, 1))
        found = [Rows.of(self.sized(normal(self.rng, k, n, *self.out), 2)) for k, n in counts]
        if len(self.out) > 1:
            whole = roots.windows(self.out, like, None)
            found += [whole.take(0, whole.count)[0]] if whole.count else []
            found += over_the_edge(self.rng, like)
        for rows in found:
            pulled, constant = self.twin.pull(rows, *self.shapes)
            c = rows.dense().data.double().flatten(2).transpose(0, 1)  # (N or 1, K, m)
            A = self.matrix if rows.columns is None else rows.columns.own(self.matrix)
            parts = (c @ A).transpose(0, 1), (c.abs() @ A.abs()).transpose(0, 1)
            for mine, exact, size in zip(pulled, *(self.split(part) for part in parts), strict=True):
                level = c.abs().sum(-1).t().unsqueeze(-1) * self.offset.abs().amax()
                self.near(mine.dense().data.flatten(2), exact, size + level, "adjoint(c) = c A")
            b = seen(rows.dense(), self.offset).flatten(1)
            level = torch.einsum("nkm,nm->kn", *_same(c.abs(), b.abs()))
            exact = torch.einsum("nkm,nm->kn", *_same(c, b))
            nothing = torch.zeros_like(exact, dtype=self.dtype)
            self.near(nothing if constant is None else constant, exact, level, "pull gives <c, b>")

    def split(self, joined: Tensor) -> Sequence[Tensor]:
        """Rows over all arguments' entries, argument by argument."""
        places = list(accumulate((prod(shape) for shape in self.shapes), initial=0))
        return [joined[..., a:b] for a, b in pairwise(places)]

    def near(self, found: Tensor, exact: Tensor, size: Tensor, law: str) -> None:
        """Equality within rounding of what was added up, entry by entry, and the dtype of the arguments."""
        wrong = ~((found.double() - exact).abs() <= self.unit * size)
        if found.dtype != self.dtype:
            raise LawBroken(f"{law}, in the arguments' dtype", f"{found.dtype} for {self.dtype}; {self.op}")
        if bool(wrong.any()):
            place = tuple(wrong.nonzero()[0].tolist())
            one, other = torch.broadcast_tensors(found, exact)
            where = f"at {list(place)}, {self.dtype}, batch {self.batch}; {self.op}"
            raise LawBroken(law, f"{one[place].item()!r} against {other[place].item()!r} {where}")


def _same(c: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    n = max(len(c), len(b))
    return c.expand(n, -1, -1), b.expand(n, -1)

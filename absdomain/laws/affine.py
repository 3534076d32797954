"""{ f(xs) = A xs + b : its action, modulus, adjoint and offset agree with A written out column by column }."""

from __future__ import annotations

from itertools import accumulate, pairwise
from math import prod
from random import Random

import torch
from torch import Tensor

from absdomain.kinds import Affine, Shape
from absdomain.laws import matrices
from absdomain.laws.broken import equal, holds, slack
from absdomain.laws.derivatives import directional, gradchecked, weights, with_weights
from absdomain.laws.drawing import normal
from absdomain.laws.rows import bundles, check_rows, pair
from absdomain.linear import Rows
from absdomain.values import leaves


def check_affine(op: Affine, *shapes: Shape, rng: Random, batch: int | None = None) -> None:
    """Every law of an affine op on arguments of these shapes; raises LawBroken.

    `batch` is that of an op with a matrix per sample.
    """
    matrix, offset = matrices.of(op, shapes, batch or 1)
    laws = _Laws(op, shapes, rng, batch or 2, matrix, offset)
    laws.shape()
    laws.action()
    laws.modulus()
    laws.adjoint()
    laws.pull()
    laws.diagonal()
    laws.followed_by()
    laws.freeze()
    laws.gradients()
    if op.weight is not None:
        laws.linear_in_the_weight(op.weight)


class _Laws:
    def __init__(
        self, op: Affine, shapes: tuple[Shape, ...], rng: Random, batch: int, matrix: Tensor, offset: Tensor
    ) -> None:
        self.op, self.shapes, self.rng, self.batch = op, shapes, rng, batch
        self.matrix, self.offset = matrix, offset  # (B or 1, m, n), (B or 1, *output shape)
        self.out: Shape = tuple(offset.shape[1:])
        self.scale = matrix.abs().sum(-1).max() + offset.abs().max() if matrix.numel() else torch.ones(())

    def arguments(self, *, nonnegative: bool = False) -> list[Tensor]:
        """Random arguments, (B, *shape) each."""
        xs = [normal(self.rng, self.batch, *shape) for shape in self.shapes]
        return [x.abs() for x in xs] if nonnegative else xs

    def times(self, matrix: Tensor, xs: list[Tensor]) -> Tensor:
        """matrix xs, (B, *output shape)."""
        flat = torch.cat([x.flatten(1) for x in xs], 1)
        return (matrix @ flat.unsqueeze(-1)).squeeze(-1).view(-1, *self.out)

    def near(self, one: Tensor, other: Tensor, law: str, *sizes: Tensor) -> None:
        """Equality up to rounding, where numbers as large as the matrix and `sizes` were added."""
        size = self.scale
        for s in sizes:
            size = size * (1 + s.abs().max()) if s.numel() else size
        equal(one, other, slack(size * 10), law, repr(self.op))

    def shape(self) -> None:
        stated = tuple(self.op.shape(*self.shapes))
        holds(stated == self.out, "shape is that of the value", f"{stated} is stated, {self.out} is found; {self.op}")

    def action(self) -> None:
        xs = self.arguments()
        self.near(self.op(*xs), self.times(self.matrix, xs) + self.offset, "f(xs) = A xs + b", *xs)
        stated = self.op.offset
        found = torch.zeros_like(self.offset) if stated is None else stated.expand_as(self.offset)
        self.near(found, self.offset, "offset is f(0)")

    def linear_in_the_weight(self, weight: Tensor) -> None:
        xs, other, t = self.arguments(), normal(self.rng, *weight.shape), 0.7
        joint = self.op.linear(weight + t * other, *xs)
        apart = self.op.linear(weight, *xs) + t * self.op.linear(other, *xs)
        self.near(joint, apart, "linear is linear in its weight", other, *xs)

    def modulus(self) -> None:
        rs = self.arguments(nonnegative=True)
        exact = self.times(self.matrix.abs(), rs)
        self.near(self.op.modulus(*rs), exact, "modulus(r) = |A| r", *rs)
        self.near(self.op.freeze().modulus(*rs), exact, "modulus(r) = |A| r, frozen", *rs)

    def parts(self, rows: Rows) -> list[Tensor]:
        """c A, one tensor (K, N, *shape) per argument, by the coefficients written out."""
        c = rows.dense().data
        matrix = self.matrix if rows.columns is None else rows.columns.own(self.matrix)
        joined = torch.einsum("knm,nmj->knj", *_same_batch(c.flatten(2), matrix))
        places = list(accumulate((prod(shape) for shape in self.shapes), initial=0))
        pieces = (joined[..., a:b] for a, b in pairwise(places))
        return [piece.unflatten(2, shape) for piece, shape in zip(pieces, self.shapes, strict=True)]

    def adjoint(self) -> None:
        for rows in bundles(self.rng, self.batch, self.out):
            got = self.op.adjoint(rows, *self.shapes)
            holds(len(got) == len(self.shapes), "adjoint gives one bundle per argument", repr(self.op))
            for mine, exact in zip(got, self.parts(rows), strict=True):
                self.near(mine.dense().data, exact, "adjoint(c) = c A", rows.dense().data)
                holds(mine.shape == tuple(exact.shape[2:]), "adjoint's rows have the argument's shape", repr(self.op))
                check_rows(mine, rng=self.rng, batch=self.batch)

    def pull(self) -> None:
        for rows in bundles(self.rng, self.batch, self.out):
            xs = self.arguments()
            pulled, constant = self.op.pull(rows, *self.shapes)
            through = sum((r.dot(x) for r, x in zip(pulled, xs, strict=True)), start=torch.zeros(()))
            through = through if constant is None else through + constant
            direct = pair(rows, self.op(*xs))
            self.near(through, direct, "<c, f(xs)> = <A^T c, xs> + constant", rows.dense().data, *xs)

    def diagonal(self) -> None:
        if self.op.diagonal:
            used = self.matrix != 0
            most = int(max(used.sum(-1).max(), used.sum(-2).max()))
            holds(most <= 1, "a diagonal op has one entry per row and column", f"found {most}; {self.op}")

    def followed_by(self) -> None:
        if len(self.out) != 1:
            return
        for shared in (1, self.batch):
            C, d = normal(self.rng, shared, 2, self.out[0]), normal(self.rng, shared, 2)
            fused = self.op.followed_by(C, d)
            if fused is not None:
                xs = self.arguments()
                exact = torch.einsum("bkn,bn->bk", C.expand(self.batch, -1, -1), self.op(*xs)) + d
                self.near(fused(*xs), exact, "followed_by(C, d)(xs) = C f(xs) + d", C, d, *xs)

    def freeze(self) -> None:
        xs, tensors = self.arguments(), [t for t in leaves(self.op) if t.is_floating_point()]
        value, frozen = self.op(*xs), self.op.freeze()
        self.near(frozen(*xs), value, "freeze keeps the function", *xs)
        kept = [t.detach().clone() for t in tensors]
        with torch.no_grad():
            for t in tensors:
                t.add_(1.0)
            after = frozen(*xs)
            for t, old in zip(tensors, kept, strict=True):
                t.copy_(old)
        self.near(after, value, "a frozen op does not see later changes of the weights", *xs)

    def gradients(self) -> None:
        """Of the value and of the adjoint, to the arguments and to the weights."""
        held = weights(self.op)
        xs, c = self.arguments(), normal(self.rng, 2, 1, *self.out)

        def value(*given: Tensor) -> Tensor:
            result: Tensor = with_weights(self.op, given[: len(held)])(*given[len(held) :])
            return result

        def adjoint(c: Tensor, *given: Tensor) -> Tensor:
            rows, constant = with_weights(self.op, given).pull(Rows.of(c), *self.shapes)
            parts = [r.data.flatten() for r in rows]
            return torch.cat(parts if constant is None else [*parts, constant.flatten()])

        for f, inputs in ((value, [*held, *xs]), (adjoint, [c, *held])):
            ways = [normal(self.rng, *t.shape) for t in inputs]
            directional(f, inputs, ways, self.rng, repr(self.op))
            gradchecked(f, inputs, repr(self.op))


def _same_batch(c: Tensor, matrix: Tensor) -> tuple[Tensor, Tensor]:
    batch = max(c.shape[1], len(matrix))
    return c.expand(-1, batch, -1), matrix.expand(batch, -1, -1)

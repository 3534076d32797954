"""An activation as the ops that make it, and the program of one sample of it."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from torch import Tensor

from absdomain.domains.program.matrices import Columns, Matrices, flat, widened
from absdomain.domains.program.program import Expression, Program
from absdomain.domains.program.relaxation import OpConstraints, Tied, sorted_boxes
from absdomain.kinds import Affine, Nonlinear, Op, Shape
from absdomain.linear import Bounds
from absdomain.region import Region


@dataclass(frozen=True, eq=False)
class Unevaluated:
    """An activation of a batch by the op that makes it and what the op reads; nothing is computed yet."""

    shape: Shape
    region: Region
    matrices: Matrices
    op: Op | None = None  # None: the input
    args: tuple[Unevaluated, ...] = ()
    boxes: tuple[Bounds, ...] = ()  # of the arguments of a nonlinear op

    @staticmethod
    def input(region: Region) -> Unevaluated:
        """The region's points."""
        return Unevaluated(tuple(region.centre.shape[1:]), region, Matrices())

    @staticmethod
    def of(op: Op, args: tuple[Unevaluated, ...], boxes: tuple[Bounds, ...] = ()) -> Unevaluated:
        """op of these arguments, within these boxes."""
        first = args[0]
        return Unevaluated(op.shape(*(e.shape for e in args)), first.region, first.matrices, op, args, boxes)

    def order(self) -> list[Unevaluated]:
        """All that it is made of, arguments first, itself last."""
        found: dict[Unevaluated, None] = {}
        pending = [self]
        while pending:
            missing = [arg for arg in pending[-1].args if arg not in found]
            pending += missing
            if not missing:
                found[pending.pop()] = None
        return list(found)

    def value(self, x: Tensor) -> Tensor:
        """The activation at inputs x, (B, *input shape)."""
        values: dict[Unevaluated, Tensor] = {}
        for e in self.order():
            values[e] = x if e.op is None else e.op(*(values[arg] for arg in e.args))
        return values[self]

    def drift(self) -> Tensor:
        """How far the activation is off, at the most, if every input is off by 1 and every op's value by 1 more.

        And a value that a binary chooses by the width of its box more, (B, *shape): a binary is whole to a tolerance.
        """
        off: dict[Unevaluated, Tensor] = {}
        for e in self.order():
            args = [off[arg] for arg in e.args]
            match e.op:
                case Affine() as op:
                    off[e] = op.modulus(*args) + 1
                case Nonlinear() as op:
                    spread = [b.width.nan_to_num(nan=torch.inf) + arg for b, arg in zip(e.boxes, args, strict=True)]
                    pieces = op.pieces(e.boxes)
                    lines = op.facets(e.boxes) if pieces is None else [piece.line.slopes for piece in pieces]
                    ways = [op.linearised(slopes).modulus(*spread) for slopes in lines]
                    off[e] = torch.stack(ways).amax(0) + 1
                case _:
                    off[e] = torch.ones_like(self.region.centre)
        return off[self]


def build(e: Unevaluated, sample: int, *, pieces: bool) -> tuple[Program, Expression]:
    """One sample's program and e in its variables: exact by the ops' pieces, or relaxed by their facets alone."""
    from scipy import sparse

    built, found = Program(), dict[Unevaluated, Expression]()
    for part in e.order():
        args = [found[arg] for arg in part.args]
        match part.op:
            case None:
                n, box = prod(part.shape), part.region.box()
                built.variables(flat(box.lower, sample), flat(box.upper, sample))
                found[part] = Expression(sparse.eye_array(n, format="csr"), np.zeros(n))
            case Affine() as op:
                A, b = e.matrices.of(op, tuple(arg.shape for arg in part.args), sample, e.region.centre)
                z = _joined(args, built.width)
                found[part] = Expression(A @ z.M, A @ z.k + b)
                built.defined &= bool(np.isfinite(A.data).all() and np.isfinite(b).all())
            case Nonlinear() as op:
                relaxation = OpConstraints(op, sorted_boxes(part.boxes, sample), part.shape)
                found[part] = _relaxed(built, relaxation, _joined(args, built.width), pieces=pieces)
    return built, found[e]


def _joined(args: list[Expression], width: int) -> Expression:
    from scipy import sparse

    whole = sparse.vstack([widened(e.M, width) for e in args], "csr")
    return Expression(whole, np.concatenate([e.k for e in args]))


def _relaxed(built: Program, relaxation: OpConstraints, z: Expression, *, pieces: bool) -> Expression:
    """y = op(z) in the program's variables: its chord where that is exact, elsewhere a variable that is tied to z.

    Where the band of the chord is narrow, a binary for y would stand beside coefficients so small that rounding decides
    what the solver takes for feasible: there, y is on the chord but for a variable of the band's width.
    """
    from scipy import sparse

    chord = relaxation.op.chord(relaxation.boxes)
    low, high = relaxation.band(chord)
    straight = relaxation.straight(low, high)
    near = relaxation.narrow(low, high) & ~straight if pieces else np.zeros_like(straight)
    lines, bent = np.flatnonzero(straight | near), np.flatnonzero(~straight & ~near)
    S, middle = relaxation.rows(chord, lines), (low + high) / 2
    off = built.variables((low - middle)[near], (high - middle)[near])
    extra = sparse.csr_array((np.ones(len(off)), (np.flatnonzero(near[lines]), off)), shape=(len(lines), built.width))
    line = Expression(widened(S @ z.M, built.width) + extra, S @ z.k + middle[lines])
    if not len(bent):
        return line
    y = _tied(built, relaxation, z, bent, pieces=pieces)
    entries = sparse.csr_array((np.ones(len(y)), (np.arange(len(y)), y)), shape=(len(y), built.width))
    back = np.argsort(np.concatenate([lines, bent]))
    whole = sparse.vstack([widened(line.M, built.width), entries], "csr")
    return Expression(whole[back], np.concatenate([line.k, np.zeros(len(y))])[back])


def _tied(built: Program, relaxation: OpConstraints, z: Expression, bent: Columns, *, pieces: bool) -> Columns:
    """Variables for the entries `bent` of y, tied to variables for the entries of z that they read."""
    from scipy import sparse

    read = np.flatnonzero(np.diff(relaxation.rows(relaxation.ones, bent).tocsc().indptr))
    own = built.variables(relaxation.lower[read], relaxation.upper[read])
    minus = sparse.csr_array((-np.ones(len(own)), (np.arange(len(own)), own)), shape=(len(own), built.width))
    built.equal(widened(z.M[read], built.width) + minus, -z.k[read])
    image = relaxation.op.image(relaxation.boxes)
    ends = flat(image.lower, 0)[bent], flat(image.upper, 0)[bent]
    y = built.variables(np.minimum(*ends), np.maximum(*ends))
    tied = Tied(relaxation, built, bent, read, y, own)
    tied.facets()
    if pieces:
        tied.pieces()
    return y

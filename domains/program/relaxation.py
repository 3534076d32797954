"""One nonlinear op over the boxes of one sample as linear constraints: its facets, and exactly by its pieces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from absdomain.domains.program.matrices import Array, Columns, Mask, flat, widened, written
from absdomain.domains.program.program import Program
from absdomain.kinds import Nonlinear, Piece, Shape, Slopes
from absdomain.linear import Bounds

if TYPE_CHECKING:
    from scipy.sparse import csr_array


_NARROW = 1e-6  # far above the solver's tolerances, which are 1e-9


@dataclass(frozen=True, eq=False)
class OpConstraints:
    """y = op(z) over the boxes of one sample; z are the entries of all arguments laid end to end."""

    op: Nonlinear
    boxes: tuple[Bounds, ...]  # (1, *shape) each, lower <= upper
    shape: Shape  # of y

    @property
    def ones(self) -> Slopes:
        """Slopes of 1."""
        return tuple(torch.ones_like(b.lower) for b in self.boxes)

    def read(self, *xs: Tensor) -> Array:
        """The sums of what each entry of y reads of z, one number per entry of y."""
        return flat(self.op.linearised(self.ones)(*xs), 0)

    @property
    def lower(self) -> Array:
        """The lower ends of z."""
        return np.concatenate([flat(b.lower, 0) for b in self.boxes])

    @property
    def upper(self) -> Array:
        """The upper ends of z."""
        return np.concatenate([flat(b.upper, 0) for b in self.boxes])

    def rows(self, slopes: Slopes, index: Columns) -> csr_array:
        """The matrix of z -> <slopes, z>, for the entries `index` of y."""
        shapes = tuple(b.shape for b in self.boxes)
        line = self.op.linearised(slopes)
        return written(lambda c: line.adjoint(c, *shapes), index, self.shape, shapes, self.boxes[0].lower)[0]

    def band(self, slopes: Slopes) -> tuple[Array, Array]:
        """Both ends of the op's band, one each per entry of y."""
        band = self.op.band(slopes, self.boxes)
        return flat(band.lower, 0), flat(band.upper, 0)

    def straight(self, low: Array, high: Array) -> Mask:
        """The entries of y that the chord gives exactly: where its band has no width, or an op of pieces is settled."""
        settled = self.op.settled(self.boxes)
        if settled is None or self.op.pieces(self.boxes) is None:
            return low == high
        unsettled = self.read(*(1.0 - s.to(b.lower) for s, b in zip(settled, self.boxes, strict=True)))
        return (low == high) | (unsettled == 0)

    def narrow(self, low: Array, high: Array) -> Mask:
        """Where this band's width is next to nothing beside 1 and the sizes of y."""
        image = self.op.image(self.boxes)
        sizes = np.maximum(np.abs(flat(image.lower, 0)), np.abs(flat(image.upper, 0)))
        narrow: Mask = high - low <= _NARROW * np.maximum(sizes, 1.0)
        return narrow


@dataclass(frozen=True, eq=False)
class Tied:
    """The entries of y that need variables, and those of z that they read, as columns of a program."""

    relaxation: OpConstraints
    built: Program
    outputs: Columns  # flat entries of y
    inputs: Columns  # flat entries of z
    y: Columns  # their columns in the program
    z: Columns

    def facets(self) -> None:
        """inf <= y - <s, z> <= sup for the slopes s of every facet."""
        for slopes in self.relaxation.op.facets(self.relaxation.boxes):
            low, high = (end[self.outputs] for end in self.relaxation.band(slopes))
            gap, bent = self.gap(slopes)
            # A facet of slope 0 is the box of y, which its variables have.
            self.built.at_most(gap[bent], high[bent])
            self.built.at_most(-gap[bent], -low[bent])

    def gap(self, slopes: Slopes) -> tuple[csr_array, Mask]:
        """y - <slopes, z> in the program's variables, and where some slope is not 0."""
        S = self.relaxation.rows(slopes, self.outputs)[:, self.inputs]
        return self._units(self.y) - self._spread(S, self.z), abs(S).sum(1).ravel() > 0

    def pieces(self) -> None:
        """y is on the line of one piece, chosen by a binary, and z in that piece's domain.

        A line holds with its band as slack wherever another piece is chosen: the least constant that is sound.
        """
        op, boxes = self.relaxation.op, self.relaxation.boxes
        pieces = op.pieces(boxes)
        if pieces is None:
            raise _refused(op)
        bands = [[end[self.outputs] for end in self.relaxation.band(piece.line.slopes)] for piece in pieces]
        levels = [self._level(piece) for piece in pieces]
        above = np.all([low >= t for (low, _), t in zip(bands, levels, strict=True)], axis=0)
        below = np.all([high <= t for (_, high), t in zip(bands, levels, strict=True)], axis=0)
        # y >= every line and on one of them is the maximum of the lines, y <= all the minimum: no domain is needed.
        free = above | below
        chosen = self._choices(np.stack([self._possible(piece) for piece in pieces]))
        for piece, band, level, (D, d) in zip(pieces, bands, levels, chosen, strict=True):
            self._on_line(piece, band, level, D, d)
            self._in_domain(piece, free, D, d)

    def _level(self, piece: Piece) -> Array:
        line = piece.line
        if line.intercept is None:
            return np.zeros(len(self.outputs))
        return flat(line.intercept, 0)[self.outputs]

    def _possible(self, piece: Piece) -> Mask:
        """Where a piece can be the op: its domain has a width if the box has one, its line reaches the op's image."""
        op, boxes, domain = self.relaxation.op, self.relaxation.boxes, piece.domain
        lost = [((p.width <= 0) & (b.width > 0)).to(p.lower) for p, b in zip(domain, boxes, strict=True)]
        slopes = piece.line.slopes
        top = [torch.maximum(s * p.lower, s * p.upper) for s, p in zip(slopes, domain, strict=True)]
        read = self.relaxation.read
        reached = read(*top)[self.outputs] + self._level(piece)
        image = flat(op.image(boxes).lower, 0)[self.outputs]
        return (read(*lost)[self.outputs] == 0) & ~(reached < image)

    def _choices(self, possible: Mask) -> list[tuple[csr_array, Array]]:
        """Per piece, D v + d: 1 where that piece is chosen and 0 elsewhere; one binary does for two pieces."""
        possible = possible | ~possible.any(0)
        count, size = possible.shape
        if count == 2:
            second = self.built.binaries((~possible[0]).astype(float), possible[1].astype(float))
            D = self._units(second)
            return [(-D, np.ones(size)), (D, np.zeros(size))]
        columns = [self.built.binaries(np.zeros(size), can.astype(float)) for can in possible]
        each = [self._units(c) for c in columns]
        self.built.equal(sum(each[1:], start=each[0]), np.ones(size))
        return [(D, np.zeros(size)) for D in each]

    def _on_line(self, piece: Piece, band: list[Array], level: Array, D: csr_array, d: Array) -> None:
        gap, _ = self.gap(piece.line.slopes)
        low, high = band
        self._when(gap, level, high, D, d)
        self._when(-gap, -level, -low, D, d)

    def _in_domain(self, piece: Piece, free: Mask, D: csr_array, d: Array) -> None:
        """z in the domain where its piece is chosen: a row for each entry of y and each entry of z that it reads."""
        read = self.relaxation.rows(self.relaxation.ones, self.outputs)[:, self.inputs].tocoo()
        bound = ~free[read.row]
        out, into = read.row[bound], read.col[bound]
        at = self.inputs[into]
        entries = self._units(self.z)[into]
        for sign, ends, box in ((1, _upper(piece.domain), self.relaxation.upper),
                                (-1, -_lower(piece.domain), -self.relaxation.lower)):  # fmt: skip
            less = np.flatnonzero(ends[at] < box[at])
            self._when(sign * entries[less], ends[at[less]], box[at[less]], D[out[less]], d[out[less]])

    def _when(self, rows: csr_array, chosen: Array, otherwise: Array, D: csr_array, d: Array) -> None:
        """rows v <= chosen where D v + d = 1, and <= otherwise where it is 0."""
        from scipy import sparse

        room = otherwise - chosen
        width = self.built.width
        whole = widened(rows, width) + sparse.diags_array(room) @ widened(D, width)
        self.built.at_most(whole.tocsr(), otherwise - room * d)

    def _units(self, columns: Columns) -> csr_array:
        """The variables `columns`, one row each."""
        from scipy import sparse

        count = len(columns)
        return sparse.csr_array((np.ones(count), (np.arange(count), columns)), shape=(count, self.built.width))

    def _spread(self, rows: csr_array, columns: Columns) -> csr_array:
        """Rows over some variables as rows over all."""
        from scipy import sparse

        coo = rows.tocoo()
        return sparse.csr_array((coo.data, (coo.row, columns[coo.col])), shape=(rows.shape[0], self.built.width))


def _lower(boxes: tuple[Bounds, ...]) -> Array:
    return np.concatenate([flat(b.lower, 0) for b in boxes])


def _upper(boxes: tuple[Bounds, ...]) -> Array:
    return np.concatenate([flat(b.upper, 0) for b in boxes])


def sorted_boxes(boxes: tuple[Bounds, ...], sample: int) -> tuple[Bounds, ...]:
    """The boxes of one sample, with ends that rounding has crossed put in order."""

    def one(t: Tensor) -> Tensor:
        return t[sample % len(t)].unsqueeze(0).detach().double()

    ends = [(one(b.lower), one(b.upper)) for b in boxes]
    return tuple(Bounds(torch.minimum(low, high), torch.maximum(low, high)) for low, high in ends)


def _refused(op: Nonlinear) -> Exception:
    from absdomain.lowering import UnsupportedOp  # loads torch.export

    return UnsupportedOp(
        f"{type(op).__name__} is not piecewise linear over its boxes (Nonlinear.pieces gives None), so that no "
        "mixed-integer program is exact for it; bound this network with LP, or with box & deeppoly"
    )

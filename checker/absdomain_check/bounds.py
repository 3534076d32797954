"""Bounds of a network over boxes of its input: intervals, and rows that are substituted backwards to the input.

All of it is written once, in the numbers of a grade (ball, exact). Boxes hold the values of every node, whatever a
certificate says: slopes of relu between 0 and 1, multipliers >= 0 and weights >= 0 of rows are sound, all of them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from absdomain_check import curves
from absdomain_check.affine import Array
from absdomain_check.ball import TINY, Ball, Box, checked, largest, up
from absdomain_check.errors import Refused
from absdomain_check.network import RELU, Network
from absdomain_check.property import Row

_ROOM = 1 << 22  # coefficients of rows at once
Boxes = list[Box]  # of every node; B is 1 or the same number in all


@dataclass(frozen=True)
class Rows:
    """K functionals <x, input> + <y, output> + c, up to the errors: B or 1 of them."""

    x: Array  # (B, K, n)
    y: Array  # (B, K, m)
    c: Array  # (B, K), rounded down
    x_error: Array
    y_error: Array

    @staticmethod
    def of(rows: list[list[Row]], inputs: int, outputs: int) -> Rows:
        """Lists of the same length, one for each B."""
        shape = (len(rows), len(rows[0]))
        x, y, c = np.zeros((*shape, inputs)), np.zeros((*shape, outputs)), np.zeros(shape)
        errors = np.zeros_like(x), np.zeros_like(y)
        for b, some in enumerate(rows):
            for k, row in enumerate(some):
                for terms, own, error in ((row.x, x, errors[0]), (row.y, y, errors[1])):
                    for i, a in terms:
                        own[b, k, i] = _nearest(a)
                        lost = abs(a - Fraction(own[b, k, i]))
                        error[b, k, i] = outward(lost, 1) if lost else 0.0
                c[b, k] = outward(row.c, -1)
        return Rows(x, y, c, *errors)

    def repeated(self, count: int) -> Rows:
        """The same rows, of one, for so many."""
        return Rows(*(np.repeat(t, count, 0) for t in (self.x, self.y, self.c, self.x_error, self.y_error)))


def outward(a: Fraction, side: int) -> float:
    """A float at most (-1) or at least (1) a number. Errors: Refused beyond the largest float."""
    try:
        found = float(a)
    except OverflowError:
        raise Refused("a number of the property is beyond the floats") from None
    exact = Fraction(found) == a
    return found if exact or (Fraction(found) < a) == (side < 0) else float(np.nextafter(found, side * np.inf))


def _nearest(a: Fraction) -> float:
    return outward(a, 1)


class Bounds:
    """A network in the numbers of a grade."""

    def __init__(self, net: Network, grade: Ball) -> None:
        self.net, self.grade = net, grade
        self.curves = [i for i, node in enumerate(net.nodes) if node.curve]
        readers = np.zeros(len(net.nodes), dtype=int)
        for node in net.nodes:
            np.add.at(readers, list(node.args), 1)
        self.joined = {i for i, count in enumerate(readers) if count > 1}
        self.bent: set[int] = set()  # whose interval is not the best that is known
        for i, node in enumerate(net.nodes):
            if node.curve or len(node.args) > 1 or self.bent & set(node.args):
                self.bent.add(i)
        self.widest = max(node.size for node in net.nodes)

    def boxes(self, box: Box, plan: Collection[int] = (), slopes: Mapping[int, Array] | None = None) -> Boxes:
        """The boxes of all nodes over boxes of the input: intervals, and for the arguments of these curves rows, too.

        slopes: { curve: those of open relus that the rows take, (1, n) }; others are adaptive.
        """
        found: Boxes = [checked(*box)]
        for i, node in enumerate(self.net.nodes[1:], 1):
            if node.affine is not None:
                found.append(self.grade.image(node.affine, [found[a] for a in node.args]))
                continue
            (a,) = node.args
            if i in plan and a in self.bent:
                found[a] = self._sharper(a, found, node.curve, slopes or {})
            found.append(curves.image(node.curve, found[a]))
        return found

    def _sharper(self, a: int, boxes: Boxes, curve: str, slopes: Mapping[int, Array]) -> Box:
        """The box of node a, met with that of rows for the entries over whose box the curve is not affine."""
        lower, upper = boxes[a]
        asked = (lower < upper) if curve != RELU else (lower < 0) & (upper > 0)
        places = np.flatnonzero(asked.any(0))
        lower, upper = lower.copy(), upper.copy()
        size = max(1, _ROOM // (self.widest * 2 * len(lower)))
        for start in range(0, len(places), size):
            some = places[start : start + size]
            rows = np.zeros((1, 2 * len(some), lower.shape[1]))
            rows[0, np.arange(len(some)), some] = 1
            rows[0, np.arange(len(some), 2 * len(some)), some] = -1
            rows = np.repeat(rows, len(lower), 0)
            low = self.minimum(a, rows, boxes, slopes)
            below, above = low[:, : len(some)], -low[:, len(some) :]
            own = asked[:, some]  # no box is sharper for its neighbours' sake: `exact` has none
            lower[:, some] = np.where(own, np.maximum(lower[:, some], below), lower[:, some])
            upper[:, some] = np.where(own, np.minimum(upper[:, some], above), upper[:, some])
        return checked(lower, np.maximum(lower, upper))

    def minimum(self, start: int, rows: Array, boxes: Boxes, slopes: Mapping[int, Array]) -> Array:
        """Lower bounds (B, K) of rows (B, K, n) of a node."""
        return self.least(*self.back(start, rows, boxes, slopes, {}), boxes)

    def linear(
        self, rows: Rows, boxes: Boxes, slopes: Mapping[int, Array], held: Mapping[int, Array], end: int = 0
    ) -> tuple[tuple[Any, Any, Any], Array]:
        """((ends, k, debt), low): rows >= sum_i <c_i, z_i> + k - debt as in `back`, and their least values (B, K).

        held: { curve: (B, n) multipliers of z >= 0 where they are positive and of z <= 0 where negative }.
        """
        ends, k, debt = self.back(len(self.net.nodes) - 1, rows.y, boxes, slopes, held, end)
        g = self.grade
        for error, box in ((rows.y_error, boxes[-1]), (rows.x_error, boxes[0])):
            if error.any():
                debt = debt + g.dot(error, largest(box))
        if rows.x.any():
            parts = [ends[0], rows.x] if 0 in ends else [rows.x]
            ends[0], paid = g.total([g.lift(part) for part in parts], boxes[0])
            debt = debt + paid
        k = k + g.number(rows.c)
        debt = debt + abs(k) * g.unit(2)
        return (ends, k, debt), self.least(ends, k, debt, boxes)

    def cutter(self, rows: Rows, boxes: Boxes, slopes: Mapping[int, Array], end: int) -> Cutter:
        """What cuts boxes to where rows may be at most 0."""
        line, low = self.linear(rows, boxes, slopes, {}, end)
        return Cutter(self, line, boxes[0], low)

    def least(self, ends: Mapping[int, Any], k: Any, debt: Any, boxes: Boxes) -> Array:
        """The least value of sum_i <c_i, z_i> + k over the nodes' boxes, less the debt."""
        dot = self.grade.dot
        for i, c in ends.items():
            (low, high), unit = boxes[i], self.grade.unit(boxes[i][0].shape[1] + 3)
            k = k + (dot(c.clip(0, None), low) + dot(c.clip(None, 0), high))
            if unit:
                debt = debt + unit * dot(abs(c), largest(boxes[i])) + abs(k) * unit
        return self.grade.least(k, debt)

    def back(
        self, start: int, rows: Array, boxes: Boxes, slopes: Mapping[int, Array], held: Mapping[int, Array],
        end: int = 0,
    ) -> tuple[dict[int, Any], Any, Any]:  # fmt: skip
        """({ i: c_i }, k, debt) with <row, z> >= sum_i <c_i, z_i> + k - debt, nodes i <= end, for all x of the boxes.

        Substitution ends there: with 0 at the input, and with the last curve the bound is that of intervals.
        """
        g = self.grade
        k = debt = g.number(np.zeros(rows.shape[:2]))
        pending: dict[int, list[Any]] = {start: [g.lift(rows)]}
        for i in range(start, end, -1):
            if i not in pending:
                continue
            node, c = self.net.nodes[i], pending.pop(i)
            total, paid = g.total(c, boxes[i])
            debt = debt + paid
            args = [boxes[a] for a in node.args]
            if node.affine is not None:
                parts, more, paid = self._affine(node.affine, total, args)
            else:
                parts, more, paid = self._curve(node.curve, total, args[0], slopes.get(i), held.get(i))
            k = k + more
            debt = debt + paid + (abs(k) * g.unit(2) if g.unit(2) else 0)
            for a, part in zip(node.args, parts, strict=True):
                pending.setdefault(a, []).extend(part)
        ends = {}
        for i, parts in pending.items():
            ends[i], paid = g.total(parts, boxes[i])
            debt = debt + paid
        if not end and not ends:
            ends[0] = np.zeros((*rows.shape[:2], self.net.nodes[0].size))
        return ends, k, debt

    def _affine(self, op: Any, c: Any, args: list[Box]) -> tuple[list[Any], Any, Any]:
        """(parts of the rows c', a constant, a debt) of <c, A z + b>: the theorem of `ball`, |c| against its errors."""
        g, errors = self.grade, self.grade.errors(op, args)
        zero = g.number(np.zeros(c.shape[:2]))
        more = zero if op.bias is None else g.dot(c, op.bias[None])
        paid = zero if errors is None else g.dot(abs(c), errors)
        if g.unit(1) and op.fan:
            paid = paid + sum((TINY * largest(box)).sum(1) for box in args)[:, None]
        return g.transpose(op, c), more, paid

    def _curve(
        self, curve: str, c: Any, box: Box, slopes: Array | None, held: Array | None
    ) -> tuple[list[Any], Any, Any]:
        """The same of <c, curve(z)>, by the lines: three roundings of |c| |z|, and sums of |c| times the intercepts."""
        g = self.grade
        (a, s), (b, t) = curves.lines(g, curve, box, slopes)
        plus, minus = c.clip(0, None), c.clip(None, 0)
        parts = [g.lift(plus * _rows(a) + minus * _rows(b))]
        more = g.dot(minus, t) + (g.number(np.zeros(c.shape[:2])) if s is None else g.dot(plus, s))
        sizes, unit = largest(box), g.unit(4)
        paid = g.number(np.zeros(c.shape[:2]))
        if unit:
            heights = abs(t) if s is None else abs(t) + abs(s)
            paid = g.dot(abs(c), up(unit * sizes + g.unit(box[0].shape[1] + 4) * heights))
            paid = paid + (TINY * sizes).sum(1)[:, None]
        if held is not None:
            parts.append(g.lift(-held[:, None]))
        return [parts], more, paid


@dataclass(frozen=True)
class Cutter:
    """Linear lower bounds of rows over boxes: ({ node: c }, k, debt), (B, K); `low`: their least values."""

    bounds: Bounds
    line: tuple[dict[int, Any], Any, Any]
    box: Box
    low: Array

    def cut(self, places: Array, rounds: int) -> Box:
        """The hull of what each box has where all of these rows may be <= 0; empty ends where there is nothing.

        There <c, x> + k - debt <= 0, and it is at least low + |c_i| d, d the distance of x_i to the end where c_i x_i
        is least: so d <= -low / |c_i|.
        """
        lower, upper = self.box
        ends, k, debt = self.line
        c = ends[0]
        gone = np.zeros((len(lower), 1), dtype=bool)
        for row in [*places.tolist()] * rounds:
            own = c[:, row : row + 1]
            low = self.bounds.least({0: own}, k[:, row : row + 1], debt[:, row : row + 1], [(lower, upper)])
            gone |= low > 0
            size, sign = self.bounds.grade.coefficients(own)
            known = (size > 0) & np.isfinite(low)
            way = up(np.maximum(np.where(known, -low, 0), 0) / np.where(known, size, 1))
            cut_lower, cut_upper = np.nextafter(upper - way, -np.inf), np.nextafter(lower + way, np.inf)
            lower, upper = (
                np.where(known & (sign < 0), np.maximum(lower, cut_lower), lower),
                np.where(known & (sign > 0), np.minimum(upper, cut_upper), upper),
            )
        return np.where(gone, np.inf, lower), np.where(gone, -np.inf, upper)


def _rows(x: Any) -> Any:
    """(B, n) as (B, 1, n)."""
    return x if len(x.shape) == 3 else x.reshape(x.shape[0], 1, x.shape[1])

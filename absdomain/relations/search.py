"""Better slopes by gradient ascent on the bound itself: alpha-CROWN."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from math import inf, prod

import torch
from torch import Tensor

from absdomain.kinds import Nonlinear, Slot
from absdomain.linear import Bounds, Rows
from absdomain.relations import backward
from absdomain.relations.ascent import Found, Pace, ascended, minimum, roots, shapes
from absdomain.relations.backward import Relation
from absdomain.relations.slopes import Pair, Policy, adaptive

Choice = Callable[[Relation, Rows, int, int], Found]  # of an activation, its rows, their sign and chunk
Key = tuple[Slot | None, int, int]  # whose bounds (None: the output's), which end, which chunk of rows


class _Chosen(Policy):
    """A policy whose bounds have slopes of their own for each output, beside those with which ops are relaxed."""

    start: Policy
    constant = False

    @abstractmethod
    def choice(self, reader: Slot | None) -> Choice | None:
        """Which slopes the bounds that this reader (None: nobody) asks for have; None: those of the relaxations."""

    def __call__(self, op: Nonlinear, boxes: tuple[Bounds, ...]) -> Pair:
        return self.start(op, boxes)

    def box(self, e: Relation, reader: Slot, where: Tensor | None = None) -> Bounds:
        choice = self.choice(reader)
        if choice is None:
            return backward.boxes(e, where)
        return _bounds(replace(e, region=e.region.whole), choice, where)

    def bounds(self, e: Relation, where: Tensor | None = None) -> Bounds:
        return _bounds(e, self._final, where)

    def lower(self, e: Relation) -> Tensor:
        return _end(e, 1, self._final)

    def upper(self, e: Relation) -> Tensor:
        return -_end(e, -1, self._final)

    @property
    def _final(self) -> Choice:
        choice = self.choice(None)
        assert choice is not None
        return choice


@dataclass(frozen=True)
class Optimised(_Chosen):
    """argmax over the slopes of the lower bound, and of minus the upper one: each output has slopes of its own.

    Adam starts at the slopes of `start` and the best of `steps` evaluations is kept, so that the bounds are never
    looser than those of `start` over the same boxes. For ReLU their supremum is the optimum of the triangle relaxation
    (Salman et al. 2019). The boxes over which ops are relaxed are those of `start`; with `intermediate` each of them is
    optimised as well, for its own sake (coefficients are dense, so that this is for small convolutions). Bounds are
    differentiated as if the slopes found were constants. Source: Xu et al. 2021, section 3 (alpha-CROWN).
    """

    steps: int = 20
    rate: float = 0.25  # of the first step
    decay: float = 0.9  # of the rate, per step
    intermediate: bool = False
    start: Policy = adaptive

    def __post_init__(self) -> None:
        for name, fine, remedy in (
            ("steps", type(self.steps) is int and self.steps >= 1, "a whole number; the first step is that of `start`"),
            ("rate", 0 < self.rate < inf, "a positive number"),
            ("decay", 0 < self.decay <= 1, "a factor in (0, 1]"),
        ):
            if not fine:
                raise ValueError(f"optimised: {name} is {getattr(self, name)!r}; give {remedy}")

    def __str__(self) -> str:
        given = [f for f in fields(self) if getattr(self, f.name) != f.default]
        return f"optimised({', '.join(f'{f.name}={getattr(self, f.name)!s}' for f in given)})"

    def choice(self, reader: Slot | None) -> Choice | None:
        pace = Pace(self.steps, self.rate, self.decay)
        return (lambda e, rows, sign, chunk: ascended(e, rows, pace)) if reader is None or self.intermediate else None

    def table(self, e: Relation) -> Table:
        """The slopes that the bounds of e use, as a policy: DeepPoly with it gives the same bounds without a search.

        It fits the same graph (the same op objects), region and specification.
        """
        slopes: dict[Key, Found] = {}
        self._record(slopes, e, None)
        readers: set[Slot] = set()
        for node in backward.relaxations(e) if self.intermediate else ():
            assert node.relaxation is not None
            for place, arg in enumerate(node.args):
                reader = (node.relaxation.op, place)
                if reader in readers:
                    raise ValueError(f"table: {reader[0]} stands in two places; give each an op of its own")
                readers.add(reader)
                self._record(slopes, replace(arg, region=arg.region.whole), reader)
        return Table(self.start, slopes)

    def _record(self, slopes: dict[Key, Found], e: Relation, reader: Slot | None) -> None:
        choice = self.choice(reader)
        if choice is None or backward.known(e) is not None:
            return
        for sign in (1, -1):
            for chunk, rows in enumerate(roots(e, sign, _asked(e, None))):
                slopes[reader, sign, chunk] = choice(e, rows, sign, chunk)


@dataclass(frozen=True, eq=False)
class Table(_Chosen):
    """Slopes found before, fixed: what `Optimised.table` returns. They may come from anywhere: every slope is sound."""

    start: Policy
    slopes: Mapping[Key, Found] = field(repr=False)

    def __str__(self) -> str:
        return f"table({len(self.slopes)} of {self.start})"

    def choice(self, reader: Slot | None) -> Choice | None:
        if reader is not None and all(key[0] != reader for key in self.slopes):
            return None

        def stored(e: Relation, rows: Rows, sign: int, chunk: int) -> Found:
            found = self.slopes.get((reader, sign, chunk), [])
            held, asked = [tuple(s.shape) for slopes in found for s in slopes], shapes(e, rows)
            if held != asked:
                raise ValueError(f"table: it holds slopes {held}, {asked} are asked: another graph, batch or spec?")
            return found

        return stored

    def box(self, e: Relation, reader: Slot, where: Tensor | None = None) -> Bounds:
        return super().box(e, reader)  # chunks of rows are those of all entries


def _bounds(e: Relation, choose: Choice, where: Tensor | None = None) -> Bounds:
    return Bounds(_end(e, 1, choose, where), -_end(e, -1, choose, where))


def _end(e: Relation, sign: int, choose: Choice, where: Tensor | None = None) -> Tensor:
    """Lower bounds of sign * e, (B, *shape); -inf outside `where`."""
    known = backward.known(e)
    if known is not None:
        return known().lower if sign > 0 else -known().upper
    index = _asked(e, where)
    found = [minimum(e, rows, choose(e, rows, sign, chunk)) for chunk, rows in enumerate(roots(e, sign, index))]
    ends = e.region.centre.new_full((len(e.region.centre), prod(e.shape)), -torch.inf)
    return (ends.index_copy(1, index, torch.cat(found).t()) if found else ends).view(-1, *e.shape)


def _asked(e: Relation, where: Tensor | None) -> Tensor:
    """The flat entries that are asked of any sample."""
    size = prod(e.shape)
    if where is None:
        return torch.arange(size, device=e.region.centre.device)
    return where.reshape(-1, size).any(0).nonzero().squeeze(1)

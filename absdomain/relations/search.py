"""Better slopes by gradient ascent on the bound itself: alpha-CROWN."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from math import inf, prod

import torch
from torch import Tensor

from absdomain.kinds import Nonlinear, Slot
from absdomain.linear import Bounds, Ends, Rows
from absdomain.relations import backward
from absdomain.relations.ascent import Found, Pace, ascended, minimum, roots, shapes
from absdomain.relations.backward import Relation

Choice = Callable[[Relation, Rows, int, int], Found]  # of an activation, its rows, their sign and chunk
Key = tuple[Slot | None, int, int]  # for which slot (None: for no op), which end, which chunk of rows


class Search(ABC):
    """Slopes of their own for each bound that is asked, in place of those with which the ops were relaxed."""

    @abstractmethod
    def __str__(self) -> str:
        """The text form, as it stands in that of a domain."""

    @abstractmethod
    def choice(self, slot: Slot | None) -> Choice | None:
        """Which slopes bounds have that are asked for this slot (None: for no op); None: those of the relaxations."""

    def bounds(self, e: Relation, where: Tensor | None = None, ends: Ends = Ends.BOTH) -> Bounds:
        """Bounds of an activation, as `backward.bounds`."""
        choice = self.choice(None)
        assert choice is not None
        return _bounds(e, choice, where, ends)

    def boxes(
        self, op: Nonlinear, args: tuple[Relation, ...], asked: tuple[Tensor, ...] | None = None
    ) -> tuple[Bounds, ...]:
        """Bounds of the arguments over which op is relaxed."""
        wheres = (None,) * len(args) if asked is None else asked
        pairs = enumerate(zip(args, wheres, strict=True))
        return tuple(self.box(e, (op, place), where) for place, (e, where) in pairs)

    def box(self, e: Relation, slot: Slot, where: Tensor | None = None) -> Bounds:
        """Bounds of an activation over which the op of the slot is relaxed, as `backward.boxes`."""
        choice = self.choice(slot)
        if choice is None:
            return backward.boxes(e, where)
        return _bounds(replace(e, region=e.region.whole), choice, where)


@dataclass(frozen=True)
class Ascent(Search):
    """argmax over the slopes of the lower bound, and of minus the upper one: each output has slopes of its own.

    Adam starts at the slopes of the relaxations and the best of `steps` evaluations is kept, so that the bounds are
    never looser than without the search over the same boxes. For ReLU their supremum is the optimum of the triangle
    relaxation (Salman et al. 2019). The boxes over which ops are relaxed are not searched; with `intermediate` each of
    them is, for its own sake (coefficients are dense, so that this is for small convolutions). Bounds are
    differentiated as if the slopes found were constants. Source: Xu et al. 2021, section 3 (alpha-CROWN).
    """

    steps: int = 20
    rate: float = 0.15  # of the first step, in units of each op's slopes (relations.ascent)
    decay: float = 0.9  # of the rate, per step
    intermediate: bool = False

    def __post_init__(self) -> None:
        for name, fine, remedy in (
            ("steps", type(self.steps) is int and self.steps >= 1, "a whole number of evaluations, 1 or more"),
            ("rate", 0 < self.rate < inf, "a positive number"),
            ("decay", 0 < self.decay <= 1, "a factor in (0, 1]"),
        ):
            if not fine:
                raise ValueError(f"ascent: {name} is {getattr(self, name)!r}; give {remedy}")

    def __str__(self) -> str:
        given = [f"{f.name}={getattr(self, f.name)!s}" for f in fields(self) if getattr(self, f.name) != f.default]
        return f"ascent({', '.join(given)})" if given else "ascent"

    def choice(self, slot: Slot | None) -> Choice | None:
        pace = Pace(self.steps, self.rate, self.decay)
        return (lambda e, rows, sign, chunk: ascended(e, rows, pace)) if slot is None or self.intermediate else None

    def table(self, e: Relation) -> Table:
        """The slopes that the bounds of e use: DeepPoly with them gives the same bounds without an ascent.

        It fits the same graph (the same op objects), region and specification.
        """
        slopes: dict[Key, Found] = {}
        self._record(slopes, e, None)
        slots: set[Slot] = set()
        for node in backward.relaxations(e) if self.intermediate else ():
            assert node.relaxation is not None
            for place, arg in enumerate(node.args):
                slot = (node.relaxation.op, place)
                if slot in slots:
                    raise ValueError(f"table: {slot[0]} stands in two places; give each an op of its own")
                slots.add(slot)
                self._record(slopes, replace(arg, region=arg.region.whole), slot)
        return Table(slopes)

    def _record(self, slopes: dict[Key, Found], e: Relation, slot: Slot | None) -> None:
        choice = self.choice(slot)
        if choice is None or backward.known(e) is not None:
            return
        for sign in (1, -1):
            for chunk, rows in enumerate(roots(e, sign, _asked(e, None))):
                slopes[slot, sign, chunk] = choice(e, rows, sign, chunk)


@dataclass(frozen=True, eq=False)
class Table(Search):
    """Slopes found before, fixed: what `Ascent.table` returns. They may come from anywhere: every slope is sound."""

    slopes: Mapping[Key, Found] = field(repr=False)

    def __str__(self) -> str:
        return f"table({len(self.slopes)} found)"

    def choice(self, slot: Slot | None) -> Choice | None:
        if slot is not None and all(key[0] != slot for key in self.slopes):
            return None

        def stored(e: Relation, rows: Rows, sign: int, chunk: int) -> Found:
            found = self.slopes.get((slot, sign, chunk), [])
            held, asked = [tuple(s.shape) for slopes in found for s in slopes], shapes(e, rows)
            if held != asked:
                raise ValueError(f"table: it holds slopes {held}, {asked} are asked: another graph, batch or spec?")
            return found

        return stored

    def box(self, e: Relation, slot: Slot, where: Tensor | None = None) -> Bounds:
        return super().box(e, slot)  # chunks of rows are those of all entries


def _bounds(e: Relation, choose: Choice, where: Tensor | None, ends: Ends = Ends.BOTH) -> Bounds:
    return Bounds.of(ends, lambda: _end(e, 1, choose, where), lambda: -_end(e, -1, choose, where))


def _end(e: Relation, sign: int, choose: Choice, where: Tensor | None) -> Tensor:
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

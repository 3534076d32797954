"""The normal form of a property: boxes of inputs, and over each the conjunctions of rows that are unsafe."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from absdomain.errors import PropertyError
from absdomain.properties.box import EVERYTHING, Box, Range, bound, least, propagated
from absdomain.properties.disjunction import LARGEST, Conjoined, Explosion, Part, Row, halves, parts, sifted
from absdomain.properties.formula import Comparison, Formula, Relation
from absdomain.properties.polynomial import INPUT, Variable
from absdomain.properties.property import Property, conjuncts
from absdomain.properties.sharing import shared

_TOLD = 20  # reasons that are kept in full

Conjunction = tuple[Row, ...]  # all of them; without a row all of the box is unsafe


@dataclass(frozen=True)
class Case:
    """Inputs in a box, and one of the conjunctions at least; rows may speak of inputs, too."""

    box: Box
    conjunctions: tuple[Conjunction, ...]


@dataclass(frozen=True)
class Normal:
    """The unsafe set as the union of its cases, whose boxes differ. Two texts of one meaning have one normal form.

    `inputs` are all inputs in their order, less those that another one equals (`shared`: the one that stands for it).
    `dropped` says which parts are empty, and why: without cases the property is `unsat` for every network.
    """

    inputs: tuple[Variable, ...]
    shared: Mapping[Variable, Variable]
    cases: tuple[Case, ...]
    dropped: tuple[str, ...] = field(default=(), compare=False)


def normal(given: Property) -> Normal:
    """The normal form. Errors: PropertyError for an input without a bound and for over 100,000 conjunctions."""
    one = shared(given)
    common: dict[Variable, Range] = {}
    inner, outer = Conjoined(), Conjoined()  # of inputs alone, and of anything: apart, so that boxes share their rows
    for number, assertion in enumerate(given.assertions):
        for formula in conjuncts(assertion):
            stated = formula.mapped(one.renamed) if one.names else formula
            if _narrowed(stated, common):
                continue
            try:
                (inner if all(v.kind == INPUT for v in stated.variables()) else outer).add(parts(stated))
            except Explosion as error:
                raise given.asserted_at(number, str(error)) from None
    return _Union(given, one.names, common).normal(inner.parts(), outer.parts())


def _narrowed(formula: Formula, common: dict[Variable, Range]) -> bool:
    """Whether the formula bounds one input, which it then does in `common`."""
    if not isinstance(formula, Comparison) or formula.relation is Relation.UNEQUAL:
        return False
    for term, strict in halves(formula):
        found = bound(term, strict)
        if found is None or found[0].kind != INPUT:
            return False
        v, narrower = found
        common[v] = common[v].meet(narrower) if v in common else narrower
    return True


class _Union:
    """Puts parts together: those of one box become one case; what is empty is dropped, with the reason."""

    def __init__(self, given: Property, names: Mapping[Variable, Variable], common: Mapping[Variable, Range]) -> None:
        self.given, self.names, self.box = given, names, Box(common)
        self.dropped: list[str] = []
        self.lacking: list[Variable] = []  # inputs without common ends

    def normal(self, inner: list[Part], outer: list[Part]) -> Normal:
        """Over each of the inner boxes, the outer parts; those that say nothing of the box are one tuple for all."""
        inputs = tuple(self._inputs(inner, outer))
        self.lacking = [v for v in inputs if None in self.box.of(v)]
        self._check_common(inner, outer)
        plain, special = sifted(outer, lambda part: not part.ranges and not any(row.of_inputs for row in part.rows))
        same = _ordered(part.rows for part in plain)
        found: dict[Box, list[tuple[Conjunction, ...]]] = {}
        for start in inner if not self.dropped else []:
            for part, rows in self._over(start, same, special):
                box = self._inhabited(start.ranges + part.ranges, start.rows + part.rows)
                if box is not None:
                    found.setdefault(box, []).append(rows)
        cases = [Case(box, rows[0] if len(rows) == 1 else _ordered(one for some in rows for one in some))
                 for box, rows in sorted(found.items(), key=lambda one: one[0].own)]  # fmt: skip
        told = self.dropped[:_TOLD]
        more = [f"and {len(self.dropped) - _TOLD} more"] if len(self.dropped) > _TOLD else []
        return Normal(inputs, self.names, tuple(cases), (*told, *more))

    def _over(
        self, start: Part, same: tuple[Conjunction, ...], special: list[Part]
    ) -> Iterator[tuple[Part, tuple[Conjunction, ...]]]:
        """What is asked over one inner box: the common conjunctions, and each special one."""
        if same:
            yield Part(), same if not start.rows else _ordered(start.rows + one for one in same)
        for part in special:
            yield part, _ordered([start.rows + part.rows])

    def _check_common(self, inner: list[Part], outer: list[Part]) -> None:
        """Reasons for which nothing is left; Errors: PropertyError where too much is."""
        for v, found in self.box.common.items():
            if found.empty:
                self._drop(f"no input is in the box: {self.given.called(v)} is to be in {found}")
        if not inner or not outer:
            self._drop("an assertion compares numbers alone, and is false")
        special = sum(1 for start in inner if start.rows) * len(outer)
        special += len(inner) * sum(1 for part in outer if part.ranges)
        if special > LARGEST:
            raise self.given.asserted_at(
                len(self.given.assertions) - 1,
                f"{len(inner)} conjunctions over inputs and {len(outer)} over outputs make over {LARGEST} together; "
                "split the property into several",
            )

    def _inhabited(self, ranges: Iterable[tuple[Variable, Range]], rows: Conjunction) -> Box | None:
        """The box of a conjunction; None where it, or a linear row of inputs over it, is empty."""
        box = self.box.met(ranges)
        for v, found in box.own:
            if found.empty:
                self._drop(f"no input is in the box: {self.given.called(v)} is to be in {found}")
                return None
        own = [row for row in rows if row.of_inputs]
        if self.lacking:
            box = propagated(box, [(row.term, row.strict) for row in own], self.lacking)
            for v in self.lacking:
                if None in box.of(v):
                    raise self._unbounded(v, box.of(v))
        for row in own:
            low = least(row.term, box)
            if low is not None and (low > 0 or (low == 0 and row.strict)):
                self._drop(f"no input of the box has {row}")
                return None
        return box

    def _inputs(self, *parts: list[Part]) -> Iterator[Variable]:
        """Every input, in order; PropertyError at once for one of which nothing is said, however many there are."""
        said = set(self.box.common)
        for part in (one for some in parts for one in some):
            said |= {v for v, _ in part.ranges} | {v for row in part.rows for v in row.term.variables}
        for network in self.given.networks:
            for tensor in network.inputs:
                for v in map(tensor.variable, range(tensor.size)):
                    if v not in self.names:
                        if v not in said:
                            raise self._unbounded(v, EVERYTHING)
                        yield v

    def _unbounded(self, v: Variable, found: Range) -> PropertyError:
        side = "upper" if found.upper is None else "lower"
        message = f"input {self.given.called(v)} has no {side} bound; assert one, as (<= {self.given.called(v)} 1)"
        return self.given.declared_at(v, message if side == "upper" else message.replace("<=", ">="))

    def _drop(self, reason: str) -> None:
        self.dropped.append(reason)


def _ordered(conjunctions: Iterable[Iterable[Row]]) -> tuple[Conjunction, ...]:
    """Each as a sorted tuple without repetitions, and so all of them."""
    found = {tuple(sorted(set(rows), key=lambda row: row.key)) for rows in conjunctions}
    return tuple(sorted(found, key=lambda rows: [row.key for row in rows]))

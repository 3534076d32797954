"""What an abstract domain is, and how it is carried over a graph."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import MISSING, dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor

from absdomain.graph import Graph
from absdomain.guarantee import Guarantee
from absdomain.kinds import Affine, Nonlinear, Op, Slot
from absdomain.linear import Bounds, Rows
from absdomain.linear.bounds import ordered
from absdomain.region import Region
from absdomain.runtime.precision import own_dtype
from absdomain.spec import Spec

if TYPE_CHECKING:
    from absdomain.domain.combinators import Guided, Meet

E = TypeVar("E")


@dataclass(frozen=True, eq=False)
class Decision:
    """Lower bounds of an element, as good as their signs need, and what was met on the way to them."""

    lower: Tensor  # (B, *shape)
    points: Tensor | None = (
        None  # (B, *input shape), of the region: the least that was met; None: nothing was looked for
    )
    expired: Tensor | None = None  # (B,): time ran out before the signs were known; None: there is no limit


class Domain(ABC, Generic[E]):
    """An abstraction of sets of activations: an element e stands for the set gamma(e).

    A domain is a small frozen value; its options are the constructor's keyword arguments. Laws, for a SOUND domain:
    region <= gamma(lift(region)); op(gamma(e)) <= gamma(transfer(op, e)); gamma(e) <= bounds(e).
    """

    lemma: ClassVar[str] = ""  # the name of its lemma in proofs/
    relational: ClassVar[bool] = False  # keeps relations between activations, so that it is exact on affine graphs
    monotone: ClassVar[bool] = False  # theorem: bounds over a part of a region lie within those over the region
    differentiable: ClassVar[bool] = True  # bounds have the gradients of their values
    solved: ClassVar[bool] = False  # bounds are a solver's, to its tolerance

    @property
    def guarantee(self) -> Guarantee:
        """What this domain's bounds promise."""
        return Guarantee.SOUND

    @abstractmethod
    def lift(self, region: Region) -> E:
        """An element that holds the region."""

    @abstractmethod
    def affine(self, op: Affine, *args: E) -> E:
        """An element that holds the image of the arguments under an affine op."""

    @abstractmethod
    def relax(self, op: Nonlinear, args: tuple[E, ...], within: tuple[Bounds, ...] | None) -> E:
        """An element that holds the image under a nonlinear op, by its band over `within` (None: over its own boxes).

        `within` holds the arguments' values; a combinator gives tighter ones than the domain knows.
        """

    @abstractmethod
    def bounds(self, e: E, where: Tensor | None = None) -> Bounds:
        """The interval hull of gamma(e), (B, *shape). Domains that work lazily do their work here.

        Entries outside `where` (boolean, (B, *shape)) may be left at -inf and inf.
        """

    def lower(self, e: E) -> Tensor:
        """bounds(e).lower, (B, *shape), for domains that can save the other side."""
        return self.bounds(e).lower

    def upper(self, e: E) -> Tensor:
        """bounds(e).upper, (B, *shape), for domains that can save the other side."""
        return self.bounds(e).upper

    def decide(self, e: E) -> Decision:
        """lower(e), or less where the signs are known with less: all that certification needs.

        A domain that looks for the least values of e gives the points at which it found them.
        """
        return Decision(self.lower(e))

    def nominal(self, e: E) -> Tensor | None:
        """The value at the region's centre, (B, *shape), where an element carries it along; None elsewhere."""
        return None

    def above(self, e: E) -> tuple[Rows, Tensor]:
        """Planes above e in the network's input: e_k <= <c_k, x> + d_k on the region.

        k counts the entries of e, flat; rows (K, B or 1), constants (K, B or 1). TypeError: the domain gives none.
        """
        raise TypeError(f"{self} gives no planes above its elements; a domain that does is deeppoly, dual or zonotope")

    def boxes(self, op: Nonlinear, args: tuple[E, ...]) -> tuple[Bounds, ...]:
        """Boxes of the arguments, over which `relax` takes the op's band."""
        return tuple(self.within(e, (op, place)) for place, e in enumerate(args))

    def within(self, e: E, reader: Slot, where: Tensor | None = None) -> Bounds:
        """Bounds of e over which its reader (an op, and which of its arguments e is) is relaxed, (B, *shape).

        Those that are asked of e itself, unless the domain spends less or more on intermediate bounds.
        """
        return self.bounds(e, where)

    def part(self, e: E, domain: Domain[Any]) -> E | None:
        """The element of `domain` that e carries, or None: what lets two branches of a combination share it."""
        return e if self == domain else None

    def transfer(self, op: Op, *args: E) -> E:
        """An element that holds the image under op: the one place where the kinds of op are told apart."""
        match op:
            case Affine():
                return self.affine(op, *args)
            case Nonlinear():
                return self.relax(op, args, None)
        raise TypeError(f"{type(op).__name__} is neither Affine nor Nonlinear (absdomain.kinds); derive it from one")

    def propagate(self, graph: Graph, region: Region, spec: Spec | None = None, *, keep: bool = False) -> Trace[E]:
        """Bounds of graph(x), or of C graph(x) + d, over the x of the region.

        `trace.lower` and `trace.upper` are (B, *output shape), or (B, K) with a spec; with `keep` the trace also
        answers `trace.at(name)`. Differentiable in the weights and in the region's centre and radius.
        An active autocast is left aside: bounds have the dtype, and the precision, of region and weights.
        """
        if tuple(region.centre.shape[1:]) != graph.input.shape:
            raise ValueError(
                f"the region's points have shape {tuple(region.centre.shape[1:])} without the batch, "
                f"but the graph's input has {graph.input.shape}"
            )
        with own_dtype(region.centre):
            graph = graph if spec is None else spec.to(region.centre).of(graph)
            elements: list[E | None] = [self.lift(region)] + [None] * len(graph.schedule)
            for step in graph.schedule:
                args = (elements[a] for a in step.args)
                elements[step.place] = self.transfer(step.op, *args)  # type: ignore[arg-type]
                if not keep:
                    for place in step.dead:
                        elements[place] = None
        return Trace(self, graph, elements, min(self.guarantee, region.guarantee), keep, region.centre)

    def __and__(self, other: Domain[Any]) -> Meet:
        """The reduced product: both, each relaxing over the boxes on which they agree."""
        from absdomain.domain.combinators import Meet

        return Meet(self, other)

    def guided(self, *, by: Domain[Any]) -> Guided:
        """This domain, relaxing over the boxes of `by` instead of its own."""
        from absdomain.domain.combinators import Guided

        return Guided(self, by)

    def __str__(self) -> str:
        """The text form, which `absdomain.parse` reads back."""
        given = [f for f in fields(self) if f.default is MISSING or getattr(self, f.name) != f.default]  # type: ignore[arg-type]
        options = ", ".join(f"{f.name}={_text(getattr(self, f.name))}" for f in given)
        return type(self).__name__.lower() + (f"({options})" if options else "")


class Trace(Generic[E]):
    """The elements that a domain has computed on a graph; its bounds are computed when they are first asked for.

    The two ends are asked apart: the second gives way where rounding has crossed them, so that lower <= upper.
    """

    def __init__(
        self,
        domain: Domain[E],
        graph: Graph,
        elements: list[E | None],
        guarantee: Guarantee,
        kept: bool,
        centre: Tensor,
    ) -> None:
        self.domain = domain
        self.graph = graph
        self.guarantee = guarantee
        self._elements = elements
        self._kept = kept
        self._centre = centre  # of the region, for its device
        self._lower: Tensor | None = None
        self._upper: Tensor | None = None

    @property
    def output(self) -> E:
        """The output's element."""
        e = self._elements[-1]
        assert e is not None
        return e

    @property
    def lower(self) -> Tensor:
        """Lower bounds of the output, (B, *output shape)."""
        if self._lower is None:
            with own_dtype(self._centre):
                lower = self.domain.lower(self.output)
            other = self._upper
            self._lower = lower if other is None else torch.where(lower > other, other, lower)
        return self._lower

    @property
    def upper(self) -> Tensor:
        """Upper bounds of the output, (B, *output shape)."""
        if self._upper is None:
            with own_dtype(self._centre):
                upper = self.domain.upper(self.output)
            other = self._lower
            self._upper = upper if other is None else torch.where(upper < other, other, upper)
        return self._upper

    def at(self, name: str) -> Bounds:
        """Bounds of the node called `name`, (B, *its shape); needs propagate(..., keep=True), but for the output."""
        names = [node.name for node in self.graph.nodes]
        if name not in names:
            raise KeyError(f"no node is called {name!r}; the graph has {', '.join(names)}")
        e = self._elements[names.index(name)]
        if e is None:
            raise ValueError(f"the element at {name!r} was not kept; call propagate(..., keep=True)")
        with own_dtype(self._centre):
            found = self.domain.bounds(e)
            return ordered(found.lower, found.upper)


def _text(value: object) -> str:
    """Literals as Python writes them; domains and policies have a text form of their own."""
    return repr(value) if isinstance(value, str) else str(value)

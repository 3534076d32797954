"""What a domain computes: elements that stand for sets of activations, carried over a graph, and their bounds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from types import NoneType
from typing import ClassVar, Generic, TypeVar, final

import torch
from torch import Tensor

from absdomain.domain.traits import Traits
from absdomain.errors import check_type
from absdomain.graph import Graph
from absdomain.guarantee import Guarantee
from absdomain.kinds import Affine, Nonlinear, Op
from absdomain.linear import Bounds, Ends, Rows
from absdomain.linear.bounds import ordered
from absdomain.region import Region
from absdomain.runtime import memory
from absdomain.runtime.precision import own_dtype
from absdomain.spec import Spec

E = TypeVar("E")


@dataclass(frozen=True, eq=False)
class Decision:
    """Lower bounds of an element, as good as their signs need, and what was met on the way to them."""

    lower: Tensor  # (B, *shape)
    points: Tensor | None = (
        None  # (B, *input shape), of the region: the least that was met; None: nothing was looked for
    )
    expired: Tensor | None = None  # (B,): time ran out before the signs were known; None: there is no limit


class Abstraction(ABC, Generic[E]):
    """An abstraction of sets of activations: an element e stands for the set gamma(e). What is not final is a hook.

    Laws, for a SOUND one: region <= gamma(lift(region)); op(gamma(e)) <= gamma(transfer(op, e)); gamma(e) <= bounds(e).
    """

    lemma: ClassVar[str] = ""  # the name of its lemma in proofs/

    @property
    def traits(self) -> Traits:
        """What this domain's bounds promise, and what it can do."""
        return Traits()

    @abstractmethod
    def lift(self, region: Region) -> E:
        """An element that holds the region."""

    @abstractmethod
    def affine(self, op: Affine, *args: E) -> E:
        """An element that holds the image of the arguments under an affine op."""

    @abstractmethod
    def relax(self, op: Nonlinear, args: tuple[E, ...], boxes: tuple[Bounds, ...] | None) -> E:
        """An element that holds the image under a nonlinear op, by its band over `boxes` (None: over its own boxes).

        `boxes` holds the arguments' values; a combinator gives tighter ones than the domain knows.
        """

    @abstractmethod
    def bounds(self, e: E, where: Tensor | None = None, ends: Ends = Ends.BOTH) -> Bounds:
        """The interval hull of gamma(e), (B, *shape). Domains that work lazily do their work here.

        Entries outside `where` (boolean, (B, *shape)), and the end that is not asked, may be left at -inf and inf.
        """

    def boxes(self, op: Nonlinear, args: tuple[E, ...], asked: tuple[Tensor, ...] | None = None) -> tuple[Bounds, ...]:
        """The boxes of the arguments over which `relax` takes the op's band, (B, *argument shape) each.

        The bounds of the arguments, unless the domain spends less or more on them. Entries outside `asked` (boolean,
        one per argument; None: all are asked) may be left at -inf and inf.
        """
        return argumentwise(self.bounds, args, asked)

    def planes(self, e: E) -> tuple[Rows, Tensor] | None:
        """Planes above e in the network's input: e_k <= <c_k, x> + d_k on the region; None: the domain has none.

        k counts the entries of e, flat; rows (K, B or 1), constants (K, B or 1).
        """
        return None

    def decide(self, e: E, groups: Tensor | None = None) -> Decision:
        """Lower bounds of e, or less where the signs are known with less: all that certification needs.

        With groups (K,), the name of the group of each flat entry, it is asked whether each group has a positive entry:
        the greatest bound of a group is one of the greatest of its entries. Without, each entry is a group. A domain
        that looks for the least values of e gives the points at which it found them.
        """
        return Decision(self.bounds(e, ends=Ends.LOWER).lower)

    @property
    @final
    def guarantee(self) -> Guarantee:
        """What this domain's bounds promise: traits.guarantee."""
        return self.traits.guarantee

    @final
    def transfer(self, op: Op, *args: E) -> E:
        """An element that holds the image under op: the one place where the kinds of op are told apart."""
        match op:
            case Affine():
                return self.affine(op, *args)
            case Nonlinear():
                return self.relax(op, args, None)
        raise TypeError(f"{type(op).__name__} is neither Affine nor Nonlinear (absdomain.kinds); derive it from one")

    @final
    def propagate(self, graph: Graph, region: Region, spec: Spec | None = None, *, keep: bool = False) -> Trace[E]:
        """Bounds of graph(x), or of C graph(x) + d, over the x of the region.

        `trace.lower` and `trace.upper` are (B, *output shape), or (B, K) with a spec; with `keep` the trace also
        answers `trace.at(name)`. Differentiable in the weights and in the region's centre and radius.
        An active autocast is left aside: bounds have the dtype, and the precision, of region and weights.
        Errors: TooLarge where memory does not suffice, with the node at which, how much, and what could be done.
        """
        check_type("propagate", graph, Graph, "lower a module first: absdomain.to_graph(module, example)")
        check_type("propagate", region, Region, "make one, such as absdomain.Linf(x, eps)")
        check_type("propagate", spec, (Spec, NoneType), "make one, such as absdomain.margins(labels, classes)")
        if tuple(region.centre.shape[1:]) != graph.input.shape:
            raise ValueError(
                f"the region's points have shape {tuple(region.centre.shape[1:])} without the batch, "
                f"but the graph's input has {graph.input.shape}"
            )
        with own_dtype(region.centre):
            graph = graph if spec is None else spec.to(region.centre).of(graph)
            at = 0
            with memory.named(lambda: f"{self} at {graph.nodes[at].name!r}"):
                elements: list[E | None] = [self.lift(region)] + [None] * len(graph.schedule)
                for step in graph.schedule:
                    at = step.place
                    args = (elements[a] for a in step.args)
                    elements[at] = self.transfer(step.op, *args)  # type: ignore[arg-type]
                    if not keep:
                        for place in step.dead:
                            elements[place] = None
        return Trace(self, graph, elements, min(self.guarantee, region.guarantee), region.centre)


def argumentwise(
    bounds: Callable[[E, Tensor | None], Bounds], args: tuple[E, ...], asked: tuple[Tensor, ...] | None
) -> tuple[Bounds, ...]:
    """bounds(e, where) of every argument, for a domain's `boxes`; where: the entries that are asked, None for all."""
    wheres = (None,) * len(args) if asked is None else asked
    return tuple([bounds(e, where) for e, where in zip(args, wheres, strict=True)])


class Trace(Generic[E]):
    """The elements that a domain has computed on a graph; its bounds are computed when they are first asked for.

    The two ends are asked apart: the second gives way where rounding has crossed them, so that lower <= upper.
    """

    def __init__(
        self,
        domain: Abstraction[E],
        graph: Graph,
        elements: list[E | None],
        guarantee: Guarantee,
        centre: Tensor,
    ) -> None:
        self.domain = domain
        self.graph = graph
        self.guarantee = guarantee
        self._elements = elements
        self._centre = centre  # of the region, for its device
        self._lower: Tensor | None = None
        self._upper: Tensor | None = None

    def __repr__(self) -> str:
        shape = len(self._centre), *self.graph.output.shape
        return f"Trace({self.domain}, output {shape}, {self.guarantee.name.lower()})"

    @property
    def output(self) -> E:
        """The output's element."""
        e = self._elements[-1]
        assert e is not None
        return e

    def _last(self) -> str:
        return f"{self.domain} at the output {self.graph.output.name!r}"

    @property
    def lower(self) -> Tensor:
        """Lower bounds of the output, (B, *output shape)."""
        if self._lower is None:
            with own_dtype(self._centre), memory.named(self._last):
                lower = self.domain.bounds(self.output, ends=Ends.LOWER).lower
            other = self._upper
            self._lower = lower if other is None else torch.where(lower > other, other, lower)
        return self._lower

    @property
    def upper(self) -> Tensor:
        """Upper bounds of the output, (B, *output shape)."""
        if self._upper is None:
            with own_dtype(self._centre), memory.named(self._last):
                upper = self.domain.bounds(self.output, ends=Ends.UPPER).upper
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
        with own_dtype(self._centre), memory.named(lambda: f"{self.domain} at {name!r}"):
            found = self.domain.bounds(e)
            return ordered(found.lower, found.upper)

"""What certification asks of each sample: the label's class, a spec of the outputs, or formulas."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import singledispatch
from typing import Any

import torch
from torch import Tensor

from absdomain import rounding
from absdomain.attack import Goal, Network, margin
from absdomain.graph import Graph
from absdomain.linear import Bounds
from absdomain.properties import Formula, Property
from absdomain.properties.specify import Specified, specified
from absdomain.spec import Spec, margins
from absdomain.values import digest, moved

Holding = Spec | Formula | Property | Sequence[Formula | Property]


class Asked(ABC):
    """What is to hold of a network's values, sample by sample, and what a point shows of it."""

    graph: Graph  # of the values
    spec: Spec  # of them

    @property
    def goal(self) -> Goal:
        """What an attack is given in the place of labels."""
        return self.spec

    def network(self, module: Network) -> Network:
        """x -> the values, of which the module computes the outputs."""
        return module

    def label(self, row: int) -> int | None:
        """Of this sample, if it has one."""
        return None

    def margins(self, values: Tensor) -> Tensor:
        """How far the samples' values are from breaking it, (B,): below 0 where they do."""
        return margin(values, self.goal)

    @abstractmethod
    def broken(self, points: Tensor, values: Tensor, *, strict: bool) -> Tensor:
        """Where it certainly does not hold at points (B, *shape) of the values, whatever was rounded here, (B,).

        `strict`: it does not where a margin is 0.
        """

    @abstractmethod
    def select(self, index: Tensor) -> Asked:
        """What is asked of the samples at these places, (R,)."""

    @abstractmethod
    def told(self, images: Tensor) -> dict[str, Any]:
        """The samples and what is asked of them, in JSON's types, for a file's header."""


@dataclass(frozen=True, eq=False)
class Classes(Asked):
    """z_y - z_j > 0 for every j != y."""

    graph: Graph
    labels: Tensor  # (B,)
    spec: Spec

    @property
    def goal(self) -> Goal:
        return self.labels

    def label(self, row: int) -> int:
        return int(self.labels[row])

    def broken(self, points: Tensor, values: Tensor, *, strict: bool) -> Tensor:
        found = self.margins(values)  # a float's difference has the sign of the real one
        return (found <= 0 if strict else found < 0) & found.isfinite()

    def select(self, index: Tensor) -> Classes:
        return replace(self, labels=self.labels[index], spec=self.spec.select(index))

    def told(self, images: Tensor) -> dict[str, Any]:
        return {"data": digest(images, self.labels)}


@dataclass(frozen=True, eq=False)
class Linear(Asked):
    """C f(x) + d > 0, or of each group of rows one."""

    graph: Graph
    spec: Spec

    def broken(self, points: Tensor, values: Tensor, *, strict: bool) -> Tensor:
        found = self.spec.worst(self.spec.rows(values) + _rounding(self.spec, values))
        return (found <= 0 if strict else found < 0) & found.isfinite()

    def select(self, index: Tensor) -> Linear:
        return replace(self, spec=self.spec.select(index))

    def told(self, images: Tensor) -> dict[str, Any]:
        return {"data": digest(images), "spec": digest(self.spec)}


@dataclass(frozen=True, eq=False)
class Stated(Asked):
    """A formula of inputs and outputs, or one for each sample; a point breaks it as it is written, in exact numbers."""

    graph: Graph
    spec: Spec
    found: Specified
    places: Tensor  # (B,) of the samples' formulas

    def network(self, module: Network) -> Network:
        layout, appended = self.found.layout, self.found.appended
        if layout.joint is None and not appended.schedule:
            return module
        return _Appended(module, appended, inputs=layout.joint is not None, outputs=bool(layout.starts))

    def broken(self, points: Tensor, values: Tensor, *, strict: bool) -> Tensor:
        near = self.spec.worst(self.spec.rows(values) - _rounding(self.spec, values)) <= 0
        for row in near.nonzero().flatten().tolist():
            told = self.found.layout.named(points[row], values[row], self.found.broken[0])
            near[row] = self.found.broken[int(self.places[row])].holds(told)
        return near

    def select(self, index: Tensor) -> Stated:
        return replace(self, spec=self.spec.select(index), places=self.places[index])

    def told(self, images: Tensor) -> dict[str, Any]:
        return {"data": digest(images), "spec": digest(*map(str, self.found.broken))}


@dataclass(frozen=True)
class _Appended:
    """x -> the entries that a formula reads: those of the input, of the module's outputs, and their products."""

    module: Network
    appended: Graph
    inputs: bool
    outputs: bool

    def __call__(self, x: Tensor) -> Tensor:
        read = [x.flatten(1)] if self.inputs else []
        read += [self.module(x).flatten(1)] if self.outputs else []
        entries = torch.cat(read, 1)
        return moved(self.appended, entries)(entries)


def _rounding(spec: Spec, values: Tensor) -> Tensor:
    """How far computed rows C z + d may be from the real ones at these values z, (B, K)."""
    z = values.flatten(1).to(spec.C.dtype)
    return rounding.asked(rounding.Computed(Bounds(z, z), torch.zeros_like(z), z.new_zeros(len(z))), spec.C, spec.d)


def by_class(graph: Graph, labels: Tensor, classes: int) -> Classes:
    """That the label's logit is the largest."""
    return Classes(graph, labels, margins(labels, classes))


@singledispatch
def holding(asked: object, graph: Graph, samples: int, like: Tensor) -> Asked:
    """What is to hold of a graph's value, on so many samples, in the dtype of `like`; ValueError for what is none."""
    raise TypeError(f"spec: {type(asked).__name__} is not a Spec, a formula, a property or a list of formulas")


@holding.register
def _(asked: Spec, graph: Graph, samples: int, like: Tensor) -> Asked:
    for name, given in (("C", asked.C), ("d", asked.d)):
        if len(given) not in (1, samples):
            raise ValueError(f"spec: {name} has {len(given)} rows for {samples} samples; give one for all, or for each")
    size = torch.Size(graph.output.shape).numel()
    if asked.C.shape[2] != size:
        raise ValueError(f"spec: C has {asked.C.shape[2]} columns, but the model's output has {size} entries")
    return Linear(graph, asked.to(like))


@holding.register(Formula)
@holding.register(Property)
@holding.register(list)
@holding.register(tuple)
def _(asked: Any, graph: Graph, samples: int, like: Tensor) -> Asked:
    found = specified(asked, graph, dtype=like.dtype)
    count = len(found.broken)
    if count not in (1, samples):
        raise ValueError(f"spec: {count} formulas for {samples} samples; give one for all, or one for each")
    if any(network.hidden for network in found.broken[0].networks) or len(found.broken[0].networks) > 1:
        raise ValueError("spec: a module shows no hidden nodes, and is one network; ask `verify` about such a property")
    places = torch.arange(samples) if count > 1 else torch.zeros(samples, dtype=torch.long)
    return Stated(found.graph, moved(found.spec, like), found, places)

"""What is asked of a network's output: linear functionals that are to be positive."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from absdomain.errors import check_type
from absdomain.graph import Graph
from absdomain.graph.rewrite import unshifted
from absdomain.ops import Dense, Reshape
from absdomain.values import outlined


@dataclass(frozen=True, eq=False, repr=False)
class Spec:
    """{ z : C z + d > 0 } row by row, or with `groups` { z : each group has a row with C z + d > 0 }.

    C (B or 1, K, n) on the flat output, d (B or 1, K), groups (K,) the name of the group that a row belongs to: any
    whole number, and rows of one group have the same.
    """

    C: Tensor
    d: Tensor
    groups: Tensor | None = None

    def __post_init__(self) -> None:
        for given in (self.C, self.d):
            check_type("Spec", given, Tensor, "give C (B or 1, K, n) and d (B or 1, K); halfspaces makes both of rows")
        if self.C.dim() != 3 or self.d.shape[-1:] != self.C.shape[1:2] or self.d.dim() != 2:
            raise ValueError(
                f"Spec: C is (B or 1, K, n) and d (B or 1, K); got {tuple(self.C.shape)} and {tuple(self.d.shape)}"
            )

        if self.C.shape[1] == 0:
            raise ValueError("Spec: no row, so that nothing is asked and anything would hold; two classes make one")
        if self.groups is not None and tuple(self.groups.shape) != (self.C.shape[1],):
            raise ValueError(f"Spec: groups is (K,) = ({self.C.shape[1]},), got {tuple(self.groups.shape)}")
        if self.groups is not None and self.groups.is_floating_point():
            raise ValueError(f"Spec: groups are whole numbers, got {self.groups.dtype}; give one of torch.int64")

    def __repr__(self) -> str:
        return outlined(self)

    def of(self, graph: Graph) -> Graph:
        """x -> C graph(x) + d, (B, K), fused into the last operation where that is possible (Gowal et al.: elision).

        Differences, whose coefficients sum to 0, are asked of the logits before a last log softmax: they are the same.
        """
        n = prod(graph.output.shape)
        if self.C.shape[-1] != n:
            raise ValueError(f"Spec: C has {self.C.shape[-1]} columns, but the graph's output has {n} entries")
        graph = unshifted(graph, self.C)
        flat = graph if len(graph.output.shape) == 1 else graph.then(Reshape((n,)))
        fused = flat.output.op.followed_by(self.C, self.d) if flat.output.op is not None else None
        return flat.then(Dense(self.C, self.d), "spec") if fused is None else flat.ending_in(fused)

    def select(self, index: Tensor) -> Spec:
        """What is asked of the samples at these places, (R,)."""
        C, d = (t if len(t) == 1 else t[index] for t in (self.C, self.d))
        return Spec(C, d, self.groups)

    def to(self, like: Tensor) -> Spec:
        """The same property with the dtype and device of `like`."""
        return Spec(self.C.to(like), self.d.to(like), self.groups)  # by hand: torch.compile traces it

    def holds(self, lower: Tensor, slack: Tensor | float = 0.0, *, ties: bool = False) -> Tensor:
        """Whether lower bounds (B, K) prove the property for each sample, (B,); NaN and inf prove nothing.

        They must be above `slack`, which broadcasts to (B, K): what rounding may have added. With `ties` they may be
        equal to it.
        """
        proved = (lower >= slack if ties else lower > slack) & lower.isfinite()
        if self.groups is None:
            return proved.all(-1)
        names, index = self.groups.to(proved.device).unique(return_inverse=True)
        any_of = torch.zeros(len(proved), len(names), dtype=torch.int64, device=proved.device)
        return (any_of.scatter_add(1, index.expand(len(proved), -1), proved.long()) > 0).all(-1)

    def rows(self, z: Tensor) -> Tensor:
        """C z + d at outputs z (B, *shape), (B, K), in the spec's dtype."""
        flat = z.flatten(1).to(self.C.dtype)
        return (self.C @ flat.unsqueeze(2)).squeeze(2) + self.d

    def worst(self, rows: Tensor) -> Tensor:
        """min over the groups of max over their rows, (B,) of (B, K); NaN where any row is."""
        if self.groups is None:
            return rows.amin(1)
        names, index = self.groups.to(rows.device).unique(return_inverse=True)
        best = rows.new_full((len(rows), len(names)), -torch.inf)
        least = best.scatter_reduce(1, index.expand_as(rows), rows, "amax").amin(1)
        return torch.where(rows.isnan().any(1), torch.nan, least)

    def weakest(self, lower: Tensor) -> Tensor:
        """The row on which the property hangs, (B,): of the group whose greatest bound is least, that greatest one.

        Without groups the least row. A bound (B, K) that is NaN counts as -inf. Law: of finite bounds, `holds` is
        whether this row's is above 0.
        """
        known = torch.where(lower.isnan(), -torch.inf, lower)
        if self.groups is None:
            return known.argmin(-1)
        names, index = self.groups.to(lower.device).unique(return_inverse=True)
        best = known.new_full((len(known), len(names)), -torch.inf)
        value, group = best.scatter_reduce(1, index.expand_as(known), known, "amax").min(1, keepdim=True)
        return ((index == group) & (known == value)).byte().argmax(1)


def margins(labels: Tensor, classes: int) -> Spec:
    """z_y - z_j for j != y in the order of j: K = classes - 1 rows a sample; labels (B,) int64."""
    _check_classes("margins: labels", labels, classes)
    k = torch.arange(classes - 1, device=labels.device)
    other = k + (k >= labels.unsqueeze(1))  # (B, K)
    eye = torch.eye(classes, device=labels.device)
    return Spec(eye[labels].unsqueeze(1) - eye[other], torch.zeros(1, classes - 1, device=labels.device))


def targeted(labels: Tensor, targets: Tensor, classes: int) -> Spec:
    """z_y - z_t, one row a sample; labels and targets (B,) int64."""
    _check_classes("targeted: labels", labels, classes)
    _check_classes("targeted: targets", targets, classes)
    eye = torch.eye(classes, device=labels.device)
    return Spec((eye[labels] - eye[targets]).unsqueeze(1), torch.zeros(1, 1, device=labels.device))


def _check_classes(name: str, given: Tensor, classes: int) -> None:
    """Every number is that of a class: an index of -1 would be taken for the last."""
    if torch.compiler.is_compiling():
        return
    check_type(name, given, Tensor, "give torch.tensor([...]), a whole number for each sample")
    if not given.numel():
        return
    low, high = (end.item() for end in given.aminmax())
    if given.is_floating_point() or not 0 <= low <= high < classes:
        raise ValueError(f"{name} lie in [0, {classes - 1}], whole numbers; got {low} .. {high} of {given.dtype}")


def halfspaces(C: Tensor, d: Tensor) -> Spec:
    """C z + d > 0 in every row, the same for all samples; C (K, n), d (K,)."""
    for given in (C, d):
        check_type("halfspaces", given, Tensor, "C is a matrix (K, n), d a vector (K,)")
    return Spec(C.unsqueeze(0), d.unsqueeze(0))

"""radius: the largest ball around an image that is proved, and the smallest that holds a counterexample."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf, isfinite, nextafter
from typing import Any

import torch
from torch import Tensor, nn

from absdomain.branching.decide import Replay, decide, within
from absdomain.branching.outcome import Limits, Outcome, Verdict
from absdomain.certification.arguments import ball
from absdomain.certification.asked import Asked, Holding, by_class, holding
from absdomain.data.given import Array, Samples, samples
from absdomain.domain import AnyDomain
from absdomain.errors import needing
from absdomain.graph import Graph, freeze
from absdomain.lowering.adapted import Preprocessing, adapted
from absdomain.properties.query import dtype_of
from absdomain.region import Region
from absdomain.runtime.modes import check_module, copied
from absdomain.runtime.results import Results
from absdomain.values import moved

_COLUMNS = ("index", "label", "proved", "falsified", "seconds", "branches", "reason")
Balls = Callable[[Tensor, float], Region]  # an image (1, *shape) and eps -> its ball, which holds those of smaller eps


@dataclass(frozen=True, eq=False)
class Radius:
    """What is asked holds for all x of the ball of radius `proved`; that of radius `falsified` has the witness."""

    index: int
    label: int | None  # None: a spec was asked
    proved: float  # 0: none is proved
    falsified: float  # inf: none is falsified up to the largest that was asked; 0: the image itself breaks it
    seconds: float = 0.0
    branches: int = 0
    reason: str = ""  # why the two are farther apart than the tolerance, or ""
    witness: Tensor | None = None  # (*shape)

    def __repr__(self) -> str:
        why = f", open between: {self.reason}" if self.reason else ""
        label = "" if self.label is None else f", label {self.label}"
        return f"Radius({self.index}{label}: proved {self.proved:.4g}, falsified {self.falsified:.4g}{why})"

    def to_json(self) -> dict[str, object]:
        """What a file says of it; None in the place of an infinite radius."""
        falsified = self.falsified if isfinite(self.falsified) else None
        return {**self.__dict__, "falsified": falsified, "witness": None}


class Radii(Results[Radius]):
    """The radii of N images, computed as they are asked for; iterating again begins anew with those that are known."""

    title = "radius"

    def told(self) -> str:
        """How large they are, on average."""
        proved = sum(one.proved for one in self._known) / len(self._known)
        falsified = [one.falsified for one in self._known if isfinite(one.falsified)]
        nearest = f", falsified {sum(falsified) / len(falsified):.4g} ({len(falsified)} of them)" if falsified else ""
        return f"mean radius proved {proved:.4g}{nearest}"

    def to_pandas(self) -> Any:
        """A pandas.DataFrame, a row for each image, whose radii are computed first.

        Errors: MissingExtra without pandas.
        """
        with needing("pandas", "to_pandas"):
            import pandas

        return pandas.DataFrame([{name: getattr(one, name) for name in _COLUMNS} for one in self])


def radius(
    model: nn.Module | Graph,
    images: Samples,
    labels: Tensor | Array | None = None,
    *,
    spec: Holding | None = None,
    largest: float = 1.0,
    tolerance: float = 1e-3,
    norm: float = inf,
    clip: tuple[float, float] | None = (0.0, 1.0),
    region: Balls | None = None,
    domain: AnyDomain | str | None = None,
    timeout: float = 60.0,
    preprocessing: Preprocessing | None = None,
    output: str | int | None = None,
) -> Radii:
    """For each image x, the largest eps with z_y - z_j > 0 on all of its ball, and the smallest without; one by one.

    images (N, *shape), labels (N,) int64; the model is a module, or a graph, whose output is logits. In the place of
    labels `spec` may say what is to hold; it, data sets and loaders, `preprocessing` and `output` are as in `certify`.
    Balls are { x' : |x' - x|_norm <= eps } within `clip`, norm inf, 2 or 1, or those that `region` makes: they must
    grow with eps. Bisection on
    `decide` between 0 and `largest`, until both are within `tolerance` of each other or `timeout` seconds of an image
    are over; an eps that is not decided is left out from both sides. A module is bounded in float64, and a witness is
    one in the module's own dtype. Errors: ValueError for wrong shapes and numbers; those of `decide`.
    """
    images, labels = samples(images, labels, caller="radius")
    if (labels is None) == (spec is None):
        raise ValueError("radius: give either labels or spec, what is to hold of the outputs")
    if not len(images) or (labels is not None and (labels.shape != images.shape[:1] or labels.dtype != torch.int64)):
        told = "" if labels is None else f", {tuple(labels.shape)} {labels.dtype}"
        raise ValueError(f"radius: images are (N, *shape), labels (N,) int64; got {tuple(images.shape)}{told}")
    if not (0 < tolerance < largest < inf) or not timeout > 0:
        raise ValueError(f"radius: needs 0 < tolerance < largest and a timeout; got {tolerance}, {largest}, {timeout}")
    balls = region or (lambda x, eps: ball(x, eps, clip, norm, "radius"))
    if not isinstance(model, Graph):
        model = adapted(model, images, preprocessing=preprocessing, output=output, caller="radius")
    elif preprocessing is not None or output is not None:
        raise ValueError(
            "radius: a graph has its preprocessing and its outputs in it; give the module, or leave these out"
        )
    subject = _opened(model, images)
    goals = _goals(subject.graph, images, labels, spec)

    def each(index: int) -> Radius:
        one, goal = images[index : index + 1].to(torch.float64), goals.select(torch.tensor([index]))
        asked = _Asked(subject, one, goal, balls, domain, Limits(seconds=timeout))
        known = Radius(index, goal.label(0), 0.0, inf)
        return _searched(asked, known, largest, tolerance, norm if region is None else None)

    return Radii((each(index) for index in range(len(images))), len(images))


@dataclass(frozen=True, eq=False)
class _Subject:
    """A graph in float64, and the network as it is given, in its own dtype."""

    graph: Graph
    run: Callable[[Tensor], Tensor]
    own: torch.dtype


def _opened(model: nn.Module | Graph, images: Tensor) -> _Subject:
    if isinstance(model, Graph):
        own = dtype_of([model])
        return _Subject(moved(freeze(model), torch.zeros((), dtype=torch.float64)), model, own)
    from absdomain.lowering import to_graph  # it imports sympy, which `verify` does without

    check_module(model, "radius")
    given = copied(model).eval().requires_grad_(False)
    exact = copied(given).to(torch.float64)
    own = next((p.dtype for p in given.parameters()), images.dtype)
    return _Subject(to_graph(exact, images[:1].to(torch.float64)), given, own)


def _goals(graph: Graph, images: Tensor, labels: Tensor | None, spec: Holding | None) -> Asked:
    """What is asked at all images, in float64."""
    if labels is None:
        return holding(spec, graph, len(images), torch.zeros((), dtype=torch.float64))
    classes = graph.output.shape
    if len(classes) != 1 or not bool(((labels >= 0) & (labels < classes[0])).all()):
        raise ValueError(f"radius: the labels must be classes of the output, of shape {classes}; got {labels.tolist()}")
    return by_class(graph, labels, classes[0])


@dataclass(frozen=True, eq=False)
class _Asked:
    """One image's question for any eps."""

    subject: _Subject
    image: Tensor  # (1, *shape)
    goal: Asked
    balls: Balls
    domain: AnyDomain | str | None
    limits: Limits

    def broken(self, x: Tensor) -> bool:
        """Whether the network, in its own dtype, breaks it at x (1, *shape) of that dtype."""
        with torch.no_grad():
            return bool(self.goal.broken(x, self.goal.network(self.subject.run)(x), strict=True))

    def __call__(self, eps: float, branches: float) -> Outcome:
        """What `decide` says of the ball, bounding so many parts; it has half of the time that is left."""
        ball = self.balls(self.image, eps)
        left = self.limits.seconds - self.limits.spent
        limits = Limits(seconds=left / 2, branches=branches)
        (found,) = decide(
            self.goal.graph, ball, self.goal.spec, domain=self.domain, limits=limits, replay=self._replay(ball)
        )  # fmt: skip
        return found

    def _replay(self, ball: Region) -> Replay:
        def confirmed(point: Tensor) -> Tensor | None:
            near = within(ball, point, self.subject.own)
            return near if near is not None and self.broken(near.unsqueeze(0)) else None

        return confirmed


def _searched(asked: _Asked, known: Radius, largest: float, tolerance: float, norm: float | None) -> Radius:
    """Bisection by bounds of whole balls, which cost little, and then by searches between what these have left.

    `norm`: that of the balls, in which a counterexample may be nearer than the ball's radius.
    """
    spent = asked.limits
    if asked.broken(asked.image.to(asked.subject.own)):
        return replace(known, falsified=0.0, seconds=spent.spent, witness=asked.image[0].to(asked.subject.own))
    for branches in (0, inf):
        known = _bisected(asked, replace(known, reason=""), largest, tolerance, norm, branches)
        if closed := known.falsified - known.proved <= tolerance or known.proved >= largest:
            break
    over = f"time: {spent.seconds:g} s are over; give more"
    return replace(known, seconds=spent.spent, reason="" if closed else known.reason or over)


def _bisected(
    asked: _Asked, known: Radius, largest: float, tolerance: float, norm: float | None, branches: float
) -> Radius:
    """Bisection between what is proved and what is falsified, and on both sides of what is not decided."""
    open_from, open_to = inf, -inf  # eps that were not decided
    eps = largest if known.falsified > largest else _next(known, inf, -inf, tolerance)
    while eps > 0 and asked.limits.spent <= asked.limits.seconds:
        found = asked(eps, branches)
        known = replace(known, branches=known.branches + found.branches)
        if found.verdict is Verdict.UNSAT:
            known = replace(known, proved=eps)
        elif found.verdict is Verdict.SAT:
            assert found.point is not None
            smallest = eps if norm is None else min(eps, _distance(found.point, asked.image, norm))
            known = replace(known, falsified=smallest, witness=found.point)
        else:
            open_from, open_to = min(open_from, eps), max(open_to, eps)
            known = replace(known, reason=found.reason)
        eps = _next(known, min(open_from, largest), open_to, tolerance)
    return known


def _next(known: Radius, open_from: float, open_to: float, tolerance: float) -> float:
    """The next eps to ask; 0: there is none."""
    above = min(open_from, known.falsified)
    if above - known.proved > tolerance:
        return (known.proved + above) / 2
    below = max(open_to, known.proved)
    if isfinite(known.falsified) and known.falsified - below > tolerance:
        return (below + known.falsified) / 2
    return 0.0


def _distance(point: Tensor, image: Tensor, norm: float) -> float:
    """|x' - x|_norm, rounded up."""
    apart = (point.to(image.dtype) - image[0]).flatten()
    rounding = 1 + 4 * (len(apart) + 8) * torch.finfo(image.dtype).eps  # of a sum; a maximum has none
    length = float(torch.linalg.vector_norm(apart, norm))
    return nextafter(length if norm == inf else length * rounding, inf)

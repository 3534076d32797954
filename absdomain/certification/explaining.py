"""Which layers of a network loosen a domain's bounds, and how much."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

import torch
from torch import Tensor, nn

from absdomain.certification.arguments import asked_of, check_data, check_sound, outputs_of, region_of
from absdomain.certification.asked import Holding
from absdomain.certification.explanation import Explanation
from absdomain.certification.looseness import looseness
from absdomain.certification.question import Question
from absdomain.data.given import Array, Samples, samples
from absdomain.domain import AnyDomain, Domain, parse
from absdomain.errors import check_count, check_type
from absdomain.graph import Graph, freeze
from absdomain.kinds import Nonlinear
from absdomain.linear import Bounds
from absdomain.lowering import to_graph
from absdomain.lowering.adapted import Preprocessing, adapted
from absdomain.properties import Property, queries
from absdomain.region import Region
from absdomain.runtime.modes import copied
from absdomain.values import moved


def explain(
    model: nn.Module | Graph,
    images: Samples | Property,
    labels: Tensor | Array | None = None,
    *,
    spec: Holding | None = None,
    eps: float | Tensor | Array | None = None,
    norm: float = inf,
    clip: tuple[float, float] | None = (0.0, 1.0),
    region: Callable[[Tensor], Region] | None = None,
    preprocessing: Preprocessing | None = None,
    output: str | int | None = None,
    domain: AnyDomain | str = "box & deeppoly",
    batch: int = 100,
) -> Explanation:
    """value - bound = lines + sum of the layers' costs, image by image: where a domain's lower bound loses.

    The question is that of `certify`, with its arguments: images and labels or a spec, a radius or a region; the model
    is a module, or a graph, such as `onnx_to_graph` makes. It is asked of one domain, in float64, and explained for the
    row of C f(x) + d on which each answer hangs: the least margin.

        explain(model, images, labels, eps=0.1, domain="crown-ibp").layers

    In the place of images there may be a property of a graph, as `read_property` or `unsafe` gives it: its boxes are
    then the regions, and the row is the one that comes nearest to keeping the unsafe set out.

        explain(onnx_to_graph("net.onnx"), read_property("property.vnnlib")).worst

    Errors: those of `certify`; UnsupportedOp for an operation for which the domain has no rule.
    """
    check_type("explain, model", model, (nn.Module, Graph), "give a module, or a graph of to_graph or onnx_to_graph")
    check_type("explain, domain", domain, (str, Domain), "give its text, or an instance, such as Box()")
    check_count("explain, batch", batch)
    chosen = parse(domain) if isinstance(domain, str) else domain
    if isinstance(images, Property):
        if not isinstance(model, Graph) or any(one is not None for one in (labels, spec, eps, region)):
            raise ValueError(
                "explain: a property has its own boxes; give (graph, property) and no labels, eps or region"
            )
        check_sound(str(chosen), chosen.guarantee)
        return _of_property(model, images, chosen, batch)
    images, labels = samples(images, labels, caller="explain")
    check_data(images, labels, spec)
    if isinstance(model, Graph) and not (preprocessing is None and output is None):
        raise ValueError(
            "explain: a graph has its preprocessing and its outputs in it; give the module, or leave these out"
        )
    if isinstance(model, nn.Module):
        model = adapted(model, images, preprocessing=preprocessing, output=output, caller="explain")
    device = next((p.device for p in model.parameters()), images.device) if isinstance(model, nn.Module) else None
    whole = images.to(device, torch.float64)
    around = region_of(whole, eps, clip, region, norm, "explain")
    for name, guarantee in ((str(chosen), chosen.guarantee), (type(around).__name__, around.guarantee)):
        check_sound(name, guarantee)
    graph, outputs = _lowered(model, whole[:1])
    asked = asked_of(graph, outputs, whole, labels, spec)
    return _in_batches(Question(asked.graph, freeze(asked.graph), around, asked.spec), chosen, batch)


def _of_property(graph: Graph, asked: Property, domain: AnyDomain, batch: int) -> Explanation:
    """Of all boxes of a property; ValueError where they are asked of graphs with different layers."""
    parts = []
    for query in queries(asked, moved(freeze(graph), torch.zeros((), dtype=torch.float64)), torch.float64):
        question = Question(query.graph, freeze(query.graph), query.region, query.spec)
        parts.append(_in_batches(question, domain, batch))
    if not parts:
        raise ValueError("explain: the property's unsafe set is empty whatever the network does: nothing is bounded")
    if len({part.names for part in parts}) > 1:
        told = f"the property's {len(parts)} kinds of cases are asked of graphs with different layers"
        raise ValueError(f"explain: {told}; give one assertion's cases at a time")
    return _joined(parts, [len(part.bound) for part in parts])


def _in_batches(question: Question, domain: AnyDomain, batch: int) -> Explanation:
    centre = question.region.centre
    places = torch.arange(len(centre), device=centre.device).split(batch)
    parts = [_explained(question.select(index), domain) for index in places]
    return _joined(parts, [len(index) for index in places])


def _lowered(model: nn.Module | Graph, example: Tensor) -> tuple[Graph, Tensor]:
    """The model as a graph in float64, and its outputs at the example (1, *shape)."""
    if isinstance(model, Graph):
        graph = moved(freeze(model), example)
        with torch.no_grad():
            return graph, graph(example)
    exact = copied(model).eval().requires_grad_(False).to(example.dtype)
    return to_graph(exact, example), outputs_of(exact, example)


def _explained(question: Question, domain: AnyDomain) -> Explanation:
    answer = question.ask(domain)
    lower = answer.decision.lower
    row = question.spec.weakest(lower)
    found = looseness(question, answer.boxes, row)
    bound = lower.gather(1, row.unsqueeze(1)).squeeze(1)
    boxes = [answer.boxes[name] for name in found.names]
    ops = {node.name: node.op for node in question.whole.nodes}
    shares = [_relaxed(ops[name], held) for name, held in zip(found.names, boxes, strict=True)]
    widths = [torch.cat([box.width.flatten(1) for box in held], 1).mean(1) for held in boxes]
    none = bound.new_zeros(len(bound), 0)
    return Explanation(
        domain=str(domain),
        graph=question.whole,
        bound=bound,
        value=found.value,
        lines=found.bound - bound,
        costs=found.costs,
        points=found.points,
        relaxed=torch.tensor(shares, dtype=bound.dtype),
        widths=torch.stack(widths, 1) if widths else none,
        names=found.names,
    )


def _relaxed(op: object, boxes: tuple[Bounds, ...]) -> float:
    """The share of entries over whose boxes op is not known to be affine."""
    assert isinstance(op, Nonlinear)
    settled = op.settled(boxes)
    if settled is None:
        return 1.0
    return 1 - torch.cat([where.flatten() for where in settled]).double().mean().item()


def _joined(parts: list[Explanation], sizes: list[int]) -> Explanation:
    """One explanation of all images."""
    first, weights = parts[0], torch.tensor(sizes, dtype=torch.float64) / sum(sizes)
    joined = {
        name: torch.cat([getattr(part, name) for part in parts])
        for name in ("bound", "value", "lines", "costs", "points", "widths")
    }
    relaxed = (torch.stack([part.relaxed for part in parts]) * weights.unsqueeze(1)).sum(0)
    return Explanation(domain=first.domain, graph=first.graph, relaxed=relaxed, names=first.names, **joined)

"""What `absdomain explain` is asked about: images of a data set, or the boxes of a property."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absdomain.report.runs import radius_of

if TYPE_CHECKING:
    from absdomain.certification import Estimate, Explanation
    from absdomain.domain import AnyDomain
    from absdomain.graph import Graph
    from absdomain.region import Region
    from absdomain.report.models import Model
    from absdomain.spec import Spec


@dataclass(frozen=True, eq=False)
class Explained:
    """A question, which a domain's bounds are explained for."""

    title: str
    told: Mapping[str, Any]  # the same for programs
    explained: Callable[[AnyDomain], Explanation]
    question: Callable[[], tuple[Graph, Region, Spec]]
    samples: int

    def estimated(self, domains: Mapping[str, AnyDomain]) -> list[Estimate]:
        """What each domain's bounds of a sample would take."""
        from absdomain.certification import estimate

        graph, region, spec = self.question()
        found = estimate(graph, region, list(domains.values()), spec)
        return [replace(one, domain=text) for text, one in zip(domains, found, strict=True)]


def of_images(
    found: Model, index: int | None, subset: int, eps: float | None, clip: bool | None, batch: int
) -> Explained:
    """Of the balls around one test image, or around the first ones. Errors: ValueError without a radius."""
    from absdomain.certification import explain
    from absdomain.region import Linf
    from absdomain.report.measure import double
    from absdomain.spec import margins

    radius, clipped = radius_of(found.eps, eps), found.clip if clip is None else clip
    if index is not None and index >= len(found.test):
        raise ValueError(f"--index {index}: {found.test.name} has test images 0..{len(found.test) - 1}")
    images, labels = found.images(slice(subset) if index is None else slice(index, index + 1))
    which = f"{len(labels)} test images" if index is None else f"test image {index}"
    region = (0.0, 1.0) if clipped else None

    def question() -> tuple[Graph, Region, Spec]:
        graph, exact = double(found.network, images[:1]), images.double()
        return graph, Linf(exact, radius, clip=region), margins(labels, prod(graph.output.shape))

    return Explained(
        f"{found.name}, {which} of {found.test.name}, eps {radius:g}{', clipped' if clipped else ''}",
        {"network": found.name, "data": found.test.name, "eps": radius, "clip": clipped},
        lambda domain: explain(found.network, images, labels, eps=radius, clip=region, domain=domain, batch=batch),
        question,
        len(labels),
    )


def of_property(model: Path | None, unsafe: Path, batch: int) -> Explained:
    """Of a property's boxes. Errors: ValueError for a network that is no ONNX file; those of both files."""
    import torch

    from absdomain.certification import explain
    from absdomain.lowering import onnx_to_graph
    from absdomain.properties import queries
    from absdomain.values import moved
    from absdomain.vnnlib import read_property

    if model is None or model.suffix.lower() not in (".onnx", ".gz"):
        raise ValueError(f"--property is asked of an ONNX file, and {model} is none; give MODEL such as net.onnx")
    graph = onnx_to_graph(model)
    asked = read_property(unsafe, graph)

    def question() -> tuple[Graph, Region, Spec]:
        first = queries(asked, moved(graph, torch.zeros((), dtype=torch.float64)), torch.float64)[0]
        return first.graph, first.region, first.spec

    return Explained(
        f"{model.name}, {unsafe.name}",
        {"network": str(model), "property": str(unsafe)},
        lambda domain: explain(graph, asked, domain=domain, batch=batch),
        question,
        1,
    )

"""What will take long is said before it begins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor, nn

from absdomain.certification import estimate
from absdomain.domain import AnyDomain
from absdomain.lowering import UnsupportedOp
from absdomain.region import Linf
from absdomain.report.measure import lowered
from absdomain.runtime.progress import say
from absdomain.spec import margins

_LONG = 60.0  # seconds of bounds that are told
_TRIAL = 5.0  # seconds that a domain is tried for that


def announce(
    network: nn.Module,
    domains: Mapping[str, AnyDomain],
    images: Tensor,
    labels: Tensor,
    eps: float,
    clip: tuple[float, float] | None,
) -> None:
    """Say which of these domains, by the user's spelling, take long on so many images, or do not fit."""
    solved = [text for text, domain in domains.items() if domain.traits.solved]
    if solved:
        say(
            f"{', '.join(solved)}: a solver is asked for every margin of up to {len(labels)} images, which may take "
            "minutes each; what is done is kept, and after Ctrl-C the same command goes on"
        )
    if not len(labels):
        return
    graph = lowered(network, images[:1])
    region, spec = Linf(images[:1].double(), eps, clip=clip), margins(labels[:1], graph.output.shape[0])
    for text, domain in domains.items():
        if text in solved:
            continue
        try:
            (found,) = estimate(graph, region, domain, spec, limit=_TRIAL, memory=False)
        except UnsupportedOp:  # certify reports it, as the reason why an image is unknown
            continue
        if found.refused or found.seconds * len(labels) > _LONG:
            told = replace(found, domain=text).of(len(labels))
            say(f"{told}; what is done is kept, and `--subset N` asks fewer images")

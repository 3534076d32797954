"""The certificates of a certification's images, in a folder of their own, with progress on stderr."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor, nn

from absdomain.branching.record import recording
from absdomain.certification import Status, Verdict
from absdomain.data import Images, names
from absdomain.errors import NoCertificate, needing
from absdomain.graph import Graph
from absdomain.runtime.progress import progress
from absdomain.values import mapped

if TYPE_CHECKING:
    from absdomain.certificates.recording import Proofs

FOLDER = "certificates"


def allow(executed: str | None, data: str) -> None:
    """ValueError, MissingExtra: before any work, where there could be no certificates."""
    if data.lower() not in names():
        public = ", ".join(names())
        raise ValueError(
            f"certify: certificates are of public images ({public}), which the checker reads; {data} is none"
        )
    if executed is not None:
        raise ValueError("certify: certificates are of real arithmetic; leave out --executed, or --certificates")
    with needing("certificates", "certify"):
        import_module("absdomain.certificates.images")


@contextmanager
def kept(asked: bool) -> Iterator[Proofs | None]:
    """What searches inside prove, for certificates of it; None where none are asked for."""
    if not asked:
        yield None
        return
    from absdomain.certificates.recording import Proofs

    with recording(proofs := Proofs()):
        yield proofs


def written(
    folder: Path,
    network: nn.Module,
    graph: Graph,
    images: Images,
    verdicts: list[Verdict],
    eps: float,
    clip: tuple[float, float] | None,
    file: Path | None,
    proofs: Proofs | None = None,
) -> str:
    """Writes them below `folder`, and tells how many there are, and why others have none.

    graph: the network's, as `measure.lowered` makes it; file: with the network's weights, of which they speak where it
    is in a folder above; proofs: what was `kept` during the certification.
    """
    from absdomain.certificates.images import write

    place = folder / FOLDER
    weights = file.name if file is not None and file.resolve().parent in place.resolve().parents else None
    with progress(FOLDER, sum(verdict.status is Status.VERIFIED for verdict in verdicts)) as show:
        try:
            found = write(
                place, network, images, verdicts, eps=eps, clip=clip, weights=weights,
                graph=mapped(graph, Tensor.cpu), proofs=proofs, watch=lambda done: show(done, ""),
            )  # fmt: skip
        except NoCertificate as reason:
            return f"no certificates: {reason}"
    missing = "".join(f"; none of {count}: {reason}" for reason, count in found.missing.items())
    return f"certificates of {found.verified} verified and {found.falsified} falsified images: {place}{missing}"

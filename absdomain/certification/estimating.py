"""What a domain's bounds will cost, told before the work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isnan, nan
from types import NoneType

import torch

from absdomain.certification.trial import Ledger, Stopped, Trial
from absdomain.domain import AnyDomain, Domain, parse
from absdomain.domain.domain import changed
from absdomain.errors import TooLarge, check_type
from absdomain.graph import Graph, freeze
from absdomain.region import Region
from absdomain.runtime.allocation import peak_bytes
from absdomain.spec import Spec

_MANY = 32  # samples of a trial of bounds that are quick
_QUICK = 2.0  # seconds that all of them take
_AGAIN = 5.0  # seconds: a first trial that takes fewer is repeated, for what is slow the first time alone


@dataclass(frozen=True)
class Estimate:
    """What the bounds of one sample take: within a factor of 3 where it was measured (docs/explaining.md)."""

    domain: str
    seconds: float  # of wall time; at least, where the trial was stopped
    bytes: float  # of tensors at the peak, beside the weights; NaN where that was not looked at
    rows: int  # entries of activations of which the domain's parts are asked for bounds
    stopped: bool = False  # the trial took its limit before it came to the output
    refused: str = ""  # why the work does not fit into memory, and what would

    def __str__(self) -> str:
        if self.refused:
            return f"{self.domain} does not fit: {self.refused}"
        memory = "" if isnan(self.bytes) else f" and {_size(self.bytes)}"
        return f"{self.domain}: {'more than' if self.stopped else 'about'} {duration(self.seconds)}{memory} an image"

    def cells(self, samples: int) -> tuple[str, str, str]:
        """How long an image takes, how long all do, and how much memory, for a table."""
        if self.refused:
            return "does not fit", "", ""
        more = "> " if self.stopped else ""
        one, all_of_them = (more + duration(seconds) for seconds in (self.seconds, samples * self.seconds))
        return (one, all_of_them, "" if isnan(self.bytes) else _size(self.bytes))

    def of(self, samples: int) -> str:
        """What so many samples take, in words: "about 12 min for 1,000 images"."""
        if self.refused:
            return str(self)
        about = "more than" if self.stopped else "about"
        return f"{self.domain}: {about} {duration(samples * self.seconds)} for {samples:,} images"


def estimate(
    graph: Graph,
    region: Region,
    domain: AnyDomain | str | Sequence[AnyDomain | str],
    spec: Spec | None = None,
    *,
    limit: float = 60.0,
    memory: bool = True,
) -> list[Estimate]:
    """Seconds and bytes that each domain's bounds of one sample of the region take, from a trial on a part of the work.

    Of each activation whose bounds a domain is asked for, it is asked for those of a few entries; so a trial takes a
    tenth of a second or so for each, and at most about `limit` seconds. The lower bounds of C f(x) + d are counted in,
    or those of the output. Without `memory` the trial is not repeated to see what it holds. Domains that carry all
    forwards, as zonotopes do, are tried in full.

        estimate(graph, Linf(x, 8 / 255), ["crown-ibp", "box & deeppoly"])[1].of(1000)

    Errors: UnsupportedOp for an operation for which a domain has no rule.
    """
    check_type("estimate, graph", graph, Graph, "lower a module first: absdomain.to_graph(module, example)")
    check_type("estimate, region", region, Region, "make one, such as absdomain.Linf(x, eps)")
    check_type("estimate, spec", spec, (Spec, NoneType), "make one, such as absdomain.margins(labels, classes)")
    check_type("estimate, domain", domain, (str, Domain, Sequence), "give its text, an instance, or a list of these")
    if not len(region.centre):
        raise ValueError("estimate: the region has no samples; give one of them")
    given = [domain] if isinstance(domain, str | Domain) else list(domain)
    for one in given:
        check_type("estimate, domain", one, (str, Domain), "give its text, or an instance, such as Box()")
    frozen = freeze(graph)
    return [_of(frozen, region, one, spec, limit, memory) for one in given]


def _of(
    graph: Graph, region: Region, domain: AnyDomain | str, spec: Spec | None, limit: float, memory: bool
) -> Estimate:
    chosen, name = parse(domain) if isinstance(domain, str) else domain, str(domain)
    try:
        ledger, stopped = _tried(graph, region, chosen, spec, 1, limit)
        samples = min(_MANY, len(region.centre), max(1, int(_QUICK / ledger.taken)))
        many = ledger
        if not stopped and ledger.taken < _AGAIN:
            many, _ = _tried(graph, region, chosen, spec, samples, inf)
        peak = nan if stopped or not memory else peak_bytes(lambda: _tried(graph, region, chosen, spec, 1, inf))
    except TooLarge as error:
        return Estimate(name, inf, nan, 0, refused=str(error))
    return Estimate(name, many.seconds / samples, peak, ledger.rows, stopped)


def _tried(
    graph: Graph, region: Region, domain: AnyDomain, spec: Spec | None, samples: int, limit: float
) -> tuple[Ledger, bool]:
    """A trial on the first samples, and whether it was stopped."""
    ledger = Ledger(limit, device=region.centre.device)
    index = torch.arange(samples, device=region.centre.device)
    asked = None if spec is None else spec.select(index)
    trial = changed(domain, lambda leaf: Trial(leaf, ledger))
    try:
        with torch.no_grad():
            _ = trial.propagate(graph, region.select(index), asked).lower
    except Stopped:
        return ledger, True
    return ledger, False


def duration(seconds: float) -> str:
    """In words: 3 ms, 40 s, 12 min, 5 h."""
    for unit, size in (("ms", 1e-3), ("s", 1.0), ("min", 60.0), ("h", 3600.0)):
        if seconds < 100 * size or unit == "h":
            break
    return f"{seconds / size:.2g} {unit}" if seconds / size < 10 else f"{seconds / size:,.0f} {unit}"


def _size(count: float) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{max(1, count / 2**20):.0f} MiB"

"""How far bounds lie from the exact ends, as shares of the exact range."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from absdomain.guarantee import Guarantee
from absdomain.laws import optima
from absdomain.laws.broken import holds
from absdomain.laws.problems import AnyDomain

LEVELS = (0.0, 0.25, 0.5, 0.75, 0.9, 1.0)


@dataclass(frozen=True)
class Slack:
    """Quantiles, at LEVELS, of (exact minimum - lower) and (upper - exact maximum) over the exact range."""

    networks: int
    quantiles: tuple[float, ...]

    @property
    def median(self) -> float:
        """The quantile at 1/2."""
        return self.quantiles[LEVELS.index(0.5)]

    def __str__(self) -> str:
        levels = ", ".join(f"{100 * level:g}" for level in LEVELS)
        found = ", ".join(f"{q:.3f}" for q in self.quantiles)
        return f"slack on {self.networks} networks as a share of the exact range, quantiles {levels} %: {found}"


def slack_of(domain: AnyDomain, *, networks: int = 60, seed: int = 0) -> Slack:
    """The slack of a domain on random small networks, each solved exactly once for all domains.

    Raises LawBroken where a sound domain's bounds are beyond the exact ends.
    """
    shares: list[Tensor] = []
    for number in range(networks):
        problem = optima.numbered(number, seed)
        trace = domain.propagate(problem.graph, problem.region, problem.spec)
        if trace.guarantee == Guarantee.SOUND:
            optima.hold(trace.lower, trace.upper, problem)
        least, greatest = optima.ends(problem)
        width = greatest - least
        wide = width > optima.TOLERANCE * (1 + least.abs() + greatest.abs())  # a constant has no range to compare with
        shares += [((least - trace.lower) / width)[wide], ((trace.upper - greatest) / width)[wide]]
    levels = torch.tensor(LEVELS, dtype=torch.float64)
    return Slack(networks, tuple(torch.quantile(torch.cat(shares), levels).tolist()))


def check_tightness(domain: AnyDomain, *, median: float, networks: int = 60, seed: int = 0) -> Slack:
    """The median slack is at most `median`, or LawBroken; the quantiles are returned."""
    found = slack_of(domain, networks=networks, seed=seed)
    holds(found.median <= median, "the median slack is small", f"{found.median:.3f} > {median:g}; {domain}: {found}")
    return found

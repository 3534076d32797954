"""What was tried: counts that turn "it was tested" into a number."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from random import Random

from absdomain.kinds import Op
from absdomain.laws import witnesses
from absdomain.laws.broken import Closest
from absdomain.laws.drawing import generator
from absdomain.laws.examples import Example
from absdomain.laws.growth import branching
from absdomain.laws.tightness import Slack
from absdomain.ops import Conv, ReLU
from absdomain.region import Linf, Region


@dataclass
class Tally:
    """Counts over the problems that a check has tried."""

    problems: int = 0
    branching: int = 0  # graphs in which an activation has two readers
    neurons: int = 0  # inputs of ReLUs
    unstable: int = 0  # of those, the ones that are seen to take both signs: at least these are unstable
    pairs: Counter[tuple[str, str]] = field(default_factory=Counter)  # (op, region) together in a problem
    tried: Counter[str] = field(default_factory=Counter)  # problems of each law
    refused: Counter[str] = field(default_factory=Counter)  # those that the domain does not support
    closest: dict[str, Closest] = field(default_factory=dict)  # by law: the largest part of the rounding allowed
    slack: Slack | None = None  # against exact ends, where that was asked

    def count(self, problem: Example, law: str = "") -> None:
        """One more problem."""
        self.tried[law] += 1
        self.problems += 1
        self.branching += branching(problem.graph)
        kinds = {op_kind(step.op) for step in problem.graph.schedule}
        self.pairs.update((kind, region_kind(problem.region)) for kind in kinds)
        read = [step.args[0] for step in problem.graph.schedule if isinstance(step.op, ReLU)]
        if read:
            values = witnesses.activations(problem.graph, problem.region.sample(16, generator(Random(0))))
            for place in read:
                low, high = values[place].amin(0), values[place].amax(0)
                self.neurons += low.numel()
                self.unstable += int(((low < 0) & (high > 0)).sum())

    def add(self, other: Tally) -> None:
        """Count in what another check has tried, of other laws."""
        for name in ("problems", "branching", "neurons", "unstable"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for counts, more in ((self.pairs, other.pairs), (self.tried, other.tried), (self.refused, other.refused)):
            counts.update(more)  # type: ignore[arg-type]  # of one kind each
        self.closest |= other.closest

    def __str__(self) -> str:
        least = min(self.pairs.items(), key=lambda item: item[1], default=(("-", "-"), 0))
        return (
            f"{self.problems} problems, {self.branching} of them branching; {self.unstable} of {self.neurons} ReLU "
            f"neurons seen unstable; {len(self.pairs)} pairs of op and region, {least[0]} least often: {least[1]} times"
            + (f"; {sum(self.refused.values())} others refused" if sum(self.refused.values()) else "")
            + ("" if self.slack is None else f"; {self.slack}")
        )


def op_kind(op: Op) -> str:
    """The name under which an op is counted."""
    return f"Conv{len(op.stride)}d" if isinstance(op, Conv) else type(op).__name__


def region_kind(region: Region) -> str:
    """The name under which a region is counted."""
    return "clipped Linf" if isinstance(region, Linf) and region.clip is not None else type(region).__name__

"""verify: the answer to a property of networks, as VNN-LIB asks it."""

from __future__ import annotations

import filecmp
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from absdomain.branching.decide import Replay, decide
from absdomain.branching.outcome import Limits, Verdict, Watch
from absdomain.branching.record import UNRECORDED, Record
from absdomain.branching.watching import watching
from absdomain.domain import AnyDomain
from absdomain.errors import check_type
from absdomain.graph import Graph, freeze
from absdomain.lowering import onnx_to_graph
from absdomain.properties import Property, Query, queries
from absdomain.properties.query import dtype_of
from absdomain.properties.replay import replayed
from absdomain.runtime.progress import Ticker
from absdomain.values import moved
from absdomain.vnnlib import read_property

Given = Graph | str | Path
Records = Callable[[Query, int], Record]


class Runnable(Protocol):
    """A network as another program runs it: joined inputs (n,) of its dtype -> joined outputs (m,)."""

    @property
    def dtype(self) -> torch.dtype:
        """Of its inputs."""

    def __call__(self, given: Tensor) -> Tensor: ...


@dataclass(frozen=True, eq=False)
class Answer:
    """The answer to a property: `sat` with a counterexample, `unsat`, or why it is not known."""

    verdict: Verdict
    seconds: float
    branches: int = 0
    bound: float = -inf  # the least lower bound of what is still open; inf where nothing is
    reason: str = ""
    counterexample: Mapping[str, Tensor] = field(default_factory=dict)  # inputs and outputs by their declared names
    uncertified: str = ""  # why there is no certificate, though one was asked for

    def __repr__(self) -> str:
        why = f": {self.reason}" if self.reason else ""
        point = f", counterexample of {', '.join(self.counterexample)}" if self.counterexample else ""
        return f"Answer({self.verdict}{why}, {self.seconds:.2f} s, {self.branches} parts bounded{point})"

    def text(self) -> str:
        """In the format of the competition: the verdict, and the point's entries."""
        entries = [
            f"({name}_{i} {value!r})"
            for name, tensor in self.counterexample.items()
            for i, value in enumerate(tensor.flatten().tolist())
        ]
        lines = "\n ".join(entries)
        return f"{self.verdict}\n({lines})" if entries else str(self.verdict)


def verify(
    network: Given | Mapping[str, Given],
    asked: Property | str | Path,
    *,
    domain: AnyDomain | str | None = None,
    timeout: float = inf,
    batch: int = 512,
    watch: Watch | None = None,
    records: Records | None = None,
    executed: torch.dtype | None = None,
) -> Answer:
    """Whether the unsafe set of a property is empty (`unsat`, proved) or holds a point (`sat`, replayed).

    network: a graph or an ONNX file, or { name: one } where the property has several; asked: a property, or a VNN-LIB
    file. `unsat` is of the numbers in the files, in real arithmetic, and covers ends of boxes as programs in the
    network's dtype read them. `sat` is a point of that dtype, inside exactly, at which the network (run by onnxruntime
    where it is a file) is unsafe without tolerance. With `executed`, the networks' dtype, `unsat` is of every
    evaluation in it, in any order of summation (`absdomain.rounding.executed`). timeout is in seconds, and begins here.
    `watch` is called with each batch of a search: how many parts were bounded, how many are open, and the least bound
    of those; by default a line on stderr says it. `records` makes, for each box of a query, what is told how that box
    was proved.
    """
    ticker = Ticker()
    limits = Limits(seconds=timeout, watch=watching(ticker) if watch is None else watch)
    graphs, runs = _opened(network)
    check_type("verify", asked, (Property, str, Path), "give a VNN-LIB file, or absdomain.unsafe(formula, graph)")
    given = asked if isinstance(asked, Property) else read_property(asked, graphs)
    if isinstance(graphs, Graph):
        graphs = {n.name: graphs for n in given.networks if n.equal_to is None}
        runs = dict.fromkeys(graphs, runs[""])
    dtype = _dtype(runs)
    if executed is not None and executed != dtype:
        raise ValueError(f"verify: executed={executed} is not the dtype of the network's inputs, {dtype}; give that")
    some = queries(given, graphs, torch.float64, boxes=dtype)
    branches, worst = 0, inf
    try:
        for query in some:
            for box in range(len(query.cases)):
                found: list[dict[str, Tensor]] = []
                replay = _replay(query, box, given.in_floats(dtype), runs, dtype, found)
                one, record = torch.tensor([box]), UNRECORDED if records is None else records(query, box)
                region, spec = query.region.select(one), query.spec.select(one)
                (outcome,) = decide(
                    query.graph, region, spec, domain=domain, limits=limits, replay=replay, batch=batch, record=record,
                    executed=executed,
                )  # fmt: skip
                branches, worst = branches + outcome.branches, min(worst, outcome.bound)
                if outcome.verdict is not Verdict.UNSAT:
                    example = found[-1] if outcome.verdict is Verdict.SAT else {}
                    return Answer(outcome.verdict, limits.spent, branches, outcome.bound, outcome.reason, example)
    finally:
        ticker.clear()
    return Answer(Verdict.UNSAT, limits.spent, branches, worst)


def _dtype(runs: Mapping[str, Runnable]) -> torch.dtype:
    """The networks' own. Errors: ValueError for several, since a point of one type need not be one of another."""
    found = {name: run.dtype for name, run in runs.items()}
    if len(set(found.values())) > 1:
        told = ", ".join(f"{name} of {str(dtype).removeprefix('torch.')}" for name, dtype in found.items())
        raise ValueError(
            f"verify: the networks' inputs differ in type: {told}; a counterexample is a point of one type, so export "
            "them with the same"
        )
    return next(iter(found.values()), torch.float64)


class _Own:
    """A graph that is its own network."""

    def __init__(self, graph: Graph) -> None:
        self.graph, self.dtype = graph, dtype_of([graph])

    def __call__(self, given: Tensor) -> Tensor:
        with torch.no_grad():
            return self.graph(given.view(1, *self.graph.input.shape)).flatten()


def _opened(network: Given | Mapping[str, Given]) -> tuple[Graph | dict[str, Graph], dict[str, Runnable]]:
    """The graphs in float64, and what runs the networks in their own dtype; "" is the name of a single one."""
    if isinstance(network, Mapping):
        opened = dict[str, tuple[Graph, Runnable]]()
        for name, one in network.items():
            same = next((other for other in opened if _same(one, network[other])), None)
            opened[name] = _one(one) if same is None else opened[same]
        return {name: graph for name, (graph, _) in opened.items()}, {name: run for name, (_, run) in opened.items()}
    graph, run = _one(network)
    return graph, {"": run}


def _same(one: Given, other: Given) -> bool:
    """Whether two names were given one network: the same object, or files of the same bytes."""
    if isinstance(one, Graph) or isinstance(other, Graph):
        return one is other
    return Path(one).is_file() and filecmp.cmp(one, other, shallow=False)


def _one(network: Given) -> tuple[Graph, Runnable]:
    check_type("verify", network, (Graph, str, Path), "give an ONNX file, or absdomain.to_graph(module, example)")
    if isinstance(network, Graph):
        return moved(freeze(network), torch.zeros((), dtype=torch.float64)), _Own(network)
    from absdomain.lowering.onnx.runtime import Runtime

    graph = onnx_to_graph(network, dtype=torch.float64)
    return graph, Runtime(Path(network), graph)


def _replay(
    query: Query,
    box: int,
    read: Property,
    runs: Mapping[str, Runnable],
    dtype: torch.dtype,
    found: list[dict[str, Tensor]],
) -> Replay:
    """A point of the search, rounded into its box, where the networks' own outputs are unsafe; `found` gets them."""
    ends = zip(*query.cases[box].box.ends(query.layout.inputs), strict=True)
    doubles = [torch.tensor([float(end) for end in side], dtype=torch.float64) for side in ends]
    low, high = (side.to(dtype).view(query.graph.input.shape) for side in doubles)  # as `in_floats` reads them

    def confirmed(x: Tensor) -> Tensor | None:
        near = torch.clamp(x.to(dtype), low, high)
        values = replayed(query, near, runs)
        if not (read.holds(values) or query.given.holds(values)):
            return None
        found.append(values)
        return near

    return confirmed

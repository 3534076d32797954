"""What the networks themselves, run by another program, give at a point of a query."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from absdomain.properties.polynomial import HIDDEN
from absdomain.properties.query import Query

Run = Callable[[Tensor], Tensor]  # a network's joined inputs (n,), of its dtype -> its joined outputs (m,)


def replayed(query: Query, x: Tensor, runs: Mapping[str, Run]) -> dict[str, Tensor]:
    """Inputs and outputs by their declared names, the outputs as `runs`, by network, gives them at x.

    What is declared hidden is computed by the query's graph: other programs show their outputs alone.
    """
    told = query.tensors(x)
    for network in query.given.networks:
        given = torch.cat([told[tensor.name] for tensor in network.inputs])
        found = runs[network.equal_to or network.name](given)
        start = 0
        for tensor in network.outputs:
            told[tensor.name] = found[start : start + tensor.size]
            start += tensor.size
    hidden = [t.name for network in query.given.networks for t in network if t.kind == HIDDEN]
    read = [name for name in hidden if name in query.layout.starts]
    own = query.values(x.to(query.region.lower.dtype)) if read else {}
    return {**told, **{name: own[name] for name in read}}

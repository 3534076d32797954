"""Batches that others judge: the verdicts of one process, and a file that goes on. Slow tests have real processes."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from absdomain import MissingExtra, certify
from absdomain.attack import Pgd
from absdomain.certification import Status, Verdict
from absdomain.runtime.processes import World
from tests.mappers import Backwards


@pytest.fixture(scope="module")
def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 20), nn.ReLU(), nn.Linear(20, 3))


X = torch.rand(30, 4, generator=torch.Generator().manual_seed(1))
GIVEN: dict[str, Any] = {"eps": 0.1, "batch": 7, "attack": Pgd(3, 1), "domains": ["box"], "explain": False}


def labels(net: nn.Module) -> Tensor:
    """Those of the network, but for every fifth image."""
    y = net(X).argmax(1)
    y[::5] = (y[::5] + 1) % 3
    return y


def told(found: list[Verdict]) -> list[tuple[dict[str, Any], Tensor | None]]:
    """All of the verdicts in the order of the images, to the last bit."""
    return [(v.to_json(), v.witness) for v in sorted(found, key=lambda v: v.index)]


def same(first: list[Verdict], second: list[Verdict]) -> bool:
    return len(first) == len(second) and all(
        a == b and (v is w is None or (v is not None and w is not None and torch.equal(v, w)))
        for (a, v), (b, w) in zip(told(first), told(second), strict=True)
    )


def test_batches_judged_elsewhere_in_any_order_give_the_same_verdicts(net: nn.Module, tmp_path: Path) -> None:
    y, file, mapper = labels(net), tmp_path / "verdicts.jsonl", Backwards()
    whole = list(certify(net, X, y, **GIVEN))
    begun = certify(net, X, y, file=file, cluster=mapper, **GIVEN)
    assert next(begun).index == 28
    begun.close()  # killed after its first batch
    found = list(certify(net, X, y, file=file, cluster=mapper, **GIVEN))
    assert [v.index for v in found] == [28, 29, *range(21, 28), *range(14, 21), *range(7, 14), *range(7)]
    assert same(found, whole) and {v.status for v in found} == set(Status)
    assert mapper.names == [f"images {a} to {b}" for a, b in ((28, 29), (21, 27), (14, 20), (7, 13), (0, 6))]


def test_a_cluster_and_a_world_are_two_ways(net: nn.Module) -> None:
    with pytest.raises(ValueError, match="either a cluster or a world"):
        certify(net, X, net(X).argmax(1), cluster=2, world=World(0, 2), **GIVEN)


def test_without_dask_the_extra_is_named(net: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    for cluster in (2, "tcp://127.0.0.1:1", object()):
        with pytest.raises(MissingExtra, match=r'certify: .*pip install "absdomain\[dask\]"'):
            certify(net, X, net(X).argmax(1), cluster=cluster, **GIVEN)


@pytest.mark.slow
def test_two_workers_give_the_verdicts_of_one_process_though_one_is_killed(net: nn.Module) -> None:
    distributed = pytest.importorskip("distributed", reason="the extra dask is not installed")
    y, threads = labels(net), torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        whole = list(certify(net, X, y, **GIVEN))
        with (
            distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
            distributed.Client(cluster) as client,
        ):
            assert same(list(certify(net, X, y, cluster=client, **GIVEN)), whole)
            begun = certify(net, X, y, cluster=cluster, **GIVEN | {"batch": 1})
            next(begun)
            os.kill(next(iter(client.run(os.getpid).values())), signal.SIGKILL)
            found = list(begun)  # with the first one again
            assert same(found, list(certify(net, X, y, **GIVEN | {"batch": 1})))
    finally:
        torch.set_num_threads(threads)

"""Bounds are computed in the dtype of their tensors, and a device that is not there is refused."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from absdomain import Linf, certify, margins, parse, to_graph
from absdomain.runtime.device import chosen
from absdomain.runtime.precision import set_tf32

DOMAINS = ("box", "deeppoly", "box & deeppoly", "zonotope", "dual", "symbolic_gap", "mix(deeppoly.guided(by=box), box)")


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 10), nn.ReLU(), nn.Linear(10, 4))


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    return torch.rand(5, 1, 6, 6), torch.tensor([0, 1, 2, 3, 0])


@pytest.mark.sampled(5)
@pytest.mark.parametrize("domain", DOMAINS)
def test_an_autocast_leaves_bounds_as_they_are(model: nn.Module, batch: tuple[Tensor, Tensor], domain: str) -> None:
    x, y = batch
    region, spec = Linf(x, 0.02), margins(y, 4)
    inner = to_graph(model, x).nodes[2].name
    expected = parse(domain).propagate(to_graph(model, x), region, spec, keep=True)
    before = parse(domain).propagate(to_graph(model, x), region, spec, keep=True)  # asked for its bounds inside
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model(x).dtype is torch.bfloat16
        found = parse(domain).propagate(to_graph(model, x), region, spec, keep=True)
        for trace in (found, before):
            assert torch.equal(trace.lower, expected.lower)
            assert torch.equal(trace.upper, expected.upper)
            assert torch.equal(trace.at(inner).lower, expected.at(inner).lower)
        assert model(x).dtype is torch.bfloat16  # it is on again


def test_an_autocast_leaves_gradients_of_bounds_as_they_are(model: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
    x, y = batch
    graph, weights = to_graph(model, x), list(model.parameters())

    def least() -> Tensor:
        return parse("box & deeppoly").propagate(graph, Linf(x, 0.02), margins(y, 4)).lower.sum()

    expected = torch.autograd.grad(least(), weights)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = least()  # gradients are to be taken outside, as torch asks for
    found = torch.autograd.grad(inside, weights)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_an_autocast_leaves_certificates_as_they_are(
    model: nn.Module, batch: tuple[Tensor, Tensor], dtype: torch.dtype
) -> None:
    joined = nn.Sequential(nn.Flatten(), nn.Linear(36, 9), nn.Linear(9, 8), nn.ReLU(), nn.Linear(8, 4))  # by `freeze`
    for network in (model, joined):
        expected = [verdict.to_json() for verdict in certify(network, *batch, eps=0.001, dtype=dtype)]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert [verdict.to_json() for verdict in certify(network, *batch, eps=0.001, dtype=dtype)] == expected


@pytest.fixture
def _tf32() -> Iterator[None]:
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


@pytest.mark.usefixtures("_tf32")
def test_tf32_is_what_was_asked_for() -> None:
    for allowed in (True, False):
        set_tf32(allowed)
        assert torch.backends.cuda.matmul.allow_tf32 is torch.backends.cudnn.allow_tf32 is allowed


def test_a_device_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen("cpu") == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert chosen("auto") == "cpu"
    for name in ("nowhere", "cuda:99", "meta:x"):
        with pytest.raises(ValueError, match=f"--device {name}: cannot be used here .*use cpu, or auto"):
            chosen(name)


def test_each_of_several_processes_takes_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    monkeypatch.setattr(torch, "zeros", lambda *_, **__: None)  # there is no such device here
    assert (chosen("auto"), chosen("cuda:0"), chosen("cpu"), taken) == ("cuda:1", "cuda:0", "cpu", [1])
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(ValueError, match="process 3 on a machine with 2 CUDA devices"):
        chosen("cuda")

"""Copies of modules that hold computed tensors, and what is no module to be lowered."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from absdomain import certify, to_graph
from absdomain.runtime.modes import copied
from tests.written import Written


def old(norm: Callable[[nn.Module], nn.Module]) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return norm(nn.Linear(4, 5))


class Remembers(nn.Module):
    """Keeps what it has computed, in lists and dictionaries too."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 5)
        self.seen: dict[str, list[Tensor]] = {"values": []}

    def forward(self, x: Tensor) -> Tensor:
        value: Tensor = self.layer(x)
        if not torch.compiler.is_compiling():
            self.seen["values"] = [value]
        return value


NORMED: dict[str, Callable[[], nn.Module]] = {
    "weight norm": lambda: parametrizations.weight_norm(nn.Linear(4, 5)),
    "weight norm, old": lambda: old(torch.nn.utils.weight_norm),
    "spectral norm": lambda: parametrizations.spectral_norm(nn.Linear(4, 5)),
    "spectral norm, old": lambda: old(torch.nn.utils.spectral_norm),
    "a module that remembers": Remembers,
}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", NORMED)
def test_a_module_with_computed_tensors_is_copied_and_certified(name: str) -> None:
    module = nn.Sequential(NORMED[name](), nn.ReLU(), nn.Linear(5, 3))
    x = torch.rand(4, 4)
    module(x)  # whatever is computed now has a history
    module.eval()
    twin = copied(module)
    with torch.no_grad():
        labels = module(x).argmax(1)
        assert torch.equal(twin(x), module(x))
        for p in twin.parameters():
            p.mul_(2)
        assert not torch.equal(twin(x), module(x))
        torch.testing.assert_close(copied(module).double()(x.double()).float(), module(x))
    statuses = [verdict.status.value for verdict in certify(module, x, labels, eps=1e-4)]
    assert statuses == ["verified"] * 4


def scripted() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.script(nn.Sequential(nn.Linear(4, 3), nn.ReLU()))


def exported() -> nn.Module:
    return torch.export.export(nn.Linear(4, 3), (torch.rand(2, 4),)).module()


@pytest.mark.parametrize("make", [exported, lambda: nn.Sequential(nn.ReLU(), exported())], ids=["whole", "a part"])
def test_an_exported_program_is_told_what_to_give_and_modes_stay(make: Callable[[], nn.Module]) -> None:
    module = make()
    modes = [part.training for part in module.modules()]
    with pytest.raises(TypeError, match=r"(GraphModule|Sequential) .*no evaluation mode.*give the nn\.Module"):
        to_graph(module, torch.rand(2, 4))
    assert [part.training for part in module.modules()] == modes


@pytest.mark.parametrize(
    ("make", "message"),
    [(lambda: torch.relu, "calls it"), (lambda: nn.Linear(4, 3).forward, "calls it"), (scripted, "was made from")],
)
def test_what_is_no_module_is_told_what_to_give(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(TypeError, match=f"to_graph: .*{message}"):
        to_graph(make(), torch.rand(2, 4))
    with pytest.raises(TypeError, match=f"certify: .*{message}"):
        certify(make(), torch.rand(2, 4), torch.tensor([0, 1]), eps=0.1)


def test_a_module_that_casts_is_told_how_to_cast() -> None:
    module, x, labels = Written(lambda s, x: s.a(x.float()), a=nn.Linear(4, 3)), torch.rand(2, 4), torch.tensor([0, 1])
    with pytest.raises(ValueError, match=r"write x\.to\(self\.weight\.dtype\), or certify with dtype=torch\.float32"):
        certify(module, x, labels, eps=0.1)
    assert len(list(certify(module, x, labels, eps=0.1, dtype=torch.float32))) == 2
    assert len(to_graph(module, x).schedule) == 1


def test_an_output_of_one_number_is_bounded_but_is_no_class() -> None:
    module = Written(lambda s, x: s.a(x).squeeze(1), a=nn.Linear(4, 1))
    assert to_graph(module, torch.rand(2, 4)).output.shape == ()
    with pytest.raises(ValueError, match=r"logits \(B, classes >= 2\); it gives \(1,\)"):
        certify(module, torch.rand(2, 4), torch.tensor([0, 0]), eps=0.1)


def test_a_module_in_double_precision_may_hold_constants_in_single() -> None:
    module = Written(lambda s, x: s.a(x) * s.c + s.c, a=nn.Linear(4, 3), c=torch.rand(3)).double()
    x = torch.rand(2, 4, dtype=torch.float64)
    torch.testing.assert_close(to_graph(module, x)(x), module(x))

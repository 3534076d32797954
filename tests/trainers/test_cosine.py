"""The gradient-cosine trainer: its loss, whom it moves, and the errors that it shows."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from absdomain.trainers import load_run, train
from absdomain.trainers.methods.cosine import Cosine, Settings, cosine


def networks() -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    f, g = (nn.Sequential(nn.Flatten(), nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 4)).double() for _ in range(2))
    return f, g


def slope(network: nn.Module, x: Tensor, label: int) -> Tensor:
    """The gradient of one sample's loss by differences."""
    units = 1e-6 * torch.eye(6, dtype=x.dtype).view(6, 1, 2, 3)
    y = torch.full((6,), label)

    def loss(at: Tensor) -> Tensor:
        return functional.cross_entropy(network(at), y, reduction="none")

    return (loss(x + units) - loss(x - units)) / 2e-6


def test_the_loss_is_the_papers() -> None:
    f, g = networks()
    g[3].weight.data.neg_()  # so that some angles are obtuse  # type: ignore[index,operator,union-attr]
    x, y = torch.rand(5, 1, 2, 3, dtype=torch.float64), torch.tensor([0, 1, 2, 3, 0])
    objective = Cosine(f, g, Settings(weight=0.7))
    step = objective(x, y)
    signed = torch.stack([
        functional.cosine_similarity(slope(f, x[i : i + 1], int(y[i])), slope(g, x[i : i + 1], int(y[i])), dim=0)
        for i in range(5)
    ])  # fmt: skip
    angles = signed.abs()
    assert signed.min() < -0.1
    assert step.metrics["cosine"].item() == pytest.approx(angles.mean().item(), rel=1e-5)
    losses = functional.cross_entropy(f(x), y) + functional.cross_entropy(g(x), y)
    assert step.loss.item() == pytest.approx((losses + 0.7 * angles.mean()).item(), rel=1e-6)


def test_the_reference_trains_naturally_and_the_network_does_not() -> None:
    f, g = networks()
    x, y = torch.rand(5, 1, 2, 3, dtype=torch.float64), torch.tensor([0, 1, 2, 3, 0])
    Cosine(f, g, Settings())(x, y).loss.backward()
    for network, alike in ((f, False), (g, True)):
        natural = torch.autograd.grad(functional.cross_entropy(network(x), y), list(network.parameters()))
        pairs = zip(network.parameters(), natural, strict=True)
        assert all(p.grad is not None and torch.allclose(p.grad, n) for p, n in pairs) == alike


def test_the_errors_of_the_pair_are_shown(tmp_path: Path) -> None:
    text = "cosine(attack=signs(steps=3, rate=0.5))"
    recipe = cosine.recipe(data="digits", trainer=text, epochs=2, network="mlp-2x100", batch=256)
    last = list(train(recipe, tmp_path))[-1]
    errors = {f"{side}{kind}_error" for side in ("", "partner_") for kind in ("attack", "transfer")}
    assert set(last.more) == errors | {"cosine"}
    assert last.clean_error is not None
    assert last.clean_error <= last.more["attack_error"]
    assert last.more["transfer_error"] <= last.more["attack_error"] + 0.05
    load_run(tmp_path, "partner")

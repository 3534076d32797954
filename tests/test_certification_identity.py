"""A file of verdicts belongs to one function, one set of regions and sound bounds; nothing else continues it."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from absdomain import Guarantee, Linf
from absdomain._journal import JournalError
from absdomain.certification import Refused, Status, certify
from absdomain.domains import Box


class Signed(nn.Module):
    """a * linear(x), where a is neither parameter nor buffer."""

    def __init__(self, a: float) -> None:
        super().__init__()
        self.a, self.linear = a, nn.Linear(2, 2, bias=False)
        with torch.no_grad():
            self.linear.weight.copy_(torch.eye(2))

    def forward(self, x: Tensor) -> Tensor:
        return self.a * self.linear(x)


X, Y = torch.tensor([[0.9, 0.1]] * 4), torch.zeros(4, dtype=torch.int64)


def test_another_function_of_the_same_state_does_not_continue_the_file(tmp_path: Path) -> None:
    file = tmp_path / "verdicts.jsonl"
    assert all(v.status is Status.VERIFIED for v in certify(Signed(1.0), X, Y, eps=0.1, domains=[Box()], file=file))
    with pytest.raises(JournalError, match="graph"):
        list(certify(Signed(-1.0), X, Y, eps=0.1, domains=[Box()], file=file))


def test_another_region_of_a_later_image_does_not_continue_the_file(tmp_path: Path) -> None:
    file = tmp_path / "verdicts.jsonl"

    def balls(last: float) -> object:
        return lambda images: Linf(images, torch.tensor([0.1] * 3 + [last], dtype=images.dtype)[: len(images), None])

    list(certify(Signed(1.0), X, Y, region=balls(0.1), domains=[Box()], file=file))  # type: ignore[arg-type]
    with pytest.raises(JournalError, match="region"):
        list(certify(Signed(1.0), X, Y, region=balls(9.0), domains=[Box()], file=file))  # type: ignore[arg-type]


@pytest.mark.parametrize("margin", [-5.0, float("nan")])
def test_a_margin_below_zero_is_refused(margin: float) -> None:
    with pytest.raises(ValueError, match="margin"):
        certify(Signed(1.0), X, Y, eps=0.1, domains=[Box()], margin=margin)


def test_a_dtype_too_coarse_is_refused() -> None:
    with pytest.raises(ValueError, match="float16"):
        certify(Signed(1.0), X, Y, eps=0.1, domains=[Box()], dtype=torch.float16)


class Guess(Linf):
    """A ball that promises nothing."""

    guarantee = Guarantee.HEURISTIC


def test_a_region_that_turns_unsound_later_is_refused() -> None:
    calls = []

    def region(images: Tensor) -> Linf:
        calls.append(1)
        return Linf(images, 0.1) if len(calls) < 3 else Guess(images, 0.1)

    with pytest.raises(Refused, match="HEURISTIC"):
        list(certify(Signed(1.0), X, Y, region=region, domains=[Box()], attack=None))


def test_images_finer_than_the_model_raise_no_false_alarm() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
    images = torch.rand(30, 8, dtype=torch.float64)
    labels = net(images.float()).argmax(1)
    verdicts = list(certify(net, images, labels, eps=0.0, domains=[Box()]))
    assert all(v.status is Status.VERIFIED for v in verdicts)

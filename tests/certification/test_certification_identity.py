"""A file of verdicts belongs to one function, one set of regions and sound bounds; nothing else continues it."""

from fractions import Fraction
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from absdomain import L1, L2, Linf, Region
from absdomain.attack import Pgd, inside
from absdomain.certification import Refused, Status, certify
from absdomain.certification.journal import JournalError
from absdomain.domains import Box, DeepPoly


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
    """A ball that is a part of a larger region, of the rest of which it promises nothing."""

    @property
    def whole(self) -> Region:
        return Linf(self.centre, 1.0)


def test_a_region_that_promises_nothing_is_refused() -> None:
    with pytest.raises(Refused, match="HEURISTIC"):
        certify(Signed(1.0), X, Y, region=lambda images: Guess(images, 0.1), domains=[Box()], attack=None)


def test_the_region_is_asked_once_and_each_image_keeps_its_own() -> None:
    """With a radius for each image, a row of a subset must not be matched with another image's radius."""
    calls = []
    radii = torch.tensor([[0.05], [5.0], [0.05], [5.0]], dtype=torch.float64)

    def region(images: Tensor) -> Linf:
        calls.append(len(images))
        return Linf(images, radii.to(images), None)

    x, y = X.double(), Y
    cascade = [Box(), Box() & DeepPoly()]
    expected = [Status.VERIFIED, Status.UNKNOWN] * 2
    for batch in (1, 2, 3, 100):
        calls.clear()
        found = certify(Signed(1.0), x, y, region=region, domains=cascade, attack=None, batch=batch)
        assert [v.status for v in found] == expected, batch
        assert calls == [4]
    for eps in (radii, radii.flatten()):
        found = certify(Signed(1.0), x, y, eps=eps, clip=None, domains=cascade, attack=None)
        assert [v.status for v in found] == expected


def test_a_radius_for_each_pixel_is_taken_and_an_ambiguous_one_refused() -> None:
    net = nn.Linear(2, 2).double()
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))
        net.bias.zero_()
    x, y = torch.ones(3, 2, dtype=torch.float64), torch.zeros(3, dtype=torch.int64)
    for eps, status in (([0.5, 9.0], Status.VERIFIED), ([9.0, 0.5], Status.UNKNOWN)):
        found = certify(net, x, y, eps=torch.tensor(eps), clip=None, domains=[Box()], attack=None)
        assert {v.status for v in found} == {status}
    with pytest.raises(ValueError, match=r"eps of shape \(2,\).* axes of `images`"):
        certify(net, x[:2], y[:2], eps=torch.tensor([0.5, 9.0]), clip=None, domains=[Box()])
    with pytest.raises(ValueError, match=r"eps of shape \(4,\)"):
        certify(net, x, y, eps=torch.ones(4), clip=None, domains=[Box()])


@pytest.mark.parametrize("make", [Linf, L2, L1])
def test_a_radius_for_each_pixel_is_no_row_of_samples(make: type[Linf | L2 | L1]) -> None:
    """As many samples as pixels must not make one of the other."""
    centre, radius = torch.rand(4, 4, dtype=torch.float64), torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
    whole, index = make(centre, radius), torch.tensor([2, 0])
    for part in (whole.select(index), whole.select(torch.arange(4)).select(index)):
        assert torch.equal(part.box().lower, whole.box().lower[index])
        far = torch.full((2, 4), 9.0, dtype=torch.float64)
        assert torch.equal(part.project(far), make(centre[index], radius).project(far))


def test_a_region_of_other_images_is_refused() -> None:
    with pytest.raises(ValueError, match="must make one sample's of each"):
        certify(Signed(1.0), X, Y, region=lambda images: Linf(images[:1], 0.1), domains=[Box()])


def test_an_attack_s_points_depend_on_the_image_alone() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3)).double()
    x = torch.rand(9, 4, dtype=torch.float64)
    y = net(x).argmax(1)

    def attacked(batch: int) -> Tensor:
        found = certify(net, x, y, eps=0.2, domains=[Box()], attack=Pgd(steps=0), batch=batch)
        return torch.tensor([v.attacked for v in found])

    margins = [attacked(9), attacked(1), attacked(4)]
    torch.testing.assert_close(margins[0], margins[1])
    torch.testing.assert_close(margins[0], margins[2])


def test_a_witness_is_inside_exactly() -> None:
    """Inputs of 1e-10 with a radius of 1e-20: the network changes its mind at 0, which is far outside."""
    x, y = torch.tensor([[1e-10, 0.0]] * 2, dtype=torch.float64), torch.zeros(2, dtype=torch.int64)
    for v in certify(Signed(1.0), x, y, eps=1e-20, clip=None, domains=[Box()]):
        assert v.status is Status.VERIFIED
    region = Linf(x, 1e-20)
    assert not inside(region, torch.zeros_like(x)).any()
    assert inside(region, x).all()
    rng = torch.Generator().manual_seed(0)
    for make in (Linf, L2, L1):
        centre = torch.rand(50, 7, dtype=torch.float64, generator=rng)
        ball = make(centre, 0.1)
        points = ball.project(centre + torch.randn(50, 7, dtype=torch.float64, generator=rng))
        assert inside(ball, points).all()
        for c, p in zip(centre.tolist(), points.tolist(), strict=True):
            d = [Fraction(b) - Fraction(a) for a, b in zip(c, p, strict=True)]
            size = {Linf: max(map(abs, d)), L1: sum(map(abs, d)), L2: sum(t * t for t in d)}[make]
            assert size <= (Fraction(0.1) ** 2 if make is L2 else Fraction(0.1))


def test_images_finer_than_the_model_raise_no_false_alarm() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
    images = torch.rand(30, 8, dtype=torch.float64)
    labels = net(images.float()).argmax(1)
    verdicts = list(certify(net, images, labels, eps=0.0, domains=[Box()]))
    assert all(v.status is Status.VERIFIED for v in verdicts)

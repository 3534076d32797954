"""x -> <s, x>: a map that says its value alone has an adjoint; maps of several arguments have images and copies."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from absdomain.kinds import Diagonal, Joint, Linearised, Slopes, entrywise
from absdomain.laws import check_op
from absdomain.linear import Bounds
from absdomain.ops import Max

D64 = torch.float64


@dataclass(frozen=True, eq=False)
class PlainSum(Linearised):
    """The sum of s x over the last axis, and no more."""

    weight: Tensor

    def linear(self, w: Tensor | None, *xs: Tensor) -> Tensor:
        assert w is not None
        return (w * xs[0]).sum(-1)


class PlainMax(Max):
    """max over the last axis, as a plug-in would write it."""

    def linearised(self, slopes: Slopes) -> PlainSum:
        return PlainSum(slopes[0])


def test_a_map_that_says_its_value_alone_keeps_the_laws() -> None:
    check_op(PlainMax(-1), (2, 3))


def test_the_image_of_several_arguments_is_the_sum_of_their_images() -> None:
    line = entrywise((torch.tensor([[2.0, -1.0]], dtype=D64), torch.tensor([[-3.0, 0.5]], dtype=D64)))
    box = Bounds(torch.tensor([[-1.0, 0.0]], dtype=D64), torch.tensor([[1.0, 4.0]], dtype=D64))
    image = line.image(box, box)
    assert image.lower.tolist() == [[-5.0, -4.0]]
    assert image.upper.tolist() == [[5.0, 2.0]]


def test_a_frozen_map_does_not_follow_its_slopes() -> None:
    slope, x = torch.ones(1, 2, dtype=D64), torch.ones(1, 2, dtype=D64)
    frozen = Joint((Diagonal(slope), Diagonal(slope))).freeze()
    slope.mul_(3.0)
    assert frozen(x, x).tolist() == [[2.0, 2.0]]

"""Many axes as one, and one number for many entries: an activation may have any number of axes, and none."""

from __future__ import annotations

from math import prod

from torch import Tensor


def flat(t: Tensor, lead: int) -> Tensor:
    """All but the first `lead` axes as one, which is there where t has no others."""
    return t.reshape(*t.shape[:lead], prod(t.shape[lead:]))


def spread(t: Tensor, axes: int) -> Tensor:
    """t with so many axes of size 1 after its own, to be the same all over an activation."""
    return t.reshape(*t.shape, *(1,) * axes)

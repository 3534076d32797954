"""How two losses share one step: AdvIBP's weights of the adversarial and the certified gradient.

Fan and Li, "Adversarial Training and Provable Robustness: A Tale of Two Objectives", algorithm 2. Its line 13 as
printed leaves the bisector unnormalised; here it is the projection that the text describes. What can be proved of a
step is that it descends (proofs, `advibp`); the paper's theorem 2 bounds the mean gradient by sqrt(1/T) (1 + a sum of
T terms, each at least 1), which grows like sqrt(T) and shows no convergence.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Gram(NamedTuple):
    """<m_1, m_1>, <m_1, m_2> and <m_2, m_2> of the two losses' gradient moments, each ()."""

    first: Tensor
    cross: Tensor
    second: Tensor


def gram(m1: Sequence[Tensor], m2: Sequence[Tensor]) -> Gram:
    """The inner products of two moments, each given parameter by parameter."""

    def inner(a: Sequence[Tensor], b: Sequence[Tensor]) -> Tensor:
        return torch.stack([(p * q).sum() for p, q in zip(a, b, strict=True)]).sum()

    return Gram(inner(m1, m1), inner(m1, m2), inner(m2, m2))


def weights(
    products: Gram, v1: Tensor, v2: Tensor, *, second_first: bool, long_step: bool = False
) -> tuple[Tensor, Tensor]:
    """(k_1, k_2) of the step k_1 g_1 + k_2 g_2, for moments of lengths v_1, v_2 (the moving averages of the norms).

    Where the moments agree, <m_1, m_2> > 0, k_1 m_1 + k_2 m_2 is the projection of (m_1 + m_2) / 2 onto the bisector
    b = m_1 / v_1 + m_2 / v_2. Where they do not, the loss that comes first (the second one with `second_first`) keeps
    its gradient, less its part along the other moment. Where one moment has length 0 the other one has weight 1; where
    both have, each has a half. Weights are not finite where a moment is not: such a step must be skipped.

    The moment of a gradient that turns is shorter than the mean of its norms, |m| < v. With `long_step` the products
    <m_k, m_k> / v_k of the projection are taken as v_k, as in the released code: where the moments agree, the step is
    longer by a factor of both, and has the same direction. Where |m| = v nothing changes.
    """
    one, none = torch.ones_like(v1), torch.zeros_like(v1)
    empty = bool(v1 == 0), bool(v2 == 0)
    if all(empty):
        return one / 2, one / 2
    if any(empty):
        return (none, one) if empty[0] else (one, none)
    if not bool(products.cross > 0):
        return (-products.cross / (v1 * v1), one) if second_first else (one, -products.cross / (v2 * v2))
    own = v1 + v2 if long_step else products.first / v1 + products.second / v2
    towards = own + products.cross / v1 + products.cross / v2  # <m_1 + m_2, b>
    square = products.first / (v1 * v1) + 2 * products.cross / (v1 * v2) + products.second / (v2 * v2)  # <b, b>
    length = towards / square / 2
    return length / v1, length / v2

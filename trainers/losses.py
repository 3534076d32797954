"""Losses of lower bounds on margins: (B, K) lower bounds of z_y - z_j, all j != y, to the batch's mean.

Gowal et al., "On the Effectiveness of Interval Bound Propagation for Training Verifiably Robust Models", section 3 and
the ablation in its appendix, with the released code's margin.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from torch import Tensor
from torch.nn import functional

from absdomain.trainers.options import Named

MARGIN = 10.0  # beyond it a bound earns little with softplus, and nothing with the hinge


def robust_cross_entropy(lower: Tensor) -> Tensor:
    """mean over the batch of log(1 + sum_j exp(-lower_j)) >= CE(f(x'), y) for every x' whose margins are >= lower.

    lower (B, K): lower bounds of z_y - z_j, all j != y.
    """
    return functional.pad(-lower, (1, 0)).logsumexp(1).mean()


def softplus(lower: Tensor) -> Tensor:
    """mean over the batch and over j of log(1 + exp(10 - lower_j)); lower (B, K)."""
    return functional.softplus(MARGIN - lower).mean()


def hinge(lower: Tensor) -> Tensor:
    """mean over the batch and over j of max(-lower_j, -10); lower (B, K)."""
    return (-lower).clamp(min=-MARGIN).mean()


LOSSES: dict[str, Callable[[Tensor], Tensor]] = {
    "cross_entropy": robust_cross_entropy,
    "softplus": softplus,
    "hinge": hinge,
}
BoundLoss = Annotated[Callable[[Tensor], Tensor], Named(LOSSES)]  # a field for one of them

"""A training that has collapsed: the network answers one class, whatever it is shown."""

from __future__ import annotations

import torch
from torch import Tensor

from absdomain.trainers.run.metrics import Metrics

NEAR = 0.02  # of the error that a constant answer has: what chance may add

REMEDY = (
    "take a longer ramp (--ramp) or more epochs, a smaller eps or lr, a method that starts with small bounds (shi), "
    "or leave the nominal loss some weight (--kappa-end 0.5)"
)


def collapsed(row: Metrics, labels: Tensor) -> str | None:
    """What to tell of a network whose clean error on held-out images is that of its best constant answer; else None."""
    if row.clean_error is None or not len(labels):
        return None
    constant = 1 - labels.bincount().max().item() / len(labels)
    if torch.unique(labels).numel() < 2 or row.clean_error < constant - NEAR:
        return None
    return (
        f"the training has collapsed: the clean error on held-out images is {100 * row.clean_error:.1f} %, that of "
        f"answering the same class every time is {100 * constant:.1f} %; {REMEDY}"
    )

"""A second network of the same kind, and the error of one network at the points that an attack on another one finds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from absdomain.region import Region
from absdomain.runtime.modes import evaluating
from absdomain.trainers.method import Setup
from absdomain.trainers.objective import clean_error
from absdomain.trainers.run.folder import build_network


def partner(setup: Setup[Any]) -> nn.Module:
    """A second network of the recipe's kind, drawn anew."""
    made = build_network(setup.recipe, tuple(setup.example.shape[1:]), setup.classes)
    return made.to(setup.example.device)


Finder = Callable[[nn.Module, Region, Tensor], Tensor]  # an attack: points of the region


def transfer_error(attack: Finder, source: nn.Module, target: nn.Module, region: Region, labels: Tensor) -> Tensor:
    """The share of points found by an attack on `source` that `target` misclassifies, (); both in evaluation mode.

    With one module as both it is that module's own error under the attack.
    """
    points = attack(source, region, labels)
    with evaluating(target):
        return clean_error(target(points), labels)

"""Steps that would harm a training: a loss or a gradient that is not finite, a loss far above those before it."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from absdomain.trainers.recipe import Recipe
from absdomain.trainers.run.session import Position

MEMORY = 0.9  # of the running mean of the losses
FLOOR = 1e-3  # below it, no loss is called far above another


class Buffers:
    """The buffers of a module as they were, to be put back."""

    def __init__(self, buffers: Iterable[Tensor]) -> None:
        self.kept = [(buffer, buffer.clone()) for buffer in buffers]

    def restore(self) -> None:
        """Undo what has happened to them since."""
        with torch.no_grad():
            for buffer, copy in self.kept:
                buffer.copy_(copy)


def loss_trouble(recipe: Recipe, position: Position, loss: float) -> str | None:
    """Why a step with this loss must not be taken; None if it may."""
    if not math.isfinite(loss):
        return f"the loss is {loss}"
    if recipe.spike is None or position.level is None:
        return None
    size = max(abs(position.level), FLOOR)  # a hinge loss may be negative, or near 0
    if loss - position.level > (recipe.spike - 1) * size:
        return f"the loss is {loss:.4g}, too far above its mean {position.level:.4g} for spike {recipe.spike:g}"
    return None


def gradient_trouble(recipe: Recipe, parameters: Iterable[Tensor]) -> str | None:
    """Why a step with these gradients must not be taken, None if it may; cuts them to the recipe's gradient_norm."""
    given = [parameter for parameter in parameters if parameter.grad is not None]
    norm = torch.nn.utils.get_total_norm([p.grad for p in given if p.grad is not None])
    if not math.isfinite(norm.item()):
        return f"the gradient's norm is {norm.item()}"
    if recipe.gradient_norm is not None:
        torch.nn.utils.clip_grads_with_norm_(given, recipe.gradient_norm, norm)
    return None


def compared(position: Position, robust: bool) -> None:
    """Forget the mean of the losses when the robust term comes or goes: the first loss with it may be huge."""
    if robust != position.robust:
        position.level, position.robust = None, robust


def taken(position: Position, loss: float) -> None:
    """Count a step that was taken."""
    position.losses += loss
    position.streak = 0
    position.level = loss if position.level is None else MEMORY * position.level + (1 - MEMORY) * loss


def left_out(position: Position) -> None:
    """Count a step that was left out."""
    position.skipped += 1
    position.streak += 1

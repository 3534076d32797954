"""The tensors that ops read, others in their places, and derivatives against difference quotients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import TypeVar

import torch
from torch import Tensor
from torch.autograd.gradcheck import GradcheckError

from absdomain.graph import Graph
from absdomain.laws.broken import LawBroken, at_most
from absdomain.laws.drawing import normal
from absdomain.values import leaves, rebuild

V = TypeVar("V")


def weights(value: object) -> list[Tensor]:
    """The numbers that an op or a graph reads, detached: not its indices."""
    return [t.detach().clone() for t in leaves(value) if t.is_floating_point()]


def with_weights(value: V, given: Sequence[Tensor]) -> V:
    """The op or the graph with these in the places of its numbers."""
    these = iter(given)
    return rebuild(value, [next(these) if t.is_floating_point() else t for t in leaves(value)])


def jittered(graph: Graph, rng: Random) -> Graph:
    """The graph with weights moved by about a hundredth, off the kinks where one entry ties with another or with 0."""
    moved = [t * (1 + 0.01 * normal(rng, *t.shape)) + 1e-3 * normal(rng, *t.shape).abs() for t in weights(graph)]
    return with_weights(graph, moved)


def directional(f: Callable[..., Tensor], inputs: list[Tensor], ways: list[Tensor], rng: Random, detail: str) -> None:
    """The derivative of <c, f> along `ways` lies between the one-sided difference quotients, as it does at a kink."""
    held = [t.clone().requires_grad_() for t in inputs]
    value = f(*held)
    c = normal(rng, *value.shape)
    gradients = torch.autograd.grad((c * value).sum(), held, allow_unused=True, materialize_grads=True)
    along = sum(((g * w).sum() for g, w in zip(gradients, ways, strict=True)), start=torch.zeros(()))
    with torch.no_grad():
        for step in (1e-6, 1e-8):  # the second where f turns within the first
            ends = [(c * f(*(t + s * step * w for t, w in zip(inputs, ways, strict=True)))).sum() for s in (-1, 0, 1)]
            left, right = (ends[1] - ends[0]) / step, (ends[2] - ends[1]) / step
            allowed = 1e-3 * (1 + left.abs() + right.abs()) + 1e-15 * (c * value).abs().sum() / step
            low, high = torch.minimum(left, right), torch.maximum(left, right)
            if bool((low - allowed <= along) & (along <= high + allowed)):
                break
    at_most(low, along, allowed, "the gradient is that of the value", detail)
    at_most(along, high, allowed, "the gradient is that of the value", detail)


def gradchecked(f: Callable[..., Tensor], inputs: Sequence[Tensor], detail: str) -> None:
    """Every derivative of f by torch's gradcheck, in a random direction of the inputs and of the outputs (fast mode).

    For points where f is differentiable; `directional` is the law for kinks.
    """
    held = [t.clone().requires_grad_() for t in inputs if t.numel()]
    empty = [t.numel() == 0 for t in inputs]

    def of(*given: Tensor) -> Tensor:
        these = iter(given)
        return f(*(t if none else next(these) for t, none in zip(inputs, empty, strict=True)))

    size = of(*held).detach().abs().amax().clamp(min=1.0)
    allowed = 1e-5 * float(size)  # a difference quotient of step 1e-6 knows 1e-10 of the value
    try:
        torch.autograd.gradcheck(of, held, atol=allowed, rtol=1e-4, fast_mode=True)
    except GradcheckError as error:
        told = " ".join(str(error).split())[:400]
        raise LawBroken("gradcheck agrees with the gradient", f"{told}; {detail}") from error

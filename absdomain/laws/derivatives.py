"""The tensors that ops read, others in their places, and derivatives against difference quotients."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random
from typing import Any

import torch
from torch import Tensor
from torch.autograd.gradcheck import GradcheckError

from absdomain.graph import Graph
from absdomain.kinds import Op
from absdomain.kinds.live import LiveField, live_fields
from absdomain.laws.broken import LawBroken, at_most
from absdomain.laws.drawing import normal


def tensors(op: Op) -> list[Tensor]:
    """The tensors that an op reads, detached."""
    return [t.detach().clone() for t in _present(op).values() if t is not None]


def with_tensors(op: Any, given: Sequence[Tensor]) -> Any:
    """The op with these in the places of its tensors."""
    twin, these = copy.copy(op), iter(given)
    for field, t in _present(op).items():
        object.__setattr__(twin, field.slot, None if t is None else next(these))
    return twin


def _present(op: Op) -> dict[LiveField, Tensor | None]:
    return {field: getattr(op, field.name) for field in live_fields(type(op))}


def weights(graph: Graph) -> list[Tensor]:
    """The tensors that the graph's ops read, detached, in the order of the nodes."""
    return [t for node in graph.nodes if node.op is not None for t in tensors(node.op)]


def with_weights(graph: Graph, given: Sequence[Tensor]) -> Graph:
    """The graph with these in the places of its tensors."""
    these = iter(given)
    ops = [node.op and with_tensors(node.op, [next(these) for _ in tensors(node.op)]) for node in graph.nodes]
    return Graph([replace(node, op=op) for node, op in zip(graph.nodes, ops, strict=True)])


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
        step = 1e-6
        ends = [(c * f(*(t + s * step * w for t, w in zip(inputs, ways, strict=True)))).sum() for s in (-1, 0, 1)]
        left, right = (ends[1] - ends[0]) / step, (ends[2] - ends[1]) / step
        allowed = 1e-3 * (1 + left.abs() + right.abs()) + 1e-15 * (c * value).abs().sum() / step
    at_most(torch.minimum(left, right), along, allowed, "the gradient is that of the value", detail)
    at_most(along, torch.maximum(left, right), allowed, "the gradient is that of the value", detail)


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

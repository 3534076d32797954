"""What the loss and the specification may claim: elision, and the cross-entropy at lower bounds of margins."""

from __future__ import annotations

import sympy
import torch
import torch.nn.functional as F

from absdomain.domains.box import Box
from absdomain.graph import Graph, Node
from absdomain.ops import Dense, ReLU, Reshape
from absdomain.proofs.kernel.exact import assume, prove, reals
from absdomain.proofs.kernel.world import World
from absdomain.proofs.lemma import FORMULAS, SYMBOLS, Check, Lemma, Twin
from absdomain.proofs.lemmas.windows import equal, numbers
from absdomain.region import Interval
from absdomain.spec import Spec, margins
from absdomain.trainers import losses


def affine_graph(op: Dense) -> Graph:
    """x -> op(x) for one input."""
    return Graph.of([Node("input", None, (), (1,)), Node("op", op, (0,), (3,))])


def elided(sign: int = 1) -> Check:
    """The lower bounds of margins fused into the last layer are at least lower_y - upper_j, for every label."""

    def check(world: World) -> None:
        op = Dense(reals(world, "w", 3, 1), reals(world, "b", 3))
        lower, upper = reals(world, "l", 1, 1), reals(world, "u", 1, 1)
        assume(world, upper - lower)
        region, graph = Interval(lower, upper), affine_graph(op)
        logits = Box().propagate(graph, region)
        for label in range(3):
            spec = margins(torch.tensor([label]), 3)
            fused = Box().propagate(graph, region, spec).lower
            apart = Box().propagate(graph.then(Dense(spec.C, spec.d)), region).lower
            others = [j for j in range(3) if j != label]
            crude = logits.lower[:, [label]] - logits.upper[:, others]
            prove(world, sign * (fused - crude), f"label {label}: fused against worst logits")
            prove(world, sign * (fused - apart), f"label {label}: fused against a layer of its own")

    return check


def fused_is_the_same(world: World) -> None:
    """The fused graph is C graph(x) + d."""
    op, C, d = Dense(reals(world, "w", 3, 1), reals(world, "b", 3)), reals(world, "c", 1, 2, 3), reals(world, "d", 1, 2)
    x = reals(world, "x", 1, 1)
    whole = Spec(C, d).of(affine_graph(op))
    gap = whole(x) - ((C @ op(x).unsqueeze(-1)).squeeze(-1) + d)
    prove(world, gap, "fused, above")
    prove(world, -gap, "fused, below")


def of_any_graph(world: World) -> None:
    """Where nothing can be fused C z + d is an op of its own: after a ReLU, and on an output of more axes than one."""
    x = numbers(2, 2, start=3)
    for nodes in (
        (Node("w", Dense(numbers(3, 2), numbers(3)), (0,), (3,)), Node("r", ReLU(), (1,), (3,))),
        (Node("w", Dense(numbers(6, 2), numbers(6)), (0,), (6,)), Node("s", Reshape((2, 3)), (1,), (2, 3))),
        (Node("w", Dense(numbers(4, 2)), (0,), (4,)),),
    ):
        graph = Graph.of([Node("x", None, (), (2,)), *nodes])
        z = graph(x).flatten(1)
        for batch in (1, 2):
            spec = Spec(numbers(batch, 2, z.shape[1]), numbers(batch, 2, start=5))
            whole = spec.of(graph)
            equal(world, whole(x), (spec.C @ z.unsqueeze(-1)).squeeze(-1) + spec.d, "C z + d")
            grown = len(whole.nodes) - len(graph.nodes)
            world.check(grown == {"r": 1, "s": 2, "w": 0}[graph.output.name], f"{grown} more nodes")


def margins_of_many(world: World) -> None:
    """Row k of a sample is z_y - z_j, for the j != y in order."""
    labels = torch.tensor([2, 0, 3])
    spec = margins(labels, 4)
    for row, y in zip(spec.C.tolist(), labels.tolist(), strict=True):
        others = [j for j in range(4) if j != y]
        world.check(row == [[float(i == y) - float(i == j) for i in range(4)] for j in others], f"the margins of {y}")
    world.check(not bool(spec.d.any()) and tuple(spec.d.shape) == (1, 3), "no offset")


def attained(world: World) -> None:
    """With two classes, and the margin itself, the bound is the cross-entropy; it is the mean over the batch."""
    z, labels = torch.tensor([[0.5, 2.0, -1.0], [1.0, 0.0, 3.0]], dtype=torch.float64), torch.tensor([1, 0])
    others = [[0, 2], [1, 2]]
    lower = torch.stack([row[y] - row[j] for row, y, j in zip(z, labels.tolist(), others, strict=True)])
    equal(world, losses.robust_cross_entropy(lower), F.cross_entropy(z, labels), "the cross-entropy")


def bounds_the_loss(world: World) -> None:
    """robust_cross_entropy(lower) >= CE(z, y) for all logits z whose margins are at least lower."""
    for label in range(3):
        z, lower = reals(world, f"z{label}", 1, 3), reals(world, f"m{label}", 1, 2)
        others = [j for j in range(3) if j != label]
        assume(world, z[:, [label]] - z[:, others] - lower)
        loss = F.cross_entropy(z, torch.tensor([label]))
        prove(world, losses.robust_cross_entropy(lower) - loss, f"label {label}")


def law_of_logsumexp(world: World) -> None:
    """log sum exp grows in each term, and a shift of all terms shifts it."""
    z, c = sympy.symbols("z0:3", real=True), sympy.Symbol("c", real=True)
    total = sum(sympy.exp(t) for t in z)
    for t in z:
        world.check((sympy.diff(sympy.log(total), t)).is_positive is True, f"d/d{t} is a softmax, which is positive")
    shifted = sum(sympy.exp(t + c) for t in z)
    world.check(sympy.simplify(shifted / (sympy.exp(c) * total)) == 1, "exp of the shifted value")


def at_the_margin(world: World) -> None:
    """The twin: the loss at m instead of at -m; for margins and bounds of -1 that is log(1 + 1/e) < log(1 + e)."""
    lower, z = torch.tensor([[-1.0]]), torch.tensor([[0.0, 1.0]])
    loss = F.cross_entropy(z, torch.tensor([0]))
    world.check(bool(losses.robust_cross_entropy(-lower) >= loss), "log(1 + 1/e) >= log(1 + e)")


LEMMAS = (
    Lemma(
        "elision",
        "with margins fused into the last affine layer, interval lower bounds are never looser than lower_y - upper_j, "
        "nor than with the margins as a layer of its own; the fused graph is the same function",
        (Spec.of, margins, Dense.followed_by, Graph.ending_in),
        (elided(), fused_is_the_same, of_any_graph, margins_of_many),
        (Twin("elision is never tighter", elided(-1),
              {"w00": 1, "w10": 1, "w20": 0, "b0": 0, "b1": 0, "b2": 0, "l": 0, "u": 1}),),
        SYMBOLS,
        "real arithmetic; three classes and one input stand for all (inputs add up)",
        leaves="more than three classes and one input; specs with groups",
    ),
    Lemma(
        "robust_cross_entropy",
        "log(1 + sum_j exp(-m_j)) >= CE(z, y) for all logits whose margins z_y - z_j are at least m_j: CE(-m) bounds "
        "the robust loss",
        (losses.robust_cross_entropy,),
        (bounds_the_loss, law_of_logsumexp, attained),
        (Twin("the loss at m instead of -m", at_the_margin, {}),),
        f"{SYMBOLS}; {FORMULAS}",
        "real arithmetic; three classes stand for all; of log-sum-exp its two laws, which sympy derives",
        leaves="rounding; the other losses of bounds, which are not bounds of a cross-entropy",
    ),
)  # fmt: skip

"""What the loss and the specification may claim: elision, and the cross-entropy at lower bounds of margins."""

from __future__ import annotations

import sympy
import torch
import torch.nn.functional as F

from absdomain.domains.box import Box
from absdomain.graph import Graph, Node
from absdomain.ops import Dense
from absdomain.proofs.exact import assume, prove, reals
from absdomain.proofs.lemma import FORMULAS, SYMBOLS, Check, Lemma, Twin
from absdomain.proofs.world import World
from absdomain.region import Interval
from absdomain.spec import Spec, margins
from absdomain.trainers import losses


def affine_graph(op: Dense) -> Graph:
    """x -> op(x) for one input."""
    return Graph([Node("input", None, (), (1,)), Node("op", op, (0,), (3,))])


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
        (Spec.of, margins, Dense.followed_by, Box.affine),
        (elided(), fused_is_the_same),
        (Twin("elision is never tighter", elided(-1),
              {"w00": 1, "w10": 1, "w20": 0, "b0": 0, "b1": 0, "b2": 0, "l": 0, "u": 1}),),
        SYMBOLS,
        "real arithmetic; three classes and one input stand for all (inputs add up)",
    ),
    Lemma(
        "robust_cross_entropy",
        "log(1 + sum_j exp(-m_j)) >= CE(z, y) for all logits whose margins z_y - z_j are at least m_j: CE(-m) bounds "
        "the robust loss",
        (losses.robust_cross_entropy,),
        (bounds_the_loss, law_of_logsumexp),
        (Twin("the loss at m instead of -m", at_the_margin, {}),),
        f"{SYMBOLS}; {FORMULAS}",
        "real arithmetic; three classes stand for all; of log-sum-exp its two laws, which sympy derives",
    ),
)  # fmt: skip

"""Every public value goes to another process, is told from all others, and is taken apart and put together again."""

import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from random import Random
from typing import Any

import pytest
import sympy
import torch
from torch import Tensor, nn

from absdomain import (
    L1,
    L2,
    Bounds,
    Graph,
    Linf,
    MatchedSpace,
    Mix,
    Node,
    ReferenceSpace,
    Rows,
    Spec,
    ops,
    parse,
    registry,
    to_graph,
)
from absdomain.domains import Box, DeepPoly
from absdomain.kinds import Elementwise, Nonlinear, Op
from absdomain.kinds.live import Live
from absdomain.laws import drawing
from absdomain.laws.drawing import normal
from absdomain.laws.examples import REGIONS
from absdomain.linear.patches import Columns, Frame
from absdomain.ops.formula import from_sympy
from absdomain.relations.slopes import Pair, adaptive
from absdomain.values import digest, leaves, mapped, moved, rebuild
from tests.subjects import ESTIMATES, EXPRESSIONS, NESTED, SOLVERS

D64 = torch.float64
PARAMETER = nn.Parameter(torch.tensor([[1.0, -2.0], [0.5, 3.0]], dtype=D64))
SHAPES = ((4,), (2, 3), (3, 4, 4))


def steep(op: Nonlinear, boxes: tuple[Bounds, ...]) -> Pair:
    """A slope rule of a user's own."""
    return op.chord(boxes), op.chord(boxes)


def every_op() -> dict[str, Op]:
    """One of each class in `absdomain.ops`, a formula, and one that reads a module's parameter."""
    rng, found = Random(0), dict[str, Op]()
    for make in (*drawing.AFFINE, *drawing.NONLINEAR, drawing.dense, drawing.add, drawing.concat):
        for op in filter(None, (make(rng, shape) for shape in SHAPES)):
            found.setdefault(type(op).__name__, op)
    found |= {"Concat": ops.Concat(-1), "LogSoftmax": ops.LogSoftmax(), "Exp": ops.Exp(), "Log": ops.Log()}
    found["MatMul"] = ops.MatMul()
    found |= {kind.__name__: kind() for kind in (ops.Asin, ops.Acosh, ops.Logit, ops.Tan)}
    x = sympy.Symbol("x")
    return found | {
        "formula": from_sympy(x * sympy.tanh(x)),
        "formula with limits": from_sympy(sympy.log(x) / 3, domain=(0.5, 2.0)),
        "live": ops.Dense(Live(lambda: PARAMETER.t()), None),  # type: ignore[arg-type]
    }


OPS = every_op()
NET = Graph.of([Node("x", None, (), (3,))]).then(ops.Dense(normal(Random(1), 4, 3), normal(Random(2), 4)))
NET = NET.then(ops.ReLU()).then(ops.Dense(normal(Random(3), 3, 4)))
REGION = {make.__name__: make(Random(4), 2, (3,)) for make in REGIONS}
BALL = L2(normal(Random(5), 2, 3), 0.3)
SPACE = ReferenceSpace(BALL, normal(Random(6), 2, 3), torch.zeros(2, dtype=D64), normal(Random(7), 2) - 1)
SPEC = Spec(normal(Random(8), 2, 2, 3), normal(Random(9), 1, 2), torch.tensor([0, 0]))
DOMAINS = {text: parse(text) for text in (*EXPRESSIONS, *NESTED, *SOLVERS, *ESTIMATES, *registry.names("domains"))} | {
    "a weight that is a tensor": Mix(Box(), DeepPoly(), torch.tensor(0.25, dtype=D64)),
    "a searched slope": parse("deeppoly(slopes=optimised(steps=3))"),
    "a rule of a user's own": DeepPoly(slopes=steep),
}
VALUES: dict[str, object] = {
    **OPS,
    **REGION,
    "reference": SPACE,
    "matched": MatchedSpace(BALL, SPACE.q, SPACE.k, 0.3),
    "spec": SPEC,
    "graph": NET,
    "bounds": BALL.box(),
    "rows": Rows.of(normal(Random(10), 2, 2, 3)),
    "unit rows": Rows.units(torch.tensor([2, 0]), (3,), BALL.centre),
    "framed rows": Rows(
        normal(Random(11), 1, 2, 1, 2, 2), (1, 4, 4), None, None,
        Columns(torch.tensor([0, 1]), (torch.tensor([0, 1]),) * 2, (2, 2)), Frame((1, 1), (0, 0)),
    ),
    **DOMAINS,
}  # fmt: skip
named = pytest.mark.parametrize("value", VALUES.values(), ids=list(VALUES))


def test_every_op_is_here() -> None:
    classes = {name for name in ops.__all__ if isinstance(getattr(ops, name), type)}
    assert classes - {type(op).__name__ for op in OPS.values()} == set()


@named
def test_a_pickled_value_is_the_same(value: object) -> None:
    again = pickle.loads(pickle.dumps(value))
    assert type(again) is type(value)
    assert digest(again) == digest(value)
    for old, new in zip(leaves(value), leaves(again), strict=True):
        assert torch.equal(old, new)


@named
def test_tensors_go_into_the_places_of_the_leaves(value: object) -> None:
    others = [t.detach().clone() for t in leaves(value)]
    made = rebuild(value, others)
    assert all(new is other for new, other in zip(leaves(made), others, strict=True))
    assert digest(made) == digest(value)
    assert (made is value) == (not others)
    with pytest.raises(ValueError, match="more tensors"):
        rebuild(value, [*others, torch.zeros(())])
    for fewer in (others[:-1],) * bool(others):
        with pytest.raises(ValueError, match="fewer tensors"):
            rebuild(value, fewer)


@named
def test_the_digest_sees_every_tensor(value: object) -> None:
    held = leaves(value)
    seen = {digest(value)}
    for place in range(len(held)):
        for other in (lambda t: t + 1, lambda t: t.to(torch.float16), lambda t: t.unsqueeze(0)):
            seen.add(digest(rebuild(value, [other(t) if k == place else t for k, t in enumerate(held)])))
    assert len(seen) == 1 + 3 * len(held)


def test_no_two_values_have_one_digest() -> None:
    texts = {str(value) for value in DOMAINS.values()}
    assert len({digest(value) for value in VALUES.values()}) == len(VALUES) - len(DOMAINS) + len(texts)


def test_regions_that_hold_different_regions_have_different_digests() -> None:
    same = (SPACE.q, SPACE.k, SPACE.t)
    balls = (BALL, L2(BALL.centre, 0.4), L1(BALL.centre, 0.3), L2(BALL.centre.float(), 0.3))
    assert len({digest(ReferenceSpace(ball, *same)) for ball in balls}) == len(balls)


def test_what_is_computed_from_the_fields_is_computed_again() -> None:
    region = Linf(torch.zeros(1, 2), 0.5, clip=(0.0, 1.0))
    assert leaves(region) == [region.centre]
    assert mapped(region, lambda t: t + 0.25).box().upper.tolist() == [[0.75, 0.75]]


def test_moving_leaves_whole_numbers_whole() -> None:
    made = moved(SPEC, torch.zeros(1, dtype=torch.float32))
    assert [t.dtype for t in leaves(made)] == [torch.float32, torch.float32, torch.int64]


def test_a_live_op_is_pickled_as_its_present_value() -> None:
    op: Any = OPS["live"]
    again = pickle.loads(pickle.dumps(op))
    before = PARAMETER.detach().clone()
    with torch.no_grad():
        PARAMETER.add_(1)
    try:
        assert torch.equal(op.weight, (before + 1).t())
        assert torch.equal(again.weight, before.t())
        assert not again.weight.requires_grad
        assert digest(op) != digest(again)
    finally:
        with torch.no_grad():
            PARAMETER.copy_(before)


def test_a_lowered_network_is_pickled_with_its_present_weights() -> None:
    net, x = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).double(), BALL.centre
    again = pickle.loads(pickle.dumps(to_graph(net, x)))
    assert torch.equal(again(x), net(x))


def test_a_slope_rule_is_known_by_its_name() -> None:
    for policy in (adaptive, steep):
        assert pickle.loads(pickle.dumps(policy)) == policy
    with pytest.raises(TypeError, match=r"<lambda> is known to this process alone; define it"):
        digest(lambda op, boxes: steep(op, boxes))


def results(values: dict[str, Any]) -> dict[str, list[Tensor]]:
    """What comes of values: the ops' values, and bounds over every region and by every domain."""
    found: dict[str, list[Tensor]] = {}
    with torch.no_grad():
        x = torch.full((1, 3, 4, 4), 0.75, dtype=D64)
        for name, op in values["ops"].items():
            found[name] = [op(x)] if isinstance(op, Elementwise) else leaves(op)
        for name, (domain, region) in values["questions"].items():
            trace = domain.propagate(values["graph"], region, values["spec"])
            found[name] = [trace.lower, trace.upper]
    return found


def in_another_process(given: bytes) -> tuple[str, bytes]:
    values = pickle.loads(given)
    return digest(values), pickle.dumps(results(values))


def test_values_mean_the_same_in_another_process() -> None:
    over: dict[str, Any] = {**REGION, "reference": SPACE}
    questions = {name: (domain, REGION["linf"]) for name, domain in DOMAINS.items()}
    questions |= {f"over {name}": (parse("box & deeppoly"), region) for name, region in over.items()}
    values = {"ops": OPS, "graph": NET, "spec": SPEC, "questions": questions}
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        seen, answer = pool.submit(in_another_process, pickle.dumps(values)).result()
    assert seen == digest(values)
    here, there = results(values), pickle.loads(answer)
    for name, ours in here.items():
        for one, other in zip(ours, there[name], strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True, msg=name)  # acosh(0.75) is one

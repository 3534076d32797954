"""Log softmax as one op: its laws, bounds beside those by pairs of logits, a linear cost, differences without it."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from absdomain import Graph, Linf, Node, Spec, halfspaces, margins, parse, to_graph
from absdomain.graph.rewrite import unshifted
from absdomain.laws import check_op
from absdomain.linear import Bounds
from absdomain.ops import Add, Dense, Exp, Gather, Log, LogSoftmax, Pow, ReLU, Scale, Sum

D64 = torch.float64


@pytest.mark.sampled(3)
@pytest.mark.parametrize("shape", [(2,), (5,), (2, 3)])
def test_the_laws_of_an_op(shape: tuple[int, ...]) -> None:
    check_op(LogSoftmax(), shape, shape, exact=False)


@pytest.mark.parametrize("dtype", [torch.float32, D64])
@pytest.mark.parametrize("size", [1e-6, 1.0, 30.0, 1e4])
def test_of_equal_arguments_it_is_log_softmax(size: float, dtype: torch.dtype) -> None:
    x = size * torch.randn(4, 3, 17, dtype=dtype)
    torch.testing.assert_close(LogSoftmax()(x, x), F.log_softmax(x, -1))
    torch.testing.assert_close(LogSoftmax()(x, x).exp(), F.softmax(x, -1))


def test_the_image_is_exact() -> None:
    lower = torch.randn(6, 7, dtype=D64)
    box = Bounds(lower, lower + torch.rand(6, 7, dtype=D64))
    image = LogSoftmax().image((box, box))
    for i in range(7):
        low, high = box.upper.clone(), box.lower.clone()
        low[:, i], high[:, i] = box.lower[:, i], box.upper[:, i]
        torch.testing.assert_close(image.lower[:, i], F.log_softmax(low, 1)[:, i])
        torch.testing.assert_close(image.upper[:, i], F.log_softmax(high, 1)[:, i])


def test_the_tangent_and_the_chords_enclose_tightly() -> None:
    """Over a box of radius h the band is of width h^2, as that of a smooth function is."""
    op, centre, widths = LogSoftmax(), torch.randn(5, 10, dtype=D64), []
    for radius in (0.1, 0.01):
        box = Bounds(centre - radius, centre + radius)
        below, above = op.tight_slopes((box, box))
        points = torch.lerp(box.lower, box.upper, torch.rand(50, 5, 10, dtype=D64))
        value = torch.stack([F.log_softmax(p, 1) for p in points])
        low = torch.stack([op.linearised(below)(p, p) for p in points]) + op.inf(below, (box, box))
        high = torch.stack([op.linearised(above)(p, p) for p in points]) + op.sup(above, (box, box))
        assert (low <= value + 1e-12).all()
        assert (value <= high + 1e-12).all()
        widths.append((high - low).max().item())
    assert widths[1] < 0.02 * widths[0]
    assert widths[1] < 2e-4


def by_pairs(logits: Graph) -> Graph:
    """log softmax as -log(1 + sum over j != i of exp(z_j - z_i)): n (n - 1) exponentials."""
    n, last = logits.output.shape[0], len(logits.nodes) - 1
    own, other = torch.arange(n).unsqueeze(1).expand(n, n - 1), [[j for j in range(n) if j != i] for i in range(n)]
    one, square = torch.ones((), dtype=D64), (n, n - 1)
    nodes = [
        Node("own", Gather(own.contiguous()), (last,), square),
        Node("other", Gather(torch.tensor(other)), (last,), square),
        Node("minus", Scale(-one, None), (last + 1,), square), Node("gap", Add(), (last + 2, last + 3), square),
        Node("exp", Exp(), (last + 4,), square), Node("sum", Sum((2,)), (last + 5,), (n,)),
        Node("odds", Scale(None, one), (last + 6,), (n,)), Node("log", Log(floor=1.0), (last + 7,), (n,)),
        Node("log_softmax", Scale(-one, None), (last + 8,), (n,)),
    ]  # fmt: skip
    return Graph.of([*logits.nodes, *nodes])


def network(classes: int) -> Graph:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, classes)).double()
    return to_graph(module, torch.rand(2, 6, dtype=D64))


def whole(logits: Graph) -> Graph:
    last = len(logits.nodes) - 1
    return Graph.of([*logits.nodes, Node("log_softmax", LogSoftmax(), (last, last), logits.output.shape)])


@pytest.mark.sampled(3)
@pytest.mark.parametrize("radius", [0.01, 0.2, 1.0])
@pytest.mark.parametrize(
    "text", ["box", "deeppoly", "deeppoly(slopes=parallel)", "dual", "zonotope", "deeppoly.guided(by=box)"]
)
def test_bounds_are_no_looser_than_by_pairs(text: str, radius: float) -> None:
    logits, region, domain = network(10), Linf(torch.rand(4, 6, dtype=D64), radius), parse(text)
    pairs, one = by_pairs(logits), whole(logits)
    for first, second in ((pairs, one), (pairs.then(Exp()), one.then(Exp()))):
        theirs, ours = (domain.propagate(graph, region) for graph in (first, second))
        wide, narrow = (t.upper - t.lower for t in (theirs, ours))
        assert (narrow <= wide + 1e-9).float().mean() > 0.9
        assert narrow.mean() <= wide.mean() + 1e-9


@pytest.mark.sampled(3)
@pytest.mark.parametrize("text", ["box", "deeppoly", "zonotope", "box & deeppoly"])
def test_differences_are_those_of_the_logits(text: str) -> None:
    logits, region = network(5), Linf(torch.rand(3, 6, dtype=D64), 0.1)
    row = halfspaces(torch.tensor([[1.0, 1, -2, 0, 0]]), torch.tensor([0.3]))
    for spec in (margins(torch.tensor([0, 3, 4]), 5), row):
        asked = spec.to(region.centre)
        graph = asked.of(whole(logits))
        assert len(graph.nodes) == len(logits.nodes)
        torch.testing.assert_close(graph(region.centre), asked.of(logits)(region.centre))
        ours, theirs = (parse(text).propagate(g, region, spec) for g in (whole(logits), logits))
        assert torch.equal(ours.lower, theirs.lower)
        assert torch.equal(ours.upper, theirs.upper)


def test_other_functionals_are_asked_of_the_op_itself() -> None:
    logits, x = network(5), torch.rand(3, 6, dtype=D64)
    graph = whole(logits)
    C = torch.tensor([[[1.0, -1, 0, 0, 0], [1.0, 0, 0, 0, 0]]], dtype=D64)
    spec = Spec(C, torch.zeros(1, 2, dtype=D64))
    assert unshifted(graph, C) is graph
    torch.testing.assert_close(spec.of(graph)(x), (C @ graph(x).unsqueeze(-1)).squeeze(-1))
    assert unshifted(graph.then(ReLU()), C[:, :1]).output.name == "relu_1"
    rows = Graph.of([Node("x", None, (), (2, 2)), Node("y", LogSoftmax(), (0, 0), (2, 2))])
    assert unshifted(rows, torch.tensor([[[1.0, 0.0, -1.0, 0.0]]])) is rows, "a difference across two softmaxes"
    two = Graph.of([Node("x", None, (), (3,)), Node("a", Scale(2 * torch.ones(()), None), (0,), (3,)),
                 Node("y", LogSoftmax(), (1, 0), (3,))])  # fmt: skip
    assert unshifted(two, torch.tensor([[[1.0, -1.0, 0.0]]])) is two, "of two arguments"


def test_a_last_op_of_the_input_leaves_the_input() -> None:
    graph = to_graph(nn.LogSoftmax(1), torch.rand(2, 4))
    x = torch.rand(3, 4)
    trace = parse("box").propagate(graph, Linf(x, 0.1), margins(torch.tensor([0, 1, 2]), 4))
    assert trace.lower.shape == (3, 3)
    gaps = torch.stack([x[0, 0] - x[0, 1], x[1, 1] - x[1, 0], x[2, 2] - x[2, 0]])
    torch.testing.assert_close(trace.lower[:, 0], gaps - 0.2)


class Entries(torch.overrides.TorchFunctionMode):
    """The entries of the largest tensor that is made."""

    most = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        found = func(*args, **(kwargs or {}))
        if isinstance(found, Tensor):
            self.most = max(self.most, found.numel())
        return found


@pytest.mark.parametrize("kind", [nn.Softmax, nn.LogSoftmax])
def test_the_cost_is_linear_in_the_number_of_classes(kind: type[nn.Module]) -> None:
    graph = to_graph(kind(1), torch.rand(2, 1000))
    assert not [node for node in graph.nodes if isinstance(node.op, Pow | Dense)]
    region = Linf(torch.rand(2, 1000), 0.1)
    with Entries() as seen:
        trace = parse("box").propagate(graph, region)
        assert trace.lower.shape == (2, 1000)
        op, box = LogSoftmax(), region.box()
        op.lines(*op.tight_slopes((box, box)), (box, box))
    assert 2000 <= seen.most <= 4000

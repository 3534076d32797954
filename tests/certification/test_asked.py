"""`certify` of what is no class: formulas of inputs and outputs, specs, properties; for all samples or for each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from absdomain import L1, L2, Linf, Spec, certify, halfspaces, margins, parse, to_graph, unsafe, variables
from absdomain.attack import inside
from absdomain.certification import Reason, SoundnessError, Status, summarise
from absdomain.certification.asked import Holding, holding
from absdomain.certification.journal import JournalError
from absdomain.domain import Decision
from absdomain.domains import Box, DeepPoly
from absdomain.properties import Formula

EACH = torch.linspace(0.01, 0.4, 8)
DEEP = [Box() & DeepPoly()]
SEARCH = [*DEEP, parse("branching(timeout=20)")]


torch.manual_seed(0)
NET = nn.Sequential(nn.Linear(4, 10), nn.ReLU(), nn.Linear(10, 3))
IMAGES = torch.rand(8, 4)
GRAPH = to_graph(NET, IMAGES[:1])
GIVEN, OUT = variables(GRAPH)


@pytest.fixture
def net() -> nn.Module:
    return NET


@pytest.fixture
def x() -> Tensor:
    return IMAGES


def statuses(net: nn.Module, x: Tensor, spec: Holding, **options: Any) -> list[Status]:
    return [v.status for v in certify(net, x, spec=spec, **{"eps": 0.05, "domains": SEARCH} | options)]


def median(values: Tensor) -> float:
    """Between the fourth and the fifth of eight."""
    low, high = values.detach().sort().values[3:5].tolist()
    return round((low + high) / 2, 4)


def formulas() -> dict[str, Formula]:
    y = NET(IMAGES)
    near = abs(OUT[0] - OUT[1]) <= median((y[:, 0] - y[:, 1]).abs())
    best = median(torch.stack([y[:, 0] - y[:, 1], y[:, 0] - y[:, 2]]).amax(0))
    return {
        "interval": (OUT[0] > median(y[:, 0])) & (OUT[0] < 9),
        "near": near,
        "either": (OUT[0] - OUT[1] > best) | (OUT[0] - OUT[2] > best),
        "product": OUT[0] * OUT[1] < median(y[:, 0] * y[:, 1]),
        "inputs": (GIVEN[0] < median(IMAGES[:, 0])) | (OUT[2] > GIVEN[2] + 9),
    }


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", ["interval", "near", "either", "product", "inputs"])
def test_a_formula_is_decided_and_no_point_says_otherwise(name: str, net: nn.Module, x: Tensor) -> None:
    formula = formulas()[name]
    broken = unsafe(~formula, GRAPH)
    region, found = Linf(x, 0.05, clip=(0, 1)), []
    for v in certify(net, x, spec=formula, eps=0.05, domains=SEARCH):
        found.append(v.status)
        assert v.label is None
        if v.witness is not None:
            point = v.witness.unsqueeze(0)
            assert bool(inside(region.select(torch.tensor([v.index])), point).all())
            assert broken.holds({"X": point, "Y": net(point).detach()})
        if v.status is Status.VERIFIED:
            points = region.select(torch.tensor([v.index])).sample(200)[:, 0]
            outputs = net(points).detach()
            assert not any(broken.holds({"X": p, "Y": y}) for p, y in zip(points, outputs, strict=True))
    assert set(found) == {Status.FALSIFIED, Status.VERIFIED}, found


def test_a_disjunction_holds_where_no_row_does_alone() -> None:
    """|x| > -0.1 as x > -0.1 or -x > -0.1, through a network: bounds of a row never prove it, the searches do."""
    net = nn.Sequential(nn.Linear(1, 2, bias=False), nn.ReLU(), nn.Linear(2, 1, bias=False)).double()
    net[0].weight.data, net[2].weight.data = (
        torch.tensor([[1.0], [-1.0]]).double(),
        torch.tensor([[1.0, -1.0]]).double(),
    )
    x = torch.zeros(1, 1, dtype=torch.float64)
    _, out = variables(to_graph(net, x))
    formula = (out[0] > -0.1) | (out[0] < 0.1)
    (rows,) = certify(net, x, spec=formula, eps=1.0, clip=None, domains=DEEP)
    assert (rows.status, rows.reason) == (Status.UNKNOWN, Reason.LOOSE)
    (found,) = certify(net, x, spec=formula, eps=1.0, clip=None, domains=SEARCH)
    assert (found.status, found.by) == (Status.VERIFIED, str(SEARCH[1]))
    both = (formula) & (out[0] < 2)
    assert statuses(net, x, both, eps=1.0, clip=None) == [Status.VERIFIED]
    assert statuses(net, x, both & (out[0] < 0.9), eps=1.0, clip=None) == [Status.FALSIFIED]


def test_the_mixed_integer_program_searches_every_row_of_a_group() -> None:
    net = nn.Sequential(nn.Linear(1, 2, bias=False), nn.ReLU(), nn.Linear(2, 2, bias=False)).double()
    net[0].weight.data = torch.tensor([[1.0], [-1.0]]).double()
    net[2].weight.data = torch.tensor([[1.0, -1.0], [1.0, 1.0]]).double()  # x and |x|
    x = torch.zeros(1, 1, dtype=torch.float64)
    _, out = variables(to_graph(net, x))
    for formula, wanted in (((out[0] > 0.5) | (out[1] > -0.1), Status.VERIFIED), (out[0] > 0.5, Status.FALSIFIED)):
        assert statuses(net, x, formula, eps=1.0, clip=None, domains=[parse("exact")]) == [wanted]


def test_labels_and_their_margins_are_one_question(net: nn.Module, x: Tensor) -> None:
    labels = net(x).argmax(1)
    labels[0] = (labels[0] + 1) % 3
    eps = EACH.view(-1, 1) * torch.rand(4)
    by_class = [v.status for v in certify(net, x, labels, eps=eps, domains=SEARCH)]
    assert statuses(net, x, margins(labels, 3), eps=eps) == by_class
    assert {Status.VERIFIED, Status.FALSIFIED} <= set(by_class)


@pytest.mark.parametrize("ball", [L1, L2])
def test_balls_of_any_norm(ball: Any, net: nn.Module, x: Tensor) -> None:
    """Of an affine network the answer is known: |w| of the dual norm times the radius is what an output moves by."""
    net = nn.Linear(4, 2).double()
    x, c = x.double(), 0.3
    value = (net(x)[:, 0] - net(x)[:, 1]).detach()
    w = (net.weight[0] - net.weight[1]).detach()
    moved = 0.4 * (w.abs().max() if ball is L1 else w.norm())
    _, out = variables(to_graph(net, x[:1]))
    holds = value.abs() + moved < c + float(value.abs().median())
    limit = c + float(value.abs().median())
    found = statuses(net, x, abs(out[0] - out[1]) <= limit, eps=None, region=lambda x: ball(x, 0.4))
    assert [s is Status.VERIFIED for s in found] == holds.tolist()


def test_each_sample_has_its_own_formula(net: nn.Module, x: Tensor) -> None:
    """The first output stays near what it is at each sample; the same as a spec with a row for each."""
    nominal = net(x)[:, 0].detach()
    near = [abs(OUT[0] - value) <= 0.08 for value in nominal]
    row = torch.tensor([[-1.0, 0, 0], [1.0, 0, 0]]).expand(8, 2, 3)
    spec = Spec(row, torch.stack([0.08 + nominal, 0.08 - nominal], 1))
    found = statuses(net, x, near, eps=EACH)
    assert found == statuses(net, x, spec, eps=EACH)
    assert statuses(net, x[3:4], near[3], eps=float(EACH[3])) == found[3:4]
    assert {Status.VERIFIED, Status.FALSIFIED} == set(found)


def test_an_unsafe_set_is_not_to_be_reached(net: nn.Module, x: Tensor) -> None:
    limit = median(net(x)[:, 0])
    question = unsafe((GIVEN[0] <= 0.5) & (OUT[0] >= limit), GRAPH)
    found = statuses(net, x, question)
    assert found == statuses(net, x, (GIVEN[0] > 0.5) | (OUT[0] < limit))
    assert {Status.VERIFIED, Status.FALSIFIED} == set(found)


def test_a_tie_breaks_only_what_is_written_as_strict() -> None:
    net = nn.Linear(1, 1, bias=False).double()
    net.weight.data = torch.ones(1, 1).double()
    _, out = variables(to_graph(net, torch.zeros(1, 1).double()))
    x = torch.zeros(1, 1, dtype=torch.float64)
    (open_,) = certify(net, x, spec=out[0] >= 0, eps=0.0, clip=None, domains=[Box()])
    assert (open_.status, open_.reason) == (Status.UNKNOWN, Reason.ROUNDING)
    assert statuses(net, x, out[0] > 0, eps=0.0, clip=None) == [Status.FALSIFIED]


def test_outputs_of_any_shape() -> None:
    net = nn.Conv2d(1, 2, 2)
    x = torch.rand(2, 1, 3, 3)
    _, out = variables(to_graph(net, x[:1]))
    top = float(net(x).max()) + 1
    assert statuses(net, x, (out[0, 0, 0] < top) & (out[1, 1, 1] < top), eps=0.01) == [Status.VERIFIED] * 2


def test_a_file_goes_on_and_is_of_one_question(net: nn.Module, x: Tensor, tmp_path: Path) -> None:
    file, spec = tmp_path / "verdicts.jsonl", formulas()["either"]
    asked = certify(net, x, spec=spec, eps=0.05, domains=DEEP, file=file, batch=3)
    first = [next(asked) for _ in range(4)]
    asked.close()
    again = list(certify(net, x, spec=spec, eps=0.05, domains=DEEP, file=file, batch=3))
    assert [v.status for v in again[:3]] == [v.status for v in first[:3]]
    assert summarise(again).samples == 8
    with pytest.raises(JournalError, match="another configuration"):
        list(certify(net, x, spec=formulas()["near"], eps=0.05, domains=DEEP, file=file, batch=3))


def test_a_bound_that_a_point_beats_is_a_defect(net: nn.Module, x: Tensor) -> None:
    class Optimist(Box):
        def decide(self, e: Any, groups: Tensor | None = None) -> Decision:
            return Decision(super().decide(e, groups).lower + 10)

    with pytest.raises(SoundnessError, match="image 0: optimist claims"):
        list(certify(net, x, spec=formulas()["near"], eps=0.05, domains=[Optimist()], every=True))


def test_what_is_no_question_is_refused(net: nn.Module, x: Tensor) -> None:
    name = GRAPH.nodes[1].name
    _, out, hidden = variables(GRAPH, hidden=[name])
    wide = torch.ones(3, 1, 3)
    for spec, message in (
        ([out[0] > 0] * 3, "3 formulas for 8 samples"),
        ([out[0] > 0] * 7 + [(out[0] > 0) & (out[1] > 0)], "formula 7 has groups"),
        ([], "no formula"),
        (Spec(wide, torch.ones(1, 1)), "C has 3 rows for 8 samples"),
        (halfspaces(torch.ones(1, 2), torch.ones(1)), "C has 2 columns, but the model's output has 3"),
        (hidden[0] > 0, "speaks of H"),
        (unsafe(hidden[0] > 0, GRAPH, hidden=[name]), "hidden nodes"),
        (out[0] - out[0] < 1, "true whatever the network is"),
    ):
        with pytest.raises(ValueError, match=message):
            holding(spec, GRAPH, 8, x)
    with pytest.raises(TypeError, match="str is not a Spec"):
        holding("y > 0", GRAPH, 8, x)
    for labels, spec in ((None, None), (torch.zeros(8, dtype=torch.int64), OUT[0] > 0)):
        with pytest.raises(ValueError, match="either labels or spec"):
            certify(net, x, labels, spec=spec, eps=0.1)

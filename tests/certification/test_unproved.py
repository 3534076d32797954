"""An unknown image says which layer loosens its bound and what would prove it; nothing else of a verdict changes."""

from typing import Any

import pytest
import torch
from torch import nn

from absdomain import certify, explain
from absdomain.certification import Status, Verdict
from absdomain.certification.result import Certification
from absdomain.report.tables import errors_table

X = torch.rand(40, 6, generator=torch.Generator().manual_seed(2))
ASK: dict[str, Any] = {"eps": 0.06, "attack": None, "batch": 16}


@pytest.fixture(scope="module")
def net() -> nn.Module:
    torch.manual_seed(4)
    return nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 12), nn.ReLU(), nn.Linear(12, 4))


@pytest.fixture(scope="module")
def found(net: nn.Module) -> Certification:
    return certify(net, X, net(X).argmax(1), domains="box", **ASK)


def unknown(found: Certification) -> list[Verdict]:
    return [v for v in found.verdicts if v.status is Status.UNKNOWN]


def test_the_domain_that_helps_proves_the_image(net: nn.Module, found: Certification) -> None:
    open_ = unknown(found)
    assert {v.layer for v in open_} == {"1", "3", None}
    named = {v.helps for v in open_} - {None}
    assert named == {"deeppoly.guided(by=box)", "deeppoly(search=ascent).guided(by=box)"}
    asked = certify(net, X, net(X).argmax(1), domains=sorted(map(str, named)), every=True, explain=False, **ASK)
    proofs = [verdict.verified_by for verdict in asked.verdicts]
    assert all(v.helps in proofs[v.index] for v in open_ if v.helps is not None)
    missed = [v for v in open_ if v.helps is None and proofs[v.index]]
    assert not missed, "a search could prove more, but not of these images"


def test_verified_images_have_nothing_and_a_guide_is_told_once(net: nn.Module) -> None:
    found = certify(net, X, net(X).argmax(1), domains=["box", "crown-ibp"], **ASK)
    counts = {status: sum(v.status is status for v in found.verdicts) for status in Status}
    assert counts[Status.VERIFIED] > 0 < counts[Status.UNKNOWN]
    for verdict in found.verdicts:
        if verdict.status is Status.VERIFIED:
            assert (verdict.layer, verdict.helps) == (None, None)
    assert {v.helps for v in unknown(found)} == {None, "deeppoly(search=ascent).guided(by=box)"}


@pytest.mark.slow
def test_the_layer_is_that_of_the_explanation(net: nn.Module, found: Certification) -> None:
    shares = explain(net, X, net(X).argmax(1), eps=0.06, domain="box")
    agreed = [
        shares.names[int(shares.costs[v.index].argmax())] == v.layer for v in unknown(found) if v.layer is not None
    ]
    assert sum(agreed) >= 0.8 * len(agreed), "the lines of the explanation are searched, the others are not"


def test_nothing_else_of_a_verdict_changes(net: nn.Module, found: Certification) -> None:
    plain = certify(net, X, net(X).argmax(1), domains="box", explain=False, **ASK)
    for one, other in zip(found.verdicts, plain.verdicts, strict=True):
        assert one.to_json() | {"layer": None, "helps": None} == other.to_json()
    with torch.inference_mode():
        quiet = certify(net, X, net(X).argmax(1), domains="box", **ASK)
        assert [v.layer for v in quiet.verdicts] == [v.layer for v in found.verdicts]


def test_a_summary_counts_layers_and_tables_tell_them(found: Certification) -> None:
    summary = found.summary
    assert sum(summary.layers.values()) == len([v for v in unknown(found) if v.layer])
    assert sum(summary.helped.values()) == len([v for v in unknown(found) if v.helps])
    caption = str(errors_table(summary, {}, "t").caption)
    for name, count in (summary.layers | summary.helped).items():
        assert f"{name} ({count})" in caption
    row = unknown(found)[0].to_json()
    assert Verdict.from_json(row).to_json() == row
    old = {name: value for name, value in row.items() if name not in ("layer", "helps")}
    assert Verdict.from_json(old).layer is None


def test_a_margin_that_is_asked_for_is_what_lines_have_to_exceed(net: nn.Module, found: Certification) -> None:
    """No domain has bounds above 10: nothing helps, and layers are told all the same."""
    far = certify(net, X, net(X).argmax(1), domains="box", margin=10.0, **ASK)
    assert all(v.helps is None for v in far.verdicts)
    assert [v.layer for v in far.verdicts] == [v.layer for v in found.verdicts]

"""Certification with a domain that searches: its witnesses, its time-outs, and what both do to the errors."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from absdomain import parse
from absdomain.attack import Pgd
from absdomain.certification import Reason, SoundnessError, Status, Summary, Verdict, certify, summarise
from absdomain.data import load
from absdomain.domain import Decision
from absdomain.domains import LP, Box, Exact
from absdomain.report.tables import errors_table

EPS = 0.1
CASCADE = (
    "box", "box & deeppoly(slopes=zero)", "box & deeppoly", "lp.guided(by=box & deeppoly)",
    "exact(timeout=60.0).guided(by=box & deeppoly)",
)  # fmt: skip


def net() -> nn.Module:
    """A random network with steep layers, centred so that all three classes occur in the unit cube."""
    torch.manual_seed(5)
    found = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3)).double()
    with torch.no_grad():
        for layer in (found[0], found[2], found[4]):
            layer.weight *= 2
        found[0].bias -= found[0].weight.sum(1) / 2
        found[4].bias -= found(torch.rand(500, 4, dtype=torch.float64)).mean(0)
    return found


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.rand(8, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def labels(images: Tensor) -> Tensor:
    with torch.no_grad():
        return net()(images).argmax(1)


def run(images: Tensor, labels: Tensor, *texts: str, **more: Any) -> list[Verdict]:
    return list(certify(net(), images, labels, eps=EPS, domains=[parse(text) for text in texts], **more))


def test_exact_decides_every_image_and_gives_the_witnesses(images: Tensor, labels: Tensor) -> None:
    """Without an attack: what is not verified is falsified by Exact, at a point that the module misjudges."""
    verdicts = run(images, labels, "exact.guided(by=box)", attack=None)
    statuses = [verdict.status for verdict in verdicts]
    assert set(statuses) == {Status.VERIFIED, Status.FALSIFIED}
    for verdict in verdicts:
        if verdict.status is Status.FALSIFIED:
            assert verdict.by == "exact.guided(by=box)"
            assert verdict.witness is not None
            x = images[verdict.index]
            assert bool(((verdict.witness - x).abs() <= EPS + 1e-12).all())
            assert bool(((verdict.witness >= 0) & (verdict.witness <= 1)).all())
            assert int(net()(verdict.witness.unsqueeze(0)).argmax(1)) != verdict.label
            assert verdict.resisted, "no attack was tried"
    attacked = run(images, labels, "exact.guided(by=box)", attack=Pgd(20, 1))
    assert [verdict.status for verdict in attacked] == statuses


def test_the_cascade_of_gowal_et_al_asks_each_domain_for_what_the_last_left(images: Tensor, labels: Tensor) -> None:
    verdicts = run(images, labels, *CASCADE, attack=Pgd(5, 1))
    deciders = {verdict.by for verdict in verdicts}
    assert {"box & deeppoly", str(parse(CASCADE[-1])), "attack"} <= deciders
    assert all(verdict.status is not Status.UNKNOWN for verdict in verdicts)
    for verdict in verdicts:
        asked = list(verdict.lower)
        assert asked == [str(parse(text)) for text in CASCADE[: len(asked)]]
        if verdict.status is Status.VERIFIED:
            assert verdict.by == asked[-1]


def test_every_domain_is_at_least_as_good_as_what_it_is_guided_by(images: Tensor, labels: Tensor) -> None:
    summary = summarise(run(images, labels, *CASCADE, every=True))
    errors = [summary.domains[str(parse(text))] for text in CASCADE]
    assert errors == sorted(errors, reverse=True)
    assert summary.pgd_error is not None
    assert summary.pgd_error <= errors[-1] == summary.verified_error
    assert errors[0] > errors[-1]


def test_a_time_out_is_a_reason_and_has_its_largest_effect_beside_the_error(images: Tensor, labels: Tensor) -> None:
    hurried = "exact(timeout=1e-09).guided(by=box)"
    verdicts = run(images, labels, "box", hurried, attack=None, every=True)
    late = [verdict for verdict in verdicts if verdict.reason is Reason.TIMEOUT]
    assert late
    assert all(verdict.expired == (hurried,) and "time ran out" in verdict.detail for verdict in late)
    summary = summarise(verdicts)
    assert summary.timeouts == {hurried: len(late)}
    assert summary.timed_out == len(late)
    assert summary.in_time() == pytest.approx(summary.verified_error - 100 * len(late) / len(verdicts))
    assert summary.in_time(hurried) == pytest.approx(summary.domains[hurried] - 100 * len(late) / len(verdicts))
    assert summary.in_time("box") == summary.domains["box"]
    exact = summarise(run(images, labels, "exact.guided(by=box)", attack=None)).verified_error
    assert summary.in_time() <= exact <= summary.verified_error
    told = summary.to_json()
    assert told["in_time"] == {
        "all": summary.in_time(),
        "box": summary.in_time("box"),
        hurried: summary.in_time(hurried),
    }
    assert json.loads(json.dumps(told)) == told


def test_the_table_shows_time_outs_where_there_are_any() -> None:
    from rich.console import Console

    def shown(summary: Summary) -> str:
        console = Console(width=120)
        with console.capture() as captured:
            console.print(errors_table(summary, {}, "title"))
        return captured.get()

    plain = Summary(200, 0.0, 2.0, 4.0, {"box": 8.0, "exact": 4.0}, {"timeout": 3})
    late = replace(plain, timeouts={"exact": 4}, timed_out=3)
    assert "time-outs" not in shown(plain)
    lines = [line.split("│")[1:-1] for line in shown(late).splitlines() if "│" in line]
    rows = {name.strip(): [cell.strip() for cell in cells] for name, *cells in lines}
    assert rows["verified by box"] == ["8.00", "0", "8.00"]
    assert rows["verified by exact"] == ["4.00", "4", "2.00"]
    assert rows["verified by any"] == ["4.00", "3", "2.50"]


def test_a_refusal_is_a_reason_and_the_others_go_on(images: Tensor, labels: Tensor) -> None:
    from absdomain.region import L2

    verdicts = list(
        certify(net(), images, labels, region=lambda x: L2(x, 0.3), domains=[Exact(), LP()], every=True, attack=None)
    )
    assert all(verdict.lower["lp"] > float("-inf") for verdict in verdicts)
    assert any(verdict.lower["exact"] == float("-inf") for verdict in verdicts)
    assert not any(verdict.by == "exact" and verdict.lower["exact"] == float("-inf") for verdict in verdicts)


def test_a_point_that_a_domain_finds_is_held_against_every_bound(images: Tensor, labels: Tensor) -> None:
    @dataclass(frozen=True)
    class Liar(Box):
        """Claims that every property holds."""

        def decide(self, e: Any, groups: Tensor | None = None) -> Decision:
            return Decision(torch.full_like(self.bounds(e).lower, 1e-3))  # below every image's own margin

    for order in ([Liar(), Exact()], [Exact(), Liar()]):
        with pytest.raises(SoundnessError, match=r"liar claims .* but exact"):
            list(certify(net(), images, labels, eps=EPS, domains=order, every=True, attack=None))


def test_a_point_outside_the_region_or_well_classified_is_no_witness(images: Tensor, labels: Tensor) -> None:
    @dataclass(frozen=True)
    class Dreamer(Box):
        """Finds points far away, which lie outside until they are projected, and then prove nothing."""

        def decide(self, e: Any, groups: Tensor | None = None) -> Decision:
            return Decision(self.bounds(e).lower, 1 - images)

    verdicts = list(certify(net(), images, labels, eps=0.0, domains=[Dreamer()], attack=None, batch=8))
    assert all(verdict.status is not Status.FALSIFIED for verdict in verdicts)


def test_a_run_with_witnesses_and_time_outs_is_resumed_from_its_file(
    images: Tensor, labels: Tensor, tmp_path: Path
) -> None:
    texts = ("exact(timeout=1e-09).guided(by=box)", "exact.guided(by=box)")
    whole = run(images, labels, *texts, attack=None, batch=3)
    file = tmp_path / "verdicts.jsonl"
    rows = certify(net(), images, labels, eps=EPS, domains=[parse(t) for t in texts], attack=None, batch=3, file=file)
    first = [next(rows) for _ in range(4)]
    rows.close()  # type: ignore[attr-defined]
    again = run(images, labels, *texts, attack=None, batch=3, file=file)
    assert [v.to_json() for v in again] == [v.to_json() for v in whole]
    assert [v.to_json() for v in first] == [v.to_json() for v in whole[:4]]


def test_a_verdict_written_before_time_outs_were_known_is_read() -> None:
    verdict = Verdict(index=0, label=1, status=Status.UNKNOWN, by=None, nominal=1.0, reason=Reason.LOOSE)
    row = verdict.to_json()
    del row["expired"]
    assert Verdict.from_json(row).expired == ()
    late = replace(verdict, reason=Reason.TIMEOUT, expired=("exact",))
    assert Verdict.from_json(json.loads(json.dumps(late.to_json()))).expired == ("exact",)


def test_the_cascade_is_an_option_of_the_command_line(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from absdomain.cli.main import app

    weights = tmp_path / "net.npz"
    _digits_net(weights)
    texts = [option for text in CASCADE for option in ("--domain", text)]
    given = [
        "certify",
        "--weights",
        str(weights),
        "--data",
        "digits",
        "--eps",
        "0.06",
        "--subset",
        "20",
        "--steps",
        "0",
        "--curve",
        "0",
    ]
    out = CliRunner().invoke(app, [*given, "--cascade", "--json", "--out", str(tmp_path / "out"), *texts])
    assert out.exit_code == 0, out.output
    results = json.loads(out.stdout.splitlines()[-1])
    assert results["timed_out"] == 0
    assert results["in_time"]["all"] == results["verified_error"]
    assert results["reasons"] == {}, "Exact leaves nothing open"
    lines = (tmp_path / "out" / "verdicts.jsonl").read_text().splitlines()[1:]
    assert any(row["by"] == str(parse(CASCADE[-1])) for row in map(json.loads, lines))


def _digits_net(path: Path) -> None:
    """Random features, and a last layer fitted to the labels by least squares: right on most digits."""
    train = load("digits", "train")
    pixels, labels = train[: len(train)]
    first = torch.randn(14, 64, generator=torch.Generator().manual_seed(0)) / 4
    features = (pixels.flatten(1) @ first.t()).relu()
    last = torch.linalg.lstsq(features, nn.functional.one_hot(labels, 10).float()).solution.t()
    arch = json.dumps({"layers": "flatten fc64>14 relu fc14>10", "input": [1, 8, 8]})
    zeros = {"b0": np.zeros(14, np.float32), "b1": np.zeros(10, np.float32)}
    np.savez(path, arch=np.array(arch), W0=first.numpy(), W1=last.contiguous().numpy(), **zeros)

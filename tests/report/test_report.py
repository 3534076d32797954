"""One page about a run: it needs nothing else, escapes what it is told, and its numbers are the verdicts'."""

import re
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from absdomain.attack import Pgd
from absdomain.certification import Reason, Status, Verdict, certify
from absdomain.cli import main
from absdomain.data import load
from absdomain.domains import Box
from absdomain.report import page
from absdomain.report.findings import Share, certified_in, classes, hardest, hardness, shares
from absdomain.report.measure import curve, known
from absdomain.report.reporting import _unknown, report
from absdomain.report.study import Check, Subject, study

NAME = "<b>net</b> & co"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certification of 40 images by a linear classifier, nearest means of the classes."""
    x, y = load("digits", "train")[:]
    means = torch.stack([x[y == label].flatten(1).mean(0) for label in range(10)])
    layer = nn.Linear(64, 10)
    layer.weight.data, layer.bias.data = 2 * means, -means.square().sum(1)
    out = tmp_path_factory.mktemp("report") / "certified"
    network = nn.Sequential(nn.Flatten(), layer)
    check = Check(0.06, clip=True, domains=("box",), steps=3, restarts=1, subset=40)
    study(Subject(network, NAME, "digits", 0.06, True, out), check, out=out)
    return out


def test_the_page_needs_nothing_else_and_escapes(folder: Path) -> None:
    text = report(folder).decode()
    assert page.ours(text.encode())
    assert not re.search(r'(src|href)="(?!data:|#)', text), "something is loaded"
    assert "<script" not in text and "@import" not in text and "url(http" not in text
    assert "<b>" not in text and "&lt;b&gt;net&lt;/b&gt; &amp; co" in text
    assert page.INK not in text and "prefers-color-scheme: dark" in text
    assert text.count("<svg") == text.count('role="img"') >= 5
    ids = re.findall(r'\bid="([0-9a-z]+-?[0-9a-f]{8,})"', text)
    assert len(set(ids)) == len(ids), "pictures share names"
    (found,) = certified_in(folder)
    for share in shares(found.verdicts).values():
        assert f'<td class="n">{share.percent:.2f}</td>' in text
    assert "SHA-256" in text


def test_numbers_are_those_of_the_verdicts(folder: Path) -> None:
    (found,) = certified_in(folder)
    assert len(found.verdicts) == 40
    whole = shares(found.verdicts)
    assert whole["verified"].percent == found.results["verified_error"]
    assert whole["clean"].percent == found.results["clean_error"]
    by_class = classes(found.verdicts)
    assert sum(one["clean"].total for one in by_class.values()) == 40
    assert sum(one["verified"].count for one in by_class.values()) == whole["verified"].count
    proved = [v for v in found.verdicts if v.status is Status.VERIFIED]
    worst = hardest(proved, 3)
    assert [hardness(v) for v in worst] == sorted(hardness(v) for v in proved)[:3]
    at = next(row for row in found.curve if row["eps"] == 0.06)
    assert at["verified_error"] == found.results["verified_error"], "the curve contradicts the table"
    assert sum(radius >= 0.06 for radius in found.radii) == len(proved)


def test_unknown_images_are_told_by_layer() -> None:
    rows = [("relu1", "crown-ibp"), ("relu1", "crown-ibp"), ("relu2", None), (None, "crown-ibp"), (None, None)]
    verdicts = [
        Verdict(i, 0, Status.UNKNOWN, None, 1.0, reason=Reason.LOOSE, detail="box: low", layer=layer, helps=helps)
        for i, (layer, helps) in enumerate(rows)
    ]
    text = "".join(_unknown(verdicts))
    cells = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", text)]
    assert ["relu1", "crown-ibp", "2"] in cells
    assert ["relu2", "", "1"] in cells
    assert ["none: lines are exact", "crown-ibp", "1"] in cells
    assert "would be proved by" not in "".join(_unknown(verdicts[-1:]))


def test_wilson_s_interval() -> None:
    """10 of 40: (p + z^2 / 2n +- z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n), z = 1.959964."""
    low, high = Share(10, 40).interval
    assert (low, high) == (pytest.approx(14.187, abs=0.01), pytest.approx(40.194, abs=0.01))
    assert Share(0, 40).interval[0] == pytest.approx(0, abs=1e-9)


def test_the_curve_is_that_of_certifications_at_each_radius() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    x = torch.rand(40, 4)
    y = net(x).argmax(1).roll(1)
    y[5:] = net(x).argmax(1)[5:]
    options = {"clip": (0.0, 1.0), "domains": [Box()], "attack": Pgd(5, 1), "batch": 40}
    at = certify(net, x, y, eps=0.1, **options).verdicts  # type: ignore[arg-type]
    seen = dict(curve(net, x, y, (0.1, at), [0.0, 0.02, 0.05, 0.1, 0.2], **options))  # type: ignore[arg-type]
    assert set(seen) == {0.0, 0.02, 0.05, 0.1, 0.2}
    for eps in (0.02, 0.05, 0.2):
        direct = known(certify(net, x, y, eps=eps, **options).verdicts)  # type: ignore[arg-type]
        assert torch.equal(direct.proved, seen[eps].proved)
        assert not bool((direct.broken & seen[eps].proved).any())
    radii = sorted(seen)
    for one, two in pairwise(radii):
        assert bool((seen[one].proved >= seen[two].proved).all()) and bool((seen[one].broken <= seen[two].broken).all())


def test_the_command_writes_it_and_overwrites_no_file_of_others(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    for _ in range(2):
        assert CliRunner().invoke(main.app, ["report", str(folder), "--out", str(out)]).exit_code == 0
    assert page.ours(out.read_bytes())
    out.write_text("mine")
    refused = CliRunner().invoke(main.app, ["report", str(folder), "--out", str(out)])
    assert refused.exit_code == 1
    assert out.read_text() == "mine"
    empty = CliRunner().invoke(main.app, ["report", str(tmp_path)])
    assert empty.exit_code == 1
    assert "absdomain certify" in empty.output

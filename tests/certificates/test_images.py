"""What certify has decided of a data set is written so that the checker counts the same, and is never more."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import networkx
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import absdomain
from absdomain.certificates import recording
from absdomain.certificates.images import write
from absdomain.certificates.network import onnx_of
from absdomain.certificates.recording import Proofs
from absdomain.certification import Status, certify
from absdomain.data import Images
from absdomain.data.normalise import Normalise
from absdomain.errors import NoCertificate
from absdomain.ops import SiLU
from absdomain.region import Linf
from absdomain.report.image_certificates import kept
from absdomain.report.measure import lowered
from absdomain_check import Refused, Unreadable
from absdomain_check.data import read_images
from absdomain_check.images import check_images
from absdomain_check.network import read_network
from tests.checker.pictures import data_set, read_set, write_labels


class Residual(nn.Module):
    """relu(x + conv(x))."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, padding=1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x + self.conv(x))


def test_a_network_is_written_with_its_own_weights() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        Normalise((0.4, 0.1), (0.3, 0.7)), nn.ZeroPad2d((1, 0, 0, 2)),
        nn.Conv2d(2, 2, 3, stride=2, padding=1, groups=2), nn.BatchNorm2d(2), nn.ReLU(),
        Residual(), nn.AvgPool2d(2, padding=1), nn.Flatten(), nn.Linear(18, 3),
    ).double().eval()  # fmt: skip
    norm = net[3]
    assert isinstance(norm, nn.BatchNorm2d) and norm.running_mean is not None and norm.running_var is not None
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    x = torch.rand(4, 2, 6, 6, dtype=torch.float64)
    data, own = onnx_of(absdomain.to_graph(net, x[:1]), net)
    assert own
    found = torch.from_numpy(read_network(data).evaluate(x.flatten(1).numpy())[-1])
    assert torch.allclose(found, net(x), rtol=0, atol=1e-10)


def test_an_operation_without_a_counterpart_is_named() -> None:
    nodes = networkx.DiGraph()
    nodes.add_node("x", shape=(2,))
    nodes.add_node("y", op=SiLU())
    nodes.add_edge("x", "y")
    with pytest.raises(NoCertificate, match="SiLU"):
        onnx_of(absdomain.Graph(nodes), nn.Identity())


def pictures(folder: Path, net: nn.Module, side: int, count: int) -> Images:
    """Test images that the network classifies correctly, but for the first."""
    data_set(folder, 3, count, side)
    pixels = torch.from_numpy(read_images("mnist", folder).pixels.copy())
    y = net(pixels / 255).argmax(1)
    y[0] = (y[0] + 1) % 3
    write_labels(folder, bytes(y.tolist()))
    return Images(pixels, y, 3, "mnist", "test")


def network(side: int, width: int) -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Flatten(), nn.Linear(side * side, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(),
                         nn.Linear(width, 3)).eval()  # fmt: skip


def test_what_is_verified_has_a_certificate_with_the_weights_of_the_run(tmp_path: Path) -> None:
    net = network(3, 8)
    images, folder = pictures(tmp_path, net, 3, 12), tmp_path / "run" / "certified" / "certificates"
    found = certify(net, *images[:], eps=0.03)
    written = write(folder, net, images, found.verdicts, eps=0.03, weights="run.safetensors")
    statuses = [verdict.status for verdict in found.verdicts]
    assert statuses.count(Status.VERIFIED) > 1 and not written.missing
    save_file(net.state_dict(), tmp_path / "run.safetensors")
    shown = check_images(folder, tmp_path)
    assert (shown.count, shown.weights) == (12, "run.safetensors")
    assert shown.verified == written.verified == statuses.count(Status.VERIFIED)
    assert shown.falsified == written.falsified == statuses.count(Status.FALSIFIED) > 0
    save_file({name: t + 1e-7 for name, t in net.state_dict().items()}, tmp_path / "run.safetensors")
    with pytest.raises(Refused, match="run's weights"):
        check_images(folder, tmp_path)
    (tmp_path / "run.safetensors").unlink()
    with pytest.raises(Unreadable, match=r"run\.safetensors"):
        check_images(folder, tmp_path)


def test_a_graph_that_is_there_is_not_lowered_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = network(3, 8)
    images = pictures(tmp_path, net, 3, 6)
    found, graph = certify(net, *images[:], eps=0.03), lowered(net, images[:1][0])
    write(tmp_path / "a", net, images, found.verdicts, eps=0.03)
    monkeypatch.delattr("absdomain.certificates.images.to_graph")
    write(tmp_path / "b", net, images, found.verdicts, eps=0.03, graph=graph)
    for file in sorted((tmp_path / "a").iterdir()):
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes(), file.name


def test_what_a_search_has_proved_is_not_searched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept of the search gives a certificate; where it gives none, there is a search."""
    net = network(6, 12)
    images = pictures(tmp_path, net, 6, 8)
    radii = torch.tensor([0.05, 0.08, 0.1, 0.12, 0.14, 0.16, 0.18, 0.2])
    with kept(True) as proofs:
        verdicts = certify(net, *images[:], eps=radii, domains=["box & deeppoly", "branching"]).verdicts
    assert proofs is not None
    hard = [v.index for v in verdicts if v.status is Status.VERIFIED and v.by != "box & deeppoly"]
    assert hard, "take other radii"
    empty = Proofs({key: recording.Recorder() for key in proofs.held})
    written = write(tmp_path / "b", net, images, verdicts, eps=radii.tolist(), proofs=empty)
    assert not written.missing and check_images(tmp_path / "b", tmp_path).verified == written.verified
    monkeypatch.delattr("absdomain.certificates.ladder.decide")
    written = write(tmp_path / "c", net, images, verdicts, eps=radii.tolist(), proofs=proofs)
    assert not written.missing and check_images(tmp_path / "c", tmp_path).verified == written.verified
    with pytest.raises(NameError):
        write(tmp_path / "d", net, images, verdicts, eps=radii.tolist())


def test_nothing_is_kept_of_what_is_not_proved_or_has_too_many_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    region, proofs = Linf(torch.rand(1, 4), 0.1), Proofs()
    centre = region.centre[0].double().numpy()
    proofs(region)
    assert proofs.of(centre) is None
    record = proofs(region)
    record.asked, record.leaves = cast(Any, object()), {0: [cast(Any, object())] * 3}
    assert proofs.of(centre) is record
    monkeypatch.setattr(recording, "_LEAVES", 2)
    assert proofs.of(centre) is None


@pytest.mark.slow
def test_a_search_finds_what_no_single_leaf_proves(tmp_path: Path) -> None:
    """Radii at which splits alone prove an image; without time it has none, which is said."""
    net = network(6, 12)
    images = pictures(tmp_path, net, 6, 8)
    radii = torch.tensor([0.05, 0.08, 0.1, 0.12, 0.14, 0.16, 0.18, 0.2])
    found = certify(net, *images[:], eps=radii, domains=["box & deeppoly", "branching"])
    hard = [v for v in found.verdicts if v.status is Status.VERIFIED and v.by != "box & deeppoly"]
    assert hard, "take other radii"
    written = write(tmp_path / "c", net, images, found.verdicts, eps=radii.tolist())
    assert not written.missing
    assert check_images(tmp_path / "c", tmp_path).verified == written.verified
    late = write(tmp_path / "d", net, images, found.verdicts, eps=radii.tolist(), seconds=0.0)
    assert sum(late.missing.values()) >= 1 and late.verified < written.verified
    assert check_images(tmp_path / "d", tmp_path).verified == late.verified
    _, lines = read_set(tmp_path / "d")
    assert all("none" in lines[v.index] for v in hard)

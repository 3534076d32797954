"""A third party's activation and domain: installed as any package is, found by name, held to the laws."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from absdomain import UnsupportedOp, parse, registry, to_graph
from tests.installed import ABSDOMAIN, install, run
from tests.written import Written

PLUGIN = Path(__file__).parent / "plugin"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(PLUGIN, tmp_path_factory.mktemp("plugin"))


def test_without_the_plug_in_its_names_are_unknown() -> None:
    assert "af1" not in registry.names("domains")
    with pytest.raises(ValueError, match="no domain is called 'af1'"):
        parse("af1")
    with pytest.raises(UnsupportedOp, match=r"aten\.asinh\.default at .* is neither"):
        to_graph(Written(lambda _, x: torch.asinh(x)), torch.randn(2, 2))


@pytest.mark.slow
def test_the_command_line_lists_the_domain(site: Path) -> None:
    listed = run(site, ABSDOMAIN, "list", "domains")
    assert "af1" in listed
    assert "all later noise" in listed, "with the first line of its docstring"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network for the digits, as a file of arrays."""
    file = tmp_path_factory.mktemp("weights") / "mlp.npz"
    generator = np.random.default_rng(0)
    sizes = ((20, 64), (10, 20))
    arrays = {f"W{k}": generator.normal(size=size) / size[1] ** 0.5 for k, size in enumerate(sizes)}
    arrays |= {f"b{k}": np.zeros(size[0]) for k, size in enumerate(sizes)}
    arch = {"layers": "flatten fc64>20 relu fc20>10", "input": [1, 8, 8], "dataset": "digits"}
    np.savez(file, arch=np.array(json.dumps(arch)), **arrays)
    return file


@pytest.mark.slow
def test_the_command_line_bounds_with_the_domain(site: Path, weights: Path) -> None:
    printed = run(
        site, ABSDOMAIN, "bounds", "--weights", weights, "--eps", "0.02", "--domain", "af1", "--domain", "box"
    )
    assert "af1" in printed


def test_the_command_line_certifies_with_the_domain(site: Path, weights: Path, tmp_path: Path) -> None:
    command: list[str | Path] = [
        ABSDOMAIN, "certify", "--weights", weights, "--domain", "af1", "--domain", "AF1.guided(by=box)",
        "--eps", "0.001", "--steps", "3", "--restarts", "1", "--curve", "0", "--subset", "50", "--json",
        "--out", tmp_path / "out",
    ]  # fmt: skip
    results = json.loads(run(site, *command))
    assert set(results["domains"]) == {"af1", "AF1.guided(by=box)"}
    assert results["clean_error"] <= results["domains"]["af1"] <= results["domains"]["AF1.guided(by=box)"] < 100


USER = """
import torch
from torch import nn
import absdomain
from absdomain.domains import Box, DeepPoly

torch.manual_seed(0)


class Asinh(nn.Module):
    def forward(self, x):
        return torch.asinh(x)


network = nn.Sequential(nn.Linear(3, 8), Asinh(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2)).double()
x = torch.rand(4, 3, dtype=torch.float64)
graph, region = absdomain.to_graph(network, x), absdomain.Linf(x, 0.5)
af1 = absdomain.parse("af1")
assert str(af1) == "af1" and absdomain.parse(str(af1)) == af1
values = torch.stack([network(p) for p in region.sample(2000)])
for domain in (Box(), DeepPoly(), af1, Box() & af1, af1.guided(by=Box()), absdomain.Mix(af1, Box())):
    trace = domain.propagate(graph, region)
    assert (trace.lower <= values).all() and (values <= trace.upper).all(), domain
    print(f"{domain}: {(trace.upper - trace.lower).mean():.3f}")
"""


def test_one_network_has_the_activation_and_all_domains_know_it(site: Path) -> None:
    printed = run(site, sys.executable, "-c", USER)
    widths = {name: float(width) for name, width in (line.split(": ") for line in printed.splitlines())}
    assert widths["box & af1"] <= widths["af1"] < widths["box"]


LAWS = """
import torch
from absdomain import parse
from absdomain.laws import check_domain, check_op
from absdomain_example_plugin.asinh import Asinh

for shape in ((5,), (2, 3)):
    check_op(Asinh(), shape, reference=torch.asinh)
for text in ("af1", "box & af1"):
    print(text, check_domain(parse(text), examples=2))
"""


@pytest.mark.slow
def test_both_keep_the_laws(site: Path) -> None:
    assert "problems" in run(site, sys.executable, "-c", LAWS)


@pytest.mark.slow
def test_its_lemma_is_proved_beside_ours(site: Path) -> None:
    printed = run(site, ABSDOMAIN, "prove", "asinh", "--coverage")
    assert "asinh: 2 of 2 functions" in printed
    assert "1 lemmas hold" in printed


BROKEN = """
import sys
import torch
from absdomain import registry, to_graph

try:
    to_graph(torch.nn.ReLU(), torch.randn(2, 2))
except registry.BrokenPlugin as broken:
    print(broken)
"""


def test_a_plug_in_whose_rules_do_not_load_is_named(tmp_path: Path) -> None:
    info = tmp_path / "half_baked-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: half-baked\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[absdomain.lowerings]\nsoft = half_baked.rules\n")
    said = run(tmp_path, sys.executable, "-c", BROKEN)
    assert "half-baked" in said
    assert "half_baked.rules" in said


def test_the_example_is_short() -> None:
    lines = {path.stem: len(path.read_text().splitlines()) for path in PLUGIN.glob("*/*.py")}
    assert lines["af1"] <= 66
    assert lines["asinh"] <= 31

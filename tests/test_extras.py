"""Without the extras everything that does not need them works, and what does says which one to install."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from absdomain.errors import MissingExtra, needing

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
HIDDEN = ("matplotlib", "sklearn", "pooch", "onnx", "onnxruntime", "dask", "distributed", "pandas")

BARE = f"""
import sys
for name in {HIDDEN}:
    sys.modules[name] = None  # an import of it raises ModuleNotFoundError
import torch
from torch import nn
from typer.testing import CliRunner
import absdomain
from absdomain.cli.main import COMMANDS, app
from absdomain.graph import Graph, Node
from absdomain.ops import ReLU

net, x = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 2)), torch.rand(4, 2)
run = CliRunner().invoke
"""

FACE = """
for name in absdomain.__all__:
    getattr(absdomain, name)
for words in ([], *([command.__name__.rstrip("_")] for command in COMMANDS), ["verify"], ["check"]):
    shown = run(app, [*words, "--help"])
    assert shown.exit_code == 0 and "Usage" in shown.stdout, words

graph = Graph.of([Node("x", None, (), (2,)), Node("y", ReLU(), (0,), (2,))])
for call, extra in (
    (lambda: absdomain.certify(net, "digits", eps=0.01), "data"),
    (lambda: absdomain.certify(net, "mnist", eps=0.01), "data"),
    (lambda: graph.draw("graph.png"), "plot"),
    (lambda: graph.draw(), "plot"),
    (lambda: absdomain.onnx_to_graph("net.onnx"), "onnx"),
    (lambda: absdomain.certify(net, x, net(x).argmax(1), eps=0.01, cluster=2), "dask"),
    (lambda: absdomain.certify(net, x, net(x).argmax(1), eps=0.01).to_pandas(), "pandas"),
    (lambda: absdomain.explain(net, x, net(x).argmax(1), eps=0.01).to_pandas(), "pandas"),
):
    try:
        call()
    except absdomain.MissingExtra as error:
        assert f'pip install "absdomain[{extra}]"' in str(error), error
    else:
        raise AssertionError(f"nothing was raised for want of {extra}")
"""

WORK = """
assert absdomain.certify(net, x, net(x).argmax(1), eps=0.01).summary.samples == 4
assert absdomain.explain(net, x, net(x).argmax(1), eps=0.01).names
done = run(app, ["train", "--data", "toy", "--trainer", "ibp", "--network", "toy", "--epochs", "1", "--ramp", "1",
                 "--warmup", "0", "--validation", "0", "--eps", "0.01", "--out", "run"])
assert done.exit_code == 0, done.stderr
assert done.stderr.count('pip install "absdomain[plot]"') == 1, done.stderr
done = run(app, ["certify", "run", "--domain", "box", "--steps", "1", "--restarts", "1"])
assert done.exit_code == 0, done.stderr
for words in (["report", "run"], ["toy"], ["figure", "training", "run"],
              ["explain", "run", "--plot", "p.png"], ["bounds", "run", "--plot", "p.png"]):
    refused = run(app, words)
    assert refused.exit_code == 1, words
    assert 'pip install "absdomain[plot]"' in refused.stderr, (words, refused.stderr)
"""


def ran(code: str, folder: Path) -> set[str]:
    """The names that are in the folder when the code has run there without the extras."""
    told = {name: value for name, value in os.environ.items() if name != "ABSDOMAIN_DATA"}
    path = os.pathsep.join([str(ROOT), str(ROOT / "checker"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", f"{BARE}{code}print('bare')"], cwd=folder,
        env={**told, "PYTHONPATH": path}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout == "bare\n", done.stderr
    return {path.name for path in folder.iterdir()}


def test_the_face_and_the_help_do_without_and_the_rest_names_the_extra(tmp_path: Path) -> None:
    assert ran(FACE, tmp_path) == set()


@pytest.mark.slow
def test_training_and_certifying_leave_out_pictures_alone(tmp_path: Path) -> None:
    assert ran(WORK, tmp_path) == {"run"}


def test_an_import_that_fails_names_the_extra_and_keeps_its_reason() -> None:
    with (
        pytest.raises(
            MissingExtra, match=r'a test: No module named .no_such.*: pip install "absdomain\[plot\]"'
        ) as caught,
        needing("plot", "a test"),
    ):
        import no_such  # type: ignore[import-not-found] # noqa: F401
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)
    with pytest.raises(ValueError, match="mine"), needing("plot", "a test"):
        raise ValueError("mine")


def test_all_is_what_the_others_bring_and_nothing_is_asked_twice() -> None:
    assert set(EXTRAS["all"]) == {one for name in ("data", "plot", "onnx", "dask", "pandas") for one in EXTRAS[name]}
    names = [requirement.partition(">=")[0] for requirement in PROJECT["dependencies"]]
    assert names == [
        "torch", "numpy", "networkx", "scipy", "cvxpy", "hypothesis", "sympy", "typer", "rich", "safetensors",
    ]  # fmt: skip
    assert not set(PROJECT["dependencies"]) & set(EXTRAS["all"])

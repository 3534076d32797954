"""Commands on a model and images of one's own: an ONNX file, and weights of one's own class, with the same verdicts."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from absdomain.certification import CASCADE
from absdomain.cli.matrix import DOMAINS
from tests.cli.test_cli import call

LAYERS = "nn.Sequential(nn.Flatten(), nn.Linear(9, 6), nn.ReLU(), nn.Linear(6, 2))"


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A folder with the images, the class and its weights; what is asked of them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    Path("mynets_command.py").write_text(f"from torch import nn\ndef small():\n    return {LAYERS}\n")
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(9, 6), nn.ReLU(), nn.Linear(6, 2))
    images = torch.rand(20, 1, 3, 3)
    np.savez("mine.npz", images=images.numpy(), labels=net(images).argmax(1).numpy())
    torch.save(net.state_dict(), "net.pt")
    torch.onnx.export(net, (images[:1],), "net.onnx", dynamo=False)
    return ["--data", "mine.npz", "--eps", "8/255", "--curve", "0", "--json", "--domain", "box & deeppoly"]


def test_files_are_certified(asked: list[str]) -> None:
    pytest.importorskip("onnx", reason="pip install absdomain[onnx]")
    of_onnx = json.loads(call("certify", "net.onnx", *asked).stdout)
    of_pt = json.loads(call("certify", "net.pt", "--network", "mynets_command:small", *asked, "--out", "pt").stdout)
    for name in ("clean_error", "pgd_error", "verified_error", "domains", "samples"):
        assert of_onnx[name] == of_pt[name]
    assert of_onnx["samples"] == 20
    assert "certificates are of public images" in call("certify", "net.onnx", *asked, "--certificates", code=1).stderr
    assert "says itself which network" in call("certify", "net.onnx", *asked, "--network", "mlp", code=1).stderr
    assert "give --network" in call("certify", "net.pt", *asked, code=1).stderr


def test_a_class_is_trained_on_a_file(asked: list[str]) -> None:
    trained = ["--data", "mine.npz", "--network", "mynets_command:small", "--trainer", "ibp", "--eps", "0.01"]
    told = call("train", *trained, "--epochs", "2", "--out", "run").stderr
    assert "mynets_command:small on mine.npz" in told
    results = json.loads(call("certify", "run", "--curve", "0", "--json", "--domain", "box").stdout)
    assert (results["data"], results["samples"]) == ("mine.npz", 20)


def test_a_solver_is_announced(asked: list[str]) -> None:
    """It may take minutes an image, and is in no command's defaults."""
    assert "lp" not in (*CASCADE, *DOMAINS)
    told = call("certify", "net.onnx", *asked[:-2], "--subset", "2", "--domain", "lp").stderr
    assert "lp: a solver is asked for every margin of up to 2 images" in told
    assert "a solver" not in call("certify", "net.onnx", *asked, "--subset", "2").stderr


def test_the_matrix_checks_all_runs_before_it_certifies_one(asked: list[str]) -> None:
    trained = ["--data", "mine.npz", "--network", "mynets_command:small", "--trainer", "ibp", "--eps", "0.01"]
    call("train", *trained, "--epochs", "1", "--ramp", "1 steps", "--warmup", "0", "--out", "run")
    told = call("matrix", "run", "none", "--domain", "box", code=1).stderr
    assert "none: holds no config.json" in told
    assert not Path("run/certified").exists()

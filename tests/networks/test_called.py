"""Networks by text: registered ones with options, and classes and functions of the user's."""

from pathlib import Path

import pytest
import torch
from torch import nn

from absdomain.data.normalise import Normalise
from absdomain.networks.called import NetworkError, called
from absdomain.registry import UnknownName

MINE = """
from torch import nn
class Small(nn.Module):
    def __init__(self, width=7):
        super().__init__()
        self.only = nn.Linear(4, 2)
    def forward(self, x):
        return self.only(x.flatten(1))
def sized(shape, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(shape[0] * shape[1], classes))
def needy(depth):
    return Small()
def none():
    return 3
NUMBER = 3
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "mynets_called.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)
    return "mynets_called"


def test_a_registered_one_with_options() -> None:
    net = called("mlp(hidden=(5, 6))")((1, 2, 2), 3)
    assert str(called("mlp(widths=(5, 6))")((1, 2, 2), 3)) == str(net)
    with pytest.raises(ValueError, match="two names of the same"):
        called("mlp(widths=(5, 6), hidden=(5,))")((1, 2, 2), 3)
    assert [layer.out_features for layer in net.modules() if isinstance(layer, nn.Linear)] == [5, 6, 3]
    assert isinstance(called("mlp-2x100")((1, 2, 2), 3), nn.Module)


def test_one_of_the_user(mine: str) -> None:
    x = torch.rand(5, 2, 2)
    assert called(f"{mine}:Small")((2, 2), 2)(x).shape == (5, 2)
    assert called(f"{mine}:sized")((2, 2), 9)(x).shape == (5, 9)
    normalise = Normalise((0.5,), (0.25,))
    net = called(f"{mine}:Small")((2, 2), 2, normalise=normalise)
    assert next(iter(net.children())) is normalise  # it has no parameter for it: it is put in front


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("mynets_called:NoSuch", "no attribute 'NoSuch'"),
        ("no_such_module_here:Net", "No module named"),
        ("mynets_called:NUMBER", "is a int"),
        ("mlp(sizes=(50, 50))", "mlp has no option .sizes.; its options: hidden, widths"),
        ("mlp(50, 50)", "options by name"),
        ("mlp(hidden=(50", "options by name"),
        ("mlp(hidden=print())", "options by name"),
    ],
)
def test_what_names_no_network(mine: str, text: str, told: str) -> None:
    with pytest.raises(NetworkError, match=told):
        called(text)


def test_what_makes_none(mine: str) -> None:
    with pytest.raises(NetworkError, match="all others have defaults"):
        called(f"{mine}:needy")((2, 2), 2)
    with pytest.raises(NetworkError, match=r"must make an nn\.Module"):
        called(f"{mine}:none")((2, 2), 2)
    with pytest.raises(UnknownName):
        called("no-such-net")

"""Models and images as people have them: normalised inputs, several outputs, several radii, bytes for floats."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import absdomain
from absdomain import certify, radius
from absdomain.data import load
from absdomain.data.normalise import Normalise

X = torch.rand(6, 2, 3, 3, generator=torch.Generator().manual_seed(1))


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(12, 4))


NET = network()
Y = NET(X).argmax(1)


@dataclass
class Output:
    logits: Tensor
    cache: object = None


class Wrapped(nn.Module):
    """The network, with what it returns put into something else."""

    def __init__(self, wrap: Any) -> None:
        super().__init__()
        self.net, self.wrap = network(), wrap

    def forward(self, x: Tensor) -> Any:
        return self.wrap(self.net(x))


def told(verdicts: Any) -> list[tuple[Any, ...]]:
    return [(v.index, v.status, v.nominal, v.lower) for v in verdicts]


WRAPS: dict[str, tuple[Any, Any]] = {
    "dict": (lambda z: {"out": z}, None),
    "logits of a dict": (lambda z: OrderedDict(hidden=2 * z, logits=z), None),
    "an object": (Output, None),
    "the only tensor of a tuple": (lambda z: (z, None), None),
    "the second of a tuple": (lambda z: (2 * z, z), 1),
    "a name": (lambda z: {"main": z, "aux": -z}, "main"),
    "a list": (lambda z: [z], None),
}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", WRAPS)
def test_outputs_in_whatever_they_come(name: str) -> None:
    wrap, output = WRAPS[name]
    wanted = told(certify(NET, X, Y, eps=0.02, domains="box"))
    assert told(certify(Wrapped(wrap), X, Y, eps=0.02, domains="box", output=output)) == wanted


@pytest.mark.parametrize(
    ("wrap", "output", "words"),
    [
        (lambda z: (z, 2 * z), None, r"0 \(1, 4\), 1 \(1, 4\); say which"),
        (lambda z: {"main": z, "aux": z}, "logit", "no 'logit'"),
        (lambda z: (z,), 3, "no 3"),
        (lambda z: None, None, "NoneType without a tensor"),
    ],
)
def test_an_output_that_is_not_clear_is_asked_for(wrap: Any, output: Any, words: str) -> None:
    for ask in (certify, radius):
        with pytest.raises(ValueError, match=words):
            ask(Wrapped(wrap), X, Y, output=output, **({"eps": 0.1} if ask is certify else {}))


def test_preprocessing_is_the_affine_layer_in_front() -> None:
    mean, std = [0.4, 0.5], [0.2, 0.3]
    own = nn.Sequential(Normalise(mean, std), network())
    wanted = told(certify(own, X, Y, eps=0.02, domains="box"))
    for given in (
        {"mean": mean, "std": std},
        {"mean": torch.tensor(mean), "std": torch.tensor(std), "axis": -3},
    ):
        assert told(certify(network(), X, Y, eps=0.02, domains="box", preprocessing=given)) == wanted
    flat = nn.Sequential(nn.Linear(3, 2))
    x, y = X[:, 0, 0], torch.zeros(6, dtype=torch.long)
    scaled = nn.Sequential(Normalise([0.5], [2.0], axis=-1), flat)
    found = certify(flat, x, y, eps=0.1, domains="box", preprocessing={"mean": 0.5, "std": 2})
    assert told(found) == told(certify(scaled, x, y, eps=0.1, domains="box"))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"mean": 0.5, "sdt": 0.2}, "not sdt"),
        ({"std": 0.0}, "positive"),
        ({"mean": "grey"}, "mean is 'grey'"),
        ({"mean": [0.5, 0.5], "axis": 1}, "from the end"),
        ({"mean": [0.5, 0.5, 0.5]}, "does not take images"),
    ],
)
def test_a_preprocessing_that_is_none_is_told(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        certify(NET, X, Y, eps=0.02, preprocessing=given)


def test_several_radii_lower_the_model_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from absdomain.certification import certification

    calls, lower = [], certification.to_graph
    monkeypatch.setattr(certification, "to_graph", lambda *args: calls.append(args) or lower(*args))
    found = certify(NET, X, Y, eps=[0.01, 0.05], domains="box")
    assert list(found) == [0.01, 0.05]
    assert len(calls) == 1
    monkeypatch.undo()
    for eps, one in found.items():
        assert told(one) == told(certify(NET, X, Y, eps=eps, domains="box"))
    with pytest.raises(ValueError, match="verdicts of one eps"):
        certify(NET, X, Y, eps=[0.01, 0.05], file="verdicts.jsonl")
    with pytest.raises(TypeError, match="a tensor has one for each image"):
        certify(NET, X, Y, eps=[0.01, "0.05"])  # type: ignore[list-item]


def test_units_that_do_not_fit_are_asked_about() -> None:
    with pytest.raises(ValueError, match="eps=8 / 255"):
        certify(NET, X, Y, eps=8)
    with pytest.raises(ValueError, match="preprocessing="):
        certify(NET, (X - 0.5) / 0.2, Y, eps=0.1)
    with pytest.raises(ValueError, match="norm 3 is not"):
        certify(NET, X, Y, eps=0.1, norm=3)
    with pytest.raises(ValueError, match="eps=8 / 255"):
        next(radius(NET, X, Y, largest=8))
    assert len(certify(NET, 255 * X, Y, eps=8, clip=(0, 255))) == 6


def test_data_sets_are_known_by_name() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    test = load("digits", "test")
    found = [certify(net, *given, eps=0.01, domains="box", attack=None) for given in (("digits",), (test,), test[:])]
    assert len(found[0]) == 360
    assert told(found[0]) == told(found[1]) == told(found[2])
    with pytest.raises(ValueError, match="labels of its own"):
        certify(net, "digits", Y, eps=0.01)


@pytest.mark.parametrize("norm", [1.0, 2.0])
def test_radii_of_other_norms(norm: float) -> None:
    """What is proved in one norm and falsified in it surround the truth, and witnesses are as near as it says."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2))
    x = torch.rand(1, 3)
    for one in radius(net, x, net(x).argmax(1), norm=norm, largest=1.0, tolerance=0.1, timeout=5):
        assert 0 < one.proved <= one.falsified
        if one.witness is not None:
            assert float(torch.linalg.vector_norm((one.witness - x[one.index]).double(), norm)) <= one.falsified
        at = certify(net, x, net(x).argmax(1), eps=one.proved / 2, norm=norm, domains="box")
        assert at.verdicts[0].status != "falsified"


def test_radius_takes_what_certify_takes() -> None:
    given = {"mean": 0.5, "std": 0.25}
    own = nn.Sequential(Normalise([0.5, 0.5], [0.25, 0.25]), network())
    y = own(X).argmax(1)
    pairs = torch.utils.data.TensorDataset(X[:1], y[:1])
    options = {"largest": 0.1, "tolerance": 0.05}
    wanted = [(r.proved, r.falsified) for r in radius(own, X[:1], y[:1], **options)]  # type: ignore[arg-type]
    found = radius(Wrapped(lambda z: {"logits": z}), pairs, preprocessing=given, **options)  # type: ignore[arg-type]
    assert [(r.proved, r.falsified) for r in found] == wanted
    with pytest.raises(ValueError, match="give the module"):
        radius(absdomain.to_graph(NET, X), X, Y, output="logits")


@pytest.mark.parametrize("each", [lambda x: x, lambda x: x[::-1], lambda x: x.astype(">f8")], ids=["", "turned", "big"])
def test_radii_may_be_an_array(each: Any) -> None:
    eps = each(np.linspace(0.01, 0.06, 6))
    radii = torch.tensor(eps.tolist(), dtype=torch.float64)
    assert told(certify(NET, X, Y, eps=eps)) == told(certify(NET, X, Y, eps=radii))
    assert torch.equal(absdomain.explain(NET, X, Y, eps=eps).bound, absdomain.explain(NET, X, Y, eps=radii).bound)
    wide = eps.reshape(6, 1, 1, 1)
    for kind in (absdomain.Linf, absdomain.L2, absdomain.L1):
        around, same = kind(X, wide), kind(X, radii.reshape(6, 1, 1, 1).float())
        assert around.box().lower.dtype is torch.float32 and torch.equal(around.box().lower, same.box().lower)
    with pytest.raises(TypeError, match="radius"):
        absdomain.Linf(X, np.array(["0.1"]))  # type: ignore[arg-type]


def test_images_and_labels_may_be_a_pair_as_fit_takes_it() -> None:
    expected = told(certify(NET, X, Y, eps=0.02))
    assert told(certify(NET, (X, Y), eps=0.02)) == told(certify(NET, (X.numpy(), Y.numpy()), eps=0.02)) == expected
    assert len(absdomain.radius(NET, (X, Y), largest=0.1)) == 6
    assert absdomain.explain(NET, (X, Y), eps=0.02).bound.shape == (6,)
    with pytest.raises(ValueError, match="the pair has labels of its own"):
        certify(NET, (X, Y), Y, eps=0.02)
    with pytest.raises(TypeError, match=r"a pair \(images, labels\) is needed, got a tuple of 3"):
        certify(NET, (X, X, X), Y, eps=0.02)

"""The public functions, given what they do not take: what came, what is wanted and how to get it."""

import inspect
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

import absdomain
from absdomain import domains

NET = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))
X, Y = torch.rand(4, 2), torch.tensor([0, 1, 0, 1])
GRAPH = absdomain.to_graph(NET, X)
BALL, SPEC = absdomain.Linf(X, 0.1), absdomain.margins(Y, 2)
WRONG: tuple[object, ...] = (
    3, 0.5, "text of nothing", None, [], {}, object(), X, X.numpy(), NET, GRAPH, BALL, SPEC, domains.Box(), domains.Box,
    torch.float32, lambda x: x, Y, np.float64(0.3), b"bytes",
)  # fmt: skip
# function -> right arguments, of which one at a time is exchanged
CALLS: dict[str, tuple[Callable[..., object], tuple[object, ...]]] = {
    "propagate": (lambda *a: domains.Box().propagate(*a).lower, (GRAPH, BALL, SPEC)),
    "certify": (lambda *a: list(absdomain.certify(*a[:3], eps=a[3], domains=a[4])), (NET, X, Y, 0.1, ["box"])),
    "certify_radii": (lambda *a: absdomain.certify(NET, X, Y, eps=[a[0]], norm=a[1], preprocessing=a[2]), (0.1, 2, {})),
    "explain": (lambda *a: absdomain.explain(*a[:3], eps=a[3], domain=a[4]), (GRAPH, X, Y, 0.1, "box")),
    "fit": (lambda *a: absdomain.fit(a[0], (X, a[1]), a[2], eps=a[3], epochs=1), (NET, Y, "natural", 0.1)),
    "radius": (lambda *a: absdomain.radius(NET, *a[:2], largest=a[2]), (X, Y, 0.1)),
    "Clipped": (absdomain.Clipped, (absdomain.L2(X, 0.1), torch.zeros(()), torch.ones(()))),
    "decide": (absdomain.decide, (GRAPH, BALL, SPEC)),
    "Linf": (absdomain.Linf, (X, 0.1)),
    "L2": (absdomain.L2, (X, 0.1)),
    "Interval": (absdomain.Interval, (X, X + 1)),
    "margins": (absdomain.margins, (Y, 2)),
    "halfspaces": (absdomain.halfspaces, (torch.ones(1, 2), torch.ones(1))),
    "to_graph": (absdomain.to_graph, (NET, X)),
    "freeze": (absdomain.freeze, (GRAPH,)),
    "parse": (absdomain.parse, ("box",)),
    "verify": (absdomain.verify, (GRAPH, "no such file")),
    "onnx_to_graph": (absdomain.onnx_to_graph, ("no such file",)),
    "read_property": (absdomain.read_property, ("no such file",)),
}
CASES = [(name, place) for name, (_, args) in CALLS.items() for place in range(len(args))]


@pytest.mark.sampled(5)
@pytest.mark.parametrize(("name", "place"), CASES, ids=lambda value: str(value))
def test_a_wrong_argument_is_told_as_such(name: str, place: int) -> None:
    """Whatever is refused is refused in the library's words, never by an attribute that the value lacks."""
    call, right = CALLS[name]
    for wrong in WRONG:
        args = (*right[:place], wrong, *right[place + 1 :])
        try:
            call(*args)
        except (AttributeError, KeyError, IndexError, AssertionError) as error:
            pytest.fail(f"{name}: {wrong!r} in place {place} ends in a bare {type(error).__name__}: {error}")
        except (TypeError, ValueError, RuntimeError, OSError, NotImplementedError) as error:
            if not str(error):
                pytest.fail(f"{name}: {wrong!r} in place {place} ends in an error without a word")


def test_what_users_look_for_is_listed() -> None:
    listed = dir(absdomain)
    assert {"certify", "fit", "verify", "radius", "to_graph", "domains", "networks", "trainers", "__version__"} <= set(
        listed
    )
    assert all(getattr(absdomain, name) is not None for name in listed)
    assert isinstance(absdomain.__version__, str)
    assert inspect.ismodule(absdomain.domains)

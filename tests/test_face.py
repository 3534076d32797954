"""The public functions, given what they do not take: what came, what is wanted and how to get it."""

import inspect
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn

import absdomain
import absdomain_check
from absdomain import domains

# where an error may be raised; elsewhere nobody could say what was wrong
ROOMS = (absdomain, absdomain.domains, absdomain.networks, absdomain.trainers, absdomain_check)
OURS = [Path(str(one.__file__)).parent for one in ROOMS] + [Path(str(one.__file__)).resolve().parent for one in ROOMS]

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
    "estimate": (lambda *a: absdomain.estimate(*a, limit=1.0), (GRAPH, BALL, "box", SPEC)),
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
FOUND = absdomain.certify(GRAPH, X, Y, eps=0.1, domains="box")
INPUTS, OUTPUTS = absdomain.variables(GRAPH)
FORMULA = INPUTS.between(0, 1) & (OUTPUTS[0] > OUTPUTS[1])
PROPERTY = absdomain.unsafe(FORMULA, GRAPH)
SHORT = absdomain.branching.Limits(seconds=0.1)
# function -> (how it is called, the options of which each is exchanged)
OPTIONS: dict[str, tuple[Callable[..., object], str]] = {
    "certify": (
        lambda **o: list(absdomain.certify(GRAPH, X, Y, **{"eps": 0.1, "domains": "box", "attack": None, **o})),
        "spec eps norm clip region output every batch seed executed margin file world",
    ),
    "radius": (
        lambda **o: list(
            absdomain.radius(GRAPH, X[:1], Y[:1], **{"largest": 0.1, "tolerance": 0.06, "domain": "box", **o})
        ),
        "spec largest tolerance norm clip domain output",
    ),
    "explain": (
        lambda **o: absdomain.explain(GRAPH, X, Y, **{"eps": 0.1, "domain": "box", **o}),
        "spec eps norm clip region output domain batch",
    ),
    "fit": (
        lambda **o: absdomain.fit(NET, (X, Y), **{"method": "natural", "epochs": 1, "validation": 0, "eps": 0.1, **o}),
        "method eps domain folder output epochs batch lr ramp seed validation",
    ),
    "verify": (
        lambda **o: absdomain.verify(GRAPH, PROPERTY, **{"domain": "box", "timeout": 0.1, **o}),
        "domain batch executed certificate",
    ),
    "decide": (
        lambda **o: absdomain.decide(GRAPH, BALL, SPEC, **{"domain": "box", "limits": SHORT, **o}),
        "domain limits batch executed",
    ),
}
CALLS |= {f"{name}, {option}": (
    lambda value, call=call, option=option: call(**{option: value}), (None,)
) for name, (call, options) in OPTIONS.items() for option in options.split()}  # fmt: skip
CALLS |= {
    "save": (FOUND.save, (None,)),
    "load": (absdomain.load, (None,)),
    "adversarial": (FOUND.adversarial, (0,)),
    "check": (absdomain_check.check, (b"{}", b"", b"")),
    "variables": (absdomain.variables, (GRAPH,)),
    "unsafe": (absdomain.unsafe, (FORMULA, GRAPH)),
    "queries": (absdomain.queries, (PROPERTY, GRAPH)),
    "specify": (absdomain.specify, (FORMULA, GRAPH)),
    "between": (INPUTS.between, (0, 1)),
    "targeted": (absdomain.targeted, (Y, 1 - Y, 2)),
    "L1": (absdomain.L1, (X, 0.1)),
    "Spec": (absdomain.Spec, (SPEC.C, SPEC.d)),
    "CartesianProduct": (absdomain.CartesianProduct, ((BALL,),)),
    "Graph": (absdomain.Graph, (GRAPH.nx,)),
    "draw": (GRAPH.draw, ("network.svg",)),
    "graph": (GRAPH, (X,)),
    "executed": (absdomain.executed, (GRAPH, BALL.box(), torch.float32)),
    "guided": (lambda by: domains.DeepPoly().guided(by=by), (domains.Box(),)),
    "Mix": (absdomain.Mix, (domains.Box(), domains.DeepPoly())),
}
CASES = [(name, place) for name, (_, args) in CALLS.items() for place in range(len(args))]


@pytest.mark.sampled(10)
@pytest.mark.parametrize(("name", "place"), CASES, ids=lambda value: str(value))
def test_a_wrong_argument_is_told_as_such(
    name: str, place: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is refused is refused in the library's words, never by an attribute that the value lacks."""
    monkeypatch.chdir(tmp_path)  # where files go whose name is a text of nothing
    monkeypatch.setenv("ABSDOMAIN_QUIET", "1")
    call, right = CALLS[name]
    for wrong in WRONG:
        args = (*right[:place], wrong, *right[place + 1 :])
        try:
            call(*args)
        except (AttributeError, KeyError, IndexError, AssertionError) as error:
            pytest.fail(f"{name}: {wrong!r} in place {place} ends in a bare {type(error).__name__}: {error}")
        except OSError as error:  # the system's own, of a file
            if not error.filename and not str(error):
                pytest.fail(f"{name}: {wrong!r} in place {place} ends in an error without a word")
        except (TypeError, ValueError, RuntimeError, NotImplementedError, absdomain_check.Refused) as error:
            where = traceback.extract_tb(error.__traceback__)[-1].filename
            if not str(error) or not any(room in Path(where).parents for room in OURS):
                pytest.fail(f"{name}: {wrong!r} in place {place} is not refused here, but in {where}: {error}")


def test_what_users_look_for_is_listed() -> None:
    listed = dir(absdomain)
    assert {"certify", "fit", "verify", "radius", "to_graph", "domains", "networks", "trainers", "__version__"} <= set(
        listed
    )
    assert all(getattr(absdomain, name) is not None for name in listed)
    assert isinstance(absdomain.__version__, str)
    assert inspect.ismodule(absdomain.domains)


@pytest.mark.parametrize(
    "room", [absdomain.domains, absdomain.networks, absdomain.trainers], ids=lambda room: room.__name__
)
def test_a_room_lists_its_public_names_alone(room: ModuleType) -> None:
    assert dir(room) == sorted(room.__all__)
    assert all(hasattr(room, name) for name in dir(room))


def test_what_a_certification_saves_is_loaded_here(tmp_path: Path) -> None:
    FOUND.save(tmp_path / "verdicts.jsonl")
    assert [v.to_json() for v in absdomain.load(tmp_path / "verdicts.jsonl")] == [v.to_json() for v in FOUND.verdicts]

"""Old public names: each is the new object, warns once, and costs nothing before it is used."""

import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import NamedTuple

import pytest
import sympy
import torch

import absdomain
from absdomain.kinds import Elementwise
from absdomain.ops import Dense, ReLU
from absdomain.ops.formula import from_sympy
from absdomain.relations import search, slopes
from absdomain.renamed import MODULES
from absdomain.values import digest

# what README, and the packages that it names, had before the rooms were moved
FORMER = {
    "absdomain": "L1 L2 Bounds Domain Graph Guarantee Guided Interval Linf MatchedSpace Meet Mix Node ReferenceSpace "
    "Region Rows Spec Trace UnsupportedOp bounds certify domains halfspaces kinds margins networks parse "
    "slopes targeted to_graph trainers",
    "absdomain.certification": "CASCADE Reason Refused SoundnessError Status Summary Verdict allowance certify "
    "summarise",
    "absdomain.data": "DataError Images canonical load names statistics",
    "absdomain.domains": "LP Box DeepPoly Dual Exact SymbolicGap Zonotope",
    "absdomain.kinds": "Affine Bracketed Elementwise Line Nonlinear Op Piece PiecewiseLinear Shape Slopes Smooth",
    "absdomain.laws": "LAWS Comparison DomainLaw Example LawBroken Slack Tally check_domain check_op check_region "
    "check_tightness compare slack_of",
    "absdomain.networks": "Chain Conv Normalise Same Size advibp cnn7 crown_ibp gowal mlp singleprop size wong",
    "absdomain.ops": "ELU GELU Abs Add AvgPool BatchNorm Clamp Concat Conv Cos Dense Exp GELUTanh Gather HardSwish "
    "HardTanh LeakyReLU Log LogSoftmax Max Mean Pad Permute Pow Product ReLU Reciprocal Reshape Scale "
    "SiLU Sigmoid Sin Softplus Sqrt Square Sum Tanh windows",
    "absdomain.region": "L1 L2 Draws Interval Linf Region",
    "absdomain.trainers": "Certified CheckpointError Constant CrownIBP Diverged Linear Method Metrics Moment Natural "
    "Objective Recipe RecipeError RunError Schedule Setup Smooth Step StepDecay StepMetrics Values clean_error "
    "hinge load_run models_in read read_metrics robust_cross_entropy softplus train verified_error",
}


class Form(NamedTuple):
    """The set of a domain that is written as README had it."""

    region: absdomain.Region
    A: torch.Tensor
    b: torch.Tensor
    r: torch.Tensor


def affine_forms() -> type[absdomain.Domain[Form]]:
    """README's domain as it was: `relational`, `Nonlinear.inner` and `bounds` without ends."""

    @dataclass(frozen=True)
    class AF1(absdomain.Domain[Form]):
        relational = True

        def lift(self, region):  # type: ignore[no-untyped-def]
            x = region.centre
            units = torch.eye(x[0].numel()).to(x).view(-1, 1, *x.shape[1:])
            return Form(region, units.expand(-1, *x.shape), torch.zeros_like(x), torch.zeros_like(x))

        def affine(self, op, *args):  # type: ignore[no-untyped-def]
            A = torch.vmap(partial(op.linear, op.weight))(*(e.A for e in args))
            return Form(args[0].region, A, op(*(e.b for e in args)), op.modulus(*(e.r for e in args)))

        def relax(self, op, args, within):  # type: ignore[no-untyped-def]
            boxes = within or self.boxes(op, args)
            slopes = op.chord(boxes)
            band = op.band(slopes, boxes)
            A = torch.vmap(partial(op.inner, slopes))(*(e.A for e in args))
            r = op.inner(tuple(s.abs() for s in slopes), *(e.r for e in args)) + band.radius
            return Form(args[0].region, A, op.inner(slopes, *(e.b for e in args)) + band.centre, r)

        def bounds(self, e, where=None):  # type: ignore[no-untyped-def]
            A = e.A.reshape(*e.A.shape[:2], -1).permute(2, 1, 0)
            rows = absdomain.Rows.of(A.unflatten(-1, e.region.centre.shape[1:]))
            low, high = e.region.minimum(rows).t(), -e.region.minimum(rows.negated()).t()
            return absdomain.Bounds(low.reshape(e.b.shape) + e.b - e.r, high.reshape(e.b.shape) + e.b + e.r)

    return AF1


@pytest.mark.parametrize("module", FORMER)
@pytest.mark.filterwarnings("ignore:.*the old name goes with the next version:DeprecationWarning")
def test_what_a_package_had_it_still_has(module: str) -> None:
    found = import_module(module)
    assert [name for name in FORMER[module].split() if not hasattr(found, name)] == []


@pytest.mark.parametrize(("old", "new"), [
    ("absdomain.trainers.Linear", "absdomain.trainers.LinearRamp"),
    ("absdomain.trainers.Smooth", "absdomain.trainers.SmoothRamp"),
    ("absdomain.certification.allowance", "absdomain.rounding.allowance"),
])  # fmt: skip
def test_an_old_name_is_the_new_one(old: str, new: str) -> None:
    (before, name), (home, own) = old.rsplit(".", 1), new.rsplit(".", 1)
    with pytest.warns(DeprecationWarning, match=f"{old} is now {new}") as warned:
        found = getattr(import_module(before), name)
    assert found is getattr(import_module(home), own)
    assert warned[0].filename == __file__


def test_a_domain_as_readme_had_it_still_bounds() -> None:
    with pytest.warns(DeprecationWarning, match="the old name goes") as warned:
        domain = affine_forms()()
    assert [str(each.message).split(" is now ")[0] for each in warned] == ["AF1.relational", "AF1.bounds(e, where)"]
    assert domain.traits == absdomain.Traits(relational=True)
    graph = absdomain.Graph.of([absdomain.Node("x", None, (), (2,))])
    graph = graph.then(Dense(torch.tensor([[1.0, 1.0], [1.0, -1.0]]))).then(ReLU())
    with pytest.warns(DeprecationWarning, match=r"is now Nonlinear\.linearised\(slopes\)"):
        trace = domain.propagate(graph, absdomain.Linf(torch.tensor([[1.0, 0.0]]), 0.75))
    torch.testing.assert_close(trace.upper, torch.tensor([[2.5, 2.5]]))
    assert bool((trace.lower <= 0).all())


@pytest.mark.parametrize("old", MODULES)
def test_an_old_module_is_the_new_one(old: str) -> None:
    sys.modules.pop(old, None)
    with pytest.warns(DeprecationWarning, match=f"{old} is now {MODULES[old]}") as warned:
        found = import_module(old)
    assert len(warned) == 1
    assert found is import_module(MODULES[old])
    assert import_module(old) is found  # and says no more: a second warning would be an error
    parent, _, name = old.rpartition(".")
    assert getattr(import_module(parent), name) is found


def test_no_entry_hides_a_module_that_exists() -> None:
    code = "import sys\nfrom importlib.util import find_spec\nimport absdomain, absdomain.renamed as renamed\n"
    code += "sys.meta_path.pop()\nprint([old for old in renamed.MODULES if find_spec(old)])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


def test_the_warning_names_the_place_of_the_import() -> None:
    sys.modules.pop("absdomain.verdict", None)
    with pytest.warns(DeprecationWarning, match="verdict") as warned:
        from absdomain.verdict import Status
    assert warned[0].filename == __file__
    assert Status is absdomain.certification.Status


def test_a_formula_is_made_under_its_old_name() -> None:
    x = sympy.Symbol("x")
    with pytest.warns(DeprecationWarning, match=r"is now absdomain\.ops\.formula\.from_sympy"):
        old = Elementwise.from_sympy(sympy.tanh(x))  # type: ignore[attr-defined]
    assert str(old) == str(from_sympy(sympy.tanh(x)))


def test_a_graph_is_frozen_under_its_old_name() -> None:
    graph = absdomain.Graph.of([absdomain.Node("x", None, (), (2,))]).then(ReLU())
    with pytest.warns(DeprecationWarning, match=r"is now absdomain\.freeze"):
        old = graph.freeze()  # type: ignore[attr-defined]
    assert digest(old) == digest(absdomain.freeze(graph))


def test_a_rule_of_a_users_own_is_fixed_under_its_old_name() -> None:
    with pytest.warns(DeprecationWarning, match="is now the rule itself"):
        assert slopes.Fixed(slopes.zero) is slopes.zero  # type: ignore[attr-defined]


def test_an_unknown_module_is_unknown() -> None:
    with pytest.raises(ModuleNotFoundError, match="nothing_like_it"):
        import_module("absdomain.nothing_like_it")


def test_optimised_slopes_are_a_search_under_their_old_name() -> None:
    with pytest.warns(DeprecationWarning, match=r"is now DeepPoly\(search=Ascent"):
        old = absdomain.domains.DeepPoly(slopes=search.Optimised(steps=3))  # type: ignore[attr-defined]
    assert str(old) == "deeppoly(search=ascent(steps=3))"
    with pytest.warns(DeprecationWarning, match="Ascent"), pytest.raises(TypeError, match=r"slopes=zero, search"):
        search.Optimised(start=slopes.zero)  # type: ignore[attr-defined]


def test_tight_slopes_are_found_under_their_old_name() -> None:
    box = absdomain.Interval(torch.tensor([[-1.0]]), torch.tensor([[2.0]])).box()
    with pytest.warns(DeprecationWarning, match="is now Nonlinear.tight_slopes"):
        old = ReLU().support((box,))  # type: ignore[attr-defined]
    assert old == ReLU().tight_slopes((box,))

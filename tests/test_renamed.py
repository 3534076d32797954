"""Old public names: each is the new object, warns once, and costs nothing before it is used."""

import subprocess
import sys
from importlib import import_module

import pytest
import sympy
import torch

import absdomain
from absdomain.kinds import Elementwise
from absdomain.ops import ReLU
from absdomain.ops.formula import from_sympy
from absdomain.relations import search, slopes
from absdomain.renamed import MODULES
from absdomain.values import digest


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

"""Operations without a rule lower as PyTorch defines them, and those with one stay whole."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from absdomain import UnsupportedOp, to_graph
from absdomain.lowering.definitions import written_out
from absdomain.lowering.export import export, plain
from absdomain.ops import Product, Sigmoid
from tests.written import Written, operations, same


def test_a_definition_is_lowered() -> None:
    graph = same(Written(lambda s, x: F.glu(x)), 4)
    kinds = [kind for kind, _ in operations(graph)]
    assert kinds.count(Sigmoid) == kinds.count(Product) == 1


def test_what_is_known_stays_whole() -> None:
    exported = export(Written(lambda s, x: F.glu(x.relu().hypot(x))), [plain(torch.rand(2, 4))], {})
    assert written_out(exported, {"aten.relu.default", "aten.glu.default", "aten.hypot.default"}) is exported
    targets = {str(node.target) for node in written_out(exported, {"aten.relu.default"}).nodes}
    assert {"aten.relu.default", "aten.hypot.default"} <= targets  # nothing defines a hypot
    assert "aten.glu.default" not in targets


def test_constants_are_computed_and_not_written_out() -> None:
    exported = export(Written(lambda s, x: x + F.glu(torch.ones(8))), [plain(torch.rand(2, 4))], {})
    assert "aten.glu.default" in {str(node.target) for node in written_out(exported, {"aten.add.Tensor"}).nodes}


def test_what_has_neither_rule_nor_definition_is_named() -> None:
    with pytest.raises(UnsupportedOp, match=r"aten\.lgamma\.default .* is neither Affine nor Nonlinear"):
        to_graph(Written(lambda s, x: x.lgamma()), torch.rand(2, 4))

"""Ops that are wrong in one way each are told so by `check_op`, whatever the seed; the same ops without it pass."""

import pytest

from absdomain.laws import LawBroken, check_op
from tests.laws.wrong_ops import RIGHT, WRONG, Case


@pytest.mark.sampled(5)
@pytest.mark.parametrize("case", WRONG, ids=lambda case: repr(case[0])[:40])
def test_a_wrong_op_is_told(case: Case) -> None:
    op, shapes = case
    for seed in range(4):
        with pytest.raises(LawBroken):
            check_op(op, *shapes, exact=False, seed=seed)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("case", RIGHT, ids=lambda case: repr(case[0])[:40])
def test_the_right_one_passes(case: Case) -> None:
    op, shapes = case
    for seed in range(2):
        check_op(op, *shapes, exact=False, seed=seed)

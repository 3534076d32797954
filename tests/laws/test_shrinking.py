"""What a planted bug is told with: the smallest problem, in numbers of few digits, whatever the seed; and again."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings

from absdomain import parse
from absdomain.domains import Box, zonotope
from absdomain.kinds import Line
from absdomain.laws import LawBroken, check_domain, choices
from absdomain.laws.choices import Choices
from absdomain.laws.domains import named
from absdomain.linear import Rows
from absdomain.ops import ReLU
from tests.laws.mutants_of_domains import at_the_centre
from tests.laws.mutants_of_relations import dropped


def through_the_middle(shipped: Any) -> Any:
    """ReLU's upper line at half its height."""

    def lines(self: ReLU, below: Any, above: Any, boxes: Any) -> tuple[Line, Line]:
        low, high = shipped(self, below, above, boxes)
        return low, Line(high.slopes, high.intercept / 2)

    return lines


def numbers(script: str) -> list[str]:
    """Every number of the graph, the region and the specification that has a point."""
    return re.findall(r"-?\d+\.\d+(?:e-?\d+)?", script[script.index("graph =") : script.index("domain =")])


def digits(number: str) -> int:
    """Significant ones."""
    return len(Decimal(number).normalize().as_tuple().digits)


def smallest(text: str, law: str, seed: int, examples: int = 300) -> LawBroken:
    """What check_domain says of a domain that breaks this law."""
    with pytest.raises(LawBroken) as caught:
        check_domain(parse(text), laws=named(law), examples=examples, seed=seed)
    return caught.value


@pytest.mark.sampled(5)
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(("owner", "attribute", "patch", "text", "nodes"), [
    (ReLU, "lines", through_the_middle, "deeppoly", 2),
    (zonotope, "_reduced", dropped, "zonotope(symbols=2)", 4),
    (Rows, "__add__", lambda f: lambda self, other: other, "deeppoly", 5),  # two ways meet in a reshape and a concat
    (Box, "relax", at_the_centre, "box", 2),
], ids=["relu: upper line through the middle", "zonotope: a symbol is dropped", "fan-out: the last branch wins",
        "box: relu at the centre"])  # fmt: skip
def test_the_smallest_problem_is_small(
    owner: Any, attribute: str, patch: Any, text: str, nodes: int, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, attribute, patch(getattr(owner, attribute)))
    told = smallest(text, "contains", seed)
    assert told.script.count("Node(") <= nodes, told.script
    assert max(map(digits, numbers(told.script))) <= 2, told.script
    monkeypatch.undo()
    exec(compile(told.script, "script", "exec"), {})  # it stands alone


def test_a_failure_is_reproduced_and_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    law, calls = named("contains"), []
    monkeypatch.setattr(Box, "relax", at_the_centre(Box.relax))
    with pytest.raises(LawBroken) as first:
        check_domain(Box(), laws=law, examples=50, database=tmp_path)
    assert f"reproduce={first.value.reproduction!r}" in str(first.value)
    with pytest.raises(LawBroken) as again:
        check_domain(Box(), laws=law, reproduce=first.value.reproduction)
    assert again.value.script == first.value.script
    with pytest.raises(LawBroken) as kept:  # the first that is tried is the one that was kept
        check_domain(Box(), laws=law, examples=50, seed=1, shrink=False, database=tmp_path,
                     watch=lambda *_: calls.append(1))  # fmt: skip
    assert kept.value.script == first.value.script and not calls
    with pytest.raises(ValueError, match="a reproduction is of one law, and 2 are asked"):
        check_domain(Box(), laws=named("contains", "decides"), reproduce=first.value.reproduction)


def test_numbers_shrink_to_few_digits_and_sizes_to_few() -> None:
    """From 64 entries on they are of a generator, with all digits or one."""
    found = choices.normal(_Zeros(), 3), choices.coefficients(_Zeros(), 3), choices.uniform(_Zeros(), 3)
    assert [t.tolist() for t in found] == [[0.0] * 3, [1.0] * 3, [0.0] * 3]
    large = choices.normal(_Zeros(), 9, 9)
    torch.testing.assert_close(large, large.round(decimals=1), rtol=0, atol=1e-15)
    assert _Zeros().random() < 1 and _Zeros().randint(3, 9) == 3 and _Zeros().choice("abc") == "a"
    assert _Zeros().randrange(10**6) == 0 and _Zeros().getrandbits(32) == 0


class _Zeros(Choices):
    """The simplest choices."""

    def __init__(self) -> None:
        super().__init__(None)  # type: ignore[arg-type]

    def _apart(self, count: int) -> bytes:
        return bytes(count)


@settings(max_examples=300, suppress_health_check=[HealthCheck.differing_executors])
@given(choices.drawn(lambda rng: (choices.normal(rng, 50), choices.uniform(rng, 50), rng.randrange(300))))
def test_numbers_are_of_their_distributions(drawn: tuple[torch.Tensor, torch.Tensor, int]) -> None:
    normal, share, whole = drawn
    assert bool((normal.abs() < 3.5).all()) and bool(((share >= 0) & (share < 1)).all()) and 0 <= whole < 300

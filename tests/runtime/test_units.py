"""Units of work in this process, and results that come in any order."""

from absdomain.runtime.units import HERE, in_order
from tests.mappers import Backwards


def twice(unit: int, tell: object) -> int:
    return 2 * unit


def test_here_works_on_a_unit_when_it_is_asked_for() -> None:
    begun, told = list[int](), list[tuple[int, float, str]]()

    def work(unit: int, tell: object) -> int:
        begun.append(unit)
        assert callable(tell)
        tell(0.5, f"half of {unit}")
        return 2 * unit

    found = HERE.map(work, [3, 4], ["three", "four"], lambda *row: told.append(row))
    assert begun == []
    assert next(found) == (0, 6)
    assert begun == [3] and told == [(0, 0.5, "half of 3")]
    found.close()
    assert begun == [3]


def test_in_order_gives_each_result_as_soon_as_those_before_it_are_known() -> None:
    given = list[int]()

    def results() -> object:
        for place in (2, 0, 1, 3):
            given.append(place)
            yield place, f"r{place}"

    found = in_order(results())  # type: ignore[arg-type]
    assert next(found) == "r0" and given == [2, 0]
    assert next(found) == "r1" and next(found) == "r2" and given == [2, 0, 1]
    assert list(found) == ["r3"]
    assert list(in_order(Backwards().map(twice, [1, 2, 3], "abc"))) == [2, 4, 6]

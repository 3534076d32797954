"""What bounds will cost, told from a part of the work: the work that is counted is the work that is done."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import absdomain
from absdomain import Bounds, Linf, estimate, margins, parse, to_graph
from absdomain.certification import Estimate, trial
from absdomain.certification.estimating import duration
from absdomain.certification.trial import Ledger, Stopped, Trial
from absdomain.domain.domain import changed
from absdomain.domains import Box
from absdomain.relations import backward
from absdomain.report import announcing
from absdomain.runtime import memory

torch.manual_seed(0)
CNN = nn.Sequential(
    nn.Conv2d(1, 4, 3, 2), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Flatten(),
    nn.Linear(64, 20), nn.ReLU(), nn.Linear(20, 3),
).double()  # fmt: skip
X, Y = torch.rand(1, 1, 13, 13, dtype=torch.float64), torch.tensor([1])
GRAPH = absdomain.freeze(to_graph(CNN, X))
REGION, SPEC = Linf(X, 0.1), margins(Y, 3)


def counted(monkeypatch: pytest.MonkeyPatch, where: Any, name: str, counts: Counter[str]) -> None:
    """From here on the entries of which these bounds are asked are counted."""
    before: Callable[..., Bounds] = getattr(where, name)

    def counting(*args: Any, **options: Any) -> Bounds:
        mask = next(
            (a for a in (*args, *options.values()) if isinstance(a, torch.Tensor) and a.dtype == torch.bool), None
        )
        found = before(*args, **options)
        counts[str(where)] += found.lower.numel() if mask is None else int(mask.sum())
        return found

    monkeypatch.setattr(where, name, counting)


@pytest.mark.parametrize("text", ["box", "deeppoly", "crown-ibp", "box & deeppoly", "box & deeppoly(slopes=zero)"])
def test_the_rows_that_are_counted_are_those_that_are_asked(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (found,) = estimate(GRAPH, REGION, text, SPEC)
    counts = Counter[str]()
    counted(monkeypatch, backward, "bounds", counts)
    counted(monkeypatch, Box, "bounds", counts)
    _ = parse(text).propagate(GRAPH, REGION, SPEC).lower
    assert found.rows == counts.total() > 0
    assert found.seconds > 0
    assert found.bytes > 0


def test_a_part_is_tried_and_all_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """One place of each activation, where a place has all channels; what is counted does not change."""
    whole = Ledger(60.0)
    _ = Trial(parse("deeppoly"), whole).propagate(GRAPH, REGION, SPEC).lower
    assert whole.sizes == [36, 16, 20, 2]
    monkeypatch.setattr(trial, "_ENOUGH", 0.0)
    monkeypatch.setattr(trial, "_FEW", 0.0)
    part = Ledger(60.0)
    _ = Trial(parse("deeppoly"), part).propagate(GRAPH, REGION, SPEC).lower
    assert part.sizes == [1, 1, 1, 1]
    assert part.rows == whole.rows == 4 * 36 + 4 * 16 + 20 + 2


def test_what_is_guessed_is_as_wide_as_what_was_asked() -> None:
    """Bounds twice as far from the middle as the points: so are those of the entries that were not asked."""
    points = (torch.tensor([[0.0, 2.0, 5.0, 9.0]]), torch.tensor([[2.0, 4.0, 6.0, 9.0]]))
    asked, part = torch.tensor([[True, True, True, False]]), torch.tensor([[True, False, False, False]])
    told = Bounds(torch.tensor([[-1.0, -torch.inf, -torch.inf, -torch.inf]]), torch.tensor([[3.0] + 3 * [torch.inf]]))
    found = trial._guessed(told, part, asked, points)
    assert found.lower.tolist() == [[-1.0, 1.0, 4.5, -torch.inf]]
    assert found.upper.tolist() == [[3.0, 5.0, 6.5, torch.inf]]


def test_a_meet_asks_its_later_part_for_fewer() -> None:
    counts = {
        text: estimate(GRAPH, Linf(X, 0.01), text, SPEC)[0].rows for text in ("box", "deeppoly", "box & deeppoly")
    }
    assert counts["box"] == counts["deeppoly"] < counts["box & deeppoly"] < 2 * counts["box"]


def test_a_trial_is_stopped_at_its_limit() -> None:
    (found,) = estimate(GRAPH, REGION, "deeppoly", SPEC, limit=0.0)
    assert found.stopped
    assert "more than" in str(found)
    assert "more than" in found.of(10)
    assert found.cells(10)[0].startswith("> ")
    with pytest.raises(Stopped):
        _ = changed(parse("box & deeppoly"), lambda leaf: Trial(leaf, Ledger(0.0))).propagate(GRAPH, REGION)


def test_what_does_not_fit_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_SMALL", 0)
    monkeypatch.setattr(memory, "available", lambda device: 1000.0)
    small, large = estimate(GRAPH, REGION, ["box", "zonotope"], SPEC)
    assert not small.refused
    assert "zonotope does not fit: " in str(large) == large.of(3)
    assert "take a domain that holds less" in large.refused
    assert large.cells(3)[0] == "does not fit"


def test_wrong_arguments_are_told() -> None:
    wrong: list[tuple[Any, type[Exception], str]] = [
        ((GRAPH, REGION, None), TypeError, "estimate, domain"),
        ((GRAPH, REGION, [3]), TypeError, "estimate, domain"),
        ((GRAPH, REGION, "box", 3), TypeError, "estimate, spec"),
        ((GRAPH, Linf(X[:0], 0.1), "box"), ValueError, "no samples"),
    ]
    for given, kind, match in wrong:
        with pytest.raises(kind, match=match):
            estimate(*given)


def test_the_texts() -> None:
    one = Estimate("crown-ibp", 0.72, 3 * 2**20, 10)
    assert str(one) == "crown-ibp: about 0.72 s and 3 MiB an image"
    assert one.of(1000) == "crown-ibp: about 12 min for 1,000 images"
    assert one.cells(1000) == ("0.72 s", "12 min", "3 MiB")
    assert str(Estimate("box", 0.001, float("nan"), 10)) == "box: about 1 ms an image"
    assert Estimate("box", 0.001, 3.5 * 2**30, 10).cells(1)[2] == "3.5 GiB"


@pytest.mark.parametrize(("seconds", "text"), [
    (0.0032, "3.2 ms"), (0.05, "50 ms"), (0.25, "0.25 s"), (40.0, "40 s"), (720.0, "12 min"), (36000.0, "10 h"),
    (4e6, "1,111 h"),
])  # fmt: skip
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_certify_says_what_takes_long(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def said(*domains: str) -> str:
        asked = {text: parse(text) for text in domains}
        announcing.announce(CNN, asked, X.expand(1000, *X.shape[1:]), Y.expand(1000), 0.1, (0.0, 1.0))
        return capsys.readouterr().err

    assert "box" not in said("box")
    assert "lp: a solver is asked for every margin of up to 1000 images" in said("lp")
    monkeypatch.setattr(announcing, "_LONG", 0.0)
    told = said("crown", "lp")
    assert "crown: about " in told
    assert "for 1,000 images; what is done is kept, and `--subset N` asks fewer images" in told

"""The text form of domains: it reads back, knows the literature's names, and says what is wrong."""

from dataclasses import dataclass

import pytest
import torch
from torch import nn

from absdomain import Guided, Linf, Meet, Mix, margins, parse, to_graph
from absdomain.domain import Domain, ExpressionError
from absdomain.domain.expression import ALIASES
from absdomain.domains import Box, DeepPoly
from absdomain.relations import slopes
from tests.subjects import EXPRESSIONS

BOX, CROWN, FAST_LIN = Box(), DeepPoly(), DeepPoly(slopes=slopes.parallel)
GUIDED = CROWN.guided(by=BOX)

READ: dict[str, Domain[object]] = {
    "box": BOX,
    "Box": BOX,
    " box() ": BOX,
    "deeppoly": CROWN,
    "DeepPoly(slopes=adaptive)": CROWN,
    "deeppoly(slopes=PARALLEL)": FAST_LIN,
    "deeppoly(slopes=zero)": DeepPoly(slopes=slopes.zero),
    "deeppoly(slopes=one)": DeepPoly(slopes=slopes.one),
    "ibp": BOX,
    "crown": CROWN,
    "crown-ibp": GUIDED,
    "CROWN_IBP": GUIDED,
    "fastlin": FAST_LIN,
    "fast-lin": FAST_LIN,
    "everyday": BOX & CROWN,
    "deeppoly.guided(by=box)": GUIDED,
    "deeppoly.guided(by=box & deeppoly)": CROWN.guided(by=BOX & CROWN),
    "(box & deeppoly).guided(by=box)": (BOX & CROWN).guided(by=BOX),
    "box & deeppoly": Meet(BOX, CROWN),
    "box & deeppoly & fastlin": Meet(BOX, CROWN, FAST_LIN),
    "meet(box, deeppoly)": Meet(BOX, CROWN),
    "mix(crown-ibp, ibp)": Mix(GUIDED, BOX),
    "mix(crown-ibp, ibp, weight=0.25)": Mix(GUIDED, BOX, weight=0.25),
    "mix(crown-ibp, ibp, weight=1)": Mix(GUIDED, BOX, weight=1),
    "mix(crown, box & fast-lin, weight=.5) & box": Meet(Mix(CROWN, BOX & FAST_LIN), BOX),
    "crown-ibp & ibp": Meet(GUIDED, BOX),
}


@pytest.mark.parametrize(("text", "domain"), READ.items())
def test_expressions_are_read(text: str, domain: Domain[object]) -> None:
    assert parse(text) == domain


@pytest.mark.parametrize("domain", READ.values(), ids=str)
def test_the_text_of_a_domain_reads_back(domain: Domain[object]) -> None:
    assert parse(str(domain)) == domain
    assert str(parse(str(domain))) == str(domain)


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_canonical_texts_stay_as_they_are(text: str) -> None:
    assert str(parse(text)) == text


@pytest.mark.parametrize(("alias", "text"), ALIASES.items())
def test_every_alias_is_its_expression(alias: str, text: str) -> None:
    assert parse(alias) == parse(text)
    assert parse(alias.upper().replace("-", "_")) == parse(text)


@pytest.mark.parametrize(("text", "message"), [
    ("boxx", "did you mean box"),
    ("deeplopy", "did you mean.*deeppoly"),
    ("qqq", "there are .*box.*deeppoly"),
    ("", "column"),
    ("box &", "column"),
    ("box | deeppoly", "expected a domain"),
    ("box + deeppoly", "expected a domain"),
    ("3", "expected a domain"),
    ("deeppoly.guided()", "expected a domain"),
    ("deeppoly.guided(box)", "expected a domain"),
    ("deeppoly.guided(with_=box)", "expected a domain|by"),
    ("deeppoly.bounds(by=box)", "expected a domain"),
    ("deeppoly(slope=zero)", "slope"),
    ("box(1)", "column 5"),
    ("mix(box)", "second"),
    ("[box]", "expected a domain"),
    ("__import__('os').system('true')", "column 1"),
    ("box if box else box", "expected a domain"),
    ("(lambda: box)()", "expected a domain"),
    ("deeppoly(slopes=adaptve)", r"column 17: 'adaptve' is no slopes \(zero, one, parallel, adaptive\).*mean adaptive"),
    ("deeppoly.guided(by=boxx)", "column 20: no domain is called 'boxx'"),
    ("exact(timeout=nan)", "column 15: nan has no meaning here; give a finite number"),
])  # fmt: skip
def test_what_cannot_be_read_is_told_with_its_place(text: str, message: str) -> None:
    with pytest.raises(ExpressionError, match=message):
        parse(text)


@pytest.mark.parametrize("weight", [-0.1, 1.5, "nan"])
def test_a_mixture_outside_the_unit_interval_is_refused(weight: float | str) -> None:
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        Mix(BOX, CROWN, weight=float(weight))


def test_a_mixture_of_a_tensor_weight_prints_its_number() -> None:
    mixed = Mix(GUIDED, BOX, weight=torch.tensor(0.25))
    assert str(mixed) == "mix(deeppoly.guided(by=box), box, weight=0.25)"


def test_combinators_flatten_and_need_parts() -> None:
    assert (BOX & CROWN) & FAST_LIN == BOX & (CROWN & FAST_LIN)
    assert str(Meet(BOX)) == "box"
    with pytest.raises(ValueError, match="at least one"):
        Meet()


def test_values_are_equal_by_content() -> None:
    assert Guided(DeepPoly(), Box()) == GUIDED
    assert hash(Guided(DeepPoly(), Box())) == hash(GUIDED)
    assert DeepPoly() != FAST_LIN


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_its_repr_is_the_text_form(text: str) -> None:
    assert repr(parse(text)) == str(parse(text))
    assert parse(repr(parse(text))) == parse(text)


def test_a_domain_of_others_and_a_trace_are_a_line_too() -> None:
    @dataclass(frozen=True)
    class Mine(Box):
        share: float = 0.5

    assert [repr(domain) for domain in (Mine(), Mine(0.25) & BOX)] == ["mine", "mine(share=0.25) & box"]
    graph, x = to_graph(nn.Linear(2, 3), torch.zeros(1, 2)), torch.zeros(4, 2)
    plain = (BOX & CROWN).propagate(graph, Linf(x, 0.1))
    asked = BOX.propagate(graph, Linf(x, 0.1), margins(torch.zeros(4, dtype=torch.int64), 3))
    assert repr(plain) == "Trace(box & deeppoly, output (4, 3), sound)"
    assert repr(asked) == f"Trace(box, output {tuple(asked.lower.shape)}, sound)" == "Trace(box, output (4, 2), sound)"

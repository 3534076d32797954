"""Verdicts say what is true, and why; files of results survive being killed."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from absdomain import L2, Guarantee, Linf, UnsupportedOp, margins, to_graph
from absdomain.attack import Pgd, inside, margin
from absdomain.certification import Reason, Refused, SoundnessError, Status, Summary, Verdict, certify, summarise
from absdomain.certification.journal import Journal, JournalError, Journals
from absdomain.domain import Decision, Traits, parse
from absdomain.domains import Box, DeepPoly
from absdomain.rounding import allowance
from absdomain.runtime.processes import ALONE, World

BOX, DEEP = Box(), DeepPoly()


@pytest.fixture
def net() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))


@pytest.fixture
def images() -> Tensor:
    return torch.rand(30, 2, 2, 2)


@pytest.fixture
def labels(net: nn.Module, images: Tensor) -> Tensor:
    labels = net(images).argmax(1)
    labels[:3] = (labels[:3] + 1) % 3  # some are misclassified
    return labels


def linear(weights: list[list[float]], bias: list[float]) -> nn.Module:
    net = nn.Linear(len(weights[0]), len(weights)).double()
    net.weight.data, net.bias.data = torch.tensor(weights).double(), torch.tensor(bias).double()
    return net


def one(value: float) -> tuple[Tensor, Tensor]:
    return torch.tensor([[value]], dtype=torch.float64), torch.tensor([0])


# --- what verdicts say ------------------------------------------------------------------------------------------------


def test_an_affine_network_is_decided_exactly() -> None:
    net = linear([[1.0, 2.0], [0.0, 0.0]], [-1.0, 0.0])  # z_0 - z_1 = x_0 + 2 x_1 - 1, at least that at x, less 3 eps
    x = torch.rand(200, 2, dtype=torch.float64)
    truth = x[:, 0] + 2 * x[:, 1] - 1 - 3 * 0.1
    verdicts = list(certify(net, x, torch.zeros(200, dtype=torch.int64), eps=0.1, clip=None, domains=[BOX]))
    assert [v.status is Status.VERIFIED for v in verdicts] == (truth > 0).tolist()
    assert not any(v.status is Status.UNKNOWN for v in verdicts)
    torch.testing.assert_close(torch.tensor([v.lower["box"] for v in verdicts if v.lower]).double(), truth[truth > 0])


def test_witnesses_lie_in_the_region_and_are_misclassified(net: nn.Module, images: Tensor, labels: Tensor) -> None:
    verdicts = list(certify(net, images, labels, eps=0.3, domains=[BOX]))
    falsified = [v for v in verdicts if v.status is Status.FALSIFIED]
    assert {v.by for v in falsified} == {"nominal", "attack"}
    for v in falsified:
        assert v.witness is not None
        assert v.witness.dtype == torch.float32
        x = v.witness.unsqueeze(0)
        assert inside(Linf(images[v.index].unsqueeze(0).double(), 0.3, clip=(0, 1)), x.double()).all()
        assert margin(net(x), labels[v.index : v.index + 1]).item() < 0
        assert v.witness.isfinite().all()
    assert [v.index for v in verdicts] == list(range(30))
    assert [v.index for v in verdicts if v.by == "nominal"] == [0, 1, 2]


def test_errors_are_ordered_and_each_domain_has_its_own(net: nn.Module, images: Tensor, labels: Tensor) -> None:
    domains = [BOX, DEEP.guided(by=BOX), BOX & DEEP]
    every = summarise(certify(net, images, labels, eps=0.1, domains=domains, every=True))
    cascade = summarise(certify(net, images, labels, eps=0.1, domains=domains))
    assert every.clean_error == pytest.approx(10.0)
    assert every.pgd_error is not None
    assert every.clean_error <= every.pgd_error <= every.verified_error <= min(every.domains.values())
    assert every.domains["box & deeppoly"] <= every.domains["box"]
    assert list(every.domains) == [str(d) for d in domains]
    assert (every.verified_error, every.pgd_error) == (cascade.verified_error, cascade.pgd_error)
    assert cascade.domains == {}  # none was asked of every image
    assert sum(every.reasons.values()) == round(0.3 * (every.verified_error - every.pgd_error))


def test_the_default_cascade_works_on_any_region(net: nn.Module, images: Tensor, labels: Tensor) -> None:
    verdicts = list(certify(net, images, labels, region=lambda x: L2(x, 0.1)))
    assert summarise(verdicts).verified_error < 100
    assert {v.by for v in verdicts if v.status is Status.VERIFIED} <= {
        "box",
        "box & deeppoly(slopes=zero)",
        "box & deeppoly",
    }


def test_the_cascade_asks_only_for_the_undecided(net: nn.Module, images: Tensor, labels: Tensor) -> None:
    for v in certify(net, images, labels, eps=0.05, domains=[BOX, DEEP]):
        expected = {Status.FALSIFIED: [], Status.VERIFIED: ["box"]}.get(v.status, ["box", "deeppoly"])
        assert list(v.lower) == (["box", "deeppoly"] if v.by == "deeppoly" else expected)


def test_without_an_attack_only_the_nominal_point_falsifies(net: nn.Module, images: Tensor, labels: Tensor) -> None:
    verdicts = list(certify(net, images, labels, eps=0.3, domains=[BOX], attack=None))
    assert {v.by for v in verdicts if v.status is Status.FALSIFIED} == {"nominal"}
    assert summarise(verdicts).pgd_error is None


def test_the_model_is_left_as_it_was(images: Tensor) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(8, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(), nn.Linear(6, 2))
    net(images).sum().backward()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    grads = [p.grad.clone() for p in net.parameters() if p.grad is not None]
    list(certify(net, images, torch.zeros(30, dtype=torch.int64), eps=0.01))
    assert net.training
    assert all(p.dtype == torch.float32 and p.requires_grad for p in net.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())
    assert all(torch.equal(g, p.grad) for g, p in zip(grads, net.parameters(), strict=True) if p.grad is not None)


# --- ties and rounding ------------------------------------------------------------------------------------------------


def test_a_tie_is_not_verified_unless_ties_count() -> None:
    net, (x, y) = linear([[1.0], [0.0]], [0.0, 0.0]), one(0.5)  # the margin is x, down to 0 in the region
    (bound,) = certify(net, x, y, eps=0.5, domains=[BOX], attack=None)
    assert (bound.status, bound.reason, bound.lower["box"]) == (Status.UNKNOWN, Reason.ROUNDING, 0.0)
    (attacked,) = certify(net, x, y, eps=0.5, domains=[BOX])
    assert attacked.status is Status.FALSIFIED
    (counted,) = certify(net, x, y, eps=0.5, domains=[BOX], strict=False)
    assert counted.status is Status.VERIFIED


def test_a_nominal_tie_counts_as_its_convention_says() -> None:
    net, (x, y) = linear([[0.0], [0.0]], [1.0, 1.0]), one(0.5)
    strict, loose = (next(certify(net, x, y, eps=0.1, domains=[BOX], strict=s)) for s in (True, False))
    assert (strict.status, strict.correct, strict.by) == (Status.FALSIFIED, False, "nominal")
    assert (loose.status, loose.correct) == (Status.VERIFIED, True)


def test_a_bound_within_the_allowance_is_unknown_for_rounding() -> None:
    net, (x, y) = linear([[1.0], [0.0]], [1e-15, 0.0]), one(0.5)
    (v,) = certify(net, x, y, eps=0.5, domains=[BOX])
    assert v.status is Status.UNKNOWN
    assert v.reason is Reason.ROUNDING
    assert "allowance" in v.detail
    assert next(certify(net, x, y, eps=0.5, domains=[BOX], margin=0.0)).status is Status.VERIFIED
    assert next(certify(net, x, y, eps=0.4, domains=[BOX], margin=0.2)).status is Status.UNKNOWN


def test_the_allowance_covers_what_single_precision_loses() -> None:
    domains = [parse(text) for text in ("box", "crown-ibp", "deeppoly")]
    worst = 0.0
    for seed in range(3):
        torch.manual_seed(seed)
        net = nn.Sequential(nn.Linear(200, 100), nn.ReLU(), nn.Linear(100, 100), nn.ReLU(), nn.Linear(100, 10))
        x = torch.rand(50, 200)
        y = net(x).argmax(1)
        single, double = (
            [
                list(v.lower.values())
                for v in certify(net, x, y, eps=0.02, domains=domains, every=True, attack=None, dtype=d)
            ]
            for d in (torch.float32, torch.float64)
        )
        error = torch.tensor(single) - torch.tensor(double)  # (images, domains); below: boxes are widened by more
        allowed = allowance(to_graph(net, x), Linf(x, 0.02, clip=(0, 1)), margins(y, 10)).unsqueeze(1)
        worst = max(worst, (error / allowed).max().item())
    print(f"rounding lifts float32 bounds by at most {worst:.2g} of the allowance")
    assert worst < 0.2


# --- NaN, infinity, refusals ------------------------------------------------------------------------------------------


@pytest.mark.sampled(3)
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("domain", ["box", "crown-ibp", "deeppoly", "box & deeppoly"])
def test_a_non_finite_weight_leaves_all_unknown_at_its_node(
    value: float, domain: str, net: nn.Module, images: Tensor, labels: Tensor
) -> None:
    net[3].weight.data[:, 5] = value
    for v in certify(net, images, labels, eps=0.1, domains=[parse(domain)]):
        assert v.status is Status.UNKNOWN
        assert v.reason is Reason.NON_FINITE
        assert "linear_1" in v.detail or "3" in v.detail, v.detail


def test_overflow_is_unknown_not_verified(net: nn.Module, images: Tensor, labels: Tensor) -> None:
    net[1].weight.data *= 1e30
    net[3].weight.data *= 1e30
    verdicts = list(certify(net, images, labels, eps=0.1, domains=[BOX], dtype=torch.float32))
    assert not any(v.status is Status.VERIFIED for v in verdicts)
    assert any(v.reason is Reason.NON_FINITE for v in verdicts)


@dataclass(frozen=True)
class Guess(Box):
    """A domain that promises nothing."""

    traits = Traits(Guarantee.HEURISTIC)


@dataclass(frozen=True, eq=False)
class Wish(Linf):
    """A region that promises little."""

    guarantee = Guarantee.STATISTICAL


class Untouchable(nn.Module):
    """A model that must not be run."""

    def forward(self, x: Tensor) -> Tensor:
        raise AssertionError("certify began to work")


@pytest.mark.parametrize("domain", [Guess(), DEEP.guided(by=Guess()), BOX & Guess()], ids=str)
def test_a_heuristic_domain_is_refused_before_any_work(domain: Any, images: Tensor, labels: Tensor) -> None:
    with pytest.raises(Refused, match=r"guess.*HEURISTIC, not SOUND"):
        certify(Untouchable(), images, labels, eps=0.1, domains=[BOX, domain])


def test_a_region_that_is_not_sound_is_refused_before_any_work(images: Tensor, labels: Tensor) -> None:
    with pytest.raises(Refused, match=r"Wish.*STATISTICAL, not SOUND"):
        certify(Untouchable(), images, labels, region=lambda x: Wish(x, 0.1), domains=[BOX])


@dataclass(frozen=True)
class Picky(Box):
    """A domain without a rule for anything nonlinear."""

    def relax(self, op: Any, args: Any, boxes: Any) -> Any:
        raise UnsupportedOp("Picky has no rule for Relu; use box")


def test_a_domain_without_a_rule_is_a_reason_and_the_others_go_on(
    net: nn.Module, images: Tensor, labels: Tensor
) -> None:
    alone = list(certify(net, images, labels, eps=0.01, domains=[Picky()]))
    unknown = [v for v in alone if v.status is Status.UNKNOWN]
    assert unknown
    assert all(v.reason is Reason.REFUSED and "no rule for Relu" in v.detail for v in unknown)
    both = list(certify(net, images, labels, eps=0.01, domains=[Picky(), BOX]))
    assert any(v.by == "box" for v in both)
    assert not any(v.reason is Reason.REFUSED for v in both)  # the reason nearest to a proof is told


@dataclass(frozen=True)
class Liar(Box):
    """A domain whose lower bounds are too high."""

    def decide(self, e: Any, groups: Tensor | None = None) -> Decision:
        return Decision(super().decide(e).lower + 10)


def test_a_bound_above_a_point_is_a_hard_error_that_names_both(net: nn.Module, images: Tensor, labels: Tensor) -> None:
    claim = r"label \d: liar claims that every margin over the region is at least [\d.]+, but "
    with pytest.raises(SoundnessError, match=f"image 0, {claim}the image itself shows a point of the region with -"):
        list(certify(net, images, labels, eps=0.1, domains=[Liar()], every=True))
    with pytest.raises(SoundnessError, match=rf"image \d+, {claim}the attack shows"):  # of a sample that is not broken
        list(certify(net, images[3:], labels[3:], eps=0.01, domains=[Liar()]))


# --- bad calls --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"eps": None}, "either eps or region"),
        ({"region": lambda x: L2(x, 0.1)}, "either eps or region"),
        ({"labels": torch.zeros(7, dtype=torch.int64)}, r"labels \(N,\)"),
        ({"labels": torch.full((30,), 3)}, "label 3 of image 0 is outside 0..2"),
        ({"labels": torch.zeros(30)}, "int64"),
        ({"images": torch.zeros(30, 2, 2, 2, dtype=torch.uint8)}, "images are floats"),
        ({"images": torch.full((30, 2, 2, 2), torch.nan)}, "image 0 has a pixel that is NaN"),
        ({"domains": []}, "no domain"),
        ({"domains": [BOX, Box()]}, "given twice"),
        ({"eps": -0.1}, "radius"),
    ],
)
def test_bad_calls_are_refused_at_once(
    change: dict[str, Any], message: str, net: nn.Module, images: Tensor, labels: Tensor
) -> None:
    given: dict[str, Any] = {"images": images, "labels": labels, "eps": 0.1, "domains": [BOX]} | change
    with pytest.raises(ValueError, match=message):
        certify(net, given.pop("images"), given.pop("labels"), **given)


def test_an_image_outside_its_region_is_refused(net: nn.Module, images: Tensor, labels: Tensor) -> None:
    images[7] += 1.05
    with pytest.raises(ValueError, match="image 7 lies outside its own region"):
        list(certify(net, images, labels, region=lambda x: Linf(x, 1.1, clip=(0, 1)), domains=[BOX]))


def test_a_network_without_logits_is_refused(images: Tensor, labels: Tensor) -> None:
    with pytest.raises(ValueError, match=r"logits \(B, classes >= 2\)"):
        certify(nn.Conv2d(2, 2, 1), images, labels, eps=0.1)


def test_float32_is_refused_where_the_model_is_whatever_holds_the_images(net: nn.Module, images: Tensor) -> None:
    labels = torch.zeros(30, dtype=torch.int64)
    with pytest.raises(ValueError, match="float32 on meta may be computed in TF32"):
        certify(net.to("meta"), images, labels, eps=0.1, dtype=torch.float32)


# --- files ------------------------------------------------------------------------------------------------------------


def same(first: list[Verdict], second: list[Verdict]) -> bool:
    return [v.to_json() for v in first] == [v.to_json() for v in second]


@pytest.fixture
def call(net: nn.Module, images: Tensor, labels: Tensor, tmp_path: Path) -> Any:
    def run(**given: Any) -> Iterator[Verdict]:
        settings: dict[str, Any] = {"eps": 0.2, "domains": [BOX, DEEP], "batch": 7, "file": tmp_path / "v" / "r.jsonl"}
        return certify(net, images, labels, **settings | given)

    return run


def test_an_interrupted_run_is_continued_and_ends_the_same(call: Any, tmp_path: Path) -> None:
    whole = list(call(file=None))
    begun = call()
    next(begun)
    del begun  # killed after its first batch
    file = tmp_path / "v" / "r.jsonl"
    assert len(file.read_text().splitlines()) == 1 + 7
    assert same(list(call()), whole)
    content = file.read_bytes()
    for cut in (len(content) - 1, len(content) - 300, content.index(b"\n") + 1, content.index(b"\n") - 5, 0):
        file.write_bytes(content[:cut])  # torn anywhere, even in the header
        assert same(list(call()), whole)
    assert file.read_bytes() == content


def test_a_finished_file_is_read_without_work(call: Any, net: nn.Module) -> None:
    whole = list(call())
    assert same(list(call(attack=Pgd())), whole)


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"eps": 0.1}, r"region: .*0\.2.* there, .*0\.1.* now"),
        ({"domains": [BOX]}, r"domains: \['box', 'deeppoly'\] there"),
        ({"attack": Pgd(steps=3)}, r"attack: .*steps=40.* there, .*steps=3.* now"),
        ({"strict": False, "margin": 0.5}, r"margin: None there, 0\.5 now; strict: True there, False now"),
        ({"dtype": torch.float32}, r"dtype: torch\.float64 there"),
    ],
)
def test_another_configuration_is_refused_with_what_differs(call: Any, change: dict[str, Any], message: str) -> None:
    list(call())
    with pytest.raises(JournalError, match=message):
        call(**change)


def test_another_model_or_other_data_are_refused(
    call: Any, net: nn.Module, images: Tensor, labels: Tensor, tmp_path: Path
) -> None:
    list(call())
    settings: dict[str, Any] = {"eps": 0.2, "domains": [BOX, DEEP], "file": tmp_path / "v" / "r.jsonl"}
    with pytest.raises(JournalError, match=r"data: .* there"):
        certify(net, images.flip(0), labels, **settings)
    net[1].bias.data[0] += 1e-3
    with pytest.raises(JournalError, match=r"model: .* there"):
        certify(net, images, labels, **settings)


def test_two_certifications_do_not_write_one_file(call: Any) -> None:
    begun = call()
    next(begun)
    with pytest.raises(JournalError, match="in use by another process"):
        call()
    begun.close()
    del begun
    list(call())


@pytest.mark.sampled(3)
@pytest.mark.parametrize("line", [b"[1, 2]\n", b"not json\n", b'{"index": 3}\n', b'{"index": 3, "status": "proved"}\n'])
def test_a_damaged_file_is_refused_with_its_line(call: Any, tmp_path: Path, line: bytes) -> None:
    list(call())
    file = tmp_path / "v" / "r.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([*lines[:4], line, *lines[5:]]))
    with pytest.raises(JournalError, match=r"r\.jsonl:5: .*delete the file"):
        call()
    file.write_bytes(b"{}\n")
    with pytest.raises(JournalError, match=r"r\.jsonl:1: not a results file"):
        call()


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    "theirs",
    [
        b"no newline",
        b"{",
        b'{"format"',
        b'{"format": "absdomain verdicts 2"',
        b"two\nlines\n",
        b"[]\n",
        b"\n",
        b"\0\xff",
    ],
)
def test_a_file_of_others_is_left_as_it_is(call: Any, tmp_path: Path, theirs: bytes) -> None:
    file = tmp_path / "theirs"
    file.write_bytes(theirs)
    for given in (file, tmp_path / "link"):
        given.is_file() or given.symlink_to(file)
        with pytest.raises(JournalError, match=rf"{given.name}:1: .*(give another file|delete the file)"):
            call(file=given)
        assert file.read_bytes() == theirs
    assert (tmp_path / "link").is_symlink()


def test_text_behind_the_verdicts_is_left_as_it_is(call: Any, tmp_path: Path) -> None:
    whole, file = list(call()), tmp_path / "v" / "r.jsonl"
    content = file.read_bytes()
    file.write_bytes(content + b"a note without an end")
    with pytest.raises(JournalError, match=r"r\.jsonl:32: b'a note .* is not a result; take it out"):
        call()
    assert file.read_bytes() == content + b"a note without an end"
    file.write_bytes(content + b'{"index": 3, "la')  # torn
    assert same(list(call()), whole)


def test_what_is_no_plain_file_is_refused(call: Any, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for given, message in (
        (tmp_path, "not a plain file"),
        (Path("/dev/null"), "not a plain file"),
        (tmp_path / "file" / "below", "cannot be written"),
        (Path("/proc/self/r.jsonl"), "cannot be written"),  # where nobody may
    ):
        with pytest.raises(JournalError, match=rf"{given}: {message}.*give another"):
            call(file=given)


def test_an_empty_file_is_taken(call: Any, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert same(list(call(file=tmp_path / "empty")), list(call(file=None)))


def test_a_part_of_others_is_left_as_it_is(call: Any, tmp_path: Path) -> None:
    list(call())
    part = tmp_path / "v" / "r.jsonl.part1"
    part.write_bytes(b"theirs")
    with pytest.raises(JournalError, match=r"part1:1: not a results file"):
        call()
    assert part.read_bytes() == b"theirs"


def test_parts_are_found_by_their_exact_names(call: Any, tmp_path: Path) -> None:
    path, (verdict, *_) = tmp_path / "eps[1].jsonl", list(call(file=None))
    part, copy = (path.with_name(path.name + end) for end in (".part1", ".part1.bak"))
    copy.write_text("somebody else's")
    journal = Journal(part, {}, Verdict.from_json)
    journal.append([verdict])
    journal.close()
    assert list(Journals(path, {}, ALONE).done) == [verdict.index]
    assert not part.exists()
    assert copy.read_text() == "somebody else's"


class Deaf(World):
    """Of two processes the first, to which the other never says anything."""

    def once(self, work: Any) -> Any:
        return work()

    def wait(self) -> None:
        pass


def test_verdicts_that_another_process_did_not_give_are_missed(call: Any) -> None:
    with pytest.raises(RuntimeError, match=r"r\.jsonl: 14 of 30 images have no verdict .* the first 7; give all"):
        list(call(world=Deaf(0, 2)))


class Second(World):
    """Of two processes the second; the first says 7."""

    def once(self, work: Any) -> Any:
        return 7


def test_processes_with_other_batches_are_refused(call: Any) -> None:
    with pytest.raises(ValueError, match="batch 5 in process 1, 7 in the first"):
        call(world=Second(1, 2), batch=5)


def test_a_verdict_goes_to_json_and_back() -> None:
    verdict = Verdict(
        3,
        1,
        Status.FALSIFIED,
        "attack",
        0.25,
        -torch.inf,
        {"box": torch.nan},
        (),
        True,
        False,
        None,
        "",
        torch.rand(2, 3),
    )
    back = Verdict.from_json(json.loads(json.dumps(verdict.to_json(), allow_nan=False)))
    assert back.to_json() == verdict.to_json()
    assert torch.equal(back.witness, verdict.witness)  # type: ignore[arg-type]
    assert isinstance(back.status, Status)


# --- summaries --------------------------------------------------------------------------------------------------------


def test_a_summary_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no verdicts"):
        summarise([])


def test_a_summary_checks_its_orderings() -> None:
    wrong = Verdict(0, 0, Status.VERIFIED, "box", -1.0, -1.0, {"box": 1.0}, ("box",), correct=False, resisted=False)
    with pytest.raises(AssertionError, match="clean_error <= pgd_error <= verified_error"):
        summarise([wrong])
    right = Verdict(0, 0, Status.VERIFIED, "box", 1.0, 1.0, {"box": 0.5}, ("box",))
    assert summarise([right]) == Summary(1, 0.0, 0.0, 0.0, {"box": 0.0}, {})

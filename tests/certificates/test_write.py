"""What is written is accepted, by halved boxes, by signs, and for points; and never proves what is false."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from absdomain.branching import verify
from absdomain.certificates import Writer
from absdomain.certificates.growing import Remembered
from absdomain.errors import NoCertificate
from absdomain_check import Refused, Unreadable, check
from absdomain_check.ball import Ball
from absdomain_check.bounds import Bounds
from absdomain_check.form import FORMAT, canonical, digest, packed, unpacked
from absdomain_check.network import read_network
from tests.checker.networks import around, box, dense, images, shuffled

SHAPES = {
    "axes": (lambda seed: dense(seed, [3, 8, 8, 2]), 3, 2, 1.0),
    "signs": (lambda seed: dense(seed, [30, 10, 10, 2]), 30, 2, 0.4),
    "max pool": (images, 16, 3, 0.1),
    "average pool": (lambda seed: images(seed, "AveragePool"), 16, 3, 0.1),
    "tanh": (lambda seed: dense(seed, [3, 6, 2], "Tanh"), 3, 2, 0.7),
    "sigmoid": (lambda seed: dense(seed, [3, 6, 2], "Sigmoid"), 3, 2, 0.7),
}  # fmt: skip


def answered(tmp_path: Path, net: bytes, prop: bytes) -> tuple[str, bytes, Writer]:
    """The verdict, and its certificate."""
    files = tmp_path / "net.onnx", tmp_path / "prop.vnnlib"
    for file, data in zip(files, (net, prop), strict=True):
        file.write_bytes(data)
    writer = Writer(net, prop)
    found = verify(*files, records=writer.record)
    if found.verdict == "sat":
        return "sat", writer.sat(found.counterexample["X"].flatten().tolist()), writer
    assert found.verdict == "unsat", found
    return "unsat", writer.unsat(), writer


def made(tmp_path: Path, shape: str, seed: int) -> tuple[bytes, bytes, bytes]:
    build, size, outputs, radius = SHAPES[shape]
    net = build(seed)
    prop = around(net, seed, size, outputs, radius, 0.3)
    verdict, certificate, _ = answered(tmp_path, net, prop)
    assert verdict == "unsat"
    return net, prop, certificate


@pytest.mark.sampled(3)
@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_proved_is_accepted_in_both_grades(tmp_path: Path, shape: str) -> None:
    net, prop, certificate = made(tmp_path, shape, 1)
    for grade in ("ball", "exact"):
        found = check(certificate, net, prop, grade)
        assert found.verdict == "unsat" and found.grade == grade and found.least > 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 12))
@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_proved_of_many_networks_is_accepted(tmp_path: Path, shape: str, seed: int) -> None:
    net, prop, certificate = made(tmp_path, shape, seed)
    assert check(certificate, net, prop).least > 0


def test_several_rows_and_conjunctions(tmp_path: Path) -> None:
    """A conjunction is closed by a sum of its rows, and each of a disjunction by its own tree."""
    net = dense(5, [3, 8, 3])
    low, high = np.full(3, -0.5), np.full(3, 0.5)
    rows = "(or (and (<= Y_0 -2.5) (>= Y_1 -9)) (and (<= (- Y_1 Y_0) -7) (<= Y_2 0.5)) (>= Y_2 6))"
    verdict, certificate, _ = answered(tmp_path, net, box(low, high, 3, rows))
    assert verdict == "unsat" and check(certificate, net, box(low, high, 3, rows)).least > 0


def test_a_point_is_accepted_and_others_are_refused(tmp_path: Path) -> None:
    net = dense(1, [3, 8, 2])
    prop = around(net, 1, 3, 2, 1.0, -0.4)
    verdict, certificate, writer = answered(tmp_path, net, prop)
    assert verdict == "sat" and check(certificate, net, prop).verdict == "sat"
    point = [float.fromhex(v) for v in json.loads(certificate)["point"]]
    for wrong in ([9.0, *point[1:]], point[:2], [float("nan"), *point[1:]]):
        with pytest.raises(NoCertificate):
            writer.sat(wrong)
    centre = [0.0, 0.0, 0.0]
    with pytest.raises(NoCertificate, match="counterexample"):
        Writer(net, box(np.full(3, -1.0), np.full(3, 1.0), 2, "(<= Y_0 -99)")).sat(centre)


@pytest.mark.parametrize("end", ["1e300", "1e999"])
def test_a_point_outside_of_a_box_beyond_float32_is_refused(end: str) -> None:
    """It ended in an OverflowError."""
    net = dense(1, [2, 3, 1])
    prop = box(np.zeros(2), np.ones(2), 1, "(<= Y_0 9)").replace(b"X_0 1.000000000000", f"X_0 {end}".encode())
    files = {name: hashlib.sha256(data).hexdigest() for name, data in (("network", net), ("property", prop))}
    for point, inside in (([0.0, 2.0], False), ([2.0, 1.0], True), ([1e301, 1.0], False)):
        content = {"format": FORMAT, "verdict": "sat", "point": [x.hex() for x in point], **files}
        data = canonical({**content, "digest": digest(content)})
        if inside:
            assert check(data, net, prop).verdict == "sat"
        else:
            with pytest.raises(Refused, match="the point is"):
                check(data, net, prop)


def test_other_files_and_changed_bytes_are_refused(tmp_path: Path) -> None:
    net, prop, certificate = made(tmp_path, "axes", 1)
    for wrong in ((dense(2, [3, 8, 8, 2]), prop), (net, prop + b"\n")):
        with pytest.raises(Refused, match="another"):
            check(certificate, *wrong)
    rng = Random(0)
    for _ in range(50):
        at = rng.randrange(len(certificate))
        with pytest.raises(Refused):
            check(certificate[:at] + bytes([certificate[at] ^ 1]) + certificate[at + 1 :], net, prop)
        with pytest.raises(Refused):
            check(certificate[:at], net, prop)


def changed(certificate: bytes, **case: object) -> bytes:
    """The certificate with other parts of its case, and the digest of these."""
    content = json.loads(certificate)
    content["cases"][0].update(case)
    return canonical({**content, "digest": digest(content)})


def test_refusals_beyond_the_digest(tmp_path: Path) -> None:
    """Each with the digest made again: a dropped leaf, a swapped sign, a bad multiplier, slopes, a cut, a bomb."""
    net, prop, certificate = made(tmp_path, "signs", 1)
    case = json.loads(certificate)["cases"][0]
    tree = unpacked(case["tree"])
    assert tree[:2] == bytes([4, 3]), "EACH, and then a sign"
    wrong = {
        "cut off": tree[:-1],
        "bytes follow": tree + b"\x00",
        "a leaf in the place of all": bytes([4, 0]),
        "an axis that is not there": bytes([1, 99, 0, 0]),
        "an unknown node": bytes([9]),
        "an entry that is not there": bytes([4, 3, 255, 255, 3, 0, 0]),
        "a number without an end": bytes([3, *[255] * 9]),
        "EACH in EACH": bytes([4, 4, 0]),
    }
    for data in wrong.values():
        with pytest.raises(Refused):
            check(changed(certificate, tree=packed(data)), net, prop)
    no_weights, beyond = {"weights": [[[0]]], "tree": packed(bytes([0]))}, packed(bytes([127, 127]))
    bare: dict[str, object] = {"plan": {}, "tree": packed(bytes([4, 0]))}
    others: tuple[dict[str, object], ...] = ({"plan": None}, {"unstable": "!"}, {"weights": [[[-1]]]}, {"tree": 7})
    for parts in (bare, *others, no_weights, {"unstable": beyond}):
        with pytest.raises(Refused):
            check(changed(certificate, **parts), net, prop)
    content = json.loads(certificate)
    for other in ({"cases": []}, {"cases": [1]}, {"verdict": "maybe"}, {"verdict": "sat"}, {"format": "2"}):
        more = {**content, **other}
        with pytest.raises(Refused):
            check(canonical({**more, "digest": digest(more)}), net, prop)


def tampered(tmp_path: Path, shape: str, count: int, seed: int) -> tuple[int, int]:
    """(refused, harmless) of random changes of a tree, with the digest made again.

    Each is also held against a false property, of which whatever is accepted would be a wrong proof: none may be.
    """
    net, prop, certificate = made(tmp_path, shape, seed)
    false = around(net, seed, SHAPES[shape][1], SHAPES[shape][2], SHAPES[shape][3], -0.2)
    content, rng, refused = json.loads(certificate), Random(seed), 0
    fields = ["tree", "tree", "unstable"]
    for _ in range(count):
        name = rng.choice(fields)
        data = shuffled(rng, unpacked(content["cases"][0][name]))
        case = {**content["cases"][0], name: packed(data)}
        for given in (prop, false):
            more = {**content, "cases": [case], "property": hashlib.sha256(given).hexdigest()}
            try:
                found = check(canonical({**more, "digest": digest(more)}), net, given)
            except Refused:
                refused += given is prop
                continue
            assert given is prop and found.least > 0, "a false property was accepted"
    return refused, count - refused


@pytest.mark.sampled(3)
@pytest.mark.figures
@pytest.mark.parametrize("shape", ["axes", "signs", "max pool"])
def test_tampering(tmp_path: Path, shape: str) -> None:
    refused, harmless = tampered(tmp_path, shape, 20, 1)
    assert refused > 5
    print(f"tampering, {shape}: {refused} refused, {harmless} with bounds that hold")


@pytest.mark.slow
@pytest.mark.figures
@pytest.mark.parametrize("shape", ["axes", "signs", "max pool", "tanh", "average pool"])
def test_a_thousand_tamperings(tmp_path: Path, shape: str) -> None:
    counts = [tampered(tmp_path, shape, 100, seed) for seed in (1, 2)]
    print(f"tampering, {shape}: {sum(c[0] for c in counts)} refused, {sum(c[1] for c in counts)} with bounds that hold")


def test_what_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    net, prop, certificate = made(tmp_path, "axes", 1)
    for wrong in ((b"no network", prop), (net, b"(assert (<= Z_0 1))"), (net, b"\x1f\x8b\x08broken")):
        content = json.loads(certificate)
        content["network"], content["property"] = (hashlib.sha256(one).hexdigest() for one in wrong)
        with pytest.raises(Unreadable):
            check(canonical({**content, "digest": digest(content)}), *wrong)


def test_boxes_are_made_once_for_one_question(monkeypatch: pytest.MonkeyPatch) -> None:
    """And anew for another box, plan or slope."""
    net = read_network(dense(3, [2, 6, 6, 2]))
    bounds, plain = Remembered(net), Bounds(net, Ball())
    curves, whole = bounds.curves, (np.full((1, 2), -1.0), np.full((1, 2), 1.0))
    flat = {curves[0]: np.zeros((1, 6))}
    questions: list[tuple[Any, ...]] = [
        (whole,), (whole, curves), ((whole[0], whole[1] / 2), curves), (whole, curves, flat),
        (whole, curves, {curves[0]: np.ones((1, 6))}), (tuple(np.repeat(end, 2, 0) for end in whole), curves),
    ]  # fmt: skip
    for asked in questions:
        for found, first in zip(bounds.boxes(*asked), plain.boxes(*asked), strict=True):
            assert (found[0] == first[0]).all() and (found[1] == first[1]).all()
    last = bounds.boxes(*questions[1])
    monkeypatch.delattr(Bounds, "boxes")
    assert bounds.boxes(*questions[1]) is last
    with pytest.raises(AttributeError):
        bounds.boxes(*questions[2])

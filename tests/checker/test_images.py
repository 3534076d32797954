"""Certificates of images: what holds is accepted and counted; what does not is refused, with all digests made anew."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from absdomain_check import Refused, Unreadable, images
from absdomain_check.ball import Ball
from absdomain_check.bounds import Bounds
from absdomain_check.checking import Walk
from absdomain_check.data import Images, read_images
from absdomain_check.form import packed
from absdomain_check.images import LINES, MANIFEST, NETWORK, Balls, check_images
from absdomain_check.network import read_network
from absdomain_check.weights import compare, read_weights
from tests.checker.networks import dense, shuffled
from tests.checker.pictures import EPS, Content, by_intervals, data_set, labelled, read_set, write_labels, write_set

COUNT = 6


@pytest.fixture
def made(tmp_path: Path) -> tuple[Path, Path, bytes]:
    """(certificates, data, network): images 0 to 2 verified, 3 and 4 falsified, 5 open."""
    net, folder = dense(3, [9, 7, 3]), tmp_path / "run" / "certificates"
    data_set(tmp_path, 1, COUNT)
    labelled(tmp_path, net)
    pictures = read_images("mnist", tmp_path)
    labels = pictures.labels.copy()
    labels[3:5] = (labels[3:5] + 1) % 3  # wrong, so that the images themselves are points
    write_labels(tmp_path, labels.tobytes())
    point = (pictures.pixels[4].reshape(-1) / np.float32(255)).astype("<f4")
    lines: list[Content] = [{"image": i, "case": by_intervals(net)} for i in range(3)]
    lines += [{"image": 3, "point": None}, {"image": 4, "point": {"dtype": "<f4", "data": packed(point.tobytes())}}]
    write_set(folder, net, tmp_path, [*lines, {"image": 5, "none": "time"}])
    return folder, tmp_path, net


@pytest.mark.parametrize("grade", ["ball", "exact"])
def test_what_holds_is_counted(made: tuple[Path, Path, bytes], grade: str) -> None:
    folder, data, _ = made
    found = check_images(folder, data, grade)
    assert (found.count, found.verified, found.falsified, found.grade) == (COUNT, 3, 2, grade)
    assert found.data == "mnist" and found.eps == "0.01" and found.clip == [0.0, 1.0] and 0 < found.least < np.inf


def test_each_image_may_have_its_own_radius(made: tuple[Path, Path, bytes]) -> None:
    folder, data, net = made
    _, lines = read_set(folder)
    write_set(folder, net, data, lines, eps=[0.001, 0.01, 0.002, 0.0, 0.01, 5.0])
    assert check_images(folder, data).eps == "0.0 to 5.0"


def changes() -> dict[str, Callable[[list[Content]], Content | None]]:
    """name -> what happens to the lines; what it gives is a change of the manifest."""

    def case(**parts: Any) -> Callable[[list[Content]], None]:
        return lambda lines: lines[0]["case"].update(parts)

    def line(number: int, **parts: Any) -> Callable[[list[Content]], None]:
        return lambda lines: lines.__setitem__(number, {"image": number, **parts})

    far, nan = (np.full(9, v, "<f4").tobytes() for v in (0.5, np.nan))
    found: dict[str, Callable[[list[Content]], Any]] = {
        "an image is missing": lambda lines: lines.pop(1) and None,
        "an image is there twice": lambda lines: lines.insert(1, dict(lines[1])),
        "the last image is missing": lambda lines: lines.pop() and None,
        "fewer images than lines": lambda lines: {"count": COUNT - 1},
        "images change places": lambda lines: lines.reverse(),
        "a number is another image's": line(1, image=2, none=""),
        "two things are said": line(0, case={}, none=""),
        "nothing is said": line(0),
        "a larger radius": lambda lines: {"eps": 0.5},
        "one radius of many is larger": lambda lines: {"eps": [0.5, *[EPS] * (COUNT - 1)]},
        "a radius too few": lambda lines: {"eps": [EPS] * (COUNT - 1)},
        "a negative radius": lambda lines: {"eps": -EPS},
        "a radius that is no number": lambda lines: {"eps": "0.01"},
        "a range without the images": lambda lines: {"clip": [0.5, 1.0]},
        "another data set": lambda lines: {"data": {"name": "mnist", "digest": "0" * 64}},
        "a wrong image is verified": lambda lines: lines.__setitem__(3, {**lines[0], "image": 3}),
        "a right image is falsified by itself": line(0, point=None),
        "a point outside": line(4, point={"dtype": "<f4", "data": packed(far)}),
        "a point of no numbers": line(4, point={"dtype": "<f4", "data": packed(nan)}),
        "a point cut off": line(4, point={"dtype": "<f4", "data": packed(far[:-4])}),
        "a point of another type": line(4, point={"dtype": "<i4", "data": packed(far)}),
        "rows end nowhere": case(end=99),
        "rows end at a negative node": case(end=-1),
        "rows end at a flag": case(end=True),
        "a slope of 256": case(slopes=256),
        "a cut by rows that end early": case(tree=packed(bytes([2, 0, 0, 0]))),
        "an unknown tree": case(tree=packed(bytes([9]))),
        "no plan": case(plan=None),
    }
    return found


@pytest.mark.parametrize("name", changes())
def test_tampering_is_refused_beyond_the_digests(made: tuple[Path, Path, bytes], name: str) -> None:
    folder, data, net = made
    _, lines = read_set(folder)
    more = changes()[name](lines) or {}
    write_set(folder, net, data, lines[:COUNT], **{"count": COUNT, "data": read_set(folder)[0]["data"], **more})
    with pytest.raises(Refused):
        check_images(folder, data)


def test_no_random_case_verifies_an_image_that_is_falsified(made: tuple[Path, Path, bytes]) -> None:
    """Trees, ends, slopes and plans of all kinds: each is refused, and by nothing else than `Refused`."""
    _, data, net = made
    rng, bounds = Random(0), Bounds(read_network(net), Ball())
    balls = Balls(read_images("mnist", data), [EPS] * COUNT, (0.0, 1.0), 3)
    for _ in range(300):
        case = by_intervals(net) | {
            "tree": packed(shuffled(rng, bytes([rng.choice((0, 1, 2, 3, 4, 5)), 0, 0, 0]))),
            "unstable": packed(bytes(rng.randrange(128) for _ in range(rng.randint(0, 3)))),
            "end": rng.randrange(-1, len(bounds.net.nodes) + 1),
            "slopes": rng.choice((None, 0, 99, 255, 256)),
            "plan": {str(i): None for i in rng.sample(bounds.curves, rng.randint(0, len(bounds.curves)))},
        }
        with pytest.raises(Refused):
            Walk(bounds, balls.unsafe(3), case).run(*balls.ends([3]))


def test_other_files_and_changed_bytes_are_refused(made: tuple[Path, Path, bytes], tmp_path: Path) -> None:
    folder, data, _ = made
    for name in (MANIFEST, LINES, NETWORK):
        whole = (folder / name).read_bytes()
        for at in (0, len(whole) // 2, len(whole) - 1):
            (folder / name).write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
            with pytest.raises(Refused):
                check_images(folder, data)
        (folder / name).write_bytes(whole[:-1])
        with pytest.raises(Refused):
            check_images(folder, data)
        (folder / name).write_bytes(whole)
    _, lines = read_set(folder)
    data_set(tmp_path / "other", 2, COUNT)
    with pytest.raises(Refused, match="data set"):
        check_images(folder, tmp_path / "other")
    data_set(tmp_path / "few", 1, COUNT - 1)
    with pytest.raises(Unreadable, match="5 test images"):
        check_images(folder, tmp_path / "few")
    with pytest.raises(Unreadable, match="svhn"):
        read_images("svhn", tmp_path)
    write_set(folder, dense(4, [9, 7, 3]), data, lines)  # another network, with its own digest
    with pytest.raises(Refused, match="image"):
        check_images(folder, data)


@pytest.mark.parametrize("eps", [0.3, 0.1, 8 / 255, 0.0, 1e-300])
def test_balls_hold_every_point_and_no_more_than_floats_need(eps: float) -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)
    balls = Balls(Images("mnist", pixels, np.zeros(1, np.uint8), 255), [eps], (0.0, 1.0), 2)
    (low, high), (inner_low, inner_high) = balls.ends([0]), balls.ends([0], -1)
    for byte in range(256):
        x = Fraction(float(np.float32(byte) / np.float32(255)))
        least = max(x - max(Fraction(eps), Fraction(repr(eps))), Fraction(0))
        most = min(x + max(Fraction(eps), Fraction(repr(eps))), Fraction(1))
        assert Fraction(low[0, byte]) <= least <= Fraction(inner_low[0, byte])
        assert Fraction(inner_high[0, byte]) <= most <= Fraction(high[0, byte])
        assert np.nextafter(low[0, byte], 2) >= inner_low[0, byte]
        assert np.nextafter(high[0, byte], -1) <= inner_high[0, byte]


MUTANTS = (
    ("balls without a radius", images, "table", lambda eps, *more: own_table(0.0, *more), "a larger radius"),
    ("every point is inside", images, "inside", lambda balls, some, x: np.ones(len(x), bool), "a point outside"),
    ("every point is another class", images, "broken", lambda bounds, balls, some, x: np.ones(len(x), bool),
     "a right image is falsified by itself"),
    ("any leaf is proved", Walk, "open", lambda self, part, low, cutting, place: None, "a wrong image is verified"),
)  # fmt: skip
own_table = images.table


@pytest.mark.parametrize(("name", "where", "what", "mutant", "tampering"), MUTANTS, ids=[name for name, *_ in MUTANTS])
def test_a_mutant_would_let_a_tampering_through(
    made: tuple[Path, Path, bytes], monkeypatch: pytest.MonkeyPatch, name: str, where: Any, what: str, mutant: Any,
    tampering: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(where, what, mutant)
    with pytest.raises(pytest.fail.Exception):
        test_tampering_is_refused_beyond_the_digests(made, tampering)


def safetensors(tensors: dict[str, np.ndarray]) -> bytes:
    head, body = {}, b""
    for name, t in tensors.items():
        head[name] = {"dtype": "F32", "shape": list(t.shape), "data_offsets": [len(body), len(body) + t.nbytes]}
        body += t.tobytes()
    told = json.dumps(head).encode()
    return struct.pack("<Q", len(told)) + told + body


def test_a_network_has_the_weights_of_its_run_and_no_others() -> None:
    net = dense(3, [9, 7, 3])
    rng = np.random.default_rng(3)
    own = {}
    for k, (n, m) in enumerate(((9, 7), (7, 3))):
        own[f"w{k}"] = (rng.standard_normal((n, m)) / np.sqrt(n)).astype(np.float32)
        own[f"b{k}"] = (0.3 * rng.standard_normal(m)).astype(np.float32)
    compare(net, safetensors(own))
    changed = {**own, "w1": np.nextafter(own["w1"], 9, dtype=np.float32)}
    turned = {**own, "w1": own["w1"].reshape(3, 7)}
    for wrong in (changed, turned, {**own, "c": own["b1"]}, {k: v for k, v in own.items() if k != "b1"}):
        with pytest.raises(Refused):
            compare(net, safetensors(wrong))
    for broken in (safetensors(own)[:-1], b"", b"\xff" * 20, safetensors(own)[:30]):
        with pytest.raises(Unreadable):
            read_weights(broken)

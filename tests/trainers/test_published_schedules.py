"""Every preset of a paper has the numbers of that paper: all fields of its recipe are told here a second time."""

from dataclasses import dataclass, replace
from fnmatch import fnmatch
from typing import Any

import pytest

from absdomain.data import counts
from absdomain.registry import find, names
from absdomain.trainers import Recipe, read
from absdomain.trainers.method import lasting
from absdomain.trainers.times import Steps, Time

AUGMENTED: dict[str, Any] = {"flip": True, "crop": 4, "normalise": True}
PURE, NATURAL = {"kappa_start": 0.0, "kappa_end": 0.0}, {"kappa_start": 1.0, "kappa_end": 0.5}
MIX = "mix(deeppoly.guided(by=box), box)"


@dataclass(frozen=True)
class Schedule:
    """Fields of the recipes whose names fit the pattern; `factor` is the training radius in units of the name's."""

    pattern: str
    domain: str
    fields: dict[str, Any]
    factor: float = 1.0

    def recipe(self, name: str, like: Recipe) -> Recipe:
        """What the preset should be, but for its data, network, and options of the trainer."""
        *_, eps = (float(part) for part in _radius(name))
        trained = self.factor * eps
        given: dict[str, Any] = {"eps": trained, "domain": self.domain} | self.fields
        if trained != eps:
            given["eps_eval"] = eps
        return Recipe(data=like.data, network=like.network, trainer=like.trainer, **given)


def _radius(name: str) -> list[float]:
    """The radius that stands behind the data set's name: 0.3 of mnist-0.3-..., 8/255 of cifar10-8-255-..."""
    parts = name.removeprefix("fashion-").split("-")
    return [float(parts[1])] if "." in parts[1] else [int(parts[1]) / int(parts[2])]


def epochs(count: int, warmup: Time, ramp: Time, *milestones: Time, **more: Any) -> dict[str, Any]:
    return {"epochs": count, "warmup": warmup, "ramp": ramp, "milestones": milestones, **more}


ZHANG = epochs(100, 1, 60, 71, 81, 91, batch=256, lr=5e-4, decay=0.5)
FASHION = {"lr": 1e-3}  # fashion-mnist_crown.json
ZHANG_CIFAR10 = epochs(200, 10, 120, 140, 150, 160, 170, 180, 190, batch=128, lr=1e-3, decay=0.5, clip=False)
DM_LARGE = epochs(200, 10, 50, 130, 190, batch=256, lr=5e-4, decay=0.1, beta_end=0.0)
DM_LARGE_01 = DM_LARGE | epochs(100, 3, 17, 25, 42, batch=100, lr=1e-3)  # mnist_dm-large_0.2.json
DM_LARGE_CIFAR10 = epochs(3200, 320, 1600, 2600, 3040, batch=1024, lr=5e-4, decay=0.1, smooth=True)
SMALL, LARGE = (tuple(Steps(1000 * n) for n in steps) for steps in ((2, 10, 15, 25), (5, 50, 60, 90)))
GOWAL = epochs(100, *SMALL, batch=100, lr=1e-3, decay=0.1)
GOWAL_CIFAR10 = epochs(350, *LARGE, batch=50, lr=1e-3, decay=0.1)
GOWAL_LONG = epochs(3200, *LARGE, batch=1600, lr=1e-3, decay=0.1)
BOOPATHY = epochs(100, *SMALL, batch=100, lr=1e-3, decay=0.1, clip=False)
BOOPATHY_CIFAR10 = epochs(350, *LARGE, batch=50, lr=5e-4, decay=0.1, clip=False)
WONG = epochs(60, 0, 20, 30, 40, 50, batch=50, lr=1e-3, decay=0.5, eps_start=0.01, stair=1, validation=1000)
SGD: dict[str, Any] = {"optimiser": "sgd", "momentum": 0.9, "weight_decay": 5e-4, "gradient_norm": 1.0, "clip": False}
WONG_CIFAR10 = WONG | SGD | AUGMENTED | {"lr": 0.05, "eps_start": 0.001 * 0.225}  # of images divided by 0.225
LI = WONG | epochs(200, 0, 40, *range(60, 200, 20), stair=2, clip=False)  # one epoch of two trains one of the pair
LI_CIFAR10 = LI | SGD | AUGMENTED | {"eps_start": 0.01 * 0.225}
FAN = epochs(250, 50, 50, 150, 200, batch=256, lr=5e-4, decay=0.25, smooth=True, beta_end=0.0)
FAN_CIFAR10 = FAN | epochs(3200, 810, 1000, 2200, 2700, decay=0.1) | AUGMENTED

SCHEDULES = (
    Schedule("mnist-*-crown-ibp-[A-T]", MIX, ZHANG | PURE | {"beta_end": 0.0}),
    Schedule("mnist-*-pure-ibp-[A-T]", "box", ZHANG | PURE),
    Schedule("mnist-*-natural-ibp-[A-T]", "box", ZHANG | NATURAL),
    Schedule("fashion-*-crown-ibp-[A-T]", MIX, ZHANG | FASHION | PURE | {"beta_end": 0.0}),
    Schedule("fashion-*-pure-ibp-[A-T]", "box", ZHANG | FASHION | PURE),
    Schedule("fashion-*-natural-ibp-[A-T]", "box", ZHANG | FASHION | NATURAL),
    Schedule("cifar10-*-crown-ibp-[A-T]", MIX, ZHANG_CIFAR10 | AUGMENTED | PURE | {"beta_end": 0.0}),
    Schedule("cifar10-*-pure-ibp-[A-T]", "box", ZHANG_CIFAR10 | AUGMENTED | PURE),
    Schedule("cifar10-*-natural-ibp-[A-T]", "box", ZHANG_CIFAR10 | AUGMENTED | NATURAL),
    Schedule("mnist-0.1-crown-ibp-dm-large", MIX, DM_LARGE_01 | NATURAL, 2.0),
    Schedule("mnist-0.4-crown-ibp-dm-large", MIX, DM_LARGE | NATURAL),
    Schedule("cifar10-2-255-crown-ibp-dm-large", MIX, DM_LARGE_CIFAR10 | AUGMENTED | PURE | {"beta_end": 1.0}, 1.1),
    Schedule("cifar10-8-255-crown-ibp-dm-large", MIX, DM_LARGE_CIFAR10 | AUGMENTED | PURE | {"beta_end": 0.0}, 1.1),
    Schedule("cifar10-16-255-crown-ibp-dm-large", MIX, DM_LARGE_CIFAR10 | AUGMENTED | PURE | {"beta_end": 0.0}, 1.1),
    Schedule("mnist-0.1-ibp-gowal-*", "box", GOWAL | NATURAL, 2.0),
    Schedule("mnist-0.[34]-ibp-gowal-*", "box", GOWAL | NATURAL),
    Schedule("cifar10-*-ibp-gowal-*", "box", GOWAL_CIFAR10 | AUGMENTED | NATURAL, 1.1),
    Schedule("cifar10-*-ibp-long-gowal-*", "box", GOWAL_LONG | AUGMENTED | NATURAL, 1.1),
    Schedule("mnist-*-singleprop-zero-*", "symbolic_gap", BOOPATHY | NATURAL),
    Schedule("mnist-*-ibp-adaptive-[sm]*", "box", BOOPATHY | NATURAL | {"clip": True, "lr": 2e-3}),  # train_ibp.sh
    Schedule("mnist-*-ibp-adaptive-wide", "box", BOOPATHY | NATURAL | {"clip": True}),
    Schedule(
        "cifar10-*-singleprop-fastlin-*", "symbolic_gap(slopes=parallel)",
        BOOPATHY_CIFAR10 | NATURAL | {"normalise": True},
    ),
    Schedule("cifar10-*-ibp-adaptive-*", "box", BOOPATHY_CIFAR10 | NATURAL | AUGMENTED | {"clip": True}, 1.1),
    Schedule("mnist-*-wong-kolter-*", "dual(projections=50)", WONG | PURE),
    Schedule("cifar10-*-wong-kolter-*", "dual(projections=50)", WONG_CIFAR10 | PURE),
    Schedule("mnist-*-robustra-small", "dual", LI | PURE),
    Schedule("mnist-*-robustra-large", "dual(projections=50)", LI | PURE),
    Schedule("cifar10-*-robustra-small", "dual", LI_CIFAR10 | PURE),
    Schedule("cifar10-*-robustra-[lr]*", "dual(projections=50)", LI_CIFAR10 | PURE),
    Schedule("mnist-0.1-advibp-*", "box", FAN | PURE, 2.0),
    Schedule("mnist-0.4-advibp-*", "box", FAN | PURE),
    Schedule("mnist-0.1-advcrown-ibp-*", MIX, FAN | PURE, 2.0),
    Schedule("mnist-0.4-advcrown-ibp-*", MIX, FAN | PURE),
    Schedule("cifar10-[28]-255-advibp-*", "box", FAN_CIFAR10 | PURE, 1.1),
    Schedule("cifar10-16-255-advibp-*", "box", FAN_CIFAR10 | PURE | {"warmup": 410.0, "ramp": 1400.0}, 1.1),
)  # fmt: skip
OTHERS = ("digits-demo", "mnist-natural-B", "svhn-0.01-ibp-long-gowal-large")


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", [name for name in names("presets") if name not in OTHERS])
def test_a_preset_is_the_papers(name: str) -> None:
    found: Recipe = find("presets", name)  # type: ignore[assignment]
    (schedule,) = (schedule for schedule in SCHEDULES if fnmatch(name, schedule.pattern))
    expected = schedule.recipe(name, found)
    for field, value in expected.to_json().items():
        ours = found.to_json()[field]
        assert ours == (pytest.approx(value, rel=1e-12) if numeric(value) else value), field
    assert replace(found, eps=expected.eps, eps_eval=expected.eps_eval).certified_eps == pytest.approx(_radius(name)[0])


def numeric(value: Any) -> bool:
    """A float, or a list without words: times in steps are words."""
    return isinstance(value, float) or (isinstance(value, list) and not any(isinstance(v, str) for v in value))


# What AdvIBP's own options are: natural epochs, how long c_t stays after the ramp, its fall, and its first value, which
# is 256 times that of the released code's batches.
ADVIBP = {
    "mnist-0.1-": (10, 10, 50, 256e-5),
    "mnist-0.4-": (10, 10, 50, 256e-4),
    "cifar10-2-": (400, 20, 280, 256e-5),
    "cifar10-8-": (400, 20, 280, 256e-4),
    "cifar10-16-": (200, 20, 280, 256e-4),
}


@pytest.mark.parametrize("name", [name for name in names("presets") if "-adv" in name])
def test_advibps_own_phases_are_the_papers(name: str) -> None:
    recipe: Recipe = find("presets", name)  # type: ignore[assignment]
    own = read(recipe.trainer).settings
    (expected,) = (numbers for start, numbers in ADVIBP.items() if name.startswith(start))
    assert (own.natural, own.hold, own.decay, own.fosc) == pytest.approx(expected)
    assert (own.beta1, own.beta2, own.strength, own.always_square) == (0.9, 0.99, 1.0, False)


def test_other_options_of_the_presets_are_the_methods_own() -> None:
    texts = {name: find("presets", name).trainer for name in names("presets") if "-adv" not in name}  # type: ignore[attr-defined]
    own = {name: text.partition("(")[2] for name, text in texts.items() if "(" in text}
    start = {name for name in names("presets") if fnmatch(name, "cifar10-*-wong-kolter-[sr]*")}
    start |= {name for name in names("presets") if fnmatch(name, "cifar10-*-robustra-[sr]*")}
    weighed = {name for name in names("presets") if "ibp-adaptive" in name}
    assert own == dict.fromkeys(start, "initialisation=fan_out)") | dict.fromkeys(weighed, "weight=adaptive)")


SMOOTH = [name for name in names("presets") if not find("presets", name).stair]  # type: ignore[attr-defined]


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", SMOOTH)
def test_a_compressed_preset_is_at_the_same_place_at_the_same_share_of_its_time(name: str) -> None:
    whole: Recipe = find("presets", name)  # type: ignore[assignment]
    short = lasting(whole, 10)
    phases = {"epochs", "warmup", "ramp", "milestones", "trainer"}
    assert {field for field, value in short.to_json().items() if value != whole.to_json()[field]} <= phases
    steps = isinstance(whole.warmup, Steps)  # which fill a training of real epochs, and round the ends of phases there
    per_epoch, rounding = (counts(whole.data)["train"] // whole.batch, 5e-3) if steps else (10_000, 2e-4)
    for share in range(40):
        step = (2 * share + 1) * 10 * per_epoch // 80
        late = step * whole.epochs // 10
        assert short.at(step, per_epoch) == pytest.approx(whole.at(late, per_epoch), abs=rounding)
        rates = [recipe.learning_rate(per_epoch)(at) for recipe, at in ((short, step), (whole, late))]
        assert rates[0] == rates[1]


def test_phases_of_options_and_stairs_are_compressed_too() -> None:
    short = lasting(find("presets", "cifar10-16-255-advibp-dm-small"), 320)  # type: ignore[arg-type]
    own = read(short.trainer).settings
    assert (own.natural, own.hold, own.decay, short.warmup, short.ramp) == pytest.approx((20, 2, 28, 41, 140))
    pair = lasting(find("presets", "mnist-0.3-robustra-small"), 20)  # type: ignore[arg-type]
    assert [pair.at(epoch, 1).eps for epoch in range(6)] == pytest.approx([0.01, 0.01, 0.3, 0.3, 0.3, 0.3])
    wong = lasting(find("presets", "mnist-0.1-wong-kolter-small"), 12)  # type: ignore[arg-type]
    assert [wong.at(epoch, 1).eps for epoch in range(5)] == pytest.approx([0.01, 0.04, 0.07, 0.1, 0.1])

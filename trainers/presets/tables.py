"""What Gowal et al. (IBP), Boopathy et al. (SingleProp) and Li et al. (Robustra) publish."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from absdomain.trainers.presets.result import Result, named

NO_SVHN = "SVHN is not among the data sets"
NO_IMAGENET = "ImageNet is not among the data sets; the network is wrn-10-10"


def gowal() -> Iterator[Result]:
    """Gowal et al. 2019: tables 2 to 6. Those verified by MIP first, then the ablation, by IBP."""
    paper = "Gowal et al. 2019"
    best = (("0.1", "medium", 1.06, 2.23), ("0.2", "large", 1.66, 4.48), ("0.3", "large", 1.66, 8.05))
    for eps, size, clean, verified in (*best, ("0.4", "large", 1.66, 14.88)):  # at 0.1 the released one is medium
        preset = f"mnist-{'0.1' if eps == '0.1' else '0.4'}-ibp-gowal-{size}"
        remark = "MIP cascade; large has 200 units in the released network" if size == "large" else "MIP cascade"
        yield Result(paper, "table 4", "mnist", eps, "ibp", f"gowal-{size}", clean, (verified,), preset, remark=remark)
    sizes = ("small", "medium", "large")
    figures = {"2/255": ((39.54, 56.43), (37.28, 54.78), (29.84, 49.98))}
    figures["8/255"] = ((61.63, 72.93), (58.23, 72.33), (50.51, 67.96))
    for eps, errors in figures.items():
        for size, (clean, verified) in zip(sizes, errors, strict=True):
            preset = f"{named('cifar10', eps)}-ibp-long-gowal-{size}"
            row = Result(paper, "table 6", "cifar10", eps, "ibp", f"gowal-{size}", clean, (verified,), preset)
            yield replace(row, remark="MIP cascade")
    for data, eps, error, preset in (
        ("mnist", "0.1", 2.92, "mnist-0.1-ibp-gowal-medium"), ("mnist", "0.2", 4.53, "mnist-0.4-ibp-gowal-large"),
        ("mnist", "0.3", 8.21, "mnist-0.4-ibp-gowal-large"), ("mnist", "0.4", 15.01, "mnist-0.4-ibp-gowal-large"),
        ("cifar10", "2/255", 55.88, "cifar10-2-255-ibp-long-gowal-large"),
        ("cifar10", "8/255", 68.44, "cifar10-8-255-ibp-long-gowal-large"),
    ):  # fmt: skip
        network = f"gowal-{preset.split('-')[-1]}"
        yield Result(paper, "table 3", data, eps, "ibp", network, None, (error,), preset, remark="by IBP")
    yield Result(
        paper, "public code", "cifar10", "8/255", "ibp", "gowal-large", None, (71.70,), "cifar10-8-255-ibp-gowal-large",
        remark="350 epochs, by IBP",
    )  # fmt: skip
    yield Result(paper, "table 4", "svhn", "0.01", "ibp", "gowal-large", 14.82, (37.60,)).without(NO_SVHN)
    yield Result(paper, "table 2", "imagenet", "1/255", "ibp", "wrn-10-10", 84.04, (93.87,)).without(NO_IMAGENET)
    losses = ("ibp(loss=softplus, elision=False)", "ibp(loss=softplus)", "ibp(elision=False)", "ibp")
    ablation = ((30.09, 26.21, 25.67, 24.94), (20.24, 19.96, 18.10, 18.02), (18.32, 18.03, 16.39, 16.33))
    for size, medians in zip(sizes, ablation, strict=True):
        for trainer, median in zip(losses, medians, strict=True):
            preset, options = f"mnist-0.4-ibp-gowal-{size}", (("trainer", trainer),)
            row = Result(paper, "table 5", "mnist", "0.4", trainer, f"gowal-{size}", None, (median,), preset, options)
            yield replace(row, remark="median of 10 runs, by IBP")
    yield Result(
        paper, "appendix C", "mnist", "0.4", "ibp", "gowal-small", None, (), "mnist-0.4-ibp-gowal-small",
        (("warmup", 0.0), ("ramp", 0.0), ("kappa_start", 0.5)), "without schedules it fails: 11.35% accuracy",
    )  # fmt: skip


def boopathy() -> Iterator[Result]:
    """Boopathy et al. 2021 (SingleProp): table 1, certified by IBP at the training radius."""
    paper, place, at = "Boopathy et al. 2021", "table 1", ("mnist", "0.3")
    rows = (
        (*at, "singleprop-zero", "small", 5.29, 17.07), (*at, "ibp-adaptive", "small", 3.79, 15.18),
        (*at, "singleprop-zero", "medium", 2.55, 13.95), (*at, "ibp-adaptive", "medium", 2.83, 11.37),
        (*at, "singleprop-zero", "wide", 2.99, 12.41), (*at, "ibp-adaptive", "wide", 1.48, 10.65),
        ("cifar10", "8/255", "singleprop-fastlin", "small", 62.21, 75.49),
        ("cifar10", "8/255", "ibp-adaptive", "small", 63.54, 74.01),
        ("cifar10", "8/255", "singleprop-fastlin", "large", 55.64, 78.06),
        ("cifar10", "8/255", "ibp-adaptive", "large", 53.20, 74.32),
    )  # fmt: skip
    for data, eps, method, size, clean, verified in rows:
        preset = f"{named(data, eps)}-{method}-{size}"
        yield Result(paper, place, data, eps, method, size, clean, (verified,), preset)
    for method, size, clean in (("natural", "small", 0.91), ("pgd", "small", 0.86), ("trades", "small", 0.91),
                                ("natural", "wide", 0.72), ("pgd", "wide", 0.60)):  # fmt: skip
        row = Result(paper, place, *at, method, size, clean, (100.0,))
        yield row.without(f"nothing is certified; --trainer {method} --network singleprop-{size} trains it")


def li() -> Iterator[Result]:
    """Li et al. 2019 (Robustra): table 2, by the LP bound."""
    rows = (
        ("mnist", "0.1", "small", (1.26, 4.48), (1.01, 4.84)), ("mnist", "0.1", "large", (1.08, 3.67), (0.83, 3.93)),
        ("mnist", "0.3", "small", (11.40, 43.10), (7.37, 31.42)),
        ("mnist", "0.3", "large", (11.16, 45.66), (11.61, 34.59)),
        ("cifar10", "2/255", "small", (38.91, 52.75), (36.03, 51.47)),
        ("cifar10", "2/255", "large", (31.28, 46.59), (28.48, 43.68)),
        ("cifar10", "2/255", "resnet", (31.72, 46.11), (29.51, 44.43)),
        ("cifar10", "8/255", "small", (72.24, 79.25), (66.34, 76.29)),
        ("cifar10", "8/255", "large", (80.56, 83.43), (71.79, 78.32)),
        ("cifar10", "8/255", "resnet", (71.33, 78.22), (72.10, 79.57)),
    )  # fmt: skip
    for data, eps, size, *errors in rows:
        for method, (clean, verified) in zip(("wong-kolter", "robustra"), errors, strict=True):
            preset = f"{named(data, eps)}-{method}-{size}"
            yield Result("Li et al. 2019", "table 2", data, eps, method, f"wong-{size}", clean, (verified,), preset)

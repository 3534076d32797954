"""What Gowal et al. (IBP), Boopathy et al. (SingleProp) and Li et al. (Robustra) publish."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from absdomain.trainers.presets.result import Result, named

NO_IMAGENET = "ImageNet is not among the data sets; the network is wrn-10-10"
# Gowal et al.'s own baselines, table 4: clean and PGD error, and that verified by MIP, of the best of the three sizes.
BASELINES: dict[tuple[str, str], dict[str, tuple[float | None, float, float | None]]] = {
    ("mnist", "0.1"): {"natural": (0.65, 27.72, None), "pgd": (0.59, 1.34, None), "wong-kolter": (1.08, 2.89, 3.01)},
    ("mnist", "0.2"): {"natural": (0.65, 99.57, None), "pgd": (0.70, 2.39, None), "wong-kolter": (3.22, 6.93, 7.27)},
    ("mnist", "0.3"): {"natural": (0.65, 99.63, None), "pgd": (0.70, 3.73, None), "wong-kolter": (13.52, 26.16, 26.92)},
    ("mnist", "0.4"): {"natural": (0.65, 99.64, None), "pgd": (0.70, 5.52, None)},
    ("cifar10", "2/255"): {
        "natural": (16.66, 87.24, None), "pgd": (15.54, 42.01, None), "wong-kolter": (36.01, 45.11, 49.96)
    },
    ("cifar10", "8/255"): {
        "natural": (16.66, 100.0, 100.0), "pgd": (20.33, 75.95, None), "wong-kolter": (71.03, 78.14, 79.21)
    },
    ("svhn", "0.01"): {
        "natural": (None, 94.14, None), "pgd": (6.18, 29.06, None), "wong-kolter": (18.10, 32.41, 37.96)
    },
    ("imagenet", "1/255"): {"natural": (48.84, 100.0, None), "pgd": (51.52, 70.03, None)},
}  # fmt: skip


def gowal() -> Iterator[Result]:
    """Gowal et al. 2019: tables 2 to 6. Those verified by MIP first, then the ablation, by IBP."""
    paper = "Gowal et al. 2019"
    best = (("0.1", "medium", 1.06, 2.11, 2.23), ("0.2", "large", 1.66, 3.90, 4.48), ("0.3", "large", 1.66, 6.12, 8.05))
    for eps, size, clean, pgd, verified in (*best, ("0.4", "large", 1.66, 10.34, 14.88)):  # released at 0.1: medium
        preset = f"mnist-{'0.1' if eps == '0.1' else '0.4'}-ibp-gowal-{size}"
        remark = "MIP cascade; large has 200 units in the released network" if size == "large" else "MIP cascade"
        row = Result(paper, "table 4", "mnist", eps, "ibp", f"gowal-{size}", clean, (verified,), preset)
        yield replace(row, remark=remark, pgd=pgd)
    sizes = ("small", "medium", "large")
    figures = {"2/255": ((39.54, 53.95, 56.43), (37.28, 51.73, 54.78), (29.84, 45.09, 49.98))}
    figures["8/255"] = ((61.63, 70.42, 72.93), (58.23, 69.72, 72.33), (50.51, 65.23, 67.96))
    for eps, errors in figures.items():
        for size, (clean, pgd, verified) in zip(sizes, errors, strict=True):
            preset = f"{named('cifar10', eps)}-ibp-long-gowal-{size}"
            row = Result(paper, "table 6", "cifar10", eps, "ibp", f"gowal-{size}", clean, (verified,), preset)
            yield replace(row, remark="MIP cascade", pgd=pgd)
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
    svhn = ("svhn", "0.01", "ibp", "gowal-large")
    preset = "svhn-0.01-ibp-long-gowal-large"
    yield Result(paper, "table 4", *svhn, 14.82, (37.60,), preset, remark="MIP cascade", pgd=32.46)
    yield Result(paper, "table 3", *svhn, None, (39.35,), preset, remark="by IBP")
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


def baselines() -> Iterator[Result]:
    """What Gowal et al. 2019 trained beside IBP; the size of the network is not told."""
    for (data, eps), methods in BASELINES.items():
        for method, (clean, pgd, verified) in methods.items():
            network = "wrn-10-10" if data == "imagenet" else "gowal"
            row = Result(
                "Gowal et al. 2019", "table 4", data, eps, method, network, clean, (verified,) if verified else ()
            )
            reason = f"which size is not said; --trainer {method} --network gowal-large trains the largest"
            yield replace(row, pgd=pgd).without(NO_IMAGENET if data == "imagenet" else reason)


ACCURACIES = {  # Boopathy et al., table 1: clean, and certified by IBP at the radii; the last one is that of training
    ("mnist", ("0.05", "0.1", "0.2", "0.3")): {
        ("ibp-adaptive", "small"): (96.21, 95.37, 94.35, 90.93, 84.82),
        ("singleprop-zero", "small"): (94.71, 93.70, 92.47, 88.96, 82.93),
        ("ibp-adaptive", "medium"): (97.17, 96.49, 95.59, 93.09, 88.63),
        ("singleprop-zero", "medium"): (97.45, 96.55, 95.46, 92.40, 86.05),
        ("ibp-adaptive", "wide"): (98.52, 98.12, 97.36, 94.93, 89.35),
        ("singleprop-zero", "wide"): (97.01, 96.27, 95.32, 92.85, 87.59),
    },
    ("cifar10", ("2/255", "5/255", "7/255", "8/255")): {
        ("ibp-adaptive", "small"): (36.46, 33.70, 29.64, 27.14, 25.99),
        ("singleprop-fastlin", "small"): (37.79, 34.39, 29.01, 26.04, 24.51),
        ("ibp-adaptive", "large"): (46.80, 41.15, 33.16, 28.04, 25.68),
        ("singleprop-fastlin", "large"): (44.36, 37.79, 29.51, 24.28, 21.94),
    },
}


def boopathy() -> Iterator[Result]:
    """Boopathy et al. 2021 (SingleProp): table 1, certified by IBP."""
    paper, place, at = "Boopathy et al. 2021", "table 1", ("mnist", "0.3")
    for (data, radii), networks in ACCURACIES.items():
        for (method, size), (accuracy, *certified) in networks.items():
            preset, clean = f"{named(data, radii[-1])}-{method}-{size}", round(100 - accuracy, 2)
            for eps, share in zip(radii, certified, strict=True):
                yield Result(paper, place, data, eps, method, size, clean, (round(100 - share, 2),), preset)
    for method, size, clean in (("natural", "small", 0.91), ("pgd", "small", 0.86), ("trades", "small", 0.91),
                                ("natural", "wide", 0.72), ("pgd", "wide", 0.60)):  # fmt: skip
        row = Result(paper, place, *at, method, size, clean, (100.0,))
        yield row.without(f"nothing is certified; --trainer {method} --network singleprop-{size} trains it")


def li() -> Iterator[Result]:
    """Li et al. 2019 (Robustra): table 2, by the LP bound, and by MILP where that was solved.

    The figures of Wong-Kolter are those that it quotes from others. On MNIST its MILP clips pixels, its LP does not.
    """
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
    exact = (
        (4.38, 2.55), (2.74, 2.09), (25.79, 16.91), (24.19, 24.43),
        (50.20, 47.93), (None, None), (None, None), (None, 74.87), (None, 77.56), (77.60, 78.10),
    )  # fmt: skip
    for (data, eps, size, *errors), solved in zip(rows, exact, strict=True):
        for method, (clean, verified), milp in zip(("wong-kolter", "robustra"), errors, solved, strict=True):
            preset = f"{named(data, eps)}-{method}-{size}"
            row = Result("Li et al. 2019", "table 2", data, eps, method, f"wong-{size}", clean, (verified,), preset)
            yield row
            if milp is not None:
                yield replace(row, place="table 2, MILP", verified=(milp,), remark="by MILP")

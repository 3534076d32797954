"""What Zhang et al. (CROWN-IBP) and Fan and Li (AdvIBP) publish; the two compare with each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from absdomain.trainers.presets.result import Result, named

ZHANG, FAN = "Zhang et al. 2020", "Fan and Li 2021"
# { (data, eps): best, median and worst verified error of small and of large networks }, by method: table 2
STATISTICS = {
    ("mnist", "0.1"): (
        ((4.79, 5.74, 7.32), (4.87, 5.72, 7.24), (5.24, 5.95, 7.36), (4.21, 5.18, 6.8)),
        ((5.9, 6.25, 7.82), (5.77, 6.3, 7.5), (6.05, 6.4, 7.7), (5.22, 5.63, 6.34)),
    ),
    ("mnist", "0.2"): (
        ((6.9, 8.24, 12.67), (6.84, 8.16, 12.92), (7.31, 8.71, 13.54), (6.11, 7.29, 11.97)),
        ((7.56, 8.6, 9.8), (8.26, 8.72, 9.84), (8.42, 8.9, 10.09), (6.06, 6.42, 7.64)),
    ),
    ("mnist", "0.3"): (
        ((10.54, 12.02, 20.47), (9.96, 12.09, 21.0), (10.37, 12.78, 21.99), (8.87, 11.29, 16.83)),
        ((10.43, 10.83, 11.99), (10.74, 11.73, 12.16), (11.23, 11.71, 12.4), (7.46, 8.47, 8.57)),
    ),
    ("mnist", "0.4"): (
        ((16.72, 18.89, 37.42), (16.1, 18.75, 35.3), (16.54, 19.14, 35.42), (15.38, 18.57, 24.56)),
        ((15.17, 16.54, 18.98), (15.63, 16.06, 17.11), (15.74, 16.42, 17.98), (12.96, 13.43, 14.25)),
    ),
    ("fashion-mnist", "0.1"): (
        ((22.91, 23.92, 25.70), (22.34, 23.72, 25.43), (23.44, 24.62, 26.21), (22.00, 23.43, 25.87)),
        ((22.37, 23.01, 23.73), (22.07, 23.74, 25.56), (23.87, 25.47, 27.19), (21.27, 21.71, 22.43)),
    ),
    ("cifar10", "2/255"): (
        ((54.69, 57.84, 60.58), (54.56, 58.42, 60.69), (56.89, 60.66, 63.58), (52.46, 57.55, 60.67)),
        ((55.47, 56.41, 58.54), (55.51, 56.74, 57.85), (57.05, 59.7, 60.25), (52.52, 53.9, 56.05)),
    ),
    ("cifar10", "8/255"): (
        ((72.07, 73.34, 73.88), (72.42, 72.57, 73.49), (73.88, 75.16, 76.93), (71.28, 72.15, 73.66)),
        ((72.75, 73.23, 73.82), (72.18, 72.83, 74.38), (74.84, 75.59, 77.93), (70.79, 71.17, 72.29)),
    ),
}
RUNS = {  # clean and verified error of models A to J: table 5
    "0.1": (
        (2.57, 6.85), (1.45, 4.88), (3.02, 6.67), (1.77, 5.10), (2.13, 4.82),
        (1.35, 4.18), (2.03, 5.23), (1.32, 4.59), (1.77, 5.92), (1.45, 5.40),
    ),
    "0.2": (
        (3.87, 12.0), (2.43, 6.99), (4.40, 10.3), (2.32, 7.37), (3.45, 9.01),
        (1.90, 6.05), (2.67, 7.50), (2.00, 6.45), (2.22, 7.50), (1.65, 6.31),
    ),
    "0.3": (
        (5.97, 15.4), (3.20, 10.6), (6.78, 16.1), (3.70, 11.3), (3.85, 11.7),
        (3.10, 9.96), (4.20, 12.2), (2.85, 9.90), (3.67, 11.2), (2.35, 9.21),
    ),
    "0.4": (
        (8.43, 24.6), (4.93, 18.5), (8.53, 24.6), (5.83, 19.2), (5.48, 18.8),
        (4.65, 17.3), (6.80, 20.4), (4.28, 16.3), (5.60, 18.5), (3.60, 15.2),
    ),
}  # fmt: skip
PRESETS = {"0.1": "BF", "0.2": "B", "0.3": "ABFJ", "0.4": "B"}  # the models of these with a preset of their own
METHODS = (("pure-ibp", ()), ("natural-ibp", (("kappa_end", 0.0),)), ("natural-ibp", ()), ("crown-ibp", ()))
FAMILIES = (("small", "A to J"), ("large", "K to T"))


def zhang() -> Iterator[Result]:
    """Zhang et al. 2020: tables 1 to 3 and 5. Table 6 has costs, which benchmarks measure."""
    for (data, eps), families in STATISTICS.items():
        for (family, models), errors in zip(FAMILIES, families, strict=True):
            for (method, options), verified in zip(METHODS, errors, strict=True):
                remark = f"best, median and worst of models {models} that the data set has: --network crown-ibp-..."
                preset = f"{named(data, eps)}-{method}-B"
                yield Result(ZHANG, "table 2", data, eps, method, family, None, verified, preset, options, remark)
    by_ibp = (("mnist", "0.1", 5.83), ("mnist", "0.2", 7.37), ("mnist", "0.3", 10.68), ("mnist", "0.4", 16.76))
    others = (("fashion-mnist", "0.1", 23.49), ("cifar10", "2/255", 58.75), ("cifar10", "8/255", 73.34))
    for data, eps, error in (*by_ibp, *others):
        preset = f"{named(data, eps)}-pure-ibp-B"
        yield Result(ZHANG, "table 1", data, eps, "pure-ibp", "crown-ibp-B", None, (error,), preset)
    for model, eps, plain, regular in (
        ("P", "0.1", (1.05, 5.63), (1.30, 3.60)), ("O", "0.1", (0.82, 6.02), (1.43, 4.02)),
        ("P", "0.2", (1.09, 6.06), (1.48, 5.48)), ("O", "0.2", (1.22, 6.64), (1.69, 5.72)),
    ):  # fmt: skip
        for l1, (clean, least) in ((0.0, plain), (5e-5, regular)):
            network, preset = f"crown-ibp-{model}", f"mnist-{eps}-crown-ibp-{model}"
            yield Result(ZHANG, "table 3", "mnist", eps, "crown-ibp", network, clean, (least,), preset, (("l1", l1),))
    yield from runs()


def runs() -> Iterator[Result]:
    """Table 5 of Zhang et al.: means of 5 runs of CROWN-IBP on MNIST."""
    for eps, models in RUNS.items():
        for model, (clean, mean) in zip("ABCDEFGHIJ", models, strict=True):
            network, own = f"crown-ibp-{model}", model in PRESETS[eps]
            preset, options = f"mnist-{eps}-crown-ibp-{model if own else 'B'}", () if own else (("network", network),)
            row = Result(ZHANG, "table 5", "mnist", eps, "crown-ibp", network, clean, (mean,), preset, options)
            yield replace(row, remark="mean of 5 runs")


SIZES = ("small", "medium", "large")
MNIST = {  # (clean, verified, PGD) of DM-Small, DM-Medium and DM-Large: table 4
    "0.1": {
        "crown-ibp": ((1.67, 3.44, 3.09), (1.14, 2.64, 2.23), (0.97, 2.25, 1.81)),
        "advibp": ((1.63, 3.69, 2.70), (1.41, 3.24, 2.26), (1.03, 2.28, 1.53)),
        "advcrown-ibp": ((1.52, 3.19, 2.39), (1.23, 2.88, 2.18), (1.22, 2.19, 1.57)),
    },
    "0.2": {
        "crown-ibp": ((2.96, 6.11, 5.74), (2.37, 5.35, 4.90), (1.62, 3.87, 3.81)),
        "advibp": ((4.15, 7.68, 5.81), (2.33, 5.37, 3.54), (1.58, 4.70, 2.59)),
        "advcrown-ibp": ((3.22, 6.02, 4.50), (2.45, 5.16, 3.27), (1.51, 3.87, 1.98)),
    },
    "0.3": {
        "crown-ibp": ((3.55, 9.40, 8.50), (2.37, 8.54, 7.74), (1.62, 6.68, 5.85)),
        "advibp": ((4.15, 10.80, 6.83), (2.33, 8.73, 4.35), (1.58, 8.23, 3.17)),
        "advcrown-ibp": ((3.22, 9.03, 5.42), (2.45, 8.31, 3.81), (1.90, 6.60, 2.87)),
    },
    "0.4": {
        "crown-ibp": ((3.78, 15.21, 13.34), (3.16, 14.19, 11.31), (1.62, 12.46, 9.47)),
        "advibp": ((4.15, 17.57, 8.48), (2.72, 16.18, 5.58), (1.88, 16.57, 3.23)),
        "advcrown-ibp": ((3.22, 14.42, 6.69), (2.98, 13.88, 6.38), (1.90, 12.30, 3.46)),
    },
}
CIFAR10 = {  # table 2
    "2/255": {
        "crown-ibp": ((38.15, 52.57, 50.35), (32.78, 49.57, 44.22), (28.48, 46.03, 40.28)),
        "advibp": ((42.33, 56.00, 50.08), (35.36, 52.27, 43.75), (40.61, 51.66, 46.97)),
    },
    "8/255": {
        "crown-ibp": ((59.94, 70.76, 69.65), (58.19, 68.94, 67.72), (54.02, 66.94, 65.42)),
        "advibp": ((57.88, 70.31, 66.52), (54.20, 68.21, 61.21), (52.86, 66.57, 61.66)),
    },
    "16/255": {
        "crown-ibp": ((67.42, 78.41, 76.86), (67.94, 78.46, 77.21), (66.06, 76.80, 75.23)),
        "advibp": ((67.32, 78.12, 73.44), (66.26, 77.79, 73.52), (64.40, 76.05, 71.78)),
    },
}
MODELS = {  # best, median and worst of many networks: table 3
    ("mnist", "0.2"): {"crown-ibp": (4.81, 6.33, 8.82), "advibp": (4.76, 6.13, 8.52)},
    ("mnist", "0.3"): {"crown-ibp": (7.19, 9.12, 11.58), "advibp": (7.21, 8.86, 11.32)},
    ("cifar10", "8/255"): {"crown-ibp": (69.02, 71.32, 72.40), "advibp": (68.50, 69.36, 71.40)},
}


def fan() -> Iterator[Result]:
    """Fan and Li 2021: tables 2 to 4 and figure 2. CROWN-IBP's rows are those of its ICLR version."""
    for place, data, table in (("table 4", "mnist", MNIST), ("table 2", "cifar10", CIFAR10)):
        for eps, methods in table.items():
            trained = "0.4" if eps in ("0.2", "0.3") else eps
            for method, errors in methods.items():
                for size, (clean, verified, pgd) in zip(SIZES, errors, strict=True):
                    large = f"{named(data, trained)}-{method}-dm-large"
                    preset, network = f"{large.removesuffix('large')}{size}", f"dm-{size}"
                    row = Result(FAN, place, data, eps, method, network, clean, (verified,), preset, pgd=pgd)
                    if method == "crown-ibp":  # one recipe serves all sizes
                        row = replace(row, preset=large, options=(("network", network),))
                    yield row
    for (data, eps), statistics in MODELS.items():
        for method, three in statistics.items():
            row = Result(FAN, "table 3", data, eps, method, "10 models" if data == "mnist" else "7 models", None, three)
            yield row.without("the models are in an appendix that is not published with the paper")
    row = Result(FAN, "figure 2", "", "", "advibp(weights=fixed, ramp=joint)", "", None, ())
    yield row.without(
        "a figure without numbers, but that adaptive weights lower the verified error by 9.1% to 31.9%; "
        "--trainer 'advibp(weights=fixed, ramp=joint)' makes it of any preset of advibp"
    )

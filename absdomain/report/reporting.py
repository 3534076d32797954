"""absdomain report: what a run's folder has, on one page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absdomain.certification import Status, Verdict
from absdomain.errors import MissingExtra
from absdomain.report import page, plots, plots_report
from absdomain.report.findings import Findings, Share, certified_in, classes, hardest, hardness, sha256, shares
from absdomain.report.measure import Errors, LayerWidths, broken
from absdomain.report.study import VERDICTS

if TYPE_CHECKING:
    from torch import Tensor

SHOWN = 6  # images in each list
HELD = ("clean: the image itself is misclassified", "attacked: a misclassified point was found",
        "verified: there is no proof")  # fmt: skip


def report(folder: Path, *, data_dir: Path | None = None) -> bytes:
    """One HTML file about a run, or about a certification by its own folder; the test images are read for pictures.

    Errors: ValueError for a folder without a finished certification.
    """
    found, numbers = certified_in(folder), count()
    parts = list(_training(folder, numbers))
    for one in found:
        parts += _certification(one, folder, data_dir, numbers)
    return page.page(f"absdomain: {folder.name}", parts)


def _training(folder: Path, numbers: Iterator[int]) -> Iterator[str]:
    from absdomain.trainers import read_metrics
    from absdomain.trainers.run.folder import TRAINING, model_path, read_config

    rows = read_metrics(folder)
    config = read_config(folder) if rows and TRAINING.has(folder) else None
    if config is None:
        return
    recipe = config.recipe
    yield page.heading("Training")
    yield page.picture(
        lambda: plots.training(rows, f"{recipe.network} on {recipe.data}, {recipe.trainer}"),
        "Errors on held-out images, loss and radius, epoch by epoch; the verified error is at eps_eval of each epoch.",
        next(numbers),
    )
    usual = {"data": config.data_sha256, "threads": config.threads, "torch": config.torch}
    if model_path(folder).exists():
        usual["model.safetensors, SHA-256"] = sha256(model_path(folder))
    fields = {**recipe.to_json(), **usual}
    yield page.folded("Recipe and hashes", page.table(("field", "value"), [(k, str(v)) for k, v in fields.items()]))


def _certification(one: Findings, run: Path, data_dir: Path | None, numbers: Iterator[int]) -> Iterator[str]:
    results, verdicts = one.results, one.verdicts
    clipped = ", clipped to [0, 1]" if results.get("clip") else ""
    yield page.heading(f"{results['network']}, {results['data']}, eps {results['eps']:g}{clipped}")
    yield page.paragraph(f"Errors on {len(verdicts)} test images, in %, with Wilson's intervals of 95 %.")
    yield _errors(one)
    if one.curve:
        points = [Errors(**row) for row in one.curve]
        yield page.picture(lambda: plots.errors(points, results["eps"], ""), _caption(one), next(numbers))
        rows = [(p.eps, p.clean_error, p.pgd_error, p.verified_error) for p in points]
        table = page.table(
            ("eps", "clean error", "attacked error", "verified error"), [(f"{r[0]:g}", *r[1:]) for r in rows]
        )
        yield page.folded("The numbers of this picture", table)
    if one.radii:
        told = "Largest radius of the curve above at which each image is proved; 0 where it is at none."
        grid = sorted({0.0, *(row["eps"] for row in one.curve)})
        yield page.picture(lambda: plots_report.radii(one.radii, grid), told, next(numbers))
    by_class = classes(verdicts)
    if by_class:
        yield page.picture(lambda: plots_report.classes(by_class), "Errors of each class's images.", next(numbers))
    yield from _unknown(verdicts)
    yield from _images(one, data_dir, numbers)
    if one.layers:
        widths = {name: [LayerWidths(**row) for row in rows] for name, rows in one.layers.items()}
        told = "Mean width of the bounds, layer by layer, over the first images: lower is tighter."
        yield page.picture(lambda: plots.widths(widths, ""), told, next(numbers))
    yield page.folded("Configuration and hashes", _configuration(one, run))


def _errors(one: Findings) -> str:
    rows = [(f"{name} error", what.partition(": ")[2], *_cells(share)) for (name, share), what in zip(
        shares(one.verdicts).items(), HELD, strict=True)]  # fmt: skip
    total = len(one.verdicts)
    for domain, error in one.results.get("domains", {}).items():
        rows.append(
            (f"verified error, {domain}", "by this domain alone", *_cells(Share(round(error * total / 100), total)))
        )
    return page.table(("", "", "images", "%", "from", "to"), rows)


def _cells(share: Share) -> tuple[int, float, float, float]:
    return share.count, share.percent, *share.interval


def _caption(one: Findings) -> str:
    drawn, total = one.config.get("curve"), len(one.verdicts)  # None: all
    of = f"all {total} images" if drawn is None or drawn >= total else f"the first {drawn} of {total} images"
    return f"Errors against eps, of {of}. The dotted line is at the radius of the table; what is between is undecided."


def _unknown(verdicts: Sequence[Verdict]) -> Iterator[str]:
    unknown = [v for v in verdicts if v.status is Status.UNKNOWN]
    yield page.heading(f"Unknown: {len(unknown)} images", 3)
    if not unknown:
        yield page.paragraph("Every image is decided.")
        return
    reasons = Counter((str(v.reason), v.detail.partition(":")[0]) for v in unknown)
    rows = [(reason, domain, number) for (reason, domain), number in reasons.most_common()]
    yield page.table(("reason", "nearest to a proof", "images"), rows)
    layers = Counter((v.layer or "none: lines are exact", v.helps or "") for v in unknown if v.layer or v.helps)
    if layers:
        told = "By the layer whose relaxation costs the bound most, and the domain that would prove them, where better "
        yield page.paragraph(f"{told}lines over the same layer bounds do: absdomain explain says more.")
        yield page.table(
            ("layer", "would be proved by", "images"), [(*both, number) for both, number in layers.most_common()]
        )


def _images(one: Findings, data_dir: Path | None, numbers: Iterator[int]) -> Iterator[str]:
    images = _test_images(one, data_dir)
    attacked = [v for v in one.verdicts if v.status is Status.FALSIFIED and v.correct]
    lists = (
        ("Proved with the least to spare", Status.VERIFIED, "least lower bound"),
        ("Unknown and farthest from a proof", Status.UNKNOWN, "best lower bound"),
        ("Classified correctly, and falsified", Status.FALSIFIED, "margin at the attack"),
    )
    for title, status, what in lists:
        of = attacked if status is Status.FALSIFIED else [v for v in one.verdicts if v.status is status]
        shown = hardest(of, SHOWN)
        if not shown:
            continue
        yield page.heading(f"{title}: {len(shown)} of {len(of)}", 3)
        told = [(v.index, "" if v.label is None else v.label, v.by or "", f"{hardness(v):.4g}") for v in shown]
        yield page.table(("image", "class", "decided by", what), told)
        if images is not None and images.dim() == 4:
            pairs = [(images[v.index], v.witness if broken(v) else None, f"image {v.index}: {v.label}") for v in shown]
            extra = ", what was found in their regions, and the difference" if status is Status.FALSIFIED else ""
            yield page.picture(partial(plots_report.images, pairs), f"The images{extra}.", next(numbers))


def _test_images(one: Findings, data_dir: Path | None) -> Tensor | None:
    """The images that were certified; None where this machine does not have them."""
    from absdomain.data import DataError, load

    try:
        found = load(one.results["data"], "test", data_dir=data_dir, download=False)
    except (DataError, MissingExtra):
        return None
    return found.floats(found.pixels[: len(one.verdicts)])


def _configuration(one: Findings, run: Path) -> str:
    told: dict[str, Any] = {
        **one.config,
        **{f"header: {k}": v for k, v in one.header.get("config", one.header).items()},
    }
    told[f"{VERDICTS}, SHA-256"] = sha256(one.folder / VERDICTS)
    told["folder"] = one.folder.relative_to(run) if one.folder.is_relative_to(run) else one.folder
    return page.table(("field", "value"), [(name, str(value)) for name, value in told.items()])

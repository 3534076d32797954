"""`absdomain toy`: the image of a ball and the boxes around it, as a small network trains; nothing is downloaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from absdomain.cli import options as option
from absdomain.report.runs import made_of_runs, recipe_of, train_in, use
from absdomain.runtime import pictures
from absdomain.runtime.folders import Kind

if TYPE_CHECKING:
    from torch import Tensor, nn

    from absdomain.report.polytope import Polytope
    from absdomain.trainers import Recipe

TRAINERS = ("natural", "ibp")
DOMAINS = ("box", "crown")
NUMBERS, PICTURE = "toy.json", "toy.png"
TOY = Kind("toy", earlier=lambda folder: made_of_runs(folder, NUMBERS, PICTURE))
MOMENTS = (0.0, 0.05, 0.2, 0.6, 1.0)  # of the epochs


def toy(
    out: Annotated[Path, typer.Option(help="The folder.")] = Path("runs/toy"),
    eps: Annotated[float, typer.Option(min=0, help="The ball's L-infinity radius.")] = 0.08,
    index: Annotated[int, typer.Option(min=0, help="The point in its centre; 0 to 4 are of class 1.")] = 0,
    moment: Annotated[
        list[int] | None,
        typer.Option(min=0, help="Draw after so many epochs; may be given again.", show_default=False),
    ] = None,
    domain: Annotated[
        list[str] | None,
        typer.Option(help=f"Whose box; may be given again. Default: {', '.join(DOMAINS)}.", show_default=False),
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Default: that of the recipes.", show_default=False)] = None,
    seed: option.Seed = 0,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads; such small tensors gain nothing from more.")] = 1,
) -> None:
    """Train a 2-100-100-100-2 network on 13 points, naturally and by IBP, and draw the image of a ball around a point.

    Interval bounds of a natural network stay far from the image, those of an IBP-trained one come close (Gowal et al.
    2019, figure 4). Every sampled point of the image is checked to be in every box. The folder gets toy.png, toy.json
    with the areas, and the two runs. 20 seconds on a free core, without any download.

    `absdomain toy --out runs/toy`
    """
    from absdomain.data import load
    from absdomain.report import plots_toy

    use(threads)
    pictures.allow(out / PICTURE)
    points = load("toy", "train")
    if index >= len(points):
        raise ValueError(f"--index {index}: the toy has points 0..{len(points) - 1}")
    recipes = {name: _recipe(name, eps, epochs, seed) for name in TRAINERS}
    chosen = sorted(set(moment or [round(part * recipes["ibp"].epochs) for part in MOMENTS]))
    if chosen[-1] > recipes["ibp"].epochs:
        raise ValueError(f"--moment {chosen[-1]}: the training ends after {recipes['ibp'].epochs} epochs")
    output = TOY.claim(out, NUMBERS, PICTURE)
    found = _drawn(recipes, out, chosen, points[index : index + 1][0], eps, domain or DOMAINS)
    rows = [_row(name, epoch, shown) for name, shots in found.items() for epoch, shown in shots.items()]
    output.write_json(NUMBERS, rows)
    label = int(points.labels[index])
    title = f"point {index}, class {label}, eps {eps:g}: axes are the two logits"
    output.write(PICTURE, pictures.encoded(plots_toy.polytopes(found, title)))
    _show(rows)
    typer.echo(f"drawn and numbers: {out / PICTURE}, {out / NUMBERS}")


def _recipe(trainer: str, eps: float, epochs: int | None, seed: int) -> Recipe:
    radius = {"eps": eps} if trainer != "natural" else {}
    return recipe_of(None, {"data": "toy", "trainer": trainer, "epochs": epochs, "seed": seed, **radius})


def _drawn(
    recipes: Mapping[str, Recipe], out: Path, epochs: Sequence[int], point: Tensor, eps: float, domains: Sequence[str]
) -> dict[str, dict[int, Polytope]]:
    """For each training and epoch, the image of the ball around a point (1, 1, 1, 2), and the domains' boxes."""
    from absdomain.domain import parse
    from absdomain.lowering import to_graph
    from absdomain.region import Linf
    from absdomain.report.polytope import polytope

    network, region = initial(recipes["ibp"]).double(), Linf(point.double(), eps)
    graph = to_graph(network, region.centre)  # of the live weights: one lowering serves all
    found: dict[str, dict[int, Polytope]] = {}
    for name, recipe in recipes.items():
        found[name] = {}
        for epoch, weights in trained(recipe, out / name, epochs).items():
            network.load_state_dict(weights)
            found[name][epoch] = polytope(network, graph, region, {text: parse(text) for text in domains})
    return found


def initial(recipe: Recipe) -> nn.Module:
    """The network with which the training of a recipe begins."""
    import torch

    from absdomain.data import load
    from absdomain.trainers.run.folder import build_network

    images = load(recipe.data, "train")
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        return build_network(recipe, images.shape, images.classes).eval()


def trained(recipe: Recipe, folder: Path, epochs: Sequence[int]) -> dict[int, dict[str, Tensor]]:
    """{ epoch -> the weights after so many epochs }; the folder keeps each as `epoch-N.safetensors`."""
    from safetensors.torch import load_file

    from absdomain.trainers.run import checkpoints
    from absdomain.trainers.run.folder import TRAINING, model_path
    from absdomain.trainers.run.session import saved_weights

    def keep(epoch: int) -> None:
        if epoch in epochs:
            name = model_path(folder, f"epoch-{epoch}").name
            TRAINING.claim(folder).write(name, checkpoints.pack(saved_weights(folder)))

    _, state = checkpoints.load(folder) or ({}, {"batch": None})
    if state["batch"] == 0:  # perhaps killed after an epoch's commit, before its weights were kept
        keep(state["epoch"])
    train_in(recipe, folder, None, "cpu", after=lambda row: keep(row.epoch))
    found: dict[int, dict[str, Tensor]] = {}
    for epoch in epochs:
        path = model_path(folder, f"epoch-{epoch}")
        if epoch > 0 and not path.exists():
            raise ValueError(f"{path}: was not kept as the training went; give another --out, or delete {folder}")
        found[epoch] = load_file(path) if epoch > 0 else initial(recipe).state_dict()
    return found


def _row(trainer: str, epoch: int, shown: Polytope) -> dict[str, Any]:
    from absdomain.linear import Bounds

    points = shown.corners.flatten(0, 1)
    boxes = {"smallest": Bounds(points.amin(0), points.amax(0)), **shown.boxes}
    sizes = {
        name: {"lower": box.lower.tolist(), "upper": box.upper.tolist(), "area": box.width.prod().item()}
        for name, box in boxes.items()
    }
    row = {"trainer": trainer, "epoch": epoch, "nominal": shown.nominal.tolist(), "area": shown.area}
    return row | {"boxes": sizes}


def _show(rows: Sequence[Mapping[str, Any]]) -> None:
    from rich.table import Table

    from absdomain.report.tables import show

    domains = [name for name in rows[0]["boxes"] if name != "smallest"]
    table = Table("trained", title="areas in the plane of the logits", title_justify="left")
    for column in ("epoch", "image", "smallest box", *(f"by {name}" for name in domains)):
        table.add_column(column, justify="right")
    for row in rows:
        areas = [row["area"], *(box["area"] for box in row["boxes"].values())]
        table.add_row(row["trainer"], str(row["epoch"]), *(f"{area:.4g}" for area in areas))
    show(table)

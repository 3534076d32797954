"""What several commands do: read a recipe, train in a folder, load a trained network, state what is certified."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absdomain.report import networks
from absdomain.runtime import pictures
from absdomain.runtime.progress import progress, say, speaks

if TYPE_CHECKING:
    from absdomain.report.study import Check, Subject
    from absdomain.trainers import Metrics, Recipe, StepMetrics


CURVES = "training.png"


def recipe_of(preset: str | None, options: dict[str, Any]) -> Recipe:
    """The preset, or the trainer's own recipe for the data, changed by the options that are fields and are not None."""
    from absdomain.data import names
    from absdomain.registry import find
    from absdomain.trainers import Recipe, read
    from absdomain.trainers.method import revised

    known = {field.name for field in fields(Recipe)}
    given = {name: value for name, value in options.items() if name in known and value is not None}
    if preset is not None:
        template = find("presets", preset)
        if not isinstance(template, Recipe):
            raise ValueError(f"--preset {preset}: is a {type(template).__name__}, not a Recipe; ask who registered it")
        return revised(template, **given)
    if "data" not in given:
        raise ValueError(f"train: which data? Give --data ({', '.join(names())}), or a --preset")
    return read(given.setdefault("trainer", "crown-ibp")).recipe(**given)


def name_of(recipe: Recipe) -> str:
    """A name for the recipe's folder: what matters most, and a fingerprint of all of it."""
    method = re.sub(r"[^\w.=-]+", "-", recipe.trainer).strip("-")  # without brackets, which a shell would take
    digest = hashlib.sha256(json.dumps(recipe.to_json()).encode()).hexdigest()[:6]
    data, network = (re.sub(r"[^\w.=-]+", "-", text).strip("-") for text in (recipe.data, recipe.network))
    return f"{data}-{network}-{method}-eps{recipe.eps:g}-seed{recipe.seed}-{digest}"


def train_in(
    recipe: Recipe,
    folder: Path,
    data_dir: Path | None,
    device: str,
    after: Callable[[Metrics], None] = lambda row: None,
) -> None:
    """Train with progress on stderr, call `after` when an epoch is committed, and draw the curves."""
    from absdomain.report import plots
    from absdomain.trainers import read_metrics, train
    from absdomain.trainers.run.checkpoints import STATE
    from absdomain.trainers.run.folder import TRAINING, model_path
    from absdomain.trainers.run.metrics import errors

    TRAINING.allow(folder, CURVES)
    held_out = list[str]()
    goes_on = ", finished" if model_path(folder).exists() else ", goes on" if (folder / STATE).exists() else ""
    domain = f" with {recipe.domain}" if recipe.domain else ""
    say(
        f"train: {recipe.network} on {recipe.data}, {recipe.trainer}{domain}, eps {recipe.eps:g}, "
        f"{recipe.epochs} epochs, seed {recipe.seed}, in {folder}{goes_on}"
    )
    with progress(f"train {recipe.network}", recipe.epochs, lines=min(recipe.epochs, 100)) as show:

        def on_step(step: StepMetrics) -> None:
            if step.step % 10 == 0:
                show(recipe.epochs * step.step / step.steps, "  ".join([*held_out, step.told]))

        for row in train(recipe, folder, data_dir=data_dir, device=device, on_step=on_step):
            held_out = row.rates
            show(row.epoch, row.told)
            after(row)
    if not speaks():
        return
    rows = read_metrics(folder)
    title = f"{recipe.network} on {recipe.data}, {recipe.trainer}, eps {recipe.eps:g}"
    pictures.add(TRAINING.claim(folder), CURVES, lambda: plots.training(rows, title))
    if rows:
        told = errors("held out", rows[-1]["clean_error"], rows[-1]["verified_error"])
        at = f" at eps {rows[-1].get('eps_eval', recipe.eps):g}" if rows[-1]["verified_error"] is not None else ""
        say(f"trained {len(rows)} epochs in {rows[-1]['seconds']:.0f} s{f'; {told}{at}' if told else ''}")


def use(threads: int | None, device: str = "cpu") -> str:
    """Set the number of threads, and turn TF32 off; returns the torch device. ValueError if that cannot be used."""
    import torch

    from absdomain.runtime.device import chosen
    from absdomain.runtime.precision import set_tf32

    if threads is not None:
        torch.set_num_threads(threads)
    set_tf32(False)
    return chosen(device)


def subject_of(
    run: Path | None,
    weights: Path | None,
    data: str | None,
    model: str = "model",
    network: str | None = None,
    data_dir: Path | None = None,
) -> Subject:
    """The network of a run's folder, one of several by its name, or of a file: .onnx, .npz, or weights of `network`."""
    suffix = "" if run is None else run.suffix.lower()
    if suffix == ".npz" and weights is None:
        run, weights = None, run
    if network is not None and suffix not in networks.STATES:
        raise ValueError(f"--network {network}: {run or weights} says itself which network it is; leave this out")
    if run is not None and weights is None and suffix in networks.FILES:
        return _filed(run, data, network, data_dir)
    from absdomain.report.study import Subject

    if run is not None and weights is None:
        from absdomain.trainers import load_run
        from absdomain.trainers.run.folder import model_path

        found, recipe = load_run(run, model)
        radius = recipe.certified_eps or None
        name, folder = (recipe.network, run) if model == "model" else (f"{recipe.network}, {model}", run / model)
        return Subject(found, name, data or recipe.data, radius, recipe.clip, folder, model_path(run, model))
    if weights is None or run is not None or model != "model":
        kinds = "the folder of a training, or a file .onnx, .npz, .safetensors or .pt"
        raise ValueError(f"give either RUN, {kinds}, or --weights FILE; only the folder has a --model")
    from absdomain.networks.weights import load

    read = load(weights)
    if data is None and read.data is None:
        raise ValueError(f"{weights} does not say its data set; give --data")
    return Subject(read.network, weights.stem, data or read.data or "", None, True, Path("runs") / weights.stem)


def _filed(path: Path, data: str | None, network: str | None, data_dir: Path | None) -> Subject:
    """The network of a file that says nothing of its data, as a module that takes the data set's images."""
    from absdomain.data import load
    from absdomain.graph import Graph
    from absdomain.lowering.evaluated import Evaluated
    from absdomain.report.study import Subject

    if data is None:
        raise ValueError(f"{path} does not say its data set; give --data")
    test = load(data, "test", data_dir=data_dir)
    found = networks.read(path, network, test)
    if isinstance(found, Graph):
        shape = found.input.shape
        if math.prod(shape) != math.prod(test.shape):
            told = f"{path} takes {shape}, and images of {test.name} are {test.shape}"
            raise ValueError(f"{told}; give --data with images of its size")
        found = Evaluated(found).eval()
    return Subject(found, path.stem, data, None, True, Path("runs") / path.stem)


def made_of_runs(folder: Path, *names: str) -> bool:
    """Whether a folder has trainings' folders, and beside them at most files of these names."""
    from absdomain.trainers.run.folder import TRAINING, read_config

    paths = [path for path in folder.iterdir() if path.name not in names]
    return bool(paths) and all(path.is_dir() and (TRAINING.has(path) or read_config(path)) for path in paths)


def check_of(subject: Subject, eps: float | None, clip: bool | None, domains: list[str] | None, **more: Any) -> Check:
    """What is certified: by default at the radius of the training, with the domains of CASCADE."""
    from absdomain.certification import CASCADE
    from absdomain.report.study import Check

    for name, value in (("eps", eps), ("margin", more.get("margin"))):
        if value is not None and not math.isfinite(value):
            raise ValueError(f"--{name} {value}: give a finite number")
    made = Check(radius_of(subject.eps, eps), subject.clip if clip is None else clip, tuple(domains or CASCADE), **more)
    _ = made.parsed(), made.attack  # what cannot be read is told before any work
    return made


def radius_of(trained: float | None, given: float | None) -> float:
    """The radius that is given, or else that of the training; ValueError without any."""
    radius = trained if given is None else given
    if radius is None:
        raise ValueError("which radius? Give --eps: neither a file of weights nor natural training says it")
    return radius

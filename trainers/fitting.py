"""fit: any module is trained on any images, by any method and domain, by the loop that recipes are trained by."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import NoneType
from typing import Any

import torch
from torch import nn

from absdomain.data import Images
from absdomain.data.given import Samples, labelled
from absdomain.domain import AnyDomain, Domain, parse
from absdomain.errors import check_type, near
from absdomain.lowering.adapted import Preprocessing, adapted
from absdomain.runtime.modes import check_module, evaluating
from absdomain.runtime.processes import World
from absdomain.runtime.progress import progress
from absdomain.trainers.method import Method, read, revised
from absdomain.trainers.options import RecipeError
from absdomain.trainers.recipe import DTYPES, Recipe
from absdomain.trainers.run.folder import model_path, read_metrics
from absdomain.trainers.run.loop import config_of, run
from absdomain.trainers.run.metrics import Metrics

NOT_ASKED = ("data", "network", "trainer", "dtype", "normalise", "init")  # of a recipe: here the arguments say them


@dataclass(frozen=True, eq=False)
class Fit:
    """What a training came to: a row of metrics for each epoch, and the errors of the last one."""

    model: nn.Module  # the one that was given, trained, in evaluation mode
    recipe: Recipe
    rows: tuple[Metrics, ...]
    folder: Path | None  # None: nothing was kept

    @property
    def clean_error(self) -> float | None:
        """On the held-out images, in %; None without any."""
        return _percent(self.rows[-1].clean_error)

    @property
    def verified_error(self) -> float | None:
        """On the held-out images at the last row's `eps_eval`, in %; None too where the method bounds nothing."""
        return _percent(self.rows[-1].verified_error)

    def __repr__(self) -> str:
        named = (("clean", self.clean_error), ("verified", self.verified_error))
        told = "".join(f", {name} error {error:.2f} %" for name, error in named if error is not None)
        return f"Fit({self.recipe.trainer}, eps {self.recipe.eps:g}, {len(self.rows)} epochs{told})"


def fit(
    model: nn.Module,
    data: Samples,
    method: str | Method[Any] = "shi",
    *,
    eps: float | None = None,
    domain: AnyDomain | str | None = None,
    callbacks: Callable[[Metrics], object] | Sequence[Callable[[Metrics], object]] = (),
    folder: str | Path | None = None,
    preprocessing: Preprocessing | None = None,
    output: str | int | None = None,
    **options: Any,
) -> Fit:
    """min over weights of E[L(x, y; eps)], the loss of a training method, over all parameters of the model, in place.

    The model maps images (B, *shape) to logits (B, classes), as `certify` takes it; `preprocessing` and `output` are
    those of `certify`. `data` is a pair (images, labels) of tensors or arrays, a Dataset, a DataLoader, or the name of
    a public data set, of which the training images are taken. Images are floats in [0, 1], unless clip=False, and are
    read once: the loop draws the batches itself. `method` is the text of any method (`absdomain list trainers`), with
    its options as in "ibp(loss=hinge)"; `domain` is what bounds, by default the method's. Methods that have an
    initialisation of their own, as shi has, set the model's first weights.

    `eps` is in the units of the images, and `options` are fields of a `Recipe`: epochs, batch, lr, ramp, seed,
    validation (how many images are held out to watch the training, a tenth by default) and so on. What is not given is
    as in the method's recipe for that data set, or else in its first one, with phases stretched to the epochs.

    After each epoch every callback is given its row. With a `folder` the training is kept there, and the same call with
    the same data goes on where it stopped; its weights are in model.safetensors. Seeds torch's global random state.

    Errors: TypeError and ValueError for what cannot be trained on; RecipeError for a field; RunError for a folder that
    holds something else; Diverged.
    """
    check_module(model, "fit")
    check_type("fit, folder", folder, (str, Path, NoneType), "give the path of a folder to keep the training in")
    check_type("fit, method", method, (str, Method), "give a name, such as 'shi' or 'crown-ibp'")
    full = labelled(data, "fit")
    network = adapted(model, full[:1][0], preprocessing=preprocessing, output=output, caller="fit")
    full = replace(full, classes=_classes(network, full))
    called = tuple(callbacks) if isinstance(callbacks, Sequence) else (callbacks,)
    if domain is not None:
        check_type("fit, domain", domain, (str, Domain), "give its text, or an instance, such as Box()")
        options["domain"] = str(parse(domain) if isinstance(domain, str) else domain)
    if eps is not None:
        check_type("fit, eps", eps, (float, int), "give a radius, such as 8 / 255")
        options["eps"] = float(eps)
    recipe = _recipe(read(str(method)), full, network, options)
    _check_range(full, recipe)
    world, device = World.here(), next(network.parameters()).device
    if folder is None and not world.alone:
        raise ValueError(f"fit: {world.size} processes train together in a folder that all of them see; give `folder`")
    with _place(folder) as place:
        rows = run(place, config_of(recipe, full, given=True), full, device, world, network=network)
        with progress(f"fit {type(model).__name__}", recipe.epochs) as show:
            for row in rows:
                show(row.epoch, row.told)
                for call in called:
                    call(row)
        _load(network, place)
        kept = tuple(Metrics(**row) for row in read_metrics(place))
    model.eval()
    return Fit(model, recipe, kept, None if folder is None else Path(folder))


def _recipe(method: Method[Any], full: Images, network: nn.Module, options: dict[str, Any]) -> Recipe:
    """The method's recipe for these images, with the given fields."""
    known = {field.name for field in fields(Recipe)} - set(NOT_ASKED)
    for name in options.keys() - known:
        raise RecipeError(f"fit: {name} is not an option; {near(name, sorted(known), 'there are')}")
    own = next((recipe for recipe in method.recipes if recipe.data == full.name), None)
    template = own or method.recipes[0]
    if own is None and template.eps > 0 and "eps" not in options:
        raise RecipeError(f"eps: {method.name} has no recipe for these images; give the radius, as in eps=8 / 255")
    given = {"trainer": str(method), "images": len(full)} | options  # phases in steps go by the number of images
    if own is None:
        given = {"validation": min(template.validation, len(full) // 10)} | given
    dtype = {one: name for name, one in DTYPES.items()}.get(next(network.parameters()).dtype)
    if dtype is None:
        remedy = f"convert it to one of {', '.join(DTYPES)}, as in model.float()"
        raise ValueError(f"fit: the model's parameters are {next(network.parameters()).dtype}; {remedy}")
    recipe = replace(revised(template, **given), images=options.get("images"), normalise=False)
    return replace(recipe, data=full.name, network=_named(network), dtype=dtype)


def _named(network: nn.Module) -> str:
    """The class, and a fingerprint of layers and shapes, by which a folder knows it again."""
    shapes = [(name, tuple(tensor.shape)) for name, tensor in network.state_dict().items()]
    return f"{type(network).__name__}-{hashlib.sha256(repr((network, shapes)).encode()).hexdigest()[:8]}"


def _classes(network: nn.Module, full: Images) -> int:
    """How many logits the network has; ValueError for one without logits or parameters, and for other labels."""
    like = next(network.parameters(), None)
    if like is None:
        raise ValueError(f"fit: {type(network).__name__} has no parameters, so that nothing can be trained")
    with torch.no_grad(), evaluating(network):
        logits = network(full[:1][0].to(like))
    if logits.dim() != 2 or logits.shape[1] < 2:
        raise ValueError(f"fit: the model must give logits (B, classes >= 2); it gives {tuple(logits.shape)}")
    classes, largest = int(logits.shape[1]), int(full.labels.max())
    if largest >= classes:
        raise ValueError(f"fit: label {largest} is outside 0..{classes - 1}, the classes of the model")
    return classes


def _check_range(full: Images, recipe: Recipe) -> None:
    """ValueError for images that the clip would cut, and for a radius in other units than theirs."""
    low, high = full.images.aminmax()
    if recipe.clip and (low < 0 or high > 1):
        raise ValueError(
            f"fit: images are in [{low:.3g}, {high:.3g}], but a perturbed image is clipped to [0, 1]; give pixels in "
            "[0, 1], and normalise inside: preprocessing=dict(mean=..., std=...); or give clip=False"
        )
    if recipe.clip and recipe.eps >= 1:
        told = f"fit: eps {recipe.eps:g} allows any image of [0, 1]"
        raise ValueError(f"{told}; if pixels of 0..255 are meant, give eps={recipe.eps:g} / 255")


@contextmanager
def _place(folder: str | Path | None) -> Iterator[Path]:
    """The folder, or one that is gone afterwards."""
    if folder is not None:
        yield Path(folder)
        return
    with TemporaryDirectory(prefix="absdomain-") as name:
        yield Path(name)


def _load(network: nn.Module, folder: Path) -> None:
    """The weights that the run has kept: those of its last epoch, or of its best."""
    from safetensors.torch import load_file

    network.load_state_dict(load_file(model_path(folder)))


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share

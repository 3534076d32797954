"""What `certify` is given, checked before any work: images and labels, domains, regions, margin and dtype."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from typing import cast

import torch
from torch import Tensor, nn

from absdomain.certification.asked import Asked, Holding, by_class, holding
from absdomain.certification.verdict import Refused
from absdomain.data.given import Array
from absdomain.domain import AnyDomain, Domain, parse
from absdomain.errors import check_range, check_type
from absdomain.graph import Graph
from absdomain.guarantee import Guarantee
from absdomain.region import L1, L2, Clipped, Linf, Region
from absdomain.region.balls import Ball
from absdomain.values import tensored

Given = AnyDomain | str  # a domain, or its text


def check_data(images: Tensor, labels: Tensor | None, spec: object = None) -> None:
    """ValueError unless there are images (N, *shape), N > 0, of finite floats, and labels (N,) int64 or a spec."""
    if (labels is None) == (spec is None):
        raise ValueError("certify: give either labels or spec, what is to hold of the outputs")
    if not len(images) or (labels is not None and labels.shape != images.shape[:1]):
        told = "" if labels is None else f", {tuple(labels.shape)}"
        raise ValueError(f"certify: images are (N, *shape), labels (N,); got {tuple(images.shape)}{told}")
    if not images.is_floating_point() or (labels is not None and labels.dtype != torch.int64):
        told = "" if labels is None else f" and {labels.dtype}"
        raise ValueError(f"certify: images are floats and labels int64; got {images.dtype}{told}")
    if not bool(images.isfinite().all()):
        index = int((~images.isfinite()).flatten(1).any(1).nonzero()[0])
        raise ValueError(f"certify: image {index} has a pixel that is NaN or infinite")


def chosen_domains(domains: Given | Sequence[Given] | None, default: Sequence[str]) -> tuple[AnyDomain, ...]:
    """The domains, each given as one or as its text; one alone is a list of one.

    Errors: TypeError for a class or anything else; ExpressionError for a text that is none.
    """
    given = default if domains is None else [domains] if isinstance(domains, str | type | Domain) else domains
    check_type("certify, domains", given, Sequence, 'give text or domains, as in domains=["box", "box & deeppoly"]')
    found = []
    for one in given:
        check_type("certify, domains", one, (str, Domain), "give its text, or an instance, such as Box()")
        found.append(parse(one) if isinstance(one, str) else one)
    return tuple(found)


def check_domains(domains: Sequence[AnyDomain]) -> None:
    """ValueError for no domain at all and for the same one twice, Refused for one whose bounds are no proofs."""
    if not domains:
        raise ValueError("certify: no domain was given, so that nothing could be verified; give Box() at least")
    names = [str(domain) for domain in domains]
    if len(set(names)) < len(names):
        raise ValueError(f"certify: the same domain is given twice: {', '.join(names)}")
    for domain in domains:
        check_sound(str(domain), domain.guarantee)


def check_sound(name: str, guarantee: Guarantee) -> None:
    """Refused unless bounds of this domain, or over this region, are proofs."""
    if guarantee is not Guarantee.SOUND:
        raise Refused(
            f"certify refuses {name}: bounds with it are {guarantee.name}, not SOUND, so that they prove nothing; "
            "certify with a sound one, such as box & deeppoly over Linf"
        )


def asked_of(graph: Graph, outputs: Tensor, images: Tensor, labels: Tensor | None, spec: Holding | None) -> Asked:
    """What is asked of the graph's value at all images, whose first one has these outputs."""
    if labels is None:
        return holding(spec, graph, len(images), images)
    return by_class(graph, labels.to(images.device), _classes(outputs, labels))


def outputs_of(exact: nn.Module, example: Tensor) -> Tensor:
    """Of one image; ValueError for a model that does not take it, or gives something else than one tensor."""
    try:
        with torch.no_grad():
            outputs = exact(example)
    except RuntimeError as reason:
        raise ValueError(
            f"certify: the model does not take images of {tuple(example.shape[1:])} in {example.dtype}: {reason}; "
            "where it casts them, as x.float() does, write x.to(self.weight.dtype), or certify with dtype=torch.float32"
        ) from reason
    if not isinstance(outputs, Tensor) or outputs.shape[:1] != (1,):
        told = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
        raise ValueError(f"certify: the model must give one tensor (B, *shape); of one image it gives {told}")
    return outputs


def _classes(logits: Tensor, labels: Tensor) -> int:
    """How many classes the model tells apart; ValueError for a model without logits, or a label that is no class."""
    if logits.dim() != 2 or logits.shape[1] < 2:
        raise ValueError(f"certify: the model must give logits (B, classes >= 2); it gives {tuple(logits.shape)}")
    classes = int(logits.shape[1])
    wrong = ((labels < 0) | (labels >= classes)).nonzero().flatten()
    if len(wrong):
        first = int(wrong[0])
        raise ValueError(f"certify: label {int(labels[first])} of image {first} is outside 0..{classes - 1}")
    return classes


def radii_of(eps: float | Tensor | Array | Sequence[float] | None, file: object) -> Sequence[float | Tensor | None]:
    """The radii that are asked for one after the other; ValueError for several and a file, which has one question."""
    eps = tensored(eps)
    if eps is None or isinstance(eps, float | int | Tensor):
        return [eps]
    check_type(
        "certify, eps", eps, (list, tuple), "give a radius such as 8 / 255, a tensor of them, or a list of radii"
    )
    for one in eps:
        check_type("certify, eps", one, (float, int), "give a list of numbers; a tensor has one for each image")
    if not eps or file is not None:
        told = "a file has the verdicts of one eps" if eps else "eps is an empty list"
        raise ValueError(f"certify: {told}; certify one at a time")
    return cast(Sequence[float], eps)


BALLS: dict[float, Callable[..., Region]] = {inf: Linf, 2: L2, 1: L1}


def region_of(
    images: Tensor,
    eps: float | Tensor | Array | None,
    clip: tuple[float, float] | None,
    region: Callable[[Tensor], Region] | None,
    norm: float = inf,
    caller: str = "certify",
) -> Region:
    """The regions of all images, which have the certification's dtype: balls of radius eps, or what `region` makes."""
    if region is None and eps is not None:
        return ball(images, _radius(eps, images), clip, norm, caller)
    if region is None or eps is not None:
        raise ValueError(f"certify takes either eps or region, not {eps=} and {region=}")
    around = region(images)
    if around.centre.shape != images.shape:
        raise ValueError(
            f"certify: `region` was given all images, {tuple(images.shape)}, and made a region of "
            f"{tuple(around.centre.shape)}; it must make one sample's of each"
        )
    return around


def ball(
    images: Tensor, radius: float | Tensor, clip: tuple[float, float] | None, norm: float, caller: str = "certify"
) -> Region:
    """{ x : |x - image|_norm <= radius, clip[0] <= x <= clip[1] }; ValueError for images outside of the clip.

    And for a radius that lets every image of the clip in, as one in bytes does.
    """
    check_range(caller, clip)
    if norm not in BALLS:
        raise ValueError(f"{caller}: norm {norm!r} is not inf, 2 or 1; give one of them, or a region of your own")
    if clip is None:
        return BALLS[norm](images, radius)
    low, high = images.aminmax()
    if low < clip[0] or high > clip[1]:
        raise ValueError(
            f"{caller}: images are in [{low:.4g}, {high:.4g}], but what is perturbed is clipped to {list(clip)}; give "
            "raw pixels, and normalise inside: preprocessing=dict(mean=..., std=...); or give another clip, or None"
        )
    width = clip[1] - clip[0]
    if norm == inf and float(torch.as_tensor(radius).max()) > width:
        most = float(torch.as_tensor(radius).max())
        raise ValueError(
            f"{caller}: eps {most:g} is more than the width {width:g} of the clip, so that any image is allowed; if "
            f"bytes are meant, give eps={most:g} / 255; for a radius in other units give clip=None"
        )
    if norm == inf:
        return Linf(images, radius, clip=clip)
    return Clipped(cast(Ball, BALLS[norm](images, radius)), *(images.new_tensor(end) for end in clip))


def _radius(eps: float | Tensor | Array, images: Tensor) -> float | Tensor:
    """A number for each image as a tensor that broadcasts to them."""
    eps = tensored(eps)
    check_type("certify, eps", eps, (float, int, Tensor), "give a radius such as 8 / 255, or one for each image")
    if not isinstance(eps, Tensor) or eps.dim() == 0:
        return float(eps)
    eps = eps.to(images)
    if eps.dim() != 1:
        return eps
    each, pixel = len(eps) == len(images), eps.shape == images.shape[1:]
    if each == pixel:
        raise ValueError(
            f"certify: eps of shape {tuple(eps.shape)} is not one for each of {len(images)} images, or may as well be "
            f"one for each pixel of {tuple(images.shape[1:])}; give it the axes of `images`, with sizes of 1"
        )
    return eps.view(-1, *[1] * (images.dim() - 1)) if each else eps


def check_executed(executed: torch.dtype, own: torch.dtype, dtype: torch.dtype) -> None:
    """ValueError unless the module is in the dtype of which verdicts are asked, and bounds are in float64."""
    if executed != own:
        raise ValueError(
            f"certify: executed={executed} asks about the module in that dtype, but it is in {own}; convert it, as in "
            f"model.to({executed})"
        )
    if dtype is not torch.float64:
        raise ValueError(f"certify: roundings to {executed} are bounded in float64, not in {dtype}; leave dtype out")


def check_numbers(margin: float | None, dtype: torch.dtype, device: torch.device) -> None:
    """ValueError for a margin below 0, and for arithmetic whose rounding is not allowed for."""
    if margin is not None and not margin >= 0:
        raise ValueError(f"certify: margin {margin} would call a negative bound a proof; give one that is at least 0")
    if dtype not in (torch.float32, torch.float64):
        raise ValueError(f"certify: {dtype} is too coarse for a proof; use torch.float64")
    if dtype is torch.float32 and device.type != "cpu":
        raise ValueError(f"certify: float32 on {device} may be computed in TF32, whose rounding is not allowed for")

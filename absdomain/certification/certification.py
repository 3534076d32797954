"""for all x in the region of an image: z_y(x) - z_j(x) > 0 for every j != y. One verdict per image, as a generator.

The steps are the nominal check, an attack, then the domains from cheap to dear, each on what is still undecided.
Domains promise their bounds in real arithmetic; here they are computed in float64 and believed only above what rounding
may have added to them, to the network that they are about, and to an evaluation of the given one. Every point that the
attack found is held against every bound.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from absdomain.attack import Pgd
from absdomain.certification.evidence import SoundnessError
from absdomain.certification.journal import Journals
from absdomain.certification.judge import Attack, Prover
from absdomain.certification.question import Question
from absdomain.certification.verdict import Reason, Refused, Status, Summary, Verdict, summarise
from absdomain.domain import AnyDomain, parse
from absdomain.graph import Graph
from absdomain.guarantee import Guarantee
from absdomain.lowering import to_graph
from absdomain.region import Linf, Region
from absdomain.region.base import tensors
from absdomain.rounding import allowance
from absdomain.runtime.modes import check_module, copied
from absdomain.runtime.precision import own_dtype
from absdomain.runtime.processes import ALONE, World
from absdomain.spec import margins

__all__ = [
    "CASCADE",
    "Reason",
    "Refused",
    "SoundnessError",
    "Status",
    "Summary",
    "Verdict",
    "allowance",
    "certify",
    "summarise",
]

# cheap to dear; of networks trained with interval bounds, the zero slope proves most
CASCADE = ("box", "box & deeppoly(slopes=zero)", "box & deeppoly")


def certify(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float | Tensor | None = None,
    clip: tuple[float, float] | None = (0.0, 1.0),
    region: Callable[[Tensor], Region] | None = None,
    domains: Sequence[AnyDomain] | None = None,
    every: bool = False,
    attack: Attack | None = Pgd(),  # noqa: B008  # a frozen value
    seed: int = 0,
    batch: int = 100,
    dtype: torch.dtype = torch.float64,
    margin: float | None = None,
    strict: bool = True,
    file: str | Path | None = None,
    world: World = ALONE,
) -> Iterator[Verdict]:
    """For each image x_i: is z_y - z_j > 0 for every j != y on region(x_i)? An iterator of `Verdict`, image by image.

    images (N, *shape) and labels (N,) int64; the model maps (B, *shape) to logits (B, classes). It is copied and used
    in evaluation mode: neither its mode nor its dtype nor its gradients change.

    The region is { x : |x - x_i| <= eps, clip[0] <= x <= clip[1] }, in the units of `images`; eps is a number, one for
    each image (N,), or a tensor that broadcasts to `images`. Or it is whatever `region` makes of all images, such as
    `lambda x: L2(x, 0.5)`: it is asked once, in `dtype`, and samples are selected from it (`Region.select`).

    `domains` are asked in order, by default those of CASCADE, each on what is undecided; with `every`, each on every
    image, which gives each domain's own verified error and holds each against the attack.

    An image is verified if all lower bounds, computed in `dtype`, are above what rounding may have added to each
    (`absdomain.rounding`), or above `margin` where that is given. With `strict=False` they may be equal to
    `margin`, by default 0, as in papers that count ties. A witness lies in the region exactly, and the given module,
    run again at it, misclassifies it. NaN and infinite bounds leave an image unknown.

    `file` receives every verdict as a JSON line, on disk after each batch. The file of an interrupted run is
    continued, and its verdicts come first; a file of another configuration is refused. `summarise` gives the errors.

    Processes of one `world` (`World.here()`) share the batches: each calls this with the same arguments and gets all
    verdicts, those of the others at the end, the same that a single process gives. They need a `file`, in a folder that
    all of them see.

    Before any work it raises ValueError for wrong shapes or labels, Refused for a domain or region that is not sound,
    JournalError for another configuration's file, UnsupportedOp for a network that cannot be lowered. While it is
    iterated it raises SoundnessError if a point contradicts a bound, which is a defect of a domain.
    """
    chosen = tuple(map(parse, CASCADE)) if domains is None else tuple(domains)
    _check_data(images, labels)
    proving(chosen)
    check_module(model, "certify")
    original = copied(model).eval().requires_grad_(False)
    exact = copied(original).to(dtype)
    device = _device(exact)
    _check_numbers(margin, dtype, device)
    whole = images.to(device, dtype)
    around = _region(whole, eps, clip, region)
    _promised(type(around).__name__, around.guarantee)
    classes = _classes(exact, whole[:1], labels)
    given = to_graph(exact, whole[:1])
    prover = Prover(
        original=original,
        exact=exact,
        question=Question(given, given.freeze(), around, margins(labels.to(device), classes)),
        domains=chosen,
        every=every,
        attack=attack,
        seed=seed,
        margin=margin,
        strict=strict,
        own=next((p.dtype for p in original.parameters()), images.dtype),
    )
    if file is None:
        if not world.alone:
            raise ValueError(f"certify: {world.size} processes tell each other their verdicts in a file; give `file`")
        return _run(prover, images, labels, batch, None, world)
    _check_batch(batch, world)
    journal = Journals(Path(file), _config(prover, images, labels, model_hash(model)), world)
    return _run(prover, images, labels, batch, journal, world)


def _config(prover: Prover, images: Tensor, labels: Tensor, model: str) -> dict[str, Any]:
    """All that a verdict depends on: a file with another one's verdicts is refused."""
    return {
        "region": _described(prover.question.region),
        "domains": [str(domain) for domain in prover.domains],
        "every": prover.every,
        "attack": None if prover.attack is None else str(prover.attack),
        "seed": prover.seed,
        "dtype": str(prover.question.region.centre.dtype),
        "margin": prover.margin,
        "strict": prover.strict,
        "model": model,
        "graph": _graph_hash(prover.question.frozen),
        "data": _hash([images, labels]),
        "samples": len(images),
    }


def _run(
    prover: Prover, images: Tensor, labels: Tensor, batch: int, journal: Journals | None, world: World
) -> Iterator[Verdict]:
    with nullcontext() if journal is None else closing(journal):
        done = {} if journal is None else journal.done
        seen = set(done)
        yield from done.values()
        device = _device(prover.exact)
        batches = [part for part in torch.arange(len(images)).split(batch) if not done.keys() >= set(part.tolist())]
        for index in batches[world.rank :: world.size]:
            # A batch of which a part is known is judged again as a whole, so that the same bits come out as in one go.
            here, own = images[index].to(device), labels[index].to(device)
            with own_dtype(here):
                verdicts = prover.judge(index.to(device), here, own)
            fresh = [verdict for verdict in verdicts if verdict.index not in done]
            if journal is not None:
                journal.append(fresh)
            seen |= {verdict.index for verdict in fresh}
            yield from fresh
        everything = {} if journal is None else journal.all()
        others = [verdict for index, verdict in sorted(everything.items()) if index not in seen]
        yield from others
        _check_complete(seen | {verdict.index for verdict in others}, len(images), journal)


def model_hash(model: nn.Module) -> str:
    """A fingerprint of the module's structure and of every parameter and buffer."""
    state = model.state_dict()
    return _hash([*state.values()], repr(model) + "".join(state))


def _hash(tensors: list[Tensor], text: str = "") -> str:
    digest = hashlib.sha256(text.encode())
    for tensor in tensors:
        digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def _graph_hash(graph: Graph) -> str:
    """A fingerprint of what is certified, whatever the module's class and attributes: every op and all it holds."""
    tensors, text = [], []
    for node in graph.nodes:
        text.append(f"{node.name} {type(node.op).__qualname__} {node.args} {node.shape}")
        for name, value in sorted(({} if node.op is None else vars(node.op)).items()):
            text.append(name if isinstance(value, Tensor) else f"{name}={value!r}")
            tensors += [value] if isinstance(value, Tensor) else []
    return _hash(tensors, "\n".join(text))


def _described(region: Region) -> dict[str, Any]:
    """The regions of all images: their kind, their numbers, and a fingerprint of every tensor."""
    held = {k: v for k, v in vars(region).items() if not k.startswith("_")}  # _: derived
    numbers = {k: v for k, v in held.items() if isinstance(v, int | float | str | tuple | None)}
    return {"kind": type(region).__name__, **numbers, "all": _hash(tensors(region), repr(sorted(held)))}


def _region(
    images: Tensor,
    eps: float | Tensor | None,
    clip: tuple[float, float] | None,
    region: Callable[[Tensor], Region] | None,
) -> Region:
    """The regions of all images, in the certification's dtype."""
    if region is None and eps is not None:
        return Linf(images, _radius(eps, images), clip=clip)
    if region is None or eps is not None:
        raise ValueError(f"certify takes either eps or region, not {eps=} and {region=}")
    around = region(images)
    if around.centre.shape != images.shape:
        raise ValueError(
            f"certify: `region` was given all images, {tuple(images.shape)}, and made a region of "
            f"{tuple(around.centre.shape)}; it must make one sample's of each"
        )
    return around


def _radius(eps: float | Tensor, images: Tensor) -> float | Tensor:
    """A number for each image as a tensor that broadcasts to them."""
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


def _device(module: nn.Module) -> torch.device:
    return next((p.device for p in module.parameters()), torch.device("cpu"))


def _check_numbers(margin: float | None, dtype: torch.dtype, device: torch.device) -> None:
    if margin is not None and not margin >= 0:
        raise ValueError(f"certify: margin {margin} would call a negative bound a proof; give one that is at least 0")
    if dtype not in (torch.float32, torch.float64):
        raise ValueError(f"certify: {dtype} is too coarse for a proof; use torch.float64")
    if dtype is torch.float32 and device.type != "cpu":
        raise ValueError(f"certify: float32 on {device} may be computed in TF32, whose rounding is not allowed for")


def _check_batch(batch: int, world: World) -> None:
    """The processes share the batches by number, so that with other batches some images would belong to nobody."""
    first = world.once(lambda: batch)
    if batch != first:
        raise ValueError(f"certify: batch {batch} in process {world.rank}, {first} in the first; give all the same")


def _check_complete(given: set[int], samples: int, journal: Journals | None) -> None:
    """Each of the images has its verdict: an error over fewer would look like any other."""
    wrong = sorted(given ^ set(range(samples)))
    if wrong:
        place = "certify" if journal is None else str(journal.path)
        raise RuntimeError(
            f"{place}: {len(wrong)} of {samples} images have no verdict or do not exist, the first {wrong[0]}; give "
            "all processes the same arguments and a folder that all of them see, and certify again to continue"
        )


def _check_data(images: Tensor, labels: Tensor) -> None:
    if not len(images) or labels.shape != images.shape[:1]:
        raise ValueError(
            f"certify: images are (N, *shape), labels (N,); got {tuple(images.shape)}, {tuple(labels.shape)}"
        )
    if not images.is_floating_point() or labels.dtype != torch.int64:
        raise ValueError(f"certify: images are floats and labels int64; got {images.dtype} and {labels.dtype}")
    if not bool(images.isfinite().all()):
        index = int((~images.isfinite()).flatten(1).any(1).nonzero()[0])
        raise ValueError(f"certify: image {index} has a pixel that is NaN or infinite")


def proving(domains: Sequence[AnyDomain]) -> None:
    """Refuses domains with which nothing could be certified: none, one twice, one whose bounds prove nothing."""
    if not domains:
        raise ValueError("certify: no domain was given, so that nothing could be verified; give Box() at least")
    names = [str(domain) for domain in domains]
    if len(set(names)) < len(names):
        raise ValueError(f"certify: the same domain is given twice: {', '.join(names)}")
    for domain in domains:
        _promised(str(domain), domain.guarantee)


def _promised(name: str, guarantee: Guarantee) -> None:
    if guarantee is not Guarantee.SOUND:
        raise Refused(
            f"certify refuses {name}: bounds with it are {guarantee.name}, not SOUND, so that they prove nothing; "
            "certify with a sound one, such as box & deeppoly over Linf"
        )


def _classes(exact: nn.Module, example: Tensor, labels: Tensor) -> int:
    try:
        with torch.no_grad():
            logits = exact(example)
    except RuntimeError as reason:
        raise ValueError(
            f"certify: the model does not take images of {tuple(example.shape[1:])} in {example.dtype}: {reason}; "
            "where it casts them, as x.float() does, write x.to(self.weight.dtype), or certify with dtype=torch.float32"
        ) from reason
    if logits.dim() != 2 or logits.shape[1] < 2:
        raise ValueError(f"certify: the model must give logits (B, classes >= 2); it gives {tuple(logits.shape)}")
    classes = int(logits.shape[1])
    wrong = ((labels < 0) | (labels >= classes)).nonzero().flatten()
    if len(wrong):
        first = int(wrong[0])
        raise ValueError(f"certify: label {int(labels[first])} of image {first} is outside 0..{classes - 1}")
    return classes

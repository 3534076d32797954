"""for all x in the region of an image: z_y(x) - z_j(x) > 0 for every j != y, or a spec. One verdict per image.

Each batch is evaluated, then attacked, then bounded by the domains from cheap to dear, each on what is still undecided.
Domains promise their bounds in real arithmetic. Here they are computed in float64, and a bound counts only where it is
above what rounding may have added: to the bound itself, to weights that were fused, and to an evaluation of the given
network. Every point that was tried is compared with every bound.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from math import inf
from pathlib import Path
from types import NoneType
from typing import TypedDict, Unpack, cast, overload

import torch
from torch import Tensor, nn

from absdomain.attack import Pgd
from absdomain.certification.arguments import (
    Given,
    asked_of,
    check_data,
    check_domains,
    check_executed,
    check_numbers,
    check_sound,
    chosen_domains,
    outputs_of,
    radii_of,
    region_of,
)
from absdomain.certification.asked import Holding
from absdomain.certification.fingerprint import configuration
from absdomain.certification.journal import Journals
from absdomain.certification.judge import Attack, Judge, Narrowed
from absdomain.certification.question import Question
from absdomain.certification.result import Certification
from absdomain.certification.verdict import Verdict
from absdomain.data.given import Array, Samples, samples
from absdomain.errors import check_count, check_type
from absdomain.graph import Graph, freeze
from absdomain.lowering import to_graph
from absdomain.lowering.adapted import Preprocessing, adapted
from absdomain.lowering.evaluated import Evaluated
from absdomain.region import Region
from absdomain.runtime.cluster import opened
from absdomain.runtime.modes import check_module, copied
from absdomain.runtime.precision import own_dtype
from absdomain.runtime.processes import ALONE, World
from absdomain.runtime.units import HERE, Mapper, Tell

# from cheap to dear; for networks that were trained with interval bounds, the zero slope proves most
CASCADE = ("box", "box & deeppoly(slopes=zero)", "box & deeppoly")


class Options(TypedDict, total=False):
    """What `certify` is given by name, but for eps, which decides what it returns."""

    spec: Holding | None
    norm: float
    clip: tuple[float, float] | None
    region: Callable[[Tensor], Region] | None
    preprocessing: Preprocessing | None
    output: str | int | None
    domains: Given | Sequence[Given] | None
    every: bool
    attack: Attack | None
    seed: int
    batch: int
    dtype: torch.dtype
    executed: torch.dtype | None
    margin: float | None
    strict: bool
    explain: bool
    file: str | Path | None
    world: World
    cluster: object


Labels = Tensor | Array | None


@overload
def certify(
    model: nn.Module | Graph,
    images: Samples,
    labels: Labels = None,
    *,
    eps: Sequence[float],
    **options: Unpack[Options],
) -> dict[float, Certification]: ...


@overload
def certify(
    model: nn.Module | Graph,
    images: Samples,
    labels: Labels = None,
    *,
    eps: float | Tensor | Array | None = None,
    **options: Unpack[Options],
) -> Certification: ...


def certify(
    model: nn.Module | Graph,
    images: Samples,
    labels: Labels = None,
    *,
    spec: Holding | None = None,
    eps: float | Tensor | Array | Sequence[float] | None = None,
    norm: float = inf,
    clip: tuple[float, float] | None = (0.0, 1.0),
    region: Callable[[Tensor], Region] | None = None,
    preprocessing: Preprocessing | None = None,
    output: str | int | None = None,
    domains: Given | Sequence[Given] | None = None,
    every: bool = False,
    attack: Attack | None = Pgd(),  # noqa: B008  # a frozen value
    seed: int = 0,
    batch: int = 100,
    dtype: torch.dtype = torch.float64,
    executed: torch.dtype | None = None,
    margin: float | None = None,
    strict: bool = True,
    explain: bool = True,
    file: str | Path | None = None,
    world: World = ALONE,
    cluster: object = None,
) -> Certification | dict[float, Certification]:
    """For each image x_i: is z_y - z_j > 0 for every j != y on region(x_i)? The verdicts, image by image.

    images (N, *shape) and labels (N,) int64: tensors or arrays, also as a pair (images, labels), a data set or a loader
    of pairs, or the name of a public data set, of which the test images are taken. The model maps (B, *shape) to logits
    (B, classes): a module, or a graph, of `onnx_to_graph` too, whose images may be flat, or have axes of one entry
    more. It is copied and used in evaluation mode: neither its mode nor its dtype nor its gradients change. Of a model
    that returns a dict, a tuple or an object, `output` names the entry, by default "logits" or the only one. Where it
    takes normalised images, preprocessing=dict(mean=, std=, axis=-3) puts (x - mean) / std in front, and the images
    stay as they are.

    In the place of labels, `spec` is what is to hold on the region, of outputs of any shape: a `Spec` of the flat
    outputs, for all images or for each; a formula of `variables(to_graph(model, images[:1]))`, or a list with one for
    each image; or a property, whose unsafe set is not to be reached. A counterexample to a formula breaks it exactly as
    it is written, at the outputs of the given module.

    The region is { x : |x - x_i|_norm <= eps, clip[0] <= x <= clip[1] }, in the units of `images`, norm inf, 2 or 1;
    eps is a number, a tensor or array with one for each image (N,), or one that broadcasts to `images`. With a list of
    numbers the result is a dict { eps -> Certification }, of a model that is lowered once. Or the region is whatever
    `region` makes of all images, such as `lambda x: L2(x, 0.5)`: it is asked once, in `dtype`, and samples are selected
    from it (`Region.select`).

    `domains` are asked in order, by default those of CASCADE, each on what is undecided; with `every`, each on every
    image, which gives each domain's own verified error and holds each against the attack.

    An image is verified if all lower bounds, computed in `dtype`, are above what rounding may have added to each
    (`absdomain.rounding`), or above `margin` where that is given. With `strict=False` they may be equal to
    `margin`, by default 0, as in papers that count ties. A witness lies in the region exactly, and the given module,
    run again at it, misclassifies it, or breaks the spec. NaN and infinite bounds leave an image unknown.

    With `executed`, the dtype of the module, a verdict is of the module as machines evaluate it in that dtype, whatever
    the order of summation (`absdomain.rounding.executed`): verified, no image of that dtype in the region is
    misclassified by any such evaluation; falsified, the one of this machine errs. Not of convolutions by transforms,
    nor of products in a coarser type. The first domain bounds the sizes that are rounded.

    With `explain`, a verdict that is unknown for want of tighter bounds has the `layer` that loosens the last domain's
    bound most, and in `helps` a domain that proves it if better lines over the same layer bounds do: for a few
    evaluations of one row of each such image. `absdomain.explain` says more.

    `file` receives every verdict as a JSON line, on disk after each batch. The file of an interrupted run is
    continued, and its verdicts come first; a file of another configuration is refused. `summarise` gives the errors.

    Processes of one `world` (`World.here()`) share the batches: each calls this with the same arguments and gets all
    verdicts, those of the others at the end, the same that a single process gives. They need a `file`, in a folder that
    all of them see.

    `cluster` has workers that share the batches, for this process, which alone writes `file`: the address of a dask
    scheduler, a number of workers on this machine, or a client or cluster of dask. The verdicts are those of this
    process, bit for bit, in the order in which they become known; what a worker that dies was at is done by another.

    Before any work it raises ValueError for wrong shapes or labels, Refused for a domain or region that is not sound,
    JournalError for another configuration's file, UnsupportedOp for a network that cannot be lowered.
    While it is iterated it raises SoundnessError if a point contradicts a bound, which is a bug in a domain, and
    UnitFailed for images that several workers died of.
    """
    chosen = chosen_domains(domains, CASCADE)
    check_count("certify, batch", batch)
    check_type("certify, seed", seed, int, "give a whole number")
    check_type("certify, world", world, World, "leave it out, or give World.here()")
    check_type("certify, file", file, (str, Path, NoneType), "give the path of a file for the verdicts")
    opened(cluster, "certify")  # what is none is told before any work
    if not world.alone and cluster not in (None, HERE):
        raise ValueError("certify: give either a cluster or a world of processes, not both")
    if isinstance(model, Graph):
        model = Evaluated(model)
    check_module(model, "certify")
    images, labels = samples(images, labels)
    check_data(images, labels, spec)
    check_domains(chosen)
    device = _device(model)
    check_numbers(margin, dtype, device)
    whole = images.to(device, dtype)
    several = isinstance(eps, list | tuple)
    arounds = {one: region_of(whole, one, clip, region, norm) for one in radii_of(eps, file)}
    for around in arounds.values():
        check_sound(type(around).__name__, around.guarantee)
    original = copied(adapted(model, images, preprocessing=preprocessing, output=output)).eval().requires_grad_(False)
    exact = copied(original).to(dtype)
    outputs = outputs_of(exact, whole[:1])
    asked = asked_of(to_graph(exact, whole[:1]), outputs, whole, labels, spec)
    own = next((p.dtype for p in original.parameters()), images.dtype)
    frozen = freeze(asked.graph)
    if file is not None:
        _check_batch(batch, world)
    elif not world.alone:
        raise ValueError(f"certify: {world.size} processes tell each other their verdicts in a file; give `file`")
    found = {}
    for one, around in arounds.items():
        question = Question(asked.graph, frozen, around, asked.spec)
        if executed is not None:
            check_executed(executed, own, dtype)
            question = question.executed(executed, chosen[0], batch)
        judge = Judge(
            original=original,
            exact=exact if executed is None else Narrowed(original, executed),
            asked=asked,
            question=question,
            domains=chosen,
            every=every,
            attack=attack,
            seed=seed,
            margin=margin,
            strict=strict,
            own=own,
            executed=executed,
            explain=explain,
        )
        journal = None if file is None else Journals(Path(file), configuration(judge, images), world)
        found[one] = Certification(_run(judge, images, batch, journal, world, opened(cluster)), images)
    return cast(dict[float, Certification], found) if several else next(iter(found.values()))


@dataclass(frozen=True, eq=False)
class _Judging:
    """The verdicts of a batch, of which the places are given."""

    judge: Judge
    images: Tensor

    def __call__(self, places: list[int], tell: Tell) -> list[Verdict]:
        index, device = torch.tensor(places), _device(self.judge.exact)
        here = self.images[index].to(device)
        with own_dtype(here):
            return self.judge.verdicts(index.to(device), here)


def _run(
    judge: Judge,
    images: Tensor,
    batch: int,
    journal: Journals | None,
    world: World,
    opening: AbstractContextManager[Mapper],
) -> Generator[Verdict]:
    with nullcontext() if journal is None else closing(journal), opening as mapper:
        done = {} if journal is None else journal.done
        seen = set(done)
        yield from done.values()
        # A batch that is only partly known is judged again as a whole, so that all bits are those of one run.
        parts = [part.tolist() for part in torch.arange(len(images)).split(batch)]
        batches = [part for part in parts if not done.keys() >= set(part)][world.rank :: world.size]
        names = [f"images {part[0]} to {part[-1]}" for part in batches]
        with closing(mapper.map(_Judging(judge, images), batches, names)) as found:
            for _, verdicts in found:
                fresh = [verdict for verdict in verdicts if verdict.index not in done]
                if journal is not None:
                    journal.append(fresh)
                seen |= {verdict.index for verdict in fresh}
                yield from fresh
        everything = {} if journal is None else journal.all()
        others = [verdict for index, verdict in sorted(everything.items()) if index not in seen]
        yield from others
        _check_complete(seen | {verdict.index for verdict in others}, len(images), journal)


def _device(module: nn.Module) -> torch.device:
    return next((p.device for p in module.parameters()), torch.device("cpu"))


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

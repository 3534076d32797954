"""A certification as the command line runs it: a folder with config, verdicts, results and plots, resumed by name."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from absdomain.attack import AdamAttack, Pgd
from absdomain.certification import CASCADE, Summary, Verdict, certify, summarise
from absdomain.certification.journal import is_journal
from absdomain.data import load
from absdomain.domain import AnyDomain, parse
from absdomain.graph import Graph, freeze
from absdomain.guarantee import Guarantee
from absdomain.lowering import UnsupportedOp
from absdomain.region import Linf
from absdomain.report import finished, image_certificates, measure, plots
from absdomain.report.announcing import announce
from absdomain.report.landscape import landscape
from absdomain.runtime import pictures
from absdomain.runtime.folders import Kind, Output
from absdomain.runtime.processes import ALONE, World
from absdomain.runtime.progress import progress, say, speaks
from absdomain.runtime.units import HERE, Mapper
from absdomain.spec import margins
from absdomain.trainers import options

VERDICTS = "verdicts.jsonl"
RADII = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)  # of the curve, in units of eps
DRAWN = 8  # images whose bounds are drawn by layer
ATTACKS: dict[str, type[Pgd | AdamAttack]] = {"pgd": Pgd, "adam": AdamAttack}
CERTIFICATION = Kind("certification", earlier=lambda folder: is_journal(folder / VERDICTS))
WRITTEN = ("config.json", "results.json", "curve.json", "radii.json", "layers.json", "errors.png", "widths.png",
           finished.MARK)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Subject:
    """A network, and what its folder or file says of how it was made."""

    network: nn.Module
    name: str
    data: str
    eps: float | None
    clip: bool
    folder: Path  # where results go by default
    file: Path | None = None  # a run's safetensors file with the network's numbers


@dataclass(frozen=True)
class Check:
    """What is asked of a network; with the network, all that determines the results."""

    eps: float
    clip: bool
    domains: tuple[str, ...] = CASCADE  # as the user spells them
    steps: int = 40
    restarts: int = 2
    attacked: str = ""  # the attack as the user spells it; empty: PGD with these steps and restarts
    seed: int = 0
    subset: int | None = None
    cascade: bool = False
    strict: bool = True
    margin: float | None = None
    curve: int | None = None  # how many images the curve of errors is of; None: all
    executed: str | None = None  # the network's dtype, of whose evaluations the verdicts are; None: real arithmetic

    @property
    def region(self) -> tuple[float, float] | None:
        """The range to which pixels are clipped."""
        return (0.0, 1.0) if self.clip else None

    @property
    def dtype(self) -> torch.dtype | None:
        """The type that is executed."""
        return None if self.executed is None else getattr(torch, self.executed)

    @property
    def attack(self) -> Pgd | AdamAttack | None:
        """The attack, if it has steps."""
        found: Pgd | AdamAttack = Pgd(self.steps, self.restarts)
        if self.attacked:
            found = options.named("attack", ATTACKS, self.attacked)
        return found if found.steps else None

    def parsed(self) -> dict[str, AnyDomain]:
        """The domains by the user's spelling."""
        return {text: parse(text) for text in self.domains}

    def spelling(self) -> dict[str, str]:
        """A domain's canonical text -> the user's."""
        return {str(domain): text for text, domain in self.parsed().items()}

    def folder(self, subject: Subject) -> Path:
        """A folder of its own for each question, so that the same command resumes and another one starts afresh."""
        said = {name: value for name, value in asdict(self).items() if (name, value) != ("executed", None)}
        said["curve"] = 100  # the pictures are no part of the question; what it was while they were keeps old folders
        digest = hashlib.sha256(json.dumps([subject.data, said]).encode()).hexdigest()
        return subject.folder / "certified" / f"eps{self.eps:g}-{digest[:6]}"


@dataclass(frozen=True)
class Outcome:
    """The errors, and where everything is."""

    summary: Summary
    folder: Path
    results: dict[str, Any]  # as in results.json
    certificates: str = ""  # how many there are, or why there are none, where they were asked for


def study(
    subject: Subject,
    check: Check,
    *,
    out: Path | None = None,
    data_dir: Path | None = None,
    device: str = "cpu",
    batch: int = 100,
    certificates: bool = False,
    cluster: Mapper = HERE,
) -> Outcome:
    """Certify the test images, show the progress on stderr, and write verdicts.jsonl, results.json and the plots.

    WriteError, before any work, for a folder or a file in it that is not a certification's.
    Processes that torchrun has started share the images, or the workers of a cluster do; the first process writes, and
    so the certificates, which others can check (`absdomain.certificates.images`).
    """
    if certificates:
        image_certificates.allow(check.executed, subject.data)
    world = World.here()
    folder = check.folder(subject) if out is None else out
    question = finished.question(subject.name, subject.file, subject.data, data_dir, asdict(check))
    done = finished.results(folder, question) if world.alone and not certificates else None
    if done is not None:
        say(f"certify: {subject.name} on {subject.data}, eps {check.eps:g}, is done, in {folder}")
        return Outcome(Summary(**{f.name: done[f.name] for f in fields(Summary)}), folder, done)
    test = world.ahead(lambda: load(subject.data, "test", data_dir=data_dir))
    images, labels = test[: check.subset]
    model, began = subject.network.to(device), time.monotonic()
    say(
        f"certify: {subject.name} on {len(labels)} test images of {subject.data}, eps {check.eps:g}"
        f"{', clipped' if check.clip else ''}, by {', '.join(check.domains)}, in {folder}"
    )
    with image_certificates.kept(certificates) as proofs:
        seen = judged(subject, check, images, labels, folder, batch=batch, world=world, cluster=cluster)
    say(f"certified in {time.monotonic() - began:.0f} s; now the plots")
    summary = summarise(seen)
    results = _results(subject, check, summary, folder)
    if not world.first:
        return Outcome(summary, folder, results)
    output = CERTIFICATION.claim(folder)
    output.write_json("results.json", results)
    title = f"{subject.name}, {subject.data} test images"
    _draw_curve(check, model, images.to(device), labels.to(device), seen, output, title, batch, cluster)
    graph = measure.lowered(model, images[:1].to(device))
    _draw_widths(check, graph, images.to(device), output, title)
    _draw_missed(subject, check, model, images.to(device), seen, output)
    finished.mark(output, question)
    told = ""
    if certificates:
        network, file = subject.network, subject.file
        told = image_certificates.written(folder, network, graph, test, seen, check.eps, check.region, file, proofs)
    return Outcome(summary, folder, results, told)


def judged(
    subject: Subject,
    check: Check,
    images: Tensor,
    labels: Tensor,
    folder: Path,
    *,
    batch: int = 100,
    world: World = ALONE,
    cluster: Mapper = HERE,
) -> list[Verdict]:
    """The verdicts on these images in order, with progress on stderr; those in the folder are not made again."""
    world.once(lambda: CERTIFICATION.allow(folder, *WRITTEN))
    if speaks():
        announce(subject.network, check.parsed(), images, labels, check.eps, check.region)
    verdicts = certify(
        subject.network,
        images,
        labels,
        eps=check.eps,
        clip=check.region,
        domains=list(check.parsed().values()),
        every=not check.cascade,
        attack=check.attack,
        seed=check.seed,
        batch=batch,
        margin=check.margin,
        strict=check.strict,
        executed=check.dtype,
        file=folder / VERDICTS,
        world=world,
        cluster=cluster,
    )
    if world.first:
        config = {"network": subject.name, "data": subject.data, **asdict(check)}
        CERTIFICATION.claim(folder).write_json("config.json", config)
    return sorted(verdicts, key=lambda verdict: verdict.index)


def _results(subject: Subject, check: Check, summary: Summary, folder: Path) -> dict[str, Any]:
    spelt = check.spelling()
    domains = {spelt.get(domain, domain): error for domain, error in summary.domains.items()}
    timeouts = {spelt.get(domain, domain): count for domain, count in summary.timeouts.items()}
    return {
        **replace(summary, domains=domains, timeouts=timeouts).to_json(),
        "eps": check.eps,
        "clip": check.clip,
        "data": subject.data,
        "network": subject.name,
        "attack": str(check.attack),
        "executed": check.executed,
        "folder": str(folder),
    }


def _draw_widths(check: Check, graph: Graph, images: Tensor, output: Output, title: str) -> None:
    """The widths of the bounds of the first images, layer by layer."""
    layers = layers_of(freeze(graph), check, images[:DRAWN])
    if layers:
        output.write_json("layers.json", {name: [asdict(layer) for layer in rows] for name, rows in layers.items()})
        told = f"{title}, eps {check.eps:g} (the first {DRAWN})"
        pictures.add(output, "widths.png", lambda: plots.widths(layers, told))


def _draw_curve(
    check: Check,
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    seen: Sequence[Verdict],
    output: Output,
    title: str,
    batch: int,
    cluster: Mapper,
) -> None:
    """Errors against the radius, by the domains that do not search; and how far each image is proved."""
    count = len(labels) if check.curve is None else min(check.curve, len(labels))
    domains = [domain for domain in check.parsed().values() if domain.traits.differentiable]
    if not (count and check.eps > 0 and domains) or not check.strict or check.attack is None:
        return
    radii = [eps for eps in (check.eps * part for part in RADII) if eps <= 1 or not check.clip]
    clean = torch.tensor([not verdict.correct for verdict in seen[:count]])
    points, reached = [], torch.zeros(count, dtype=torch.float64)
    with progress("errors against eps", len(radii)) as show:
        for eps, known in measure.curve(
            model,
            images[:count],
            labels[:count],
            (check.eps, seen[:count]),
            radii,
            clip=check.region,
            domains=domains,
            attack=Pgd(max(check.steps, 20), 1),
            batch=batch,
            executed=check.dtype,
            cluster=cluster,
        ):
            points.append(known.errors(eps, clean))
            reached = torch.where(known.proved, reached.clamp(min=eps), reached)
            show(len(points), f"eps {eps:g}")
    points.sort(key=lambda point: point.eps)
    output.write_json("curve.json", [asdict(point) for point in points])
    output.write_json("radii.json", reached.tolist())
    images_of = "" if count == len(labels) else f" (the first {count})"
    pictures.add(output, "errors.png", lambda: plots.errors(points, check.eps, f"{title}{images_of}"))


def _draw_missed(
    subject: Subject, check: Check, model: nn.Module, images: Tensor, verdicts: list[Verdict], output: Output
) -> None:
    """The first images that a domain breaks and the attack does not, with the margin around them."""
    missed = [v for v in verdicts if v.witness is not None and v.by not in ("nominal", "attack")]
    for verdict in missed[:DRAWN] if check.attack is not None else ():
        assert verdict.label is not None and verdict.witness is not None
        image = images[verdict.index : verdict.index + 1]
        label = torch.tensor([verdict.label], device=image.device)
        generator = torch.Generator(image.device).manual_seed(check.seed)
        region = Linf(image, check.eps, clip=check.region)
        attacked = Pgd(max(check.steps, 20), check.restarts)(model, region, label, generator=generator).points[0]
        found = landscape(model, image[0], verdict.label, attacked, verdict.witness.to(image))
        title = f"{subject.name}, test image {verdict.index}, eps {check.eps:g}"
        pictures.add(output, f"landscape-{verdict.index}.png", partial(plots.landscape, found, title))


def layers_of(graph: Graph, check: Check, images: Tensor) -> Mapping[str, list[measure.LayerWidths]]:
    """The bounds of every layer of a frozen graph by each domain that has a rule for all of them."""
    region = Linf(images.to(torch.float64), check.eps, clip=check.region)
    found = {}
    for text, domain in check.parsed().items():
        if not domain.traits.differentiable:  # a program or a search of its own for every neuron would take hours
            continue
        try:
            found[_labelled(text, domain.guarantee)] = measure.layers(graph, domain, region)
        except UnsupportedOp:  # certify reports it, as the reason why an image is unknown
            continue
    return found


def margins_of(graph: Graph, check: Check, image: Tensor, label: Tensor) -> dict[str, list[float]]:
    """Each domain's lower bounds of z_label - z_j for one image (1, *shape), the classes j in order; graph: frozen."""
    region = Linf(image.to(torch.float64), check.eps, clip=check.region)
    spec = margins(label, graph.output.shape[0])
    with torch.no_grad():
        traces = {text: domain.propagate(graph, region, spec) for text, domain in check.parsed().items()}
        return {_labelled(text, trace.domain.guarantee): trace.lower[0].tolist() for text, trace in traces.items()}


def _labelled(text: str, guarantee: Guarantee) -> str:
    """The user's spelling, with a word where a bound is no proof."""
    return text if guarantee is Guarantee.SOUND else f"{text} ({guarantee.name.lower()})"

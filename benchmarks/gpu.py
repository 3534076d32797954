"""What a GPU gives: agreement with the CPU, speed, and whole trainings; each part ends in time and can be repeated.

Rows are written as they come, so that a part that is cut off has lost nothing. A training goes on where it stopped.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from torch import Tensor, nn

from absdomain import Graph, Linf, margins, parse, to_graph
from absdomain.certification.question import Question
from absdomain.graph import freeze
from absdomain.registry import find
from absdomain.runtime.device import chosen
from absdomain.runtime.modes import copied
from absdomain.runtime.precision import set_tf32
from absdomain.runtime.writing import as_json, keyed, replace, vacant
from absdomain.trainers import read, train
from benchmarks.output import Row

SHAPE, CLASSES, EPS = (1, 28, 28), 10, 0.05
OURS = keyed(("torch", "device", "part", "rows"))  # a file that an earlier call has written
EXACT = 1e-10  # how far float64 on two devices may differ, relative to the largest bound
DOMAINS = (
    "box", "deeppoly.guided(by=box)", "deeppoly", "deeppoly(slopes=zero)", "box & deeppoly", "dual", "zonotope",
    "mix(deeppoly.guided(by=box), box)",
)  # fmt: skip
TIMED = {"IBP": "box", "CROWN-IBP": "deeppoly.guided(by=box)", "full CROWN": "deeppoly", "alpha-CROWN": "alpha-crown"}
COMPILED = ("IBP", "CROWN-IBP")  # those whose work is many small operations
DEAR = 5.0  # seconds: a call that takes longer is timed once, and larger batches of it are left out
TRAINERS = ("shi", "sabr", "mtl-ibp")


@dataclass(frozen=True)
class Size:
    """What a part works on: the whole of it, or enough to see that the script runs."""

    agreeing: tuple[str, int]  # network, images
    networks: tuple[str, ...]
    batches: tuple[int, ...]
    training: dict[str, Any]  # what the recipes are given


WHOLE = Size(
    ("gowal-small", 4), ("gowal-small", "dm-large", "cnn7"), (1, 32, 256, 1024),
    {"data": "mnist", "network": "cnn7", "eps": 0.3},
)  # fmt: skip
SMALL = Size(
    ("mlp-2x100", 2), ("mlp-2x100",), (1, 2),
    {"data": "digits", "network": "mlp-2x100", "eps": 0.02, "epochs": 2, "images": 100, "validation": 50, "batch": 50},
)  # fmt: skip


def gpu(
    part: Annotated[str, typer.Argument(help="agreement, speed or training.")],
    out: Annotated[Path, typer.Option(help="JSON file for the rows; trainings get folders beside it.")],
    device: Annotated[str, typer.Option(help="torch device; auto takes CUDA where there is some.")] = "auto",
    seconds: Annotated[float, typer.Option(help="Nothing new is begun after so long.")] = 540.0,
    small: Annotated[bool, typer.Option(help="A small size, to see that it runs.")] = False,
    data_dir: Annotated[Path | None, typer.Option(envvar="ABSDOMAIN_DATA", help="Folder of the data sets.")] = None,
) -> None:
    """Compare a GPU with the CPU, time bounds on it, or train whole schedules on it."""
    if part not in PARTS:
        raise typer.BadParameter(f"{part!r} is none; choose one of {', '.join(PARTS)}", param_hint="PART")
    vacant(out, OURS)
    set_tf32(False)
    where, end, rows = torch.device(chosen(device)), time.monotonic() + seconds, list[Row]()
    for row in PARTS[part](where, SMALL if small else WHOLE, lambda: time.monotonic() > end, out.parent, data_dir):
        rows.append(row)
        typer.echo(row)
        content = {"torch": torch.__version__, "device": str(where), "part": part, "rows": rows}
        replace(out, as_json(content), OURS)


Late = Callable[[], bool]


def agreement(device: torch.device, size: Size, late: Late, folder: Path, data_dir: Path | None) -> Iterator[Row]:
    """Each domain's bounds on the device beside those of the CPU in float64, for the same weights.

    In float64 to EXACT; in float32 within the rounding allowance that certification makes; and never above the margins
    at points of the region.
    """
    name, count = size.agreeing
    torch.manual_seed(0)
    single = _network(name)
    x, y = torch.rand(count, *SHAPE), torch.randint(CLASSES, (count,))
    for text in DOMAINS:
        if late():
            return
        reference = _asked(single.double(), x.double(), y, text, torch.device("cpu"))[0]
        row: Row = {"domain": text}
        for dtype in (torch.float64, torch.float32):
            lower, slack, least = _asked(copied(single).to(dtype), x.to(dtype), y, text, device)
            apart, scale = (lower - reference).abs(), reference.abs().max()
            allowed = torch.full_like(slack, EXACT) * scale if dtype is torch.float64 else slack
            row[str(dtype).removeprefix("torch.")] = {
                "apart": apart.max().item(),
                "allowed": allowed.max().item(),
                "agrees": bool((apart <= allowed).all()),
                "contains": bool((lower - slack <= least).all()),
            }
        yield row


def _asked(module: nn.Module, x: Tensor, y: Tensor, text: str, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Lower bounds of margins, their rounding allowance, and the least margins at random points, on the CPU."""
    module, x, y = module.to(device), x.to(device), y.to(device)
    region, spec, given = Linf(x, EPS, clip=(0.0, 1.0)), margins(y, CLASSES), to_graph(module, x)
    answer = Question(given, freeze(given), region, spec).ask(parse(text))
    with torch.no_grad():
        points = torch.cat([region.sample(20), x.unsqueeze(0)])
        seen = torch.stack([torch.einsum("bkc,bc->bk", spec.to(x).C, module(p)) for p in points]).amin(0)
    return tuple(t.detach().cpu().double() for t in (answer.decision.lower, answer.slack, seen))  # type: ignore[return-value]


def speed(device: torch.device, size: Size, late: Late, folder: Path, data_dir: Path | None) -> Iterator[Row]:
    """Milliseconds of bounds, and their ratio to a forward pass of the same batch; compiled, too, where it may pay."""
    for name in size.networks:
        torch.manual_seed(0)
        module = _network(name).to(device)
        graph = to_graph(module, torch.rand(1, *SHAPE, device=device))
        dear: set[str] = set()
        for batch in size.batches:
            x, y = torch.rand(batch, *SHAPE, device=device), torch.randint(CLASSES, (batch,), device=device)
            forward = _timed(lambda: module(x), device)  # noqa: B023  # called at once
            for kind, text in TIMED.items():
                for compiled in (False, True) if kind in COMPILED else (False,):
                    if late():
                        return
                    row = {"network": name, "batch": batch, "bounds": kind, "compiled": compiled}
                    if kind in dear:
                        yield row | {"left out": "a smaller batch took too long"}
                        continue
                    try:
                        taken = _timed(_bounds(graph, text, compiled, x, y), device)
                    except torch.OutOfMemoryError:
                        dear.add(kind)
                        yield row | {"left out": "out of memory"}
                        continue
                    if taken > DEAR:
                        dear.add(kind)
                    yield row | {"ms": 1e3 * taken, "forward ms": 1e3 * forward, "ratio": taken / forward}


def _bounds(graph: Graph, text: str, compiled: bool, x: Tensor, y: Tensor) -> Callable[[], Tensor]:
    domain = parse(text)

    def bound(x: Tensor, y: Tensor) -> Tensor:
        return domain.propagate(graph, Linf(x, EPS, clip=(0.0, 1.0)), margins(y, CLASSES)).lower

    work = torch.compile(bound) if compiled else bound
    return lambda: work(x, y)


def _timed(work: Callable[[], object], device: torch.device) -> float:
    """The median wall time of a call in seconds, after one that warms up, the device's queue empty before and after."""

    def once() -> float:
        _wait(device)
        start = time.perf_counter()
        with torch.no_grad():
            work()
        _wait(device)
        return time.perf_counter() - start

    once()
    taken = once()
    return taken if taken > DEAR else statistics.median([taken, *(once() for _ in range(4))])


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def training(device: torch.device, size: Size, late: Late, folder: Path, data_dir: Path | None) -> Iterator[Row]:
    """Whole schedules, epoch by epoch, method after method: as far as the time goes, and from there the next time.

    The folders hold checkpoints, and weights where a schedule has ended; they are certified elsewhere.
    """
    for name in TRAINERS:
        recipe = read(name).recipe(**size.training)
        for row in train(recipe, folder / f"gpu-{name}", data_dir=data_dir, device=str(device)):
            errors = {"clean": row.clean_error, "verified": row.verified_error}
            yield {"trainer": name, "epoch": row.epoch, "of": recipe.epochs, "eps": row.eps, "s": row.seconds, **errors}
            if late():
                return


def _network(name: str) -> nn.Module:
    made: Any = find("networks", name)
    network: nn.Module = made(SHAPE, CLASSES)
    return network.eval()


PARTS = {"agreement": agreement, "speed": speed, "training": training}

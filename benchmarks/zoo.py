"""Which modules of others lower, and whether bounds of them hold samples: a table, and docs/models.md made of it."""

from __future__ import annotations

import json
import re
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata, util
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.table import Table
from torch import Tensor

from absdomain import Graph, Linf, to_graph
from absdomain.domains import Box
from absdomain.errors import UnsupportedOp
from absdomain.runtime.writing import as_json, keyed, replace
from benchmarks.models import FAMILIES, Model, models
from benchmarks.output import Row, write

OUTCOMES = ("lowered", "refused", "failed", "wrong")
EPS = 1e-5
SAMPLES = 4
TITLE = "# Models that lower"  # a page that begins so is ours
_ROUNDING = {torch.float64: 1e-9, torch.float32: 1e-4}  # of the value's size: what passes for rounding
_OPERATION = re.compile(r"(aten\.[\w.]+|(?<!of )the module [a-z ]+|torch\.export cannot export)")


def zoo(
    family: Annotated[list[str] | None, typer.Option(help=f"One of {', '.join(FAMILIES)}; the default is all.")] = None,
    only: Annotated[str, typer.Option(help="Names that hold this text.")] = "",
    seconds: Annotated[int, typer.Option(help="For one module.")] = 120,
    out: Annotated[Path | None, typer.Option(help="Also write the rows here (JSON); rows that are there stay.")] = None,
    page: Annotated[Path | None, typer.Option(help="Write the table of families as Markdown.")] = None,
) -> None:
    """Lower modules of torchvision, timm and transformers, where installed, and of papers, and sample their bounds."""
    rows: list[Row] = json.loads(out.read_text()) if out is not None and out.exists() else []
    known = {(row["family"], row["name"]) for row in rows}
    for name in family or FAMILIES:
        for model in models(name):
            if only in model.name and (model.family, model.name) not in known:
                rows.append(tried(model, seconds))
                print(json.dumps(rows[-1]), flush=True)
                if out is not None:
                    replace(out, as_json(rows), keyed(rows[-1]))
    table = Table(title=f"Modules that lower; box bounds at eps {EPS:g} against samples")
    for column in ("family", "modules", *OUTCOMES):
        table.add_column(column)
    for name, counts in _counts(rows).items():
        table.add_row(
            name, str(sum(counts.values())), *(str(counts[k]) for k in ("lowered", "refused", "failed", "wrong"))
        )
    write(table, rows, None)
    for text, count in blocked(rows).most_common(40):
        print(f"{count:4} {text}")
    if page is not None:
        replace(page, markdown(rows).encode(), lambda old: old.startswith(TITLE.encode()))


def tried(model: Model, seconds: int) -> Row:
    """What becomes of a module: lowered, refused, failed (it cannot be made, or time is up), or wrong."""
    start = time.process_time()
    row: Row = {
        "family": model.family,
        "name": model.name,
        "outcome": "failed",
        "message": "",
        "dtype": "float64",
        "nodes": 0,
        "seconds": 0.0,
        "finite": False,
    }
    try:
        with _at_most(seconds):
            try:
                graph, example = _lowered(model, torch.float64)
            except UnsupportedOp as refusal:
                if "casts to torch.float32" not in str(refusal):
                    raise
                row["dtype"] = "float32"  # which the module keeps inside, whatever its input's is
                graph, example = _lowered(model, torch.float32)
            holds, finite = held(graph, example)
            row |= {"outcome": "lowered" if holds else "wrong", "nodes": len(graph.nodes), "finite": finite}
    except UnsupportedOp as refusal:
        row |= {"outcome": "refused", "message": str(refusal)}
    except Exception as error:  # whatever the module's library raises
        row["message"] = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    return row | {"seconds": round(time.process_time() - start, 1)}


def _lowered(model: Model, dtype: torch.dtype) -> tuple[Graph, Any]:
    torch.manual_seed(0)
    module, given = model.made()
    example = _cast(given, dtype)
    return to_graph(module.eval().to(dtype), example), example


def held(graph: Graph, example: Any) -> tuple[bool, bool]:
    """Whether box bounds around the example hold the graph's values at samples, and whether all are finite.

    That the graph is the module has been tried where it was lowered (`lowering.agreement`).
    """
    named = {"input": example} if isinstance(example, Tensor) else example
    given = dict(zip(graph.inputs, named.values() if isinstance(named, dict) else named, strict=True))
    x = given[graph.inputs[0]] if len(given) == 1 else graph.joined(given)
    region = Linf(x[:1], EPS)
    with torch.no_grad():
        bounds = Box().propagate(graph, region)
        for point in region.sample(SAMPLES, generator=torch.Generator().manual_seed(0)):
            value = graph(point)
            room = _ROUNDING[value.dtype] * (1 + value.abs())
            if bool((value < bounds.lower - room).any() or (value > bounds.upper + room).any()):
                return False, True
    return True, bool(bounds.lower.isfinite().all() and bounds.upper.isfinite().all())


def blocked(rows: list[Row]) -> Counter[str]:
    """How many modules each operation, or reason, stands in the way of."""
    found: Counter[str] = Counter()
    for row in rows:
        if row["outcome"] == "refused":
            found.update(set(_OPERATION.findall(row["message"])) or {row["message"][:80]})
        elif row["outcome"] == "failed":
            found.update({f"failed: {row['message'][:80]}"})
    return found


def versions() -> str:
    """Those of the libraries that are tried, as far as they are installed."""
    libraries = ("torch", *(library for library in FAMILIES.values() if library is not None))
    return ", ".join(f"{name} {metadata.version(name)}" for name in libraries if util.find_spec(name) is not None)


def markdown(rows: list[Row], made_with: str | None = None) -> str:
    """The page of families that lower; `made_with` are the libraries' versions, by default those that are here."""
    lines = [
        TITLE, "",
        f"Made by `python -m benchmarks zoo --page docs/models.md` with {made_with or versions()}. Weights are random, "
        "images small.", "",
        f"- lowered: every operation is the module's own, and box bounds at eps {EPS:g} hold {SAMPLES} samples; in "
        "float64, or in float32 where a module casts to it",
        "- refused: `UnsupportedOp`, with what is in the way",
        "- failed: the module cannot be made so, or its time is up",
        "- wrong: a sample is outside its bounds", "",
        f"| family | tried | {' | '.join(OUTCOMES)} |", "|---|---|---|---|---|---|",
    ]  # fmt: skip
    for name, counts in _counts(rows).items():
        told = " | ".join(str(counts[outcome]) for outcome in OUTCOMES)
        lines.append(f"| {name} | {sum(counts.values())} | {told} |")
    for name in _counts(rows):
        family = sorted((row for row in rows if row["family"] == name), key=lambda row: row["name"].lower())
        lowered = ", ".join(f"`{row['name']}`" for row in family if row["outcome"] == "lowered")
        lines += ["", f"## {name}", "", f"Lowered: {lowered or 'none'}."]
        others = [row for row in family if row["outcome"] != "lowered"]
        if others:
            lines += ["", "| not lowered | because of |", "|---|---|"]
            lines += [f"| `{row['name']}` | {_reason(row)} |" for row in others]
    return "\n".join(lines) + "\n"


def _reason(row: Row) -> str:
    if row["outcome"] == "wrong":
        return "wrong"
    return ", ".join(sorted(blocked([row]))).replace("|", "/").replace("\n", " ").strip()


def _counts(rows: list[Row]) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = {}
    for row in rows:
        found.setdefault(row["family"], Counter())[row["outcome"]] += 1
    return found


def _cast(example: Any, dtype: torch.dtype) -> Any:
    if isinstance(example, Tensor):
        return example.to(dtype)
    if isinstance(example, dict):
        return {name: _cast(value, dtype) for name, value in example.items()}
    return tuple(_cast(value, dtype) for value in example)


@contextmanager
def _at_most(seconds: int) -> Iterator[None]:
    def late(*_: Any) -> None:
        raise TimeoutError(f"more than {seconds} s")

    before = signal.signal(signal.SIGPROF, late)
    signal.setitimer(signal.ITIMER_PROF, seconds)  # of the processor, however busy the machine is
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)

"""The options that several commands have, named as in the literature."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

DATA, METHOD, SCHEDULE, CHECK, MACHINE = "Data", "Method", "Schedule and optimiser", "Certification", "Machine"


class Floats(StrEnum):
    """Names of the types in which networks are executed, as torch has them."""

    FLOAT64 = "float64"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


def radius(text: str) -> float:
    """A number >= 0, or a quotient of two such as 8/255."""
    top, slash, bottom = str(text).partition("/")
    try:
        value = float(top) / float(bottom) if slash else float(top)
    except (ValueError, ZeroDivisionError):
        raise typer.BadParameter(f"{text!r} is not a number; write 0.03 or 8/255") from None
    if value < 0:
        raise typer.BadParameter(f"{text!r} is below 0; a radius is not")
    return value


Data = Annotated[
    str | None,
    typer.Option(
        help="digits, mnist, fashion-mnist, cifar10, svhn, toy; or yours: an .npz file or a folder of pictures.",
        rich_help_panel=DATA,
        show_default=False,
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        envvar="ABSDOMAIN_DATA",
        help="Folder with the public files. Without it they are downloaded once.",
        rich_help_panel=DATA,
        show_default=False,
    ),
]
Run = Annotated[
    Path | None,
    typer.Argument(
        metavar="RUN",
        help="Folder of a finished training, an ONNX or npz file, or .safetensors or .pt with --network.",
        show_default=False,
    ),
]
Network = Annotated[
    str | None,
    typer.Option(
        help="The network of which a file has the numbers: a name, 'mlp(hidden=(50, 50))' or module:factory.",
        rich_help_panel=DATA,
        show_default=False,
    ),
]
WeightsFile = Annotated[
    Path | None,
    typer.Option(
        "--weights",
        help="An npz file of others' weights instead of RUN: W0, b0, W1, ... in PyTorch's layout, and arch.",
        rich_help_panel=DATA,
        show_default=False,
    ),
]
Model = Annotated[
    str, typer.Option(help="Which network of the run: some methods train a partner.", rich_help_panel=DATA)
]
Subset = Annotated[
    int | None,
    typer.Option(min=1, help="Only the first so many test images.", rich_help_panel=DATA, show_default=False),
]
Eps = Annotated[
    float | None,
    typer.Option(
        parser=radius,
        metavar="RADIUS",
        help="L-infinity radius, in pixels of [0, 1]: 0.03 or 8/255.",
        rich_help_panel=METHOD,
        show_default=False,
    ),
]
Clip = Annotated[
    bool | None,
    typer.Option(
        "--clip/--no-clip",
        help="Whether a perturbed image stays in [0, 1].",
        rich_help_panel=METHOD,
        show_default=False,
    ),
]
Domains = Annotated[
    list[str] | None,
    typer.Option(
        "--domain",
        help="A domain expression; may be given again. Default: box, box & deeppoly(slopes=zero), box & deeppoly.",
        rich_help_panel=CHECK,
        show_default=False,
    ),
]
Steps = Annotated[int, typer.Option(min=0, help="PGD steps; 0 for no attack.", rich_help_panel=CHECK)]
Restarts = Annotated[int, typer.Option(min=1, help="PGD random restarts.", rich_help_panel=CHECK)]
Attack = Annotated[
    str,
    typer.Option(
        help='Instead of --steps and --restarts: "pgd(steps=200, restarts=10)", or steps of Adam, "adam(rate=0.1)".',
        rich_help_panel=CHECK,
        show_default=False,
    ),
]
Cascade = Annotated[
    bool, typer.Option("--cascade", help="Ask each domain only for what is undecided.", rich_help_panel=CHECK)
]
Ties = Annotated[bool, typer.Option("--count-ties", help="A bound of exactly 0 verifies, too.", rich_help_panel=CHECK)]
Executed = Annotated[
    Floats | None,
    typer.Option(
        help="The network's own type: what is proved holds of every evaluation in it, in any order of summation.",
        rich_help_panel=CHECK,
        show_default=False,
    ),
]
Margin = Annotated[
    float | None,
    typer.Option(
        min=0,
        help="What a bound must exceed. Default: an allowance for rounding.",
        rich_help_panel=CHECK,
        show_default=False,
    ),
]
Curve = Annotated[
    int | None,
    typer.Option(
        min=0,
        help="Images for the plot of errors against eps; 0 for none. Default: all.",
        rich_help_panel=CHECK,
        show_default=False,
    ),
]
Results = Annotated[
    Path | None,
    typer.Option(
        help="Folder for the results. Default: in RUN/certified, one for each question.",
        rich_help_panel=DATA,
        show_default=False,
    ),
]
Batch = Annotated[int, typer.Option(min=1, help="Images at a time.", rich_help_panel=MACHINE)]
Seed = Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Seed of all randomness.", rich_help_panel=METHOD)]
Device = Annotated[
    str, typer.Option(help="torch device; auto takes CUDA where there is some.", rich_help_panel=MACHINE)
]
Threads = Annotated[
    int | None,
    typer.Option(
        min=1, max=1024, help="CPU threads. Default: torch's choice.", rich_help_panel=MACHINE, show_default=False
    ),
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Work on the workers of a dask scheduler, such as tcp://host:8786.",
        rich_help_panel=MACHINE,
        show_default=False,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Work in so many processes on this machine, each with --threads, by default 1.",
        rich_help_panel=MACHINE,
        show_default=False,
    ),
]


def cluster_of(scheduler: str | None, workers: int | None) -> str | int | None:
    """Where the work is done: the scheduler's workers, so many of this machine's own, or None for this process.

    Errors: ValueError for both.
    """
    if scheduler is not None and workers is not None:
        raise ValueError("give either --scheduler, or --workers, which starts one of its own")
    return workers if scheduler is None else scheduler


def threads_of(threads: int | None, cluster: str | int | None) -> int | None:
    """The threads of this process and of each worker: as given; one where several workers share a machine."""
    return 1 if threads is None and cluster is not None else threads

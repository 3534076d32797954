"""`absdomain check`: certificates against the original files, by the checker alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def check(
    certificate: Annotated[
        Path,
        typer.Argument(
            help="What --certificate wrote, or the folder of a RUN with --certificates.", show_default=False
        ),
    ],
    network: Annotated[Path | None, typer.Option(help="The ONNX file.", show_default=False)] = None,
    unsafe: Annotated[Path | None, typer.Option("--property", help="The VNN-LIB file.", show_default=False)] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder with the data set's public files.", show_default=False)
    ] = None,
    grade: Annotated[str, typer.Option(help="The arithmetic of the bounds: ball or exact.")] = "ball",
) -> None:
    """Whether certificates prove their verdicts of the original files, of which all bounds are computed again.

    Exit codes: 0 accepted, 1 refused with the reason, 3 error. The same without this library:
    `python -m absdomain_check CERTIFICATE --network N --property P`.

    `absdomain check answer.json --network net.onnx --property property.vnnlib --grade exact`

    `absdomain check runs/mnist --data-dir data`
    """
    from absdomain_check.__main__ import told

    raise typer.Exit(told(certificate, network, unsafe, data_dir, grade))

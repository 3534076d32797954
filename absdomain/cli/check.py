"""`absdomain check`: a certificate against the original files, by the checker alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def check(
    certificate: Annotated[Path, typer.Argument(help="What --certificate wrote.", show_default=False)],
    network: Annotated[Path, typer.Option(help="The ONNX file.", show_default=False)],
    unsafe: Annotated[Path, typer.Option("--property", help="The VNN-LIB file.", show_default=False)],
    grade: Annotated[str, typer.Option(help="The arithmetic of the bounds: ball or exact.")] = "ball",
) -> None:
    """Whether a certificate proves its verdict of these two files, whose bounds are all computed again.

    Exit codes: 0 accepted, 1 refused with the reason, 3 error. The same without this library:
    `python -m absdomain_check CERTIFICATE --network N --property P`.

    `absdomain check answer.json --network net.onnx --property property.vnnlib --grade exact`
    """
    from absdomain_check.__main__ import told

    raise typer.Exit(told(certificate, network, unsafe, grade))

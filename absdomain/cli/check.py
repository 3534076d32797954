"""`absdomain check`: certificates against the original files, by the checker alone."""

from __future__ import annotations

import json
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from absdomain.data.files import ENVIRONMENT

MANIFEST, LINES = "manifest.json", "images.jsonl"  # of certificates of images


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
        Path | None,
        typer.Option(
            help="Folder with the data set's public files. Default: ABSDOMAIN_DATA; of digits, scikit-learn's own.",
            show_default=False,
        ),
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

    if certificate.is_dir() and data_dir is None:
        data_dir = _files_of(certificate)
    raise typer.Exit(told(certificate, network, unsafe, data_dir, grade))


def _files_of(folder: Path) -> Path | None:
    """Where the public files are of the images that these certificates are of, as far as it is known here."""
    places = [path.parent / MANIFEST for path in folder.rglob(LINES)]
    manifests = [json.loads(path.read_bytes()) for path in places if path.is_file()]
    sklearn = find_spec("sklearn")
    if sklearn is not None and sklearn.origin and {one.get("data", {}).get("name") for one in manifests} == {"digits"}:
        return Path(sklearn.origin).parent / "datasets" / "data"
    return Path(os.environ[ENVIRONMENT]) if os.environ.get(ENVIRONMENT) else None

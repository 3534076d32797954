"""0: accepted, 1: refused with the reason, 3: an error.

python -m absdomain_check CERTIFICATE --network NET --property PROPERTY
python -m absdomain_check RUN --data-dir FOLDER
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from absdomain_check.errors import Refused, Unreadable


def main(arguments: list[str] | None = None) -> int:
    """The exit code; what was checked, or why not, in one line."""
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="absdomain_check", description=__doc__, formatter_class=layout)
    parser.add_argument("certificate", type=Path, help="a certificate, or the folder of a run with those of images")
    parser.add_argument("--network", type=Path, help="the ONNX file")
    parser.add_argument("--property", type=Path, help="the VNN-LIB file")
    parser.add_argument("--data-dir", type=Path, help="the folder with the data set's files")
    parser.add_argument("--grade", choices=["ball", "exact"], default="ball", help="the arithmetic of the bounds")
    try:
        given = parser.parse_args(arguments)
    except SystemExit as leave:
        return 3 if leave.code else 0
    return told(given.certificate, given.network, given.property, given.data_dir, given.grade)


def told(certificate: Path, network: Path | None, prop: Path | None, data_dir: Path | None, grade: str) -> int:
    """Prints a line about these files, or about each set of images' certificates in a folder; the exit code."""
    from absdomain_check.checking import GRADES

    if grade not in GRADES:
        return _wrong(f"grade {grade!r} is none of {', '.join(GRADES)}")
    if not certificate.is_dir():
        if network is None or prop is None or data_dir is not None:
            return _wrong("a certificate is checked against --network and --property")
        return _said(lambda: _certificate(certificate, network, prop, grade))
    if data_dir is None or network is not None or prop is not None:
        return _wrong("a folder, with certificates of images, is checked against --data-dir")
    places = [path.parent for path in sorted(certificate.rglob("images.jsonl"))]
    if not places:
        return _wrong(f"{certificate} has no certificates of images; certify with --certificates")
    return max([_said(partial(_images, place, data_dir, grade)) for place in places])


def _wrong(text: str) -> int:
    print(f"error: {text}", file=sys.stderr)
    return 3


def _said(check: Callable[[], str]) -> int:
    """The exit code; the line is printed."""
    began = time.process_time()
    try:
        found = check()
    except Refused as reason:
        print(f"refused: {reason}")
        return 1
    except (Unreadable, OSError, MemoryError, ValueError) as error:
        return _wrong(str(error))
    print(f"accepted: {found}, {time.process_time() - began:.2f} s")
    return 0


def _certificate(certificate: Path, network: Path, prop: Path, grade: str) -> str:
    from absdomain_check.checking import check

    found = check(certificate.read_bytes(), network.read_bytes(), prop.read_bytes(), grade)
    of_leaves = f", {found.leaves} leaves, least bound {found.least:.3g}" if found.verdict == "unsat" else ""
    note = f" ({found.note})" if found.note else ""
    return f"{found.verdict}{note}, grade {found.grade}{of_leaves}"


def _images(folder: Path, data_dir: Path, grade: str) -> str:
    from absdomain_check.images import check_images

    found = check_images(folder, data_dir, grade)
    clip = "" if found.clip is None else f" within [{found.clip[0]:g}, {found.clip[1]:g}]"
    network = f"network.onnx, with the weights of {found.weights}" if found.weights else "network.onnx alone"
    rest = found.count - found.verified - found.falsified
    least = f", least bound {found.least:.3g}" if found.verified else ""
    return (
        f"of the first {found.count} test images of {found.data}, at eps {found.eps}{clip}, {found.verified} are "
        f"verified, {found.falsified} falsified, and of {rest} nothing is claimed; {network}, "
        f"grade {found.grade}{least}"
    )


if __name__ == "__main__":
    sys.exit(main())

"""python -m absdomain_check CERTIFICATE --network NET --property PROPERTY: 0 accepted, 1 refused, 3 an error."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from absdomain_check.errors import Refused, Unreadable


def main(arguments: list[str] | None = None) -> int:
    """The exit code; what was checked, or why not, in one line."""
    parser = argparse.ArgumentParser(prog="absdomain_check", description=__doc__)
    parser.add_argument("certificate", type=Path)
    parser.add_argument("--network", type=Path, required=True, help="the ONNX file")
    parser.add_argument("--property", type=Path, required=True, help="the VNN-LIB file")
    parser.add_argument("--grade", choices=["ball", "exact"], default="ball", help="the arithmetic of the bounds")
    try:
        given = parser.parse_args(arguments)
    except SystemExit as leave:
        return 3 if leave.code else 0
    return told(given.certificate, given.network, given.property, given.grade)


def told(certificate: Path, network: Path, prop: Path, grade: str) -> int:
    """Prints one line about these files; the exit code."""
    from absdomain_check.checking import GRADES, check

    if grade not in GRADES:
        print(f"error: grade {grade!r} is none of {', '.join(GRADES)}", file=sys.stderr)
        return 3
    began = time.process_time()
    try:
        found = check(certificate.read_bytes(), network.read_bytes(), prop.read_bytes(), grade)
    except Refused as reason:
        print(f"refused: {reason}")
        return 1
    except (Unreadable, OSError, MemoryError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 3
    seconds = time.process_time() - began
    of_leaves = f"{found.leaves} leaves, least bound {found.least:.3g}, " if found.verdict == "unsat" else ""
    note = f" ({found.note})" if found.note else ""
    print(f"accepted: {found.verdict}{note}, grade {found.grade}, {of_leaves}{seconds:.2f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())

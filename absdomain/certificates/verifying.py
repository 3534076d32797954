"""verify, with a certificate of the answer for whoever does not want to believe it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from absdomain.branching.outcome import Verdict, Watch
from absdomain.branching.verify import Answer, Given, Records
from absdomain.branching.verify import verify as answered
from absdomain.domain import AnyDomain
from absdomain.errors import NoCertificate, check_type
from absdomain.properties import Property
from absdomain.runtime import writing
from absdomain.vnnlib import read_property

if TYPE_CHECKING:
    from absdomain.certificates.write import Writer


def verify(
    network: Given | Mapping[str, Given],
    asked: Property | str | Path,
    *,
    domain: AnyDomain | str | None = None,
    timeout: float = inf,
    batch: int = 512,
    watch: Watch | None = None,
    records: Records | None = None,
    executed: torch.dtype | None = None,
    certificate: str | Path | None = None,
) -> Answer:
    """Whether the unsafe set of a property is empty (`unsat`, proved) or holds a point (`sat`, replayed).

    network: a graph or an ONNX file, or { name: one } where the property has several; asked: a property, or a VNN-LIB
    file. `unsat` is of the numbers in the files, in real arithmetic, and covers ends of boxes as programs in the
    network's dtype read them. `sat` is a point of that dtype, inside exactly, at which the network (run by onnxruntime
    where it is a file) is unsafe without tolerance. With `executed`, the networks' dtype, `unsat` is of every
    evaluation in it, in any order of summation (`absdomain.rounding.executed`). timeout is in seconds, and begins here.
    `watch` is called with each batch of a search: how many parts were bounded, how many are open, and the least bound
    of those; by default a line on stderr says it. `records` makes, for each box of a query, what is told how that box
    was proved.

    `certificate` is a file that is written, for `absdomain check`, where the answer is `unsat` or `sat`; of one ONNX
    file and one VNN-LIB file. It may take as long as `timeout` beyond the search. Where there is none the answer's
    `uncertified` says why, and no file is written.
    """
    options = {"domain": domain, "timeout": timeout, "batch": batch, "watch": watch, "executed": executed}
    if certificate is None:
        return answered(network, asked, records=records, **options)  # type: ignore[arg-type]
    if records is not None:
        raise ValueError("verify: `certificate` records the search itself; leave `records` out")
    path, writer = prepared(network, asked, certificate, timeout, executed)
    given = read_property(str(asked))
    found = answered(network, given, records=writer.record, **options)  # type: ignore[arg-type]
    content, why = certified(writer, found, given)
    if content:
        writing.replace(path, content, is_certificate)
    return replace(found, uncertified=why)


def prepared(
    network: object, asked: object, certificate: object, seconds: float, executed: object = None
) -> tuple[Path, Writer]:
    """Where the certificate goes, and who writes it. Errors: ValueError, TypeError, WriteError, before any work."""
    check_type("verify, certificate", certificate, (str, Path), "give the path of a file for it")
    if executed is not None:
        raise ValueError("verify: certificates are of real arithmetic; leave `certificate` or `executed` out")
    if not isinstance(network, str | Path) or not isinstance(asked, str | Path):
        raise ValueError(
            f"verify: a certificate is of the bytes of two files, and these are {type(network).__name__} and "
            f"{type(asked).__name__}; give one ONNX file and a VNN-LIB file (Property.text writes one)"
        )
    from absdomain.certificates.write import Writer  # with the checker, which an answer alone does without

    path = Path(str(certificate))
    writing.vacant(path, is_certificate)
    return path, Writer(Path(network).read_bytes(), Path(asked).read_bytes(), seconds)


def certified(writer: Writer, found: Answer, given: Property) -> tuple[bytes, str]:
    """(the certificate, "") of a verdict; (b"", why there is none)."""
    try:
        if found.verdict == Verdict.UNSAT:
            return writer.unsat(), ""
        if found.verdict == Verdict.SAT:
            names = [tensor.name for network in given.networks for tensor in network.inputs]
            return writer.sat([v for name in names for v in found.counterexample[name].flatten().tolist()]), ""
    except NoCertificate as reason:
        return b"", str(reason)
    return b"", f"the verdict is {found.verdict}"


def is_certificate(content: bytes) -> bool:
    """Whether this can only be a certificate of ours."""
    from absdomain_check.errors import Refused
    from absdomain_check.form import opened

    try:
        return bool(opened(content))
    except Refused:
        return False

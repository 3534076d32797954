"""One question of the command line, asked within limits: an answer comes whatever happens."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absdomain.errors import described
from absdomain.runtime.limited import Died, OutOfMemory, OutOfTime, limited
from absdomain.runtime.progress import Ticker

if TYPE_CHECKING:
    from absdomain.branching import Answer
    from absdomain.certificates import Writer
    from absdomain.properties import Property

SAT, UNSAT, UNKNOWN, TIMEOUT, ERROR = VERDICTS = ("sat", "unsat", "unknown", "timeout", "error")
DECIDED = (SAT, UNSAT)


@dataclass(frozen=True)
class Way:
    """How an answer is looked for, and its limits."""

    domain: str | None = None  # that suits the network
    timeout: float = inf  # seconds
    memory: float = inf  # GiB
    threads: int | None = None
    executed: str | None = None  # the networks' dtype, of whose evaluations `unsat` is; None: of real arithmetic
    certified: bool = False  # whether a certificate is asked for, too

    @property
    def limited(self) -> bool:
        """Whether there is a limit."""
        return min(self.timeout, self.memory) < inf

    @property
    def patience(self) -> float:
        """Seconds after which the process is ended: the limit, which the search keeps by itself, and a little more.

        A certificate may take twice as long again.
        """
        return (1 + 2 * self.certified) * self.timeout + max(1.0, 0.02 * self.timeout)


@dataclass(frozen=True)
class Asked:
    """The networks' files, one or { name: file }, and the property's."""

    network: Path | Mapping[str, Path]
    unsafe: Path


@dataclass(frozen=True)
class Answered:
    """One of VERDICTS, and what is known of it; `texts`: as the competition and as VNN-LIB 2.0 write it."""

    verdict: str
    seconds: float
    reason: str = ""
    branches: int = 0
    counterexample: Mapping[str, list[float]] = field(default_factory=dict)
    texts: tuple[str, str] | None = field(default=None, repr=False)
    certificate: bytes = field(default=b"", repr=False)
    uncertified: str = ""  # why there is no certificate, though one was asked for

    @property
    def competition(self) -> str:
        """The verdict, and a counterexample as ((X_0 0.1) ... (Y_0 ...))."""
        return self.texts[0] if self.texts else self.verdict

    @property
    def standard(self) -> str:
        """The verdict in the words of VNN-LIB 2.0, and a counterexample tensor by tensor, a number a line."""
        return self.texts[1] if self.texts else {TIMEOUT: "timed-out"}.get(self.verdict, self.verdict)

    def to_json(self) -> dict[str, Any]:
        """What programs read."""
        return {
            "verdict": self.verdict, "seconds": round(self.seconds, 4), "reason": self.reason,
            "branches": self.branches, "counterexample": dict(self.counterexample),
            **({"uncertified": self.uncertified} if self.uncertified else {}),
        }  # fmt: skip


def prepare() -> None:
    """Imports what an answer needs, so that processes of their own, which are forks, need not."""
    import absdomain.branching
    import absdomain.vnnlib  # noqa: F401

    with suppress(ImportError):  # without the extra `onnx`, of which the answer tells
        from absdomain.lowering.onnx import operators, runtime, walk  # noqa: F401

        operators()


def asked_within(asked: Asked, way: Way) -> Answered:
    """The answer of a process of its own, which is ended where it keeps a limit no longer."""
    began = time.monotonic()
    try:
        return limited(partial(answered, asked, way), seconds=way.patience, memory=way.memory)
    except OutOfTime:
        verdict, reason = TIMEOUT, _late(way)
    except OutOfMemory as more:
        verdict, reason = UNKNOWN, f"memory: {more}, and may hold {way.memory:g}; give more"
    except Died as death:
        verdict, reason = ERROR, str(death)
    return Answered(verdict, time.monotonic() - began, reason)


def answered(asked: Asked, way: Way, *, raises: bool = False) -> Answered:
    """The answer, with progress on stderr; an exception is an answer, too, except with `raises`."""
    began, ticker = time.monotonic(), Ticker()
    try:
        return replace(_answer(asked, way, ticker, began), seconds=time.monotonic() - began)
    except Exception as error:
        if raises:
            raise
        return Answered(ERROR, time.monotonic() - began, described(error))
    finally:
        ticker.clear()


def _answer(asked: Asked, way: Way, ticker: Ticker, began: float) -> Answered:
    import torch

    from absdomain.branching import verify
    from absdomain.branching.watching import watching
    from absdomain.certificates.verifying import certified
    from absdomain.vnnlib import read_property

    if way.threads is not None:
        torch.set_num_threads(way.threads)
    given = read_property(asked.unsafe)
    left = way.timeout - (time.monotonic() - began)
    executed = None if way.executed is None else getattr(torch, way.executed)
    writer, watch = _writer(asked, way), watching(ticker)
    records = writer.record if writer else None
    found = verify(
        asked.network, given, domain=way.domain, timeout=left, watch=watch, executed=executed, records=records
    )  # fmt: skip
    certificate, uncertified = certified(writer, found, given) if writer else (b"", "")
    numbers = {name: tensor.flatten().tolist() for name, tensor in found.counterexample.items()}
    texts = (found.text(), _standard(found, given)) if numbers else None
    reason = _late(way) if found.verdict == TIMEOUT else found.reason  # of the limit as it was given
    return Answered(
        str(found.verdict), found.seconds, reason, found.branches, numbers, texts, certificate, uncertified
    )  # fmt: skip


def _writer(asked: Asked, way: Way) -> Writer | None:
    """Who writes the certificate, if one is asked for. Errors: ValueError for several networks; MissingExtra."""
    if not way.certified:
        return None
    from absdomain.certificates import Writer

    if isinstance(asked.network, Mapping):
        raise ValueError("verify: certificates are of one network: give NET and PROPERTY")
    return Writer(asked.network.read_bytes(), asked.unsafe.read_bytes(), way.timeout)


def _late(way: Way) -> str:
    return f"time: {way.timeout:g} s are over; give more, or a tighter domain"


def _standard(found: Answer, given: Property) -> str:
    """`NAME TYPE [SHAPE]` and the entries, a line each, of every tensor in the order in which they are declared."""
    lines = [str(found.verdict)]
    for name, tensor in given.tensors.items():
        if name in found.counterexample:
            lines.append(f"{name} {tensor.element} [{','.join(map(str, tensor.shape))}]")
            lines += map(repr, found.counterexample[name].flatten().tolist())
    return "\n".join(lines)

"""`absdomain supports`: what can be verified, as the VNN-LIB 2.0 standard has solvers tell (solver interface, 3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer


def supports(
    capability: Annotated[str, typer.Argument(metavar="--CAPABILITY", help="One of those above.", show_default=False)],
) -> None:
    """What can be verified, a line each, in the words of the VNN-LIB 2.0 standard.

    --onnx-operators, --onnx-opset-versions, --onnx-element-types, --vnnlib-versions, --hidden-node-theories,
    --multiple-input-output-theories, --multiple-network-theories, --multiple-node-comparison-theories,
    --arithmetic-complexity-theories, --optimised-disjunctive-reasoning, --serialise-assignments, --unsat-proofs

    `absdomain supports --onnx-operators`
    """
    if capability not in CAPABILITIES:
        raise ValueError(f"supports {capability}: there are {', '.join(CAPABILITIES)}")
    for line in CAPABILITIES[capability]():
        typer.echo(line)


def _operators() -> list[str]:
    """Those of ONNX's own domain that have a rule; any other is computed where its inputs are constants."""
    from absdomain.lowering.onnx import operators

    return [name for name in operators() if "::" not in name]


def _opsets() -> list[str]:
    from onnx.defs import onnx_opset_version

    from absdomain.lowering.onnx.reading import OPSETS

    return [str(OPSETS.start), str(onnx_opset_version())]


def _always(*lines: str) -> Callable[[], list[str]]:
    return lambda: list(lines)


CAPABILITIES: dict[str, Callable[[], list[str]]] = {
    "--onnx-operators": _operators,
    "--onnx-opset-versions": _opsets,
    "--onnx-element-types": _always("real"),  # proofs are of real arithmetic, whatever type a file declares
    "--vnnlib-versions": _always("1.0", "2.0"),
    "--hidden-node-theories": _always("H"),
    "--multiple-input-output-theories": _always("MIO"),
    "--multiple-network-theories": _always("MNET"),
    "--multiple-node-comparison-theories": _always("MNC"),
    "--arithmetic-complexity-theories": _always("POLY"),
    "--optimised-disjunctive-reasoning": _always("false"),  # `or` inside of `and` is written out
    "--serialise-assignments": _always("false"),
    "--unsat-proofs": _always("true"),
}

"""A property: networks, and assertions whose conjunction is the unsafe set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from typing import Any, Protocol

import torch

from absdomain.errors import PropertyError
from absdomain.properties.decimals import exact
from absdomain.properties.declared import Declared, Network
from absdomain.properties.formula import And, Formula, printed
from absdomain.properties.polynomial import INPUT, OUTPUT, Variable


class Origin(Protocol):
    """Where a property was read: errors with line and column."""

    def at_declaration(self, variable: Variable, message: str) -> PropertyError:
        """The error, at the place where this entry, or its tensor, is declared."""

    def at_assertion(self, number: int, message: str) -> PropertyError:
        """The error, at the place of this assertion."""


@dataclass(frozen=True)
class Property:
    """The unsafe set { values of the networks : all assertions hold }; `sat`: a point is in it, `unsat`: it is empty.

    Prints as VNN-LIB 2.0; `text("1.0")` is the older form. Law: what is printed is read back equal.
    """

    networks: tuple[Network, ...]
    assertions: tuple[Formula, ...]
    version: str = field(default="2.0", compare=False)
    origin: Origin | None = field(default=None, compare=False, repr=False)

    @cached_property
    def tensors(self) -> dict[str, Declared]:
        """Every declared tensor by its name."""
        return {tensor.name: tensor for network in self.networks for tensor in network}

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Whether the point is unsafe: exactly as written, strict where it is strict, without any tolerance.

        `values` has for each tensor's name its entries (tensor, array or numbers); floats count as what they are in
        binary. A NaN or an infinity is in no unsafe set.
        """
        try:
            numbers = {name: _exactly(given) for name, given in values.items()}
        except ValueError:
            return False
        for name, tensor in self.tensors.items():
            if name in numbers and len(numbers[name]) != tensor.size:
                raise ValueError(f"holds: {name} has {tensor.size} entries, {len(numbers[name])} values were given")

        def value(v: Variable) -> Fraction:
            if v.name not in numbers:
                raise ValueError(f"holds: no values of {v.name} were given, of which the property speaks")
            return numbers[v.name][v.flat]

        return all(assertion.holds(value) for assertion in self.assertions)

    def text(self, version: str = "2.0") -> str:
        """The property as a VNN-LIB file of this version. Errors: ValueError for what 1.0 cannot say."""
        if version == "1.0":
            return _older(self)
        declared = "\n".join(_declaration(network) for network in self.networks)
        newer = replace(self, version=version)
        stated = "\n".join(f"(assert {printed(formula, newer.called)})" for formula in self.assertions)
        return f"(vnnlib-version <{version}>)\n\n{declared}\n\n{stated}\n"

    def __str__(self) -> str:
        return self.text()

    def called(self, v: Variable) -> str:
        """The name of an entry in this version's text: X[0,3], or X_3."""
        if self.version == "1.0":
            return f"{v.name}_{v.flat}"
        index = ",".join(map(str, self.tensors[v.name].index(v.flat)))
        return f"{v.name}[{index}]" if index else v.name

    def declared_at(self, variable: Variable, message: str) -> PropertyError:
        """The error about this entry's declaration, with its place where the property was read from a file."""
        return PropertyError(message) if self.origin is None else self.origin.at_declaration(variable, message)

    def asserted_at(self, number: int, message: str) -> PropertyError:
        """The error about this assertion, with its place where the property was read from a file."""
        return PropertyError(message) if self.origin is None else self.origin.at_assertion(number, message)


def conjuncts(formula: Formula) -> tuple[Formula, ...]:
    """The parts of an And; of another formula itself."""
    return formula.parts if isinstance(formula, And) else (formula,)


def _exactly(given: Any) -> Sequence[Fraction]:
    if isinstance(given, (list, tuple)) and all(isinstance(entry, (int, Fraction)) for entry in given):
        return [Fraction(entry) for entry in given]
    if isinstance(given, (list, tuple)):
        return exact(torch.tensor(given, dtype=torch.float64))
    return exact(torch.as_tensor(given))


def _declaration(network: Network) -> str:
    kin = [("equal-to", network.equal_to), ("isomorphic-to", network.isomorphic_to)]
    lines = [f"    ({word} {other})" for word, other in kin if other is not None]
    for tensor in network:
        node = "" if tensor.node is None else f' "{_escaped(tensor.node)}"'
        shape = ",".join(map(str, tensor.shape))
        lines.append(f"    (declare-{tensor.kind} {tensor.name} {tensor.element} [{shape}]{node})")
    return "\n".join([f"(declare-network {network.name}", *lines, ")"])


def _escaped(text: str) -> str:
    for plain, escaped in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\t", "\\t")):
        text = text.replace(plain, escaped)
    return text


def _older(given: Property) -> str:
    """In 1.0 the entries of all inputs are X_0, X_1, ... in their order, and those of all outputs Y_0, Y_1, ..."""
    if len(given.networks) != 1 or given.networks[0].hidden:
        raise ValueError("VNN-LIB 1.0 knows one network and no hidden nodes; print it as 2.0")
    network = given.networks[0]
    starts: dict[str, int] = {}
    lines: list[str] = []
    for letter, tensors in (("X", network.inputs), ("Y", network.outputs)):
        count = 0
        for tensor in tensors:
            starts[tensor.name] = count
            count += tensor.size
        lines += [f"(declare-const {letter}_{i} Real)" for i in range(count)]
    letters = {INPUT: "X", OUTPUT: "Y"}

    def name(v: Variable) -> str:
        return f"{letters[v.kind]}_{starts[v.name] + v.flat}"

    for formula in given.assertions:
        for comparison in formula.comparisons():
            if comparison.relation.value not in ("<=", "<") or comparison.term.degree > 1:
                raise ValueError(f"VNN-LIB 1.0 has no ==, no != and no products, as in {comparison}; print it as 2.0")
        lines.append(f"(assert {printed(formula, name)})")
    return "\n".join(lines) + "\n"

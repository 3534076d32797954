"""Properties of networks: formulas over inputs, hidden nodes and outputs, their normal form, and what is asked."""

from absdomain.properties.property import Property

__all__ = ["Property"]

"""nn.Module -> Graph."""

from absdomain.errors import UnsupportedOp
from absdomain.lowering.table import Activation, Call, lowers
from absdomain.lowering.walk import to_graph

__all__ = ["Activation", "Call", "UnsupportedOp", "lowers", "to_graph"]

"""The concrete operations, a few lines each."""

from absdomain.ops.along import Along
from absdomain.ops.conv import Conv
from absdomain.ops.conv_transpose import ConvTranspose
from absdomain.ops.dense import Dense
from absdomain.ops.exponential import ELU, Exp, Log, Softplus
from absdomain.ops.gates import GELU, GELUTanh, HardSwish, SiLU
from absdomain.ops.inverse import Acosh, Asin, Logit, Tan
from absdomain.ops.layout import Concat, Gather, Pad, Permute, Reshape, Scatter
from absdomain.ops.matmul import MatMul
from absdomain.ops.maximum import Max, positions, windows
from absdomain.ops.periodic import Cos, Sin
from absdomain.ops.piecewise import Abs, Clamp, HardTanh, LeakyReLU, PReLU, ReLU
from absdomain.ops.powers import Pow, Reciprocal, Sqrt, Square
from absdomain.ops.product import Product
from absdomain.ops.scale import BatchNorm, Scale
from absdomain.ops.sigmoidal import Sigmoid, Tanh
from absdomain.ops.softmax import LogSoftmax
from absdomain.ops.steps import Ceil, Floor, Heaviside, Round, Sign
from absdomain.ops.sums import Add, AvgPool, Mean, Sum

__all__ = [
    "ELU",
    "GELU",
    "Abs",
    "Acosh",
    "Add",
    "Along",
    "Asin",
    "AvgPool",
    "BatchNorm",
    "Ceil",
    "Clamp",
    "Concat",
    "Conv",
    "ConvTranspose",
    "Cos",
    "Dense",
    "Exp",
    "Floor",
    "GELUTanh",
    "Gather",
    "HardSwish",
    "HardTanh",
    "Heaviside",
    "LeakyReLU",
    "Log",
    "LogSoftmax",
    "Logit",
    "MatMul",
    "Max",
    "Mean",
    "PReLU",
    "Pad",
    "Permute",
    "Pow",
    "Product",
    "ReLU",
    "Reciprocal",
    "Reshape",
    "Round",
    "Scale",
    "Scatter",
    "SiLU",
    "Sigmoid",
    "Sign",
    "Sin",
    "Softplus",
    "Sqrt",
    "Square",
    "Sum",
    "Tan",
    "Tanh",
    "positions",
    "windows",
]

"""The concrete operations, a few lines each."""

from absdomain.ops.conv import Conv
from absdomain.ops.dense import Dense
from absdomain.ops.layout import Concat, Gather, Pad, Permute, Reshape
from absdomain.ops.maximum import Max, windows
from absdomain.ops.piecewise import LeakyReLU, ReLU
from absdomain.ops.scale import BatchNorm, Scale
from absdomain.ops.sums import Add, AvgPool, Mean, Sum

__all__ = [
    "Add",
    "AvgPool",
    "BatchNorm",
    "Concat",
    "Conv",
    "Dense",
    "Gather",
    "LeakyReLU",
    "Max",
    "Mean",
    "Pad",
    "Permute",
    "ReLU",
    "Reshape",
    "Scale",
    "Sum",
    "windows",
]

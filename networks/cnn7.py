"""The 7-layer CNN with batch norm: Shi et al. 2021, Fast Certified Robust Training with Short Warmup.

Also of Müller et al. 2023, Certified Training: Small Boxes are All You Need, and of most work since.
"""

import math

from torch import nn

from absdomain.data.normalise import Normalise
from absdomain.networks.chain import Conv, Shape, front

ROWS = (Conv(64, 3, 1, 1), Conv(64, 3, 1, 1), Conv(128, 3, 2, 1), Conv(128, 3, 1, 1), Conv(128, 3, 1, 1))


def cnn7(shape: Shape = (1, 28, 28), classes: int = 10, *, normalise: Normalise | None = None) -> nn.Sequential:
    """FC(relu(BN(FC512(five times relu(BN(Conv x)))))): batch norm after all but the last layer.

    DM-Large with batch norm. Bounds mean something in evaluation mode only, where batch norm is an affine layer.
    """
    layers = front(shape, normalise)
    for number, row in enumerate(ROWS, 1):
        [conv], shape = row.layers(shape)
        layers |= {f"conv{number}": conv, f"bn{number}": nn.BatchNorm2d(shape[0]), f"relu{number}": nn.ReLU()}
    layers |= {
        "flatten": nn.Flatten(),
        "fc1": nn.Linear(math.prod(shape), 512),
        "bn6": nn.BatchNorm1d(512),
        "relu6": nn.ReLU(),
        "fc2": nn.Linear(512, classes),
    }
    return nn.Sequential(layers)

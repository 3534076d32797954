"""Small, large and ResNet of Wong et al. 2018, Scaling Provable Adversarial Defenses; Robustra trains them too.

Despite a remark in Gowal et al. they are not Gowal's small and medium: these pad by 1, and small strides twice.
"""

from torch import Tensor, nn

from absdomain.data.normalise import Normalise
from absdomain.networks.chain import Chain, Conv, Shape, front

small = Chain((Conv(16, 4, 2, 1), Conv(32, 4, 2, 1)), (100,))
large = Chain((Conv(32, 3, 1, 1), Conv(32, 4, 2, 1), Conv(64, 3, 1, 1), Conv(64, 4, 2, 1)), (512, 512))


def resnet(shape: Shape = (1, 28, 28), classes: int = 10, *, normalise: Normalise | None = None) -> nn.Sequential:
    """FC(relu(FC1000(four residual blocks(relu(Conv16 x))))): blocks of width 16, 16, 32, 64, the last two halving."""
    channels, height, width = shape
    layers = front(shape, normalise)
    layers |= {
        "conv": nn.Conv2d(channels, 16, 3, padding=1),
        "relu1": nn.ReLU(),
        "block1": _plain(16),
        "block2": _plain(16),
        "block3": _halving(16, 32),
        "block4": _halving(32, 64),
        "flatten": nn.Flatten(),
        "fc1": nn.Linear(64 * (height // 2 // 2) * (width // 2 // 2), 1000),
        "relu2": nn.ReLU(),
        "fc2": nn.Linear(1000, classes),
    }
    return nn.Sequential(layers)


class Residual(nn.Module):
    """relu(conv(relu(first(x))) + skip(x))."""

    def __init__(self, first: nn.Conv2d, skip: nn.Conv2d) -> None:
        super().__init__()
        self.first = first
        self.relu1 = nn.ReLU()
        self.second = nn.Conv2d(first.out_channels, first.out_channels, 3, padding=1)
        self.skip = skip
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu2(self.second(self.relu1(self.first(x))) + self.skip(x))


def _plain(width: int) -> Residual:
    # The reference network has a 1x1 convolution in the skip also where the shape stays.
    return Residual(nn.Conv2d(width, width, 3, padding=1), nn.Conv2d(width, width, 1))


def _halving(inputs: int, outputs: int) -> Residual:
    return Residual(nn.Conv2d(inputs, outputs, 4, 2, padding=1), nn.Conv2d(inputs, outputs, 2, 2))

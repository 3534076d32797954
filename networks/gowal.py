"""The networks of IBP: Gowal et al. 2019, Scalable Verified Training for Provably Robust Image Classification.

The paddings are those that give the paper's 8.3K, 47K and 230K hidden units. `large` pads as TensorFlow does, so that
released weights fit; the same shape on PyTorch's grid is `advibp.large`. The checkpoints behind the
paper's MNIST results from eps 0.2 on and its CIFAR-10 result at 2/255 have 200 units in the FC layer of `large`.
"""

from torch import Tensor, nn

from absdomain.data.normalise import Normalise
from absdomain.networks.chain import Chain, Conv, Same, Shape, front
from absdomain.networks.initialise import orthogonal

small = Chain((Conv(16, 4, 2), Conv(32, 4)), (100,), orthogonal)
medium = Chain((Conv(32, 3), Conv(32, 4, 2), Conv(64, 3), Conv(64, 4, 2)), (512, 512), orthogonal)
large = Chain((Same(64, 3), Same(64, 3), Same(128, 3, 2), Same(128, 3), Same(128, 3)), (512,), orthogonal)


def wrn_10_10(shape: Shape = (1, 28, 28), classes: int = 10, *, normalise: Normalise | None = None) -> nn.Sequential:
    """FC(mean(relu(three wide blocks(Conv16 x)))): the WideResNet-10-10 for 64-pixel ImageNet, cropped to 56.

    Its code was never published. This is rebuilt from "8M parameters, 1.8M hidden units", which it meets without batch
    norm and without biases in its convolutions. The paper's images are (3, 56, 56), its classes 1000.
    """
    layers = front(shape, normalise)
    layers |= {
        "conv": nn.Conv2d(shape[0], 16, 3, padding=1, bias=False),
        "block1": Wide(16, 160, 1),
        "block2": Wide(160, 320, 2),
        "block3": Wide(320, 640, 2),
        "relu": nn.ReLU(),
        "pool": nn.AdaptiveAvgPool2d(1),
        "flatten": nn.Flatten(),
        "fc": nn.Linear(640, classes),
    }
    network = nn.Sequential(layers)
    orthogonal(network)
    return network


class Wide(nn.Module):
    """conv(relu(conv(relu(x)))) + shortcut(relu(x)): a pre-activated block whose width changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.relu1 = nn.ReLU()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.relu2 = nn.ReLU()
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        active = self.relu1(x)
        return self.conv2(self.relu2(self.conv1(active))) + self.shortcut(active)

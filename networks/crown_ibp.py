"""The models A to T of CROWN-IBP: Zhang et al. 2020, Towards Stable and Efficient Training of Verifiably Robust NNs.

The paper's table of models with the paddings of its code. It counts A to J as small and K to T as large, and trains
M, O and P on MNIST only, S and T on CIFAR-10 only. For E, F and Q (R) its table prints a last convolution of 5x5 (3x3),
where its code has 4x4, as here.
"""

from absdomain.networks.chain import Chain, Conv


def _two(width: int, units: int) -> Chain:
    return Chain((Conv(4 * width, 4, 2, 1), Conv(8 * width, 4, 2, 1)), (units,))


def _three(kernel: int, width: int, units: int) -> Chain:
    # Padding 1 also where the kernel is 5x5.
    return Chain((Conv(4 * width, kernel, 1, 1), Conv(8 * width, kernel, 1, 1), Conv(8 * width, 4, 4)), (units,))


def _four(width: int, units: int) -> Chain:
    first, second = 4 * width, 8 * width
    rows = (Conv(first, 3, 1, 1), Conv(first, 4, 2, 1), Conv(second, 3, 1, 1), Conv(second, 4, 2, 1))
    return Chain(rows, (units, units))


A = _two(1, 128)
B = _two(2, 256)
C = _three(3, 1, 64)
D = _three(3, 2, 128)
E = _three(5, 1, 64)
F = _three(5, 2, 128)
G = _four(1, 256)
H = _four(2, 256)
I = _four(1, 512)  # noqa: E741  (the paper's letter)
J = _four(2, 512)
K = _four(4, 256)
L = _four(4, 512)
M = _four(8, 512)
N = _four(16, 512)
O = _three(5, 16, 512)  # noqa: E741  (the paper's letter)
P = _three(5, 8, 512)
Q = _three(5, 4, 512)
R = _three(3, 8, 512)
S = _two(8, 128)
T = _two(16, 256)

"""DM-Small, DM-Medium, DM-Large of AdvIBP: Fan and Li 2021, Adversarial Training and Provable Robustness.

DM-Large is also the large network of CROWN-IBP's later version: Gowal's `large` on PyTorch's grid (padding 1).
"""

from absdomain.networks.chain import Chain, Conv
from absdomain.networks.crown_ibp import M

small = Chain((Conv(16, 4, 2, 1), Conv(32, 4, 1, 1)), (100,))
medium = M  # 4L(8, 512)
_rows = (Conv(64, 3, 1, 1), Conv(64, 3, 1, 1), Conv(128, 3, 2, 1), Conv(128, 3, 1, 1), Conv(128, 3, 1, 1))
large = Chain(_rows, (512,))

"""The networks of SingleProp that are its own: Boopathy et al. 2021; its medium and large are Gowal's.

Paddings as in the released code: SAME in every convolution.
"""

from absdomain.networks.chain import Chain, Same
from absdomain.networks.initialise import gaussian

small = Chain((Same(16, 4, 2), Same(32, 4)), (100,), gaussian)
wide = Chain((Same(128, 3), Same(256, 3, 2), Same(512, 3, 2)), (1024,), gaussian)

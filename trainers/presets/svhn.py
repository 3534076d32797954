"""The SVHN recipe of Gowal et al. (IBP)."""

from __future__ import annotations

from absdomain.trainers.methods.ibp import ibp
from absdomain.trainers.times import Steps

# 2200 epochs and 100K steps, so of batch 1600 (the text has the 50 of its cheap schedule); of the steps, 5K of warm-up,
# 50K of ramp, lr / 10 at 60K and 90K.
IBP_LONG_LARGE = ibp.recipe(
    data="svhn",
    network="gowal-large",
    clip=True,
    epochs=2200,
    batch=1600,
    milestones=(Steps(60e3), Steps(90e3)),
    warmup=Steps(5e3),
    ramp=Steps(50e3),
)

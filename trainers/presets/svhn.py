"""The SVHN recipe of Gowal et al. (IBP)."""

from __future__ import annotations

from absdomain.trainers.methods.ibp import ibp

# 2200 epochs and 100K steps, so of batch 1600 (the text has the 50 of its cheap schedule); of the steps, 5K of warm-up,
# 50K of ramp, lr / 10 at 60K and 90K. Epochs have 73257 / 1600 = 45.8 steps.
IBP_LONG_LARGE = ibp.recipe(
    data="svhn",
    network="gowal-large",
    clip=True,
    epochs=2200,
    batch=1600,
    lr=1e-3,
    milestones=(1310.0, 1966.0),
    decay=0.1,
    warmup=109.0,
    ramp=1092.0,
)

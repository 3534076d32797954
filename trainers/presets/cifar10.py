"""CIFAR-10 recipes of Zhang et al. (CROWN-IBP) and Gowal et al. (IBP)."""

from __future__ import annotations

from absdomain.trainers.crown_ibp import crown_ibp
from absdomain.trainers.ibp import ibp, pure_ibp

CROWN_IBP_B_2, PURE_IBP_B_2 = (
    method.recipe(data="cifar10", network="crown-ibp-B", eps=2 / 255) for method in (crown_ibp, pure_ibp)
)
CROWN_IBP_B_8, PURE_IBP_B_8 = (
    method.recipe(data="cifar10", network="crown-ibp-B", eps=8 / 255) for method in (crown_ibp, pure_ibp)
)

# Gowal et al.'s cheap schedule: 350 epochs of batch 50; of its 350K steps, 5K of warm-up, 50K of ramp, lr / 10 at 60K
# and 90K; trained at 1.1 times the radius that is certified. Epochs have 1000 steps.
IBP_GOWAL_SMALL_8, IBP_GOWAL_MEDIUM_8, IBP_GOWAL_LARGE_8 = (
    ibp.recipe(
        data="cifar10",
        network=f"gowal-{size}",
        eps=1.1 * 8 / 255,
        clip=True,
        epochs=350,
        batch=50,
        lr=1e-3,
        milestones=(60.0, 90.0),
        decay=0.1,
        warmup=5.0,
        ramp=50.0,
    )
    for size in ("small", "medium", "large")
)

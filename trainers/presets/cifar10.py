"""CIFAR-10 recipes of Zhang et al. (CROWN-IBP) and Gowal et al. (IBP)."""

from __future__ import annotations

from absdomain.trainers.methods.crown_ibp import crown_ibp
from absdomain.trainers.methods.ibp import ibp
from absdomain.trainers.methods.pure_ibp import pure_ibp
from absdomain.trainers.presets.mnist import natural_ibp
from absdomain.trainers.recipe import Recipe
from absdomain.trainers.times import Steps

CROWN_IBP_B_2, PURE_IBP_B_2 = (
    method.recipe(data="cifar10", network="crown-ibp-B", eps=2 / 255) for method in (crown_ibp, pure_ibp)
)
CROWN_IBP_B_8, PURE_IBP_B_8 = (
    method.recipe(data="cifar10", network="crown-ibp-B", eps=8 / 255) for method in (crown_ibp, pure_ibp)
)
NATURAL_IBP_B_2, NATURAL_IBP_B_8 = (natural_ibp(pixels / 255, "cifar10") for pixels in (2, 8))

# The ICLR version's model, whose ball is clipped. At 2/255 the relaxation stays to the end, and certifies, too.
CROWN_IBP_DM_LARGE_2, CROWN_IBP_DM_LARGE_8, CROWN_IBP_DM_LARGE_16 = (
    crown_ibp.recipe(
        data="cifar10",
        network="dm-large",
        eps=1.1 * pixels / 255,
        eps_eval=pixels / 255,
        clip=True,
        epochs=3200,
        batch=1024,
        lr=5e-4,
        milestones=(2600.0, 3040.0),
        decay=0.1,
        warmup=320.0,
        ramp=1600.0,
        smooth=True,
        beta_end=beta_end,
    )
    for pixels, beta_end in ((2, 1.0), (8, 0.0), (16, 0.0))
)

# Gowal et al.'s cheaper schedule, which is the method's own.
_SIZES = ("small", "medium", "large")
IBP_GOWAL_SMALL_8, IBP_GOWAL_MEDIUM_8, IBP_GOWAL_LARGE_8 = (
    ibp.recipe(data="cifar10", network=f"gowal-{size}") for size in _SIZES
)


def _long(size: str, pixels: int) -> Recipe:
    """The schedule behind the published errors: 3200 epochs of batch 1600, 100K steps; phases as in the cheap one."""
    return ibp.recipe(
        data="cifar10",
        network=f"gowal-{size}",
        eps=1.1 * pixels / 255,
        eps_eval=pixels / 255,
        clip=True,
        epochs=3200,
        batch=1600,
        milestones=(Steps(60e3), Steps(90e3)),
        warmup=Steps(5e3),
        ramp=Steps(50e3),
    )


IBP_LONG_SMALL_2, IBP_LONG_MEDIUM_2, IBP_LONG_LARGE_2 = (_long(size, 2) for size in _SIZES)
IBP_LONG_SMALL_8, IBP_LONG_MEDIUM_8, IBP_LONG_LARGE_8 = (_long(size, 8) for size in _SIZES)

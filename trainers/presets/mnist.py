"""MNIST and Fashion-MNIST recipes of Zhang et al. (CROWN-IBP) and Gowal et al. (IBP)."""

from __future__ import annotations

from absdomain.trainers.crown_ibp import crown_ibp
from absdomain.trainers.ibp import ibp, pure_ibp
from absdomain.trainers.method import Method
from absdomain.trainers.natural import natural
from absdomain.trainers.recipe import Recipe


def _b(method: Method, eps: float, data: str = "mnist") -> Recipe:
    """Model B on the schedule on which Zhang et al. compare the methods (tables 1 and 5)."""
    return method.recipe(data=data, network="crown-ibp-B", eps=eps)


NATURAL_B = natural.recipe(data="mnist", network="crown-ibp-B")

CROWN_IBP_B_01, PURE_IBP_B_01, NATURAL_IBP_B_01 = (_b(method, 0.1) for method in (crown_ibp, pure_ibp, ibp))
CROWN_IBP_B_02, PURE_IBP_B_02, NATURAL_IBP_B_02 = (_b(method, 0.2) for method in (crown_ibp, pure_ibp, ibp))
CROWN_IBP_B_03, PURE_IBP_B_03, NATURAL_IBP_B_03 = (_b(method, 0.3) for method in (crown_ibp, pure_ibp, ibp))
CROWN_IBP_B_04, PURE_IBP_B_04, NATURAL_IBP_B_04 = (_b(method, 0.4) for method in (crown_ibp, pure_ibp, ibp))
FASHION_CROWN_IBP_B = _b(crown_ibp, 0.1, "fashion-mnist")

# The ICLR version's model, with the nominal loss and a smooth ramp. Its code drops every second half-batch's gradient
# by mistake; here each step takes one whole batch.
CROWN_IBP_DM_LARGE_04 = crown_ibp.recipe(
    data="mnist",
    network="dm-large",
    eps=0.4,
    epochs=200,
    lr=5e-4,
    milestones=(130.0, 190.0),
    decay=0.1,
    warmup=10.0,
    ramp=50.0,
    smooth=True,
    kappa_start=1.0,
    kappa_end=0.5,
)

# Gowal et al., appendix A: 100 epochs of 600 steps; 2K steps of warm-up, 10K of ramp, lr / 10 at 15K and 25K.
IBP_GOWAL_SMALL_03, IBP_GOWAL_MEDIUM_03, IBP_GOWAL_LARGE_03 = (
    ibp.recipe(
        data="mnist",
        network=f"gowal-{size}",
        eps=0.3,
        epochs=100,
        batch=100,
        lr=1e-3,
        milestones=(25.0, 125 / 3),
        decay=0.1,
        warmup=10 / 3,
        ramp=50 / 3,
    )
    for size in ("small", "medium", "large")
)

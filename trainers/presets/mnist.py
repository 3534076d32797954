"""MNIST and Fashion-MNIST recipes of Zhang et al. (CROWN-IBP) and Gowal et al. (IBP)."""

from __future__ import annotations

from dataclasses import replace

from absdomain.trainers.certified import certified
from absdomain.trainers.method import Method
from absdomain.trainers.methods.crown_ibp import crown_ibp
from absdomain.trainers.methods.ibp import ibp
from absdomain.trainers.methods.natural import natural
from absdomain.trainers.methods.pure_ibp import pure_ibp
from absdomain.trainers.recipe import Recipe


def _b(method: Method, eps: float, data: str = "mnist") -> Recipe:
    """Model B on the schedule on which Zhang et al. compare the methods (tables 1 and 5)."""
    return method.recipe(data=data, network="crown-ibp-B", eps=eps)


def natural_ibp(eps: float, data: str = "mnist") -> Recipe:
    """The baseline of that paper that is IBP as Gowal et al. train, on its own schedule."""
    return certified.recipe(data=data, network="crown-ibp-B", eps=eps, trainer="ibp")


NATURAL_B = natural.recipe(data="mnist", network="crown-ibp-B")

CROWN_IBP_B_01, PURE_IBP_B_01 = (_b(method, 0.1) for method in (crown_ibp, pure_ibp))
CROWN_IBP_B_02, PURE_IBP_B_02 = (_b(method, 0.2) for method in (crown_ibp, pure_ibp))
CROWN_IBP_B_03, PURE_IBP_B_03 = (_b(method, 0.3) for method in (crown_ibp, pure_ibp))
CROWN_IBP_B_04, PURE_IBP_B_04 = (_b(method, 0.4) for method in (crown_ibp, pure_ibp))
NATURAL_IBP_B_01, NATURAL_IBP_B_02, NATURAL_IBP_B_03, NATURAL_IBP_B_04 = map(natural_ibp, (0.1, 0.2, 0.3, 0.4))
FASHION_CROWN_IBP_B, FASHION_PURE_IBP_B = (_b(method, 0.1, "fashion-mnist") for method in (crown_ibp, pure_ibp))
FASHION_NATURAL_IBP_B = natural_ibp(0.1, "fashion-mnist")

# The other models whose own errors the paper gives (tables 3 and 5).
CROWN_IBP_F_01, CROWN_IBP_O_01, CROWN_IBP_P_01 = (
    crown_ibp.recipe(data="mnist", network=f"crown-ibp-{model}", eps=0.1) for model in "FOP"
)
CROWN_IBP_O_02, CROWN_IBP_P_02 = (
    crown_ibp.recipe(data="mnist", network=f"crown-ibp-{model}", eps=0.2) for model in "OP"
)
CROWN_IBP_A_03, CROWN_IBP_F_03, CROWN_IBP_J_03 = (
    crown_ibp.recipe(data="mnist", network=f"crown-ibp-{model}", eps=0.3) for model in "AFJ"
)

PURE_IBP_A_03 = pure_ibp.recipe(data="mnist", network="crown-ibp-A", eps=0.3)  # beside CROWN-IBP's, for its stability

# The ICLR version's model, with the nominal loss, as the released configurations train it: on linear ramps, which are
# smooth on CIFAR-10 alone.
CROWN_IBP_DM_LARGE_04 = crown_ibp.recipe(
    data="mnist",
    network="dm-large",
    eps=0.4,
    epochs=200,
    milestones=(130.0, 190.0),
    decay=0.1,
    warmup=10.0,
    ramp=50.0,
    kappa_start=1.0,
    kappa_end=0.5,
)
CROWN_IBP_DM_LARGE_01 = replace(
    CROWN_IBP_DM_LARGE_04,
    eps=0.2,
    eps_eval=0.1,
    epochs=100,
    batch=100,
    lr=1e-3,
    milestones=(25.0, 42.0),
    warmup=3.0,
    ramp=17.0,
)

# Gowal et al.: what is certified at 0.1 is trained at 0.2; what is certified at 0.2, 0.3 and 0.4 is the network that is
# trained at 0.4.
_SIZES = ("small", "medium", "large")


def _gowal(size: str, eps: float, certified_eps: float | None = None) -> Recipe:
    return ibp.recipe(data="mnist", network=f"gowal-{size}", eps=eps, eps_eval=certified_eps)


IBP_GOWAL_SMALL_01, IBP_GOWAL_MEDIUM_01, IBP_GOWAL_LARGE_01 = (_gowal(size, 0.2, 0.1) for size in _SIZES)
IBP_GOWAL_SMALL_03, IBP_GOWAL_MEDIUM_03, IBP_GOWAL_LARGE_03 = (_gowal(size, 0.3) for size in _SIZES)
IBP_GOWAL_SMALL_04, IBP_GOWAL_MEDIUM_04, IBP_GOWAL_LARGE_04 = (_gowal(size, 0.4) for size in _SIZES)

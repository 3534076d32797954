"""Recipes of Fan and Li (AdvIBP, AdvCROWN-IBP), tables 2 and 4.

What is certified at 0.1 on MNIST is trained at 0.2; what is certified at 0.2, 0.3 and 0.4 is trained at 0.4.
"""

from __future__ import annotations

from absdomain.trainers.methods.advibp import advibp
from absdomain.trainers.recipe import Recipe

_SIZES = ("small", "medium", "large")
_FINE = 0.00256  # the threshold of FOSC at the smallest radii: the released code's 1e-5, for each sample


def _mnist(size: str, domain: str, eps: float, certified: float | None, options: str = "") -> Recipe:
    trainer = f"advibp{options}"
    return advibp.recipe(
        data="mnist", network=f"dm-{size}", domain=domain, eps=eps, eps_eval=certified, trainer=trainer
    )


_SMALL_EPS = (0.2, 0.1, f"(fosc={_FINE})")
_MIX = "mix(deeppoly.guided(by=box), box)"
SMALL_01, MEDIUM_01, LARGE_01 = (_mnist(size, "box", *_SMALL_EPS) for size in _SIZES)
SMALL_04, MEDIUM_04, LARGE_04 = (_mnist(size, "box", 0.4, None) for size in _SIZES)
CROWN_SMALL_01, CROWN_MEDIUM_01, CROWN_LARGE_01 = (_mnist(size, _MIX, *_SMALL_EPS) for size in _SIZES)
CROWN_SMALL_04, CROWN_MEDIUM_04, CROWN_LARGE_04 = (_mnist(size, _MIX, 0.4, None) for size in _SIZES)


def _cifar10(size: str, pixels: int, trainer: str = "advibp", warmup: float = 810.0, ramp: float = 1000.0) -> Recipe:
    return advibp.recipe(
        data="cifar10",
        network=f"dm-{size}",
        eps=1.1 * pixels / 255,
        eps_eval=pixels / 255,
        trainer=trainer,
        warmup=warmup,
        ramp=ramp,
    )


SMALL_2, MEDIUM_2, LARGE_2 = (_cifar10(size, 2, f"advibp(fosc={_FINE})") for size in _SIZES)
SMALL_8, MEDIUM_8, LARGE_8 = (_cifar10(size, 8) for size in _SIZES)
# Half the warm-up, and a longer ramp.
SMALL_16, MEDIUM_16, LARGE_16 = (_cifar10(size, 16, "advibp(natural=200.0)", 410.0, 1400.0) for size in _SIZES)

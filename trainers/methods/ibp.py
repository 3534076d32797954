"""IBP training: certified training with Box, the nominal loss mixed in.

kappa goes from 1 to kappa_end during the ramp (Gowal et al.; 0.5 in their code), on that paper's networks and
schedules. Natural-IBP, a baseline of CROWN-IBP's paper, is this on the schedules there (the presets of that name).
"""

from __future__ import annotations

from dataclasses import replace

from absdomain.trainers.certified import MNIST as CERTIFIED
from absdomain.trainers.certified import RECIPES, USUAL, Certified
from absdomain.trainers.method import Method

# Appendix A: 100 epochs of 600 steps; 2K steps of warm-up, 10K of ramp, lr / 10 at 15K and 25K.
MNIST = CERTIFIED.on(
    "mnist",
    trainer="ibp",
    network="gowal-small",
    batch=100,
    lr=1e-3,
    milestones=(25.0, 125 / 3),
    decay=0.1,
    warmup=10 / 3,
    ramp=50 / 3,
)
FASHION = MNIST.on("fashion-mnist", eps=0.1)
# The cheaper of that paper's schedules: 350 epochs of 1000 steps; 5K of warm-up, 50K of ramp, lr / 10 at 60K and 90K;
# trained at 1.1 times the radius that is certified. On SVHN 240 epochs of 1465 steps, and no mirror images.
CIFAR10 = MNIST.on(
    "cifar10",
    eps=1.1 * 8 / 255,
    eps_eval=8 / 255,
    epochs=350,
    batch=50,
    milestones=(60.0, 90.0),
    warmup=5.0,
    ramp=50.0,
    flip=True,
    crop=4,
    normalise=True,
)
SVHN = CIFAR10.on(
    "svhn", eps=0.011, eps_eval=0.01, epochs=240, milestones=(41.0, 61.4), warmup=3.4, ramp=34.1, flip=False
)
OWN = (MNIST, FASHION, CIFAR10, SVHN)
OTHERS = tuple(replace(recipe, trainer="ibp") for recipe in RECIPES if recipe.data not in {own.data for own in OWN})

ibp = Method("ibp", "certified training with Box, kappa from 1 to 0.5", Certified.of, (*OWN, *OTHERS), USUAL)

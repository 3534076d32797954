"""IBP training: certified training with Box, the nominal loss mixed in.

kappa goes from 1 to kappa_end during the ramp (Gowal et al.; 0.5 in their code), on that paper's networks and
schedules. Natural-IBP, a baseline of CROWN-IBP's paper, is this on the schedules there (the presets of that name).
"""

from __future__ import annotations

from dataclasses import replace

from absdomain.trainers.certified import MNIST as CERTIFIED
from absdomain.trainers.certified import RECIPES, USUAL, Certified
from absdomain.trainers.method import Method
from absdomain.trainers.times import Steps

# Appendix A: 60K steps; 2K of warm-up, 10K of ramp, lr / 10 at 15K and 25K, however many images are held out.
MNIST = CERTIFIED.on(
    "mnist",
    trainer="ibp",
    network="gowal-small",
    batch=100,
    lr=1e-3,
    milestones=(Steps(15e3), Steps(25e3)),
    decay=0.1,
    warmup=Steps(2e3),
    ramp=Steps(10e3),
)
FASHION = MNIST.on("fashion-mnist", eps=0.1)
# The cheaper of that paper's schedules: 350K steps; 5K of warm-up, 50K of ramp, lr / 10 at 60K and 90K; trained at 1.1
# times the radius that is certified. On SVHN the same in 240 epochs, without mirror images.
CIFAR10 = MNIST.on(
    "cifar10",
    eps=1.1 * 8 / 255,
    eps_eval=8 / 255,
    epochs=350,
    batch=50,
    milestones=(Steps(60e3), Steps(90e3)),
    warmup=Steps(5e3),
    ramp=Steps(50e3),
    flip=True,
    crop=4,
    normalise=True,
)
SVHN = CIFAR10.on("svhn", eps=0.011, eps_eval=0.01, epochs=240, flip=False)
OWN = (MNIST, FASHION, CIFAR10, SVHN)
OTHERS = tuple(replace(recipe, trainer="ibp") for recipe in RECIPES if recipe.data not in {own.data for own in OWN})

ibp = Method("ibp", "certified training with Box, kappa from 1 to 0.5", Certified.of, (*OWN, *OTHERS), USUAL)

"""Wong and Kolter's training: the robust cross-entropy at the bound of the dual network.

Wong and Kolter, "Provable Defenses against Adversarial Examples via the Convex Outer Adversarial Polytope" (2018), with
exact boxes; Wong et al., "Scaling Provable Adversarial Defenses" (2018), with `dual(projections=50)`, whose boxes are
estimates: each step draws anew, and what is shown as verified has exact boxes. Schedules are those of the public code.
"""

from __future__ import annotations

from absdomain.trainers.certified import USUAL, Certified
from absdomain.trainers.method import Method
from absdomain.trainers.recipe import Recipe

# The public code: eps grows at the start of each epoch, over 20 of them; 10 epochs later the learning rate is halved,
# and again every 10. CIFAR-10's small network and ResNet start with other weights; its radii there are those of images
# divided by .225.
MNIST = Recipe(
    data="mnist",
    network="wong-small",
    trainer="wong-kolter",
    domain="dual(projections=50)",
    eps=0.1,
    eps_start=0.01,
    epochs=60,
    batch=50,
    lr=1e-3,
    ramp=20.0,
    stair=1,
    milestones=(30.0, 40.0, 50.0),
    decay=0.5,
    kappa_start=0.0,
    kappa_end=0.0,
    validation=1000,  # bounded after each epoch without projections, which takes long
)
CIFAR10 = MNIST.on(
    "cifar10",
    trainer="wong-kolter(initialisation=fan_out)",
    eps=2 / 255,
    eps_start=0.001 * 0.225,
    clip=False,
    optimiser="sgd",
    lr=0.05,
    momentum=0.9,
    weight_decay=5e-4,
    gradient_norm=1.0,
    flip=True,
    crop=4,
    normalise=True,
)
DIGITS = MNIST.on(
    "digits",
    network="mlp-2x100",
    domain="dual",
    epochs=40,
    batch=64,
    lr=5e-3,
    ramp=14.0,
    milestones=(20.0, 27.0, 34.0),
    validation=144,
)
RECIPES = (MNIST, CIFAR10, DIGITS)

wong_kolter = Method(
    "wong-kolter",
    "robust cross-entropy at the dual network's bound, exact or by projections",
    Certified.of,
    RECIPES,
    USUAL,
)

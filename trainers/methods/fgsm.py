"""FGSM training: cross-entropy at the points of one step from a random start.

Wong, Rice and Kolter 2020, "Fast is better than free: Revisiting adversarial training".
"""

from __future__ import annotations

from dataclasses import replace

from absdomain.trainers.adversarial import CIFAR10, DIGITS, MNIST, SVHN, objective
from absdomain.trainers.attacks import Fgsm
from absdomain.trainers.method import Method

fgsm = Method(
    "fgsm",
    "cross-entropy at the points that one step from a random start finds",
    objective,
    # As many epochs as that paper needs, with step decay in place of its cyclic learning rate.
    (
        replace(MNIST, trainer="fgsm", epochs=10, milestones=(6.0, 8.0)),
        replace(CIFAR10, trainer="fgsm", epochs=40, batch=128, milestones=(24.0, 34.0)),
        replace(SVHN, trainer="fgsm", epochs=40, batch=128, milestones=(24.0, 34.0)),
        replace(DIGITS, trainer="fgsm"),
    ),
    Fgsm(),
)

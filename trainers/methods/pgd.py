"""PGD training: cross-entropy at the points of an attack of several steps.

Madry et al. 2018, "Towards Deep Learning Models Resistant to Adversarial Attacks", with the steps of Adam of Gowal et
al.'s adversarial baseline.
"""

from __future__ import annotations

from absdomain.trainers.adversarial import CIFAR10, DIGITS, MNIST, SVHN, objective
from absdomain.trainers.attacks import Adam
from absdomain.trainers.method import Method

pgd = Method(
    "pgd", "cross-entropy at the points that steps of Adam find", objective, (MNIST, CIFAR10, SVHN, DIGITS), Adam()
)

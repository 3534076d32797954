"""Fast certified training: IBP with weights and penalties that let eps grow in few epochs.

Shi et al. 2021, "Fast Certified Robust Training with Short Warmup", and the public code: `certified` with
`initialisation=ibp, regularise=0.5`, options that any domain and any method built on it may have.
"""

from __future__ import annotations

from absdomain.trainers.certified import MNIST as CERTIFIED
from absdomain.trainers.certified import Certified, Settings
from absdomain.trainers.method import Method
from absdomain.trainers.stabilise import ibp

MNIST = CERTIFIED.on(
    "mnist",
    trainer="shi",
    network="cnn7",
    eps=0.4,
    epochs=70,
    batch=256,
    lr=5e-4,
    milestones=(50.0, 60.0),
    decay=0.2,
    gradient_norm=10.0,
    warmup=0.0,
    ramp=20.0,
    smooth=True,
    kappa_start=0.0,
    kappa_end=0.0,
)
CIFAR10 = MNIST.on(
    "cifar10",
    eps=8 / 255,
    epochs=160,
    batch=128,
    milestones=(120.0, 140.0),
    warmup=1.0,
    ramp=80.0,
    flip=True,
    crop=2,
    normalise=True,
)
DIGITS = MNIST.on(
    "digits",
    network="crown-ibp-B",
    eps=0.1,
    epochs=60,
    batch=64,
    lr=5e-3,
    validation=144,
    ramp=21.0,
    milestones=(42.0, 51.0),
)

shi = Method(
    "shi",
    "IBP with an initialisation and penalties for short ramps",
    Certified.of,
    (MNIST, CIFAR10, DIGITS),
    Settings(initialisation=ibp, regularise=0.5),
)

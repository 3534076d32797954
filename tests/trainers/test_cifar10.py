"""Some hundred steps on CIFAR-10, as docs/training.md has them: loading, augmentation, normalisation, certifying."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest
import torch

from absdomain import certify
from absdomain.certification import Status
from absdomain.data import load
from absdomain.data.normalise import Normalise
from absdomain.trainers import load_run, read, train
from absdomain.trainers.augment import augment


@pytest.mark.slow
@pytest.mark.skipif("ABSDOMAIN_DATA" not in os.environ, reason="ABSDOMAIN_DATA names no folder of real data")
@pytest.mark.filterwarnings("ignore:cifar10")  # a part of the images will do
def test_some_hundred_steps_on_cifar10_certify_more_than_guesses(tmp_path: Path) -> None:
    recipe = read("crown-ibp").recipe(
        data="cifar10", network="gowal-small", eps=0.00784, epochs=12, batch=64, images=1800, validation=200
    )
    assert recipe.flip
    assert recipe.crop == 4
    images, labels = load("cifar10", "train")[:8]
    assert images.shape == (8, 3, 32, 32)
    changed = augment(images, torch.Generator().manual_seed(0), flip=True, crop=4)
    assert (changed != images).flatten(1).any(1).sum() >= 6
    assert changed.amin() >= 0
    assert changed.amax() <= 1

    rows = list(train(recipe, tmp_path))
    assert rows[-1].step == 12 * math.ceil(1800 / 64) == 348
    assert all(row.skipped == 0 for row in rows)
    assert rows[-1].eps == recipe.eps
    assert rows[-1].loss < rows[2].loss < math.log(10) + 0.5, "though eps has grown since"

    network, _ = load_run(tmp_path)
    assert isinstance(network[0], Normalise)  # type: ignore[index]
    images, labels = load("cifar10", "test")[:200]
    verdicts = certify(network, images, labels, eps=recipe.eps, clip=None)
    assert sum(verdict.status is Status.VERIFIED for verdict in verdicts) >= 35, "a guess is right for 20"

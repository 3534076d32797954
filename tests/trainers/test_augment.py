"""Augmented images are mirror images and shifts of the given ones, drawn from the given generator."""

import torch
from torch.nn import functional

from absdomain.trainers.augment import augment


def test_flips_and_shifts_are_what_they_say() -> None:
    x = torch.rand(40, 2, 5, 6)
    once = augment(x, torch.Generator().manual_seed(1), flip=True, crop=2)
    assert torch.equal(once, augment(x, torch.Generator().manual_seed(1), flip=True, crop=2))
    seen = set()
    for image, result in zip(x, once, strict=True):
        matches = [
            (flip, down, right)
            for flip, source in enumerate((image, image.flip(-1)))
            for down in range(5)
            for right in range(5)
            if torch.equal(functional.pad(source, (2, 2, 2, 2))[:, down : down + 5, right : right + 6], result)
        ]
        assert len(matches) == 1
        seen.add(matches[0])
    assert len(seen) > 20


def test_nothing_asked_nothing_changed() -> None:
    x = torch.rand(3, 1, 4, 4)
    assert augment(x, torch.Generator(), flip=False, crop=0) is x

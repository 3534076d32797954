"""Recipes of Wong and Kolter's training and of Robustra (Li et al.), table 2, on Wong et al.'s networks.

Robustra's small networks have exact boxes, its others 50 projections (section 5.5 there). In the public code of both
the large network for CIFAR-10 starts as PyTorch draws it.
"""

from __future__ import annotations

from absdomain.trainers.method import Method
from absdomain.trainers.methods.robustra import robustra
from absdomain.trainers.methods.wong_kolter import wong_kolter
from absdomain.trainers.recipe import Recipe


def _method(method: Method, size: str) -> str:
    return f"{method.name}(initialisation=as_built)" if size == "large" else method.name


def _wong(size: str, data: str, eps: float) -> Recipe:
    trainer = _method(wong_kolter, size)
    return wong_kolter.recipe(data=data, network=f"wong-{size}", eps=eps, trainer=trainer)


def _robustra(size: str, data: str, eps: float) -> Recipe:
    domain = "dual" if size == "small" else "dual(projections=50)"
    trainer = _method(robustra, size)
    return robustra.recipe(data=data, network=f"wong-{size}", eps=eps, domain=domain, trainer=trainer)


_MNIST = (("small", "mnist", 0.1), ("large", "mnist", 0.1), ("small", "mnist", 0.3), ("large", "mnist", 0.3))
WONG_SMALL_01, WONG_LARGE_01, WONG_SMALL_03, WONG_LARGE_03 = (_wong(*given) for given in _MNIST)
ROBUSTRA_SMALL_01, ROBUSTRA_LARGE_01, ROBUSTRA_SMALL_03, ROBUSTRA_LARGE_03 = (_robustra(*given) for given in _MNIST)
_SIZES = ("small", "large", "resnet")
WONG_SMALL_2, WONG_LARGE_2, WONG_RESNET_2 = (_wong(size, "cifar10", 2 / 255) for size in _SIZES)
WONG_SMALL_8, WONG_LARGE_8, WONG_RESNET_8 = (_wong(size, "cifar10", 8 / 255) for size in _SIZES)
ROBUSTRA_SMALL_2, ROBUSTRA_LARGE_2, ROBUSTRA_RESNET_2 = (_robustra(size, "cifar10", 2 / 255) for size in _SIZES)
ROBUSTRA_SMALL_8, ROBUSTRA_LARGE_8, ROBUSTRA_RESNET_8 = (_robustra(size, "cifar10", 8 / 255) for size in _SIZES)

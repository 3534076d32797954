"""torchvision's families, each by its smallest member."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.models import Model

_SIZES = {  # of the image; 64 where nothing is said
    "alexnet": 64, "resnet18": 32, "resnet50": 32, "resnext50_32x4d": 32, "wide_resnet50_2": 32, "vgg11": 32,
    "vgg11_bn": 32, "densenet121": 32, "squeezenet1_0": 64, "squeezenet1_1": 64, "mobilenet_v2": 32,
    "mobilenet_v3_small": 32, "mobilenet_v3_large": 32, "mnasnet0_5": 32, "shufflenet_v2_x0_5": 32, "googlenet": 64,
    "inception_v3": 96, "efficientnet_b0": 32, "efficientnet_v2_s": 32, "regnet_x_400mf": 32, "regnet_y_400mf": 32,
    "convnext_tiny": 32, "vit_b_16": 32, "swin_t": 32, "swin_v2_t": 32, "maxvit_t": 224,
}  # fmt: skip
_PARTS = {  # of images, or of films
    "segmentation.fcn_resnet50": (3, 32, 32),
    "segmentation.deeplabv3_mobilenet_v3_large": (3, 64, 64),
    "segmentation.lraspp_mobilenet_v3_large": (3, 64, 64),
    "video.r3d_18": (3, 4, 32, 32),
    "video.mc3_18": (3, 4, 32, 32),
    "video.r2plus1d_18": (3, 4, 32, 32),
    "video.s3d": (3, 16, 64, 64),
}


def models() -> Iterator[Model]:
    """vit_b_16 and the like are made for the image that they are given."""
    for name, size in _SIZES.items():
        yield Model("torchvision", name, partial(_made, name, (3, size, size)))
    for name, shape in _PARTS.items():
        yield Model("torchvision", name, partial(_made, name, shape))


def _made(name: str, shape: tuple[int, ...]) -> tuple[nn.Module, Tensor]:
    import torchvision

    found: Any = torchvision.models
    for part in name.split("."):
        found = getattr(found, part)
    options: dict[str, Any] = {"weights": None}
    if name in ("googlenet", "inception_v3"):
        options |= {"init_weights": False, "aux_logits": False}
    if name == "vit_b_16":
        options["image_size"] = shape[-1]
    if name.startswith("segmentation"):
        options["weights_backbone"] = None
    return found(**options), torch.rand(2, *shape)

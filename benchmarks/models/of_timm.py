"""timm's families, each by a small member, at a small image where the family allows it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.models import Model

_PLAIN = [
    "resnet10t",
    "resnet18",
    "resnet26d",
    "seresnet18?",
    "skresnet18",
    "ecaresnet26t",
    "resnest14d",
    "res2net50_14w_8s",
    "densenet121",
    "dla34",
    "efficientnet_lite0",
    "ghostnet_050",
    "hardcorenas_a",
    "hrnet_w18_small",
    "lcnet_035",
    "mnasnet_small",
    "mobilenetv3_small_050",
    "mobilenetv4_conv_small",
    "mixnet_s",
    "nf_regnet_b0",
    "regnetx_002",
    "regnety_002",
    "repvgg_a0",
    "rexnet_100",
    "selecsls42",
    "semnasnet_050",
    "spnasnet_100",
    "tinynet_e",
    "vgg11",
    "ese_vovnet19b_slim",
    "convnext_atto",
    "convnextv2_atto",
    "cspresnet50",
    "edgenext_xx_small",
    "hgnetv2_b0",
    "inception_next_atto",
    "mobileone_s0",
    "mobilevit_xxs",
    "mobilevitv2_050",
    "poolformer_s12",
    "repghostnet_050",
    "repvit_m0_9",
    "starnet_s1",
    "fastvit_t8",
    "xcit_nano_12_p16_224",
]
_SIZED = [
    "cait_xxs24_224",
    "convit_tiny",
    "coat_lite_tiny",
    "crossvit_tiny_240",
    "davit_tiny",
    "deit_tiny_patch16_224",
    "efficientformer_l1",
    "efficientformerv2_s0",
    "efficientvit_b0",
    "efficientvit_m0",
    "eva02_tiny_patch14_224",
    "focalnet_tiny_srf",
    "gmlp_ti16_224",
    "hiera_tiny_224",
    "levit_128s",
    "mixer_s32_224",
    "nest_tiny",
    "pit_ti_224",
    "pvt_v2_b0",
    "resmlp_12_224",
    "sequencer2d_s",
    "shvit_s1",
    "swin_tiny_patch4_window7_224",
    "swinv2_tiny_window8_256",
    "tiny_vit_5m_224",
    "tnt_s_patch16_224",
    "twins_svt_small",
    "vit_tiny_patch16_224",
    "vit_relpos_small_patch16_224",
    "visformer_tiny",
    "volo_d1_224",
]
_IMAGE = 64
_SHORTER = (  # options that leave layers out, of which the first that a family takes is used
    {"depth": 2},
    {"depths": (1, 1, 1, 1)},
    {"layers": (1, 1, 1, 1)},
    {"depth": (1, 1, 1)},
    {},
)


def models() -> Iterator[Model]:
    """All of them."""
    for name in _PLAIN:
        yield Model("timm", name.rstrip("?"), partial(_made, name.rstrip("?"), False))
    for name in _SIZED:
        yield Model("timm", name, partial(_made, name, True))


def _made(name: str, sized: bool) -> tuple[nn.Module, Tensor]:
    import timm

    for size in ({"img_size": _IMAGE}, {}) if sized else ({},):
        for shorter in _SHORTER if sized else ({},):
            options: dict[str, Any] = {**size, **shorter}
            try:
                module = timm.create_model(name, pretrained=False, num_classes=10, **options)
                side = _IMAGE if size or not sized else module.default_cfg["input_size"][-1]
                x = torch.rand(2, 3, side, side)
                with torch.no_grad():
                    module.eval()(x)
            except (TypeError, AssertionError, ValueError, RuntimeError, IndexError):
                continue
            return module, x
    raise ValueError(f"{name}: no options with which it can be made")

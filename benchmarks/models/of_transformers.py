"""The architectures of transformers, with two layers, in embedding space where they read tokens."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.models import Model

_WIDTH, _LENGTH = 32, 6
_SMALL = {
    "hidden_size": _WIDTH, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2,
    "intermediate_size": 48, "vocab_size": 50, "max_position_embeddings": 32, "type_vocab_size": 2,
    "use_cache": False, "pad_token_id": 0, "head_dim": 16,
}  # fmt: skip
_GPT = {"n_embd": _WIDTH, "n_layer": 2, "n_head": 2, "n_positions": 32, "vocab_size": 50, "use_cache": False}
_IMAGE = {"image_size": 32, "patch_size": 8, "num_channels": 3}

_TEXT: dict[str, dict[str, Any]] = {
    "BertModel": {}, "BertForSequenceClassification": {}, "RobertaModel": {}, "ElectraModel": {"embedding_size": 32},
    "AlbertModel": {"embedding_size": 32},
    "DistilBertModel": {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 48},
    "CamembertModel": {}, "XLMRobertaModel": {}, "MobileBertModel": {"embedding_size": 32, "true_hidden_size": 32,
    "intra_bottleneck_size": 32, "use_bottleneck": False}, "MPNetModel": {}, "SqueezeBertModel": {"embedding_size": 32},
    "ErnieModel": {}, "NystromformerModel": {}, "DebertaModel": {}, "DebertaV2Model": {}, "FNetModel": {},
    "ModernBertModel": {"num_attention_heads": 2}, "RoFormerModel": {"embedding_size": 32},
    "GPT2Model": _GPT, "GPTNeoModel": {"num_layers": 2, "num_heads": 2, "attention_types": [[["global"], 2]]},
    "GPTNeoXModel": {}, "GPTJModel": {**_GPT, "rotary_dim": 8}, "OPTModel": {"ffn_dim": 48, "word_embed_proj_dim": 32},
    "BloomModel": {"n_head": 2, "n_layer": 2}, "LlamaModel": {}, "MistralModel": {}, "Qwen2Model": {}, "Qwen3Model": {},
    "GemmaModel": {}, "Gemma2Model": {}, "PhiModel": {}, "StableLmModel": {}, "FalconModel": {"head_dim": None},
    "CohereModel": {},
    "OlmoModel": {}, "T5EncoderModel": {"d_model": 32, "d_kv": 16, "d_ff": 48, "num_layers": 2, "num_heads": 2},
    "CodeGenModel": {**_GPT, "rotary_dim": 8}, "BioGptModel": {}, "XGLMModel": {"d_model": 32, "ffn_dim": 48,
    "num_layers": 2, "attention_heads": 2}, "GraniteModel": {}, "MT5EncoderModel": {"d_model": 32, "d_kv": 16,
    "d_ff": 48, "num_layers": 2, "num_heads": 2},
}  # fmt: skip
_IMAGES: dict[str, dict[str, Any]] = {
    "ViTModel": {}, "ViTForImageClassification": {}, "DeiTModel": {}, "BeitModel": {}, "Dinov2Model": {},
    "ViTMAEModel": {"mask_ratio": 0.0}, "ViTMSNModel": {}, "CLIPVisionModel": {}, "SiglipVisionModel": {},
    "SwinModel": {"embed_dim": 16, "depths": [1, 1], "num_heads": [2, 2], "window_size": 2, "patch_size": 4},
    "Swinv2Model": {"embed_dim": 16, "depths": [1, 1], "num_heads": [2, 2], "window_size": 2, "patch_size": 4},
    "ConvNextModel": {"hidden_sizes": [8, 16], "depths": [1, 1], "num_stages": 2},
    "ConvNextV2Model": {"hidden_sizes": [8, 16], "depths": [1, 1], "num_stages": 2},
    "ResNetModel": {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1]},
    "RegNetModel": {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "groups_width": 8},
    "MobileNetV1Model": {}, "MobileNetV2Model": {}, "PoolFormerModel": {},
    "PvtModel": {"hidden_sizes": [8, 16, 16, 32], "depths": [1, 1, 1, 1]}, "SegformerModel": {"depths": [1, 1, 1, 1]},
    "LevitModel": {"depths": [1, 1, 1]}, "CvtModel": {"depth": [1, 1, 1]}, "YolosModel": {"image_size": [32, 32]},
    "GLPNModel": {"depths": [1, 1, 1, 1]}, "FocalNetModel": {"depths": [1, 1], "embed_dim": 16},
}  # fmt: skip


_OWN = {  # whose sizes are said by names of their own
    "SwinModel", "Swinv2Model", "RegNetModel", "PvtModel", "SegformerModel", "LevitModel", "CvtModel", "GLPNModel",
}  # fmt: skip


def models() -> Iterator[Model]:
    """All of them."""
    for name, options in _TEXT.items():
        yield Model("transformers", name, partial(_text, name, options))
    for name, options in _IMAGES.items():
        yield Model("transformers", name, partial(_image, name, options))


def _made(name: str, options: dict[str, Any]) -> nn.Module:
    import transformers

    kind: Any = getattr(transformers, name)
    given = options if name in _OWN else {**_SMALL, **options}
    config = kind.config_class(**{key: value for key, value in given.items() if value is not None})
    module: nn.Module = kind(config)
    return module


def _text(name: str, options: dict[str, Any]) -> tuple[nn.Module, dict[str, Tensor]]:
    return _made(name, options), {"inputs_embeds": torch.randn(2, _LENGTH, _WIDTH)}


def _image(name: str, options: dict[str, Any]) -> tuple[nn.Module, dict[str, Tensor]]:
    return _made(name, {**_IMAGE, **options}), {"pixel_values": torch.rand(2, 3, 32, 32)}

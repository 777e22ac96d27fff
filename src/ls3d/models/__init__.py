"""The networks: one file per family, a registry, weights as safetensors.

``create_model`` builds by name, ``list_models`` lists, ``load_model`` builds and loads weights.
"""

from ls3d.models import (
    audio,
    audiovisual,
    baselines,
    c3d,
    csn,
    ffmpeg,
    i3d,
    mcx,
    r2d,
    r2plus1d,
    r3d,
    res3d,
    restoration,
    vdn,
    vfi,
    vsr,
)
from ls3d.models._hub import from_pretrained, push_to_hub, save_pretrained
from ls3d.models._inflate import inflate
from ls3d.models._recognition import RecognitionNet
from ls3d.models._registry import ModelInfo, create_model, list_models, model_info, register_model
from ls3d.models._summary import Layer, Summary, summarise
from ls3d.models._weights import DEFAULTS, bundled_weights, load_model, read_metadata, save_weights
from ls3d.models.checkpoints import convert_checkpoint, load_checkpoint

__all__ = [
    "DEFAULTS",
    "Layer",
    "ModelInfo",
    "RecognitionNet",
    "Summary",
    "audio",
    "audiovisual",
    "baselines",
    "bundled_weights",
    "c3d",
    "convert_checkpoint",
    "create_model",
    "csn",
    "ffmpeg",
    "from_pretrained",
    "i3d",
    "inflate",
    "list_models",
    "load_checkpoint",
    "load_model",
    "mcx",
    "model_info",
    "push_to_hub",
    "r2d",
    "r2plus1d",
    "r3d",
    "read_metadata",
    "register_model",
    "res3d",
    "restoration",
    "save_pretrained",
    "save_weights",
    "summarise",
    "vdn",
    "vfi",
    "vsr",
]

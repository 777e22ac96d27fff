"""The networks: one file per family, a registry, weights as safetensors.

``create_model`` builds by name, ``list_models`` lists, ``load_model`` builds and loads weights.
"""

from ls3d.models import baselines, vfi
from ls3d.models._registry import ModelInfo, create_model, list_models, model_info, register_model
from ls3d.models._weights import DEFAULTS, bundled_weights, load_model, read_metadata, save_weights

__all__ = [
    "DEFAULTS",
    "ModelInfo",
    "baselines",
    "bundled_weights",
    "create_model",
    "list_models",
    "load_model",
    "model_info",
    "read_metadata",
    "register_model",
    "save_weights",
    "vfi",
]

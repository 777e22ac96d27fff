"""The networks: one file per family, a registry, weights as safetensors.

``create_model`` builds by name, ``list_models`` lists, ``load_model`` builds and loads weights.
"""

from ls3d.models import enhancement, recognition
from ls3d.models.checkpoints import convert_checkpoint, load_checkpoint
from ls3d.models.checkpoints.inflate import inflate
from ls3d.models.hub import from_pretrained, push_to_hub, save_pretrained
from ls3d.models.network import (
    EnhancementNetwork,
    EnhancementTraits,
    InterpolationNetwork,
    ModelConfig,
    Network,
    RecognitionTraits,
    RestorationNetwork,
    Traits,
)
from ls3d.models.recognition._base import RecognitionNet
from ls3d.models.registry import ModelInfo, create_model, list_models, model_info, register_model
from ls3d.models.summary import Layer, Summary, summarize
from ls3d.models.weights import (
    DEFAULTS,
    bundled_weights,
    load_enhancement_model,
    load_model,
    read_metadata,
    save_weights,
)

__all__ = [
    "DEFAULTS",
    "EnhancementNetwork",
    "EnhancementTraits",
    "InterpolationNetwork",
    "Layer",
    "ModelConfig",
    "ModelInfo",
    "Network",
    "RecognitionNet",
    "RecognitionTraits",
    "RestorationNetwork",
    "Summary",
    "Traits",
    "bundled_weights",
    "convert_checkpoint",
    "create_model",
    "enhancement",
    "from_pretrained",
    "inflate",
    "list_models",
    "load_checkpoint",
    "load_enhancement_model",
    "load_model",
    "model_info",
    "push_to_hub",
    "read_metadata",
    "recognition",
    "register_model",
    "save_pretrained",
    "save_weights",
    "summarize",
]

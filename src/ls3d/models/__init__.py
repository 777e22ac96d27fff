"""The networks: one file per family, a registry, weights as safetensors files.

How to get a network:

* ``load_model(source)``: with its weights, ready for inference. ``source`` is a name with bundled weights or none
  (``"vfi"``, ``"blend"``), a weights file, a folder, or ``"owner/name"`` on the Hugging Face Hub.
* ``from_pretrained(source, revision=...)``: the same, with options for the Hub. ``SomeNetwork.from_pretrained`` also
  checks the class.
* ``load_enhancement_model(source, task)``: the same, for a network that maps frames to frames.
* ``load_recognition_model(source)``: the same, for a network that recognizes what a clip shows.
* ``create_model(name, **arguments)``: randomly initialized, for training. ``list_models`` lists the names.
* ``load_checkpoint(path)``: from a checkpoint of another project; ``convert_checkpoint`` writes it as a weights file.

``save_weights`` writes a weights file, ``save_pretrained`` a folder, ``push_to_hub`` a repository.
"""

from ls3d.models import enhancement, recognition
from ls3d.models.checkpoints import convert_checkpoint, load_checkpoint
from ls3d.models.checkpoints.inflate import inflate
from ls3d.models.hub import push_to_hub, save_pretrained
from ls3d.models.loading import from_pretrained, load_enhancement_model, load_model, load_recognition_model
from ls3d.models.measured import MeasuredScore, measured_scores, measured_seconds
from ls3d.models.metadata import ClipFormat, Preprocessing, PublishedAccuracy, PublishedFidelity
from ls3d.models.network import (
    EnhancementNetwork,
    EnhancementTraits,
    InterpolationNetwork,
    ModelConfig,
    Network,
    RecognitionTraits,
    RestorationNetwork,
    Task,
    Traits,
)
from ls3d.models.recognition._base import RecognitionNet
from ls3d.models.registry import DEFAULTS, ModelInfo, create_model, list_models, model_info, register_model
from ls3d.models.summary import Layer, Summary, summarize
from ls3d.models.weights import bundled_weights, read_metadata, save_weights

__all__ = [
    "DEFAULTS",
    "ClipFormat",
    "EnhancementNetwork",
    "EnhancementTraits",
    "InterpolationNetwork",
    "Layer",
    "MeasuredScore",
    "ModelConfig",
    "ModelInfo",
    "Network",
    "Preprocessing",
    "PublishedAccuracy",
    "PublishedFidelity",
    "RecognitionNet",
    "RecognitionTraits",
    "RestorationNetwork",
    "Summary",
    "Task",
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
    "load_recognition_model",
    "measured_scores",
    "measured_seconds",
    "model_info",
    "push_to_hub",
    "read_metadata",
    "recognition",
    "register_model",
    "save_pretrained",
    "save_weights",
    "summarize",
]

"""Weights as safetensors files that say what they are: architecture and arguments, data, license, recipe, scores.

A file's metadata has one entry, ``ls3d``, a JSON object. ``architecture`` and ``arguments`` rebuild the network;
``offset_limit``, if it is there, bounds the offsets as in training (``ls3d.nn.limit_offsets``); the other keys are
told to whoever asks (``ls3d models``) and change nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from ls3d.errors import InputError
from ls3d.files import atomic_write
from ls3d.models.network import EnhancementNetwork, ModelConfig, Network
from ls3d.models.registry import create_model
from ls3d.nn import limit_offsets

#: The names that stand for a task's bundled default.
DEFAULTS = {"vfi": "vfi_ls3d_plus_m", "vsr": "vsr_ls3d_plus_s", "vdn": "vdn_ls3d_plus_s"}


def bundled_weights() -> dict[str, Path]:
    """The weights that come with the package: model name to file."""
    folder = Path(str(resources.files("ls3d") / "weights"))
    return {path.stem: path for path in sorted(folder.glob("*.safetensors"))}


def save_weights(model: Network, path: str | os.PathLike[str], *, half: bool = False, **facts: Any) -> Path:
    """Write a network built by ``create_model`` to one safetensors file, atomically.

    Args:
        model: the network; ``model.config`` says how to build it.
        path: the file to write; its folder must exist.
        half: store floating-point tensors as float16; ``load_model`` computes in float32 all the same.
        facts: JSON-able things worth keeping: ``training_data``, ``license``, ``recipe``, ``metrics``, ...
    """
    path = Path(path)
    tensors = {name: _stored(tensor, half) for name, tensor in model.state_dict().items()}
    metadata = {**model.require_config().to_dict(), **facts, "sha256": _digest(tensors)}
    with atomic_write(path) as part:
        # Not save_file: the file it makes is private to its owner.
        part.write_bytes(save(tensors, {"ls3d": json.dumps(metadata)}))
    return path


def read_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What a weights file says of itself.

    Raises:
        FileNotFoundError: there is no such file.
        InputError: the file is not a safetensors file of ls3d.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such weights file")
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get("ls3d")
    except SafetensorError as error:
        raise InputError(f"{path} is not a safetensors file ({error})") from error
    if text is None:
        raise InputError(f"{path} has no 'ls3d' metadata; `ls3d convert` makes such a file from a checkpoint")
    return json.loads(text)


def load_model(name_or_path: str | os.PathLike[str], device: torch.device | str = "cpu") -> Network:
    """Build a network and load its weights, ready for inference.

    Args:
        name_or_path: a task's default (``"vfi"``), a bundled model's name, the name of a model that needs no
            weights (``"blend"``), or the path of a weights file.
        device: where to put it.

    Returns:
        The network in evaluation mode; ``model.config`` holds the file's metadata.

    Raises:
        FileNotFoundError: a path that isn't there.
        InputError: an unknown name, a name without bundled weights, or a file that doesn't fit its architecture.
    """
    name = DEFAULTS.get(str(name_or_path), str(name_or_path))
    path = Path(name_or_path) if str(name_or_path).endswith(".safetensors") else bundled_weights().get(name)
    if path is None:
        model = create_model(name)
        if any(True for _ in model.parameters()):
            raise InputError(f"{name} has no bundled weights; give the path of a .safetensors file")
        return model.eval().to(device)
    config = ModelConfig.from_dict(read_metadata(path))
    model = create_model(config.architecture, **config.arguments)
    with safe_open(path, framework="pt", device="cpu") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a mapping)
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise InputError(f"{path} does not fit {config.architecture}: {error}") from error
    if "offset_limit" in config.metadata:
        limit_offsets(model, config.metadata["offset_limit"])
    model.config = config
    return model.eval().to(device)


def load_enhancement_model(name_or_path: str | os.PathLike[str], task: str | None = None) -> EnhancementNetwork:
    """As ``load_model``, for a network that maps frames to frames.

    Args:
        name_or_path: as for ``load_model``.
        task: the task that the network must be for, None for any.

    Raises:
        InputError: also if the network is for another task.
    """
    model = load_model(name_or_path)
    if not isinstance(model, EnhancementNetwork) or task not in (None, model.traits.task):
        wanted = task or "enhancement"
        raise InputError(f"{name_or_path}: this model is for {model.traits.task}, expected {wanted}", argument="model")
    return model


def _stored(tensor: torch.Tensor, half: bool) -> torch.Tensor:
    tensor = tensor.detach().contiguous().cpu()
    return tensor.half() if half and tensor.is_floating_point() else tensor


def _digest(tensors: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 over names and bytes, so that two files with the same weights have the same digest."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()

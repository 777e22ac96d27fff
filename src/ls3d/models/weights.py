"""Weights as safetensors files with metadata: architecture, arguments, training data, license, recipe, scores.

The metadata of a file has one entry, ``ls3d``, a JSON object. ``architecture`` and ``arguments`` rebuild the network;
``offset_limit``, if present, bounds the offsets as in training (``ls3d.nn.limit_offsets``); all other entries are
information that doesn't change the network.
"""

from __future__ import annotations

import hashlib
import json
import os
import textwrap
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from ls3d.errors import InputError
from ls3d.files import atomic_write
from ls3d.models.network import ModelConfig, Network
from ls3d.models.registry import create_model
from ls3d.nn import limit_offsets

SUFFIX = ".safetensors"

_LONGEST_MESSAGE = 500  # characters of torch's list of tensors that don't fit


def bundled_weights() -> dict[str, Path]:
    """Return the weights files that come with the package, by model name."""
    folder = Path(str(resources.files("ls3d") / "weights"))
    return {path.stem: path for path in sorted(folder.glob(f"*{SUFFIX}"))}


def save_weights(model: Network, path: str | os.PathLike[str], *, half: bool = False, **metadata: Any) -> Path:
    """Write a network built by ``create_model`` to one safetensors file, atomically.

    Args:
        model: the network; ``model.config`` is stored with its weights.
        path: the file to write; its folder must exist.
        half: store floating-point tensors as float16; the network is float32 again when it is loaded.
        metadata: further metadata, JSON-able: ``training_data``, ``license``, ``recipe``, ``metrics``, ...

    Returns:
        ``path``.

    Raises:
        InputError: the network was not built by ``create_model``.
    """
    path = Path(path)
    config = model.require_config()
    tensors = {name: _to_stored(tensor, half) for name, tensor in model.state_dict().items()}
    config = config.with_metadata(**metadata, sha256=_digest(tensors))
    with atomic_write(path) as temporary:
        # Not save_file, which creates files that only their owner may read.
        temporary.write_bytes(save(tensors, {"ls3d": json.dumps(config.to_dict())}))
    return path


def read_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the metadata of a weights file.

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
    try:
        metadata = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise InputError(f"{path}: its 'ls3d' metadata is not JSON ({error})") from error
    if not isinstance(metadata, dict):
        raise InputError(f"{path}: its 'ls3d' metadata is a {type(metadata).__name__}, expected a JSON object")
    return metadata


def load_weights(path: str | os.PathLike[str], device: torch.device | str = "cpu") -> Network:
    """Build the network that a weights file describes and load its tensors.

    Args:
        path: a file written by ``save_weights``.
        device: where to put the network.

    Returns:
        The network in evaluation mode; ``model.config`` holds the file's metadata.

    Raises:
        FileNotFoundError: there is no such file.
        InputError: the file is not a safetensors file of ls3d, its metadata describes no network, or its tensors are
            those of another one.
    """
    metadata = read_metadata(path)
    try:
        config = ModelConfig.from_dict(metadata)
        model = _build(config)
        _limit_offsets(model, config)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    with safe_open(path, framework="pt", device="cpu") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a mapping)
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        reason = textwrap.shorten(str(error), _LONGEST_MESSAGE)
        raise InputError(f"{path} does not fit {config.architecture}: {reason}") from error
    model.config = config
    return model.eval().to(device)


def _build(config: ModelConfig) -> Network:
    """Create the network; builders don't check the types of their arguments, and these come from a file."""
    try:
        return create_model(config.architecture, **config.arguments)
    except InputError:
        raise
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise InputError(
            f"{config.architecture} can't be built with the arguments {config.arguments}: {error}"
        ) from error


def _limit_offsets(model: Network, config: ModelConfig) -> None:
    limit = config.metadata.get("offset_limit")
    if limit is None:
        return
    if not isinstance(limit, int | float) or not limit > 0:
        raise InputError(f"offset_limit is {limit!r}, expected a positive number of pixels")
    limit_offsets(model, limit)


def _to_stored(tensor: torch.Tensor, half: bool) -> torch.Tensor:
    tensor = tensor.detach().contiguous().cpu()
    return tensor.half() if half and tensor.is_floating_point() else tensor


def _digest(tensors: Mapping[str, torch.Tensor]) -> str:
    """Return the SHA-256 of names and bytes, which is equal for files with equal weights."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()

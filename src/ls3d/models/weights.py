"""Weights as safetensors files with metadata: architecture, arguments, training data, license, recipe, scores.

The metadata of a file has one entry, ``ls3d``, a JSON object. ``architecture`` and ``arguments`` rebuild the network;
``offset_limit``, if present, bounds the offsets as in training (``ls3d.nn.limit_offsets``); ``sha256`` is the digest of
the tensors; all other entries are information that doesn't change the network.

A file is not trusted: its metadata are checked, and the network that they describe is compared with the names and
shapes of the file's tensors, before memory is taken for either.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import sys
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import torch

from ls3d.errors import InputError
from ls3d.files import atomic_write
from ls3d.models.network import ModelConfig, Network
from ls3d.models.outline import make_outline
from ls3d.models.registry import create_model
from ls3d.models.untrusted.safetensor_file import (
    METADATA_KEY,
    Header,
    add_to_digest,
    open_safetensors,
    read_header,
    write_safetensors,
)
from ls3d.models.untrusted.show import listing, printable
from ls3d.nn import limit_offsets

SUFFIX = ".safetensors"

_LARGEST_METADATA = 1 << 20  # characters
_DEEPEST_METADATA = 64
_LONGEST_NAME = 200
_LEAST_LIMIT = 1024  # integers among the arguments may be as large in any file
_FLOATING = ("F16", "BF16", "F32", "F64")
_INTEGERS = ("I64",)


def bundled_weights() -> dict[str, Path]:
    """Return the weights files that come with the package, by model name."""
    folder = Path(str(resources.files("ls3d") / "weights"))
    return {path.stem: path for path in sorted(folder.glob(f"*{SUFFIX}"))}


def save_weights(model: Network, path: str | os.PathLike[str], *, half: bool = False, **metadata: Any) -> Path:
    """Write a network built by ``create_model`` to one safetensors file, atomically.

    Args:
        model: the network; ``model.config`` is stored with its weights.
        path: the file to write, with the suffix ``.safetensors``; its folder must exist.
        half: store floating-point tensors as float16; the network is float32 again when it is loaded.
        metadata: further metadata, JSON-able: ``training_data``, ``license``, ``recipe``, ``metrics``, ...

    Returns:
        ``path``.

    Raises:
        InputError: the network was not built by ``create_model``, a weight is not finite, or the file has another
            suffix.
    """
    path = Path(path)
    if path.suffix != SUFFIX:
        raise InputError(f"{path}: expected the suffix {SUFFIX}")
    config = model.require_config()
    tensors = {name: _to_stored(tensor, half) for name, tensor in model.state_dict().items()}
    for name, tensor in tensors.items():
        require_finite(name, tensor)
    config = config.with_metadata(**metadata, sha256=_digest(tensors))
    with atomic_write(path) as temporary:
        write_safetensors(tensors, temporary, {METADATA_KEY: json.dumps(config.to_dict())})
    return path


def read_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the metadata of a weights file.

    Raises:
        FileNotFoundError: there is no such file.
        InputError: the file is not a safetensors file of ls3d.
    """
    return _parse_metadata(Path(path), read_header(Path(path)))


def read_config(path: str | os.PathLike[str]) -> ModelConfig:
    """Read how to rebuild the network of a weights file, and check that its tensors are those of that network.

    Raises:
        FileNotFoundError: there is no such file.
        InputError: the file is not a safetensors file of ls3d, its metadata describes no network, or its tensors have
            other names, shapes or types than that network's.
    """
    path = Path(path)
    header = read_header(path)
    metadata = _parse_metadata(path, header)
    try:
        config = ModelConfig.from_dict(metadata)
        _offset_limit(config)
        _compare(_outline(config, header), header)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return config


def load_weights(path: str | os.PathLike[str], device: torch.device | str = "cpu") -> Network:
    """Build the network that a weights file describes and load its tensors.

    Args:
        path: a file written by ``save_weights``.
        device: where to put the network.

    Returns:
        The network in evaluation mode; ``model.config`` holds the file's metadata.

    Raises:
        FileNotFoundError: there is no such file.
        InputError: as for ``read_config``; also if a tensor has a value that is not finite, or the tensors don't have
            the recorded digest.
    """
    path = Path(path)
    config = read_config(path)
    model = create_model(config.architecture, **config.arguments)
    limit = _offset_limit(config)
    if limit is not None:
        limit_offsets(model, limit)
    digest = hashlib.sha256()
    state = model.state_dict()
    with open_safetensors(path) as file:
        for name in sorted(state):  # one tensor at a time, so that the file is not in memory as well
            tensor = file.get_tensor(name)
            add_to_digest(digest, name, tensor)
            require_finite(name, tensor, path)
            state[name].copy_(tensor)
    expected = config.metadata.get("sha256", digest.hexdigest())
    if expected != digest.hexdigest():
        raise InputError(f"{path} is damaged: its tensors don't have the SHA-256 that it records")
    model.config = config
    return model.eval().to(device)


def require_finite(name: str, tensor: torch.Tensor, path: Path | None = None) -> None:
    """Check that all values of a tensor are finite.

    Raises:
        InputError: one is not; the message names the tensor, and the file if there is one.
    """
    if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
        source = f"{path}: " if path is not None else ""
        raise InputError(f"{source}{printable(name)} has values that are infinite or not a number")


def _parse_metadata(path: Path, header: Header) -> dict[str, Any]:
    text = header.metadata.get(METADATA_KEY)
    if text is None:
        raise InputError(f"{path} has no 'ls3d' metadata; `ls3d convert` makes such a file from a checkpoint")
    if len(text) > _LARGEST_METADATA:
        raise InputError(f"{path}: its 'ls3d' metadata has {len(text):,} characters, more than {_LARGEST_METADATA:,}")
    try:
        metadata = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: its 'ls3d' metadata is not JSON ({error})") from error
    if not isinstance(metadata, dict):
        raise InputError(f"{path}: its 'ls3d' metadata is a {type(metadata).__name__}, expected a JSON object")
    if _is_deeper(metadata, _DEEPEST_METADATA):
        raise InputError(f"{path}: its 'ls3d' metadata is nested more than {_DEEPEST_METADATA} times")
    if len(str(metadata.get("architecture", ""))) > _LONGEST_NAME:
        raise InputError(f"{path}: its architecture is {printable(str(metadata['architecture']))!r}, expected a model")
    return metadata


def _is_deeper(value: object, limit: int) -> bool:
    """Whether JSON is nested more than ``limit`` times."""
    level = [value]
    for _ in range(limit):
        parts = [list(item.values()) if isinstance(item, dict) else item for item in level]
        level = [inner for item in parts if isinstance(item, list) for inner in item]
        if not level:
            return False
    return True


def _outline(config: ModelConfig, header: Header) -> Network:
    """Build the network without memory, within limits that follow from the number and the sizes of the tensors."""
    sizes = [size for shape in header.shapes.values() if math.prod(shape) for size in shape]
    largest = max(_LEAST_LIMIT, len(header.shapes), *sizes, 0)
    # Layers without parameters and parameters that are replaced while the network is built count, too.
    return make_outline(
        config.architecture, config.arguments, largest=largest, most_parts=10 * len(header.shapes) + 10_000
    )


def _compare(outline: Network, header: Header) -> None:
    """Check that the tensors of a file are those of a network.

    Raises:
        InputError: they are not.
    """
    name = outline.name
    expected = outline.state_dict()
    if missing := expected.keys() - header.shapes.keys():
        raise InputError(f"the file does not fit {name}: it lacks {listing(missing)}")
    if unknown := header.shapes.keys() - expected.keys():
        raise InputError(f"the file does not fit {name}, which has no {listing(unknown)}")
    for key, tensor in expected.items():
        shape, dtype = header.shapes[key], header.dtypes[key]
        if shape != tuple(tensor.shape):
            raise InputError(f"the file does not fit {name}: {key} is {shape}, expected {tuple(tensor.shape)}")
        if dtype not in (_FLOATING if tensor.is_floating_point() else _INTEGERS):
            kind = "a floating-point type" if tensor.is_floating_point() else "I64"
            raise InputError(f"the file does not fit {name}: {key} has the type {dtype}, expected {kind}")


def _offset_limit(config: ModelConfig) -> float | None:
    limit = config.metadata.get("offset_limit")
    if limit is None:
        return None
    if isinstance(limit, bool) or not isinstance(limit, int | float) or not 0 < limit <= sys.float_info.max:
        raise InputError(f"offset_limit is {printable(repr(limit)):.80}, expected a positive number of pixels")
    return float(limit)


def _to_stored(tensor: torch.Tensor, half: bool) -> torch.Tensor:
    tensor = tensor.detach().contiguous().cpu()
    return tensor.half() if half and tensor.is_floating_point() else tensor


def _digest(tensors: Mapping[str, torch.Tensor]) -> str:
    """Return the SHA-256 of names and bytes, which is equal for files with equal weights."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        add_to_digest(digest, name, tensors[name])
    return digest.hexdigest()

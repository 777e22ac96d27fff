"""Training states: everything that a training resumes from, in files without code.

A file is in the safetensors format. Its metadata has one JSON text: the structure of the state, with names in the place
of tensors, and the identity of the training (recipe, data, version of ls3d). Two files are kept, the newest and the one
before; a damaged one is skipped.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ls3d.errors import InputError
from ls3d.files import atomic_write
from ls3d.models.untrusted.safetensor_file import add_to_digest, open_safetensors, write_safetensors
from ls3d.models.weights import require_finite

log = logging.getLogger(__name__)

NEWEST = "last.ckpt"
PREVIOUS = "previous.ckpt"

_KEY = "ls3d_training_state"
_DIGEST = "sha256"
_DEEPEST = 32


@dataclass(frozen=True)
class TrainingState:
    """A state that was read.

    Attributes:
        path: its file.
        identity: recipe, data and version of ls3d of the training.
        values: what ``save_state`` was given.
    """

    path: Path
    identity: dict[str, Any]
    values: dict[str, Any]


def save_state(values: Mapping[str, Any], path: Path, identity: Mapping[str, Any]) -> None:
    """Write a state; the file that has this name becomes the previous one.

    Args:
        values: tensors, numbers, texts and None in dictionaries, lists and tuples. The tensors of its entry
            ``state_dict`` are the weights.
        path: the file; its folder must exist.
        identity: JSON-able.

    Raises:
        InputError: a weight is not finite. The files are not changed.
        OSError: the file can't be written. The files are not changed.
    """
    for name, tensor in values["state_dict"].items():
        require_finite(f"the training has failed: {name}", tensor)
    tensors: dict[str, torch.Tensor] = {}
    text = json.dumps({"identity": identity, "values": _encode(values, tensors)})
    with atomic_write(path, durable=True) as temporary:
        write_safetensors(tensors, temporary, {_KEY: text, _DIGEST: _digest(text, tensors)})
        if path.exists():
            os.replace(path, path.with_name(PREVIOUS))


def load_state(path: Path) -> TrainingState:
    """Read a state.

    Raises:
        FileNotFoundError: there is no such file.
        InputError: the file is not a state, or is damaged.
    """
    with open_safetensors(path) as file:
        metadata = file.metadata() or {}
        if _KEY not in metadata:
            raise InputError(f"{path} is not a training state of ls3d")
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    text = metadata[_KEY]
    if metadata.get(_DIGEST) != _digest(text, tensors):
        raise InputError(f"{path} is damaged: it doesn't have the SHA-256 that it records")
    try:
        content = json.loads(text)
        values = _decode(content["values"], tensors, _DEEPEST)
        identity = dict(content["identity"])
        if not isinstance(values["global_step"], int) or not isinstance(values["state_dict"], dict):
            raise TypeError("no step or no weights")
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise InputError(f"{path} is damaged ({type(error).__name__}: {error})") from error
    return TrainingState(path, identity, values)


def newest_state(folder: Path) -> TrainingState | None:
    """Read the newest state of a folder that is not damaged; None if the folder has no states.

    Raises:
        InputError: it has states, but none that can be read.
    """
    errors = []
    for path in (folder / NEWEST, folder / PREVIOUS):
        if not path.exists():
            continue
        try:
            state = load_state(path)
        except (InputError, OSError) as error:
            errors.append(str(error))
            continue
        if errors:
            log.warning("%s; resuming from the state before, %s", errors[0], path)
        return state
    if errors:
        raise UnreadableStateError(errors[0])
    return None


class UnreadableStateError(InputError):
    """A folder has training states, but none that can be read."""


def remove_states(folder: Path) -> None:
    """Delete the states of a folder."""
    for name in (NEWEST, PREVIOUS):
        (folder / name).unlink(missing_ok=True)


def _encode(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """Return the JSON for a value; its tensors are added to ``tensors`` by the names that stand for them."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, torch.Tensor):
        name = f"t{len(tensors)}"
        # A copy: two tensors of one file may not share memory.
        tensors[name] = value.detach().to("cpu", copy=True).contiguous()
        return {"tensor": name}
    if isinstance(value, Mapping):
        return {"dict": [[_encode(key, tensors), _encode(item, tensors)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        return {type(value).__name__: [_encode(item, tensors) for item in value]}
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"a training state can't hold a {type(value).__name__}")


def _decode(value: Any, tensors: Mapping[str, torch.Tensor], depth: int) -> Any:
    """Invert ``_encode``.

    Raises:
        ValueError, LookupError, TypeError: the JSON was not made by it.
    """
    if depth == 0:
        raise ValueError("nested too deeply")
    if not isinstance(value, dict):
        if isinstance(value, list):
            raise ValueError("a list without its type")
        return value
    ((kind, content),) = value.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {_decode(key, tensors, depth - 1): _decode(item, tensors, depth - 1) for key, item in content}
    items = [_decode(item, tensors, depth - 1) for item in content]
    return {"list": list, "tuple": tuple}[kind](items)


def _digest(text: str, tensors: Mapping[str, torch.Tensor]) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        add_to_digest(digest, name, tensors[name])
    return digest.hexdigest()

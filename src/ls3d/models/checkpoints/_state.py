"""Finding the weights in a checkpoint: nested dictionaries, prefixes of wrappers, moving averages."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ls3d.errors import InputError
from ls3d.models.untrusted import Placeholder, listing, printable
from ls3d.models.untrusted import read_checkpoint as read_untrusted

#: Keys under which training programs store the weights, in the order in which they are looked for.
_RAW_KEYS = (
    "state_dict",
    "model_state",
    "model_state_dict",
    "model",
    "net",
    "network",
    "module",
    "params",
    "blobs",
)
#: Keys of their moving average.
_AVERAGE_KEYS = (
    "model_ema",
    "state_dict_ema",
    "ema_state_dict",
    "model_ema_state_dict",
    "ema_model",
    "ema",
    "params_ema",
)
#: Lightning's callback swaps the two: ``state_dict`` is the average.
_LIGHTNING_RAW = "current_model_state"

#: Prefixes of modules that wrap a network: DataParallel, Lightning, trainers.
_WRAPPERS = ("module.", "model.", "net.", "network.")
_COMPILED = "_orig_mod."  # torch.compile, anywhere in a name
_NOT_WEIGHTS = ("n_averaged",)  # of torch's AveragedModel
_DEEPEST = 4
_MOST_VARIABLES = 100_000  # arrays and dictionaries in a model of Flax


@dataclass(frozen=True)
class State:
    """The weights of a checkpoint.

    Attributes:
        tensors: by name, without the prefixes of wrappers.
        assumed: sentences on what was chosen.
    """

    tensors: dict[str, Tensor]
    assumed: tuple[str, ...] = ()


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a checkpoint of another project: safetensors, a file of ``torch.save``, or a pickle of arrays.

    Returns:
        The outermost dictionary of the file. Tensors are ``torch.Tensor``, arrays ``numpy.ndarray``; both share the
        memory that the file is mapped into. Other objects are inert ``Placeholder`` objects.

    Raises:
        FileNotFoundError: there is no such file.
        InputError: it is none of these, is damaged, exceeds a limit, or has another object among the weights.
    """
    root = read_untrusted(path)
    try:
        for state in _raw_and_average(root):
            if state is not None and state is not root:
                _refuse_objects(state)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return root


def find_tensors(root: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the weights of a checkpoint; see ``find_state``."""
    return find_state(root).tensors


def find_state(
    root: Mapping[str, Any], average: bool = False, recognized: Callable[[Mapping[str, Tensor]], bool] | None = None
) -> State:
    """Find the weights in the outermost dictionary of a checkpoint.

    Args:
        root: from ``read_checkpoint``.
        average: take the moving average of the weights.
        recognized: whether tensors are those of a known network; prefixes that only some names have are removed for
            its sake.

    Raises:
        InputError: there are no weights, or no average.
    """
    variables = _flax_variables(root)
    raw, averaged = _raw_and_average(root) if variables is None else (variables, None)
    if average and averaged is None:
        raise InputError("the checkpoint has no moving average of the weights")
    chosen = averaged if average else raw
    assert chosen is not None
    tensors = _tensors(chosen)
    if not tensors:
        raise InputError(f"the checkpoint holds no tensors, only {listing(root) or 'nothing'}")
    assumed = []
    if averaged is not None:
        kind = "moving average of the weights" if average else "weights of the last step"
        assumed.append(f"the {kind}, of two sets in the file")
    tensors, left_out = _unwrapped(tensors, recognized)
    if left_out:
        assumed.append(f"not a part of the network: {listing(left_out)}")
    return State(tensors, tuple(assumed))


def _raw_and_average(root: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any] | None]:
    raw = _descend(root)
    if _LIGHTNING_RAW in root and (state := _mapping(root.get("state_dict"))) is not None:
        return _mapping(root[_LIGHTNING_RAW]) or raw, state
    average = next((found for key in _AVERAGE_KEYS if (found := _mapping(root.get(key)))), None)
    if average is None:
        return raw, None
    average = _descend(average)
    # A file of nothing but the average.
    return (average, None) if raw is root and not _has_tensors(root) else (raw, average)


def _flax_variables(root: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the arrays of a model of Flax by the paths of their names, ``params/Conv_0/kernel``; None for others.

    Raises:
        InputError: there is an object that is neither an array nor a dictionary, or there are too many.
    """
    if not {"params", "batch_stats"} <= root.keys():
        return None
    arrays: dict[str, Any] = {}
    pending: list[tuple[str, Mapping[str, Any]]] = [("", root)]
    visited = 0
    while pending:
        path, branch = pending.pop()
        visited += 1 + len(branch)
        if visited > _MOST_VARIABLES:
            raise InputError(f"the checkpoint has more than {_MOST_VARIABLES:,} variables")
        _refuse_objects(branch)
        for key, value in branch.items():
            if isinstance(value, Mapping):
                pending.append((f"{path}{key}/", value))
            else:
                arrays[f"{path}{key}"] = value
    return arrays


def _descend(root: Mapping[str, Any]) -> Mapping[str, Any]:
    """Follow the keys of training programs to the innermost dictionary that they name."""
    for _ in range(_DEEPEST):
        inner = next((found for key in _RAW_KEYS if (found := _mapping(root.get(key)))), None)
        if inner is None:
            return root
        root = inner
    return root


def _mapping(value: Any) -> Mapping[str, Any] | None:
    """Return a dictionary, or the entries of an object that is a kind of dictionary; None for anything else."""
    if isinstance(value, Placeholder):
        return value.items or None
    return value if isinstance(value, Mapping) else None


def _has_tensors(state: Mapping[str, Any]) -> bool:
    return any(isinstance(value, Tensor | np.ndarray) for value in state.values())


def _refuse_objects(state: Mapping[str, Any]) -> None:
    for value in state.values():
        if isinstance(value, Placeholder):
            raise InputError(
                f"the file wants {printable(value.name)}, which is neither an array nor a plain container; refused"
            )


def _tensors(state: Mapping[str, Any]) -> dict[str, Tensor]:
    return {
        str(name): _to_tensor(value)
        for name, value in state.items()
        if isinstance(value, Tensor | np.ndarray) and name not in _NOT_WEIGHTS
    }


def _to_tensor(value: Tensor | np.ndarray) -> Tensor:
    if isinstance(value, Tensor):
        return value.detach()
    # A copy in native byte order, because torch takes neither other byte orders nor read-only arrays.
    return torch.from_numpy(np.array(value, dtype=value.dtype.newbyteorder("=")))


def _unwrapped(
    tensors: dict[str, Tensor], recognized: Callable[[Mapping[str, Tensor]], bool] | None
) -> tuple[dict[str, Tensor], list[str]]:
    """Remove the prefixes of wrappers; return the tensors, and the names of those that are outside the wrapper."""
    tensors = {name.replace(_COMPILED, ""): tensor for name, tensor in tensors.items()}
    if recognized is None or recognized(tensors):
        return (tensors if recognized else _common_unwrapped(tensors)), []
    for inside in _candidates(tensors):
        if recognized(inside):
            kept = len(inside)
            outside = [name for name in tensors if not any(name.endswith(key) for key in inside)]
            return inside, outside if kept < len(tensors) else []
    return _common_unwrapped(tensors), []


def _candidates(tensors: dict[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    """Yield the tensors inside of one, two, ... wrappers."""
    for _ in range(_DEEPEST):
        inside = next((found for prefix in _WRAPPERS if (found := _inside(tensors, prefix))), None)
        if inside is None:
            return
        yield inside
        tensors = inside


def _common_unwrapped(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Remove the prefixes that all names have."""
    for inside in _candidates(tensors):
        if len(inside) < len(tensors):
            break
        tensors = inside
    return tensors


def _inside(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}

"""Code that all layouts use: finding the tensors of a checkpoint and renaming them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ls3d.errors import InputError
from ls3d.models.metadata import Preprocessing

#: The keys under which training programs store the weights.
_STATE_KEYS = ("state_dict", "model_state", "model_state_dict", "model", "blobs")

#: Pairs of a pattern that matches a whole name and its replacement, as for ``re.sub``; the first match counts.
Rules = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Translation:
    """The renamed tensors of a checkpoint, and what its layout implies beyond their shapes.

    Attributes:
        tensors: by our names.
        arguments: for ``create_model``, in addition to those that the shapes determine.
        preprocessing: how inputs are normalized.
    """

    tensors: dict[str, Tensor]
    arguments: dict[str, Any]
    preprocessing: Preprocessing


@dataclass(frozen=True)
class Layout:
    """The layout of a project's checkpoints.

    Attributes:
        name: of the project.
        recognizes: whether a checkpoint, given by the names of its tensors, has this layout.
        translate: maps the outermost dictionary of a checkpoint and its tensors to a ``Translation``.
    """

    name: str
    recognizes: Callable[[Iterable[str]], bool]
    translate: Callable[[Mapping[str, Any], dict[str, Tensor]], Translation]


def find_tensors(root: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the weights in the outermost dictionary of a checkpoint, or in the entry that training programs use.

    The prefix ``module.`` of ``DataParallel`` is removed.

    Raises:
        InputError: there are none.
    """
    state: Any = next((root[key] for key in _STATE_KEYS if isinstance(root.get(key), Mapping)), root)
    tensors = {
        str(name).removeprefix("module."): _to_tensor(value)
        for name, value in state.items()
        if isinstance(value, Tensor | np.ndarray)
    }
    if not tensors:
        raise InputError(f"the checkpoint holds no tensors, only {', '.join(map(str, root)) or 'nothing'}")
    return tensors


def _to_tensor(value: Tensor | np.ndarray) -> Tensor:
    if isinstance(value, Tensor):
        return value.detach()
    # A copy in native byte order, because torch takes neither other byte orders nor read-only arrays.
    return torch.from_numpy(np.array(value, dtype=value.dtype.newbyteorder("=")))


def rename(tensors: Mapping[str, Tensor], rules: Rules, ignored: str = r"(?!)") -> dict[str, Tensor]:
    """Rename every tensor by the first rule that matches its name.

    Args:
        tensors: by the names of the checkpoint.
        rules: see ``Rules``.
        ignored: pattern of the names that are not weights of the network (momenta, learning rates).

    Returns:
        The tensors by our names.

    Raises:
        InputError: no rule matches a name (the message lists all of them), or two tensors have the same new name.
    """
    renamed: dict[str, Tensor] = {}
    unmatched = []
    for name, tensor in tensors.items():
        if re.fullmatch(ignored, name):
            continue
        target = _apply_rules(name, rules)
        if target is None:
            unmatched.append(name)
        elif target in renamed:
            raise InputError(f"the checkpoint has two tensors for {target}, one of them {name}")
        else:
            renamed[target] = tensor
    if unmatched:
        raise InputError(f"the checkpoint has tensors that no rule maps: {', '.join(sorted(unmatched))}")
    return renamed


def _apply_rules(name: str, rules: Rules) -> str | None:
    for pattern, replacement in rules:
        match = re.fullmatch(pattern, name)
        if match:
            return match.expand(replacement)
    return None

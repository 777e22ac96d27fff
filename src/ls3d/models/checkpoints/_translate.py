"""What the layouts share: finding the tensors of a checkpoint and giving them the names that ours have."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ls3d.errors import InputError

#: Under which key a training program keeps its weights.
_STATE_KEYS = ("state_dict", "model_state", "model_state_dict", "model", "blobs")

Rules = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Translation:
    """A checkpoint's tensors under our names, and what its layout implies that shapes do not show.

    Attributes:
        tensors: by our names.
        arguments: for ``create_model``, beyond what the shapes tell.
        facts: for the metadata: ``normalization`` and the like.
    """

    tensors: dict[str, Tensor]
    arguments: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Layout:
    """One project's way of naming the tensors.

    Attributes:
        name: of the project.
        recognizes: whether a checkpoint, given by the names of its tensors, is in this layout.
        translate: the checkpoint's outermost dictionary and its tensors to a ``Translation``.
    """

    name: str
    recognizes: Callable[[Iterable[str]], bool]
    translate: Callable[[Mapping[str, Any], dict[str, Tensor]], Translation]


def find_tensors(root: Mapping[str, Any]) -> dict[str, Tensor]:
    """The weights in a checkpoint's outermost dictionary, wherever a training program puts them.

    The prefix ``module.`` of ``DataParallel`` is dropped.

    Raises:
        InputError: there are none.
    """
    state: Any = next((root[key] for key in _STATE_KEYS if isinstance(root.get(key), Mapping)), root)
    tensors = {
        str(name).removeprefix("module."): _tensor(value)
        for name, value in state.items()
        if isinstance(value, Tensor | np.ndarray)
    }
    if not tensors:
        raise InputError(f"the checkpoint holds no tensors, only {', '.join(map(str, root)) or 'nothing'}")
    return tensors


def _tensor(value: Tensor | np.ndarray) -> Tensor:
    if isinstance(value, Tensor):
        return value.detach()
    # A copy in native byte order: the array may be read-only, and torch takes neither.
    return torch.from_numpy(np.array(value, dtype=value.dtype.newbyteorder("=")))


def rename(tensors: Mapping[str, Tensor], rules: Rules, ignored: str = r"(?!)") -> dict[str, Tensor]:
    """Give every tensor the name that the first matching rule makes of its own.

    Args:
        tensors: by the names of the checkpoint.
        rules: patterns that match a whole name, and what becomes of it, as for ``re.sub``.
        ignored: a pattern for names that are not weights of the network (momenta, learning rates).

    Raises:
        InputError: names that no rule matches, all of them listed, or two tensors for one name.
    """
    renamed: dict[str, Tensor] = {}
    left = []
    for name, tensor in tensors.items():
        if re.fullmatch(ignored, name):
            continue
        target = _renamed(name, rules)
        if target is None:
            left.append(name)
        elif target in renamed:
            raise InputError(f"the checkpoint has two tensors for {target}, one of them {name}")
        else:
            renamed[target] = tensor
    if left:
        raise InputError(f"the checkpoint has tensors that no rule maps: {', '.join(sorted(left))}")
    return renamed


def _renamed(name: str, rules: Rules) -> str | None:
    for pattern, replacement in rules:
        match = re.fullmatch(pattern, name)
        if match:
            return match.expand(replacement)
    return None

"""Inflation of 2D ImageNet weights into 3D networks (section 2.1.4 of arXiv:1705.07750).

A filter is repeated over time and divided by its length, so that a still video gives the picture's
activations, as far as zero padding in time does not reach.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TypeVar

import torch
from torch import Tensor

from ls3d.errors import InputError
from ls3d.models.checkpoints._read import read_checkpoint
from ls3d.models.checkpoints._translate import find_tensors, rename
from ls3d.models.checkpoints.resnets3d import RULES
from ls3d.models.recognition._resnet3d import ResNet3d

Net = TypeVar("Net", bound=ResNet3d)


def inflate(model: Net, weights: str | os.PathLike[str] | Mapping[str, Tensor]) -> Net:
    """Start a 3D ResNet from the weights of the 2D ResNet of the same depth.

    The classifier is taken over when it has as many classes, and stays as it is otherwise. Layers that a 2D
    network does not have (non-local blocks) stay as they are, too.

    Args:
        model: an I3D, R3D, MCx, f-R2D ... whose blocks are those of a ResNet; LS3D convolutions are made of
            it afterwards, with ``ls3d.nn.convert``.
        weights: a 2D ResNet's tensors under torchvision's (and timm's) names, or a file of them.

    Returns:
        ``model``, changed in place.

    Raises:
        InputError: a tensor that does not fit, or a layer of the network that none fits.
    """
    state = weights if isinstance(weights, Mapping) else find_tensors(read_checkpoint(weights))
    flat = rename(state, RULES)
    target = model.state_dict()
    if "fc.weight" in target and flat.get("fc.weight", torch.empty(0)).shape != target["fc.weight"].shape:
        flat.pop("fc.weight", None)
        flat.pop("fc.bias", None)
    if "fc.weight" not in target:
        flat = {name: tensor for name, tensor in flat.items() if not name.startswith("fc.")}
    _check(set(flat), set(target))
    filled = {name: _inflated(name, tensor, target[name]) for name, tensor in flat.items()}
    model.load_state_dict(filled, strict=False)
    return model


def _check(given: set[str], wanted: set[str]) -> None:
    if given - wanted:
        raise InputError(f"the 2D network has tensors that the 3D one lacks: {', '.join(sorted(given - wanted))}")
    missing = {
        name
        for name in wanted - given
        if not name.startswith("fc.") and ".non_local." not in name and "num_batches_tracked" not in name
    }
    if missing:
        raise InputError(f"the 2D network lacks tensors that the 3D one has: {', '.join(sorted(missing))}")


def _inflated(name: str, tensor: Tensor, target: Tensor) -> Tensor:
    """Repeat a 2D filter over the 3D one's length and keep its sum."""
    if target.ndim != 5:
        if tensor.shape != target.shape:
            raise InputError(f"{name} has shape {tuple(tensor.shape)}, the 3D network's {tuple(target.shape)}")
        return tensor
    length = target.shape[2]
    flat = target[:, :, 0]
    if tensor.shape != flat.shape:
        raise InputError(f"{name} has shape {tuple(tensor.shape)}, the 3D network needs {tuple(flat.shape)}")
    return tensor.unsqueeze(2).expand(target.shape) / length

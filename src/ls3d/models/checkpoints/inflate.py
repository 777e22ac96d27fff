"""Inflation of 2D ImageNet weights into 3D networks (section 2.1.4 of arXiv:1705.07750).

A filter is repeated over time and divided by its length, so that the activations of a still video are those of the
image, except where zero padding in time has an influence.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TypeVar

from torch import Tensor

from ls3d.errors import InputError
from ls3d.models.checkpoints._state import find_tensors, read_checkpoint
from ls3d.models.checkpoints._translate import rename
from ls3d.models.checkpoints.resnets3d import RULES
from ls3d.models.recognition._resnet3d import ResNet3d
from ls3d.models.untrusted import listing

Net = TypeVar("Net", bound=ResNet3d)


def inflate(model: Net, weights: str | os.PathLike[str] | Mapping[str, Tensor]) -> Net:
    """Initialize a 3D ResNet from the weights of the 2D ResNet of the same depth.

    The classifier is initialized if both have the same number of classes. Layers that a 2D network doesn't have
    (non-local blocks) are not changed.

    Args:
        model: an I3D, R3D, MCx, f-R2D, ... with the blocks of a ResNet. It is converted to LS3D convolutions
            afterwards, by ``model.make_learnable``.
        weights: the tensors of a 2D ResNet under the names of torchvision (and timm), or a file of them.

    Returns:
        ``model``, changed in place.

    Raises:
        InputError: a tensor doesn't fit, or a tensor of the network is missing.
    """
    tensors = weights if isinstance(weights, Mapping) else find_tensors(read_checkpoint(weights))
    given = rename(tensors, RULES)
    expected = model.state_dict()
    classifier = given.get("fc.weight")
    if classifier is None or "fc.weight" not in expected or classifier.shape != expected["fc.weight"].shape:
        given = {name: tensor for name, tensor in given.items() if not name.startswith("fc.")}
    _check_names(set(given), set(expected))
    inflated = {name: _inflate_tensor(name, tensor, expected[name]) for name, tensor in given.items()}
    model.load_state_dict(inflated, strict=False)
    return model


def _check_names(given: set[str], expected: set[str]) -> None:
    if given - expected:
        raise InputError(f"the 2D network has tensors that the 3D one lacks: {listing(given - expected)}")
    missing = {
        name
        for name in expected - given
        if not name.startswith("fc.") and ".non_local." not in name and "num_batches_tracked" not in name
    }
    if missing:
        raise InputError(f"the 2D network lacks tensors that the 3D one has: {listing(missing)}")


def _inflate_tensor(name: str, tensor: Tensor, target: Tensor) -> Tensor:
    """Repeat a 2D filter over the length of the 3D one and divide by the length; return other tensors unchanged."""
    expected = target[:, :, 0] if target.ndim == 5 else target
    if tensor.shape != expected.shape:
        raise InputError(f"{name} has shape {tuple(tensor.shape)}, expected {tuple(expected.shape)}")
    return tensor.unsqueeze(2).expand(target.shape) / target.shape[2] if target.ndim == 5 else tensor

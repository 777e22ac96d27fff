"""Checkpoints of other projects: recognize the layout, rename every tensor, build the network.

Supported are torchvision, VMZ (Caffe2 and PyTorch), ig65m, SlowFast (PyTorch and Caffe2), pytorchvideo, mmaction2 and
3D-ResNets. A conversion maps every tensor, or fails and names those that it can't map. No code in a file is executed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ls3d.errors import InputError
from ls3d.models.checkpoints import mmaction2, pytorchvideo, resnets3d, slowfast, torchvision, vmz
from ls3d.models.checkpoints._architecture import infer_architecture
from ls3d.models.checkpoints._read import read_checkpoint
from ls3d.models.checkpoints._translate import Layout, Translation, find_tensors
from ls3d.models.network import Network
from ls3d.models.registry import create_model, is_registered
from ls3d.models.weights import save_weights

#: The supported layouts, in the order in which they are tried.
LAYOUTS: tuple[Layout, ...] = (
    torchvision.LAYOUT,
    vmz.LAYOUT,
    slowfast.PYTORCH,
    slowfast.CAFFE2,
    pytorchvideo.LAYOUT,
    mmaction2.LAYOUT,
    resnets3d.LAYOUT,
)

__all__ = ["LAYOUTS", "convert_checkpoint", "load_checkpoint", "read_checkpoint"]


def load_checkpoint(path: str | os.PathLike[str], model: str | None = None, **arguments: Any) -> Network:
    """Build the network of a checkpoint of another project, with its weights.

    Args:
        path: the checkpoint.
        model: name of the network that it must be; None for any.
        arguments: for ``create_model``, where they can't be inferred from a checkpoint and the default of its layout is
            wrong: ``pool1``, ``layout``, ``non_local_mode``, ...

    Returns:
        The network in evaluation mode. ``model.config`` has the metadata ``converted_from`` (the layout) and
        ``preprocessing``.

    Raises:
        FileNotFoundError: there is no such file.
        InputError: the layout is unknown, reading the file would execute code, tensors can't be mapped or are missing,
            or the network is not ``model``.
    """
    root = read_checkpoint(path)
    tensors = find_tensors(root)
    layout = next((layout for layout in LAYOUTS if layout.recognizes(tensors)), None)
    if layout is None:
        known = ", ".join(layout.name for layout in LAYOUTS)
        raise InputError(f"{path} has none of the layouts {known}; its first tensor is {min(tensors)!r}")
    try:
        network = _build(layout.translate(root, tensors), model, arguments)
    except InputError as error:
        raise InputError(f"{path} ({layout.name}): {error}") from error
    network.config = network.require_config().with_metadata(converted_from=layout.name)
    return network.eval()


def convert_checkpoint(
    path: str | os.PathLike[str], output: str | os.PathLike[str], model: str | None = None, **arguments: Any
) -> Path:
    """Convert a checkpoint of another project to a weights file of ls3d.

    Args:
        path: the checkpoint.
        output: the ``.safetensors`` file to write.
        model: as for ``load_checkpoint``.
        arguments: as for ``load_checkpoint``.

    Returns:
        ``output``.

    Raises:
        As ``load_checkpoint``.
    """
    return save_weights(load_checkpoint(path, model, **arguments), output)


def _build(translation: Translation, wanted: str | None, overrides: Mapping[str, Any]) -> Network:
    shapes = {name: tuple(tensor.shape) for name, tensor in translation.tensors.items()}
    name, inferred = infer_architecture(shapes)
    if not is_registered(name):
        raise InputError(f"the tensors are those of {name}, which is not in the registry")
    if wanted is not None and wanted != name:
        raise InputError(f"the tensors are those of {name}, not of {wanted}")
    with torch.device("meta"):
        network = create_model(name, **{**inferred, **translation.arguments, **overrides})
    _load_tensors(network, translation.tensors)
    network.config = network.require_config().with_metadata(preprocessing=translation.preprocessing.to_dict())
    return network


def _load_tensors(network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Load tensors into a network on the meta device.

    Raises:
        InputError: the tensors are not exactly those of the network; the message lists the differences.
    """
    expected = network.state_dict()
    counters = {name for name in expected if name.endswith("num_batches_tracked")}
    _require_none("has tensors that the network lacks", set(tensors) - set(expected))
    _require_none("lacks tensors that the network has", set(expected) - set(tensors) - counters)
    _require_none(
        "has tensors of other shapes than the network's",
        {
            f"{name} {tuple(tensor.shape)} for {tuple(expected[name].shape)}"
            for name, tensor in tensors.items()
            if tensor.shape != expected[name].shape
        },
    )
    state = {name: torch.zeros((), dtype=torch.long) for name in counters}
    state |= {name: tensor.to(expected[name].dtype) for name, tensor in tensors.items()}
    network.load_state_dict(state, assign=True)
    for parameter in network.parameters():
        parameter.requires_grad_(True)


def _require_none(difference: str, names: set[str]) -> None:
    if names:
        raise InputError(f"the checkpoint {difference}: {', '.join(sorted(names))}")

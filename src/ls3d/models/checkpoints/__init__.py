"""Checkpoints of other projects: recognize the layout, rename every tensor, build the network.

Supported are torchvision, VMZ (Caffe2 and PyTorch), ig65m, SlowFast (PyTorch and Caffe2), pytorchvideo,
mmaction2 and 3D-ResNets. A conversion maps every tensor or fails and says which were left; nothing in a file
is run.
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
from ls3d.models.checkpoints._architecture import infer
from ls3d.models.checkpoints._read import read_checkpoint
from ls3d.models.checkpoints._translate import Layout, Translation, find_tensors
from ls3d.models.network import Network
from ls3d.models.registry import create_model, list_models
from ls3d.models.weights import save_weights

#: In the order in which they are tried.
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
    """Build the network that a checkpoint of another project belongs to, with its weights.

    Args:
        path: the checkpoint.
        model: the network that it must be, if known.
        arguments: for ``create_model``, where a checkpoint does not show them and the layout's usual value is
            wrong: ``pool1``, ``layout``, ``non_local_mode``, ...

    Returns:
        The network in evaluation mode. ``model.config`` says how to build it, what layout the checkpoint had
        and how clips are normalized.

    Raises:
        FileNotFoundError: there is no such file.
        InputError: the layout is unknown, the file wants to run something, tensors are left over or missing,
            or the network is not ``model``.
    """
    root = read_checkpoint(path)
    tensors = find_tensors(root)
    layout = next((layout for layout in LAYOUTS if layout.recognizes(tensors)), None)
    if layout is None:
        known = ", ".join(layout.name for layout in LAYOUTS)
        raise InputError(f"{path} is in none of the layouts {known}; its tensors begin with {min(tensors)!r}")
    try:
        network = _build(layout.translate(root, tensors), model, arguments)
    except InputError as error:
        raise InputError(f"{path} ({layout.name}): {error}") from error
    network.config = network.require_config().with_metadata(converted_from=layout.name)
    return network.eval()


def convert_checkpoint(
    path: str | os.PathLike[str], output: str | os.PathLike[str], model: str | None = None, **arguments: Any
) -> Path:
    """Write a checkpoint of another project as a safetensors file of ours; see ``load_checkpoint``.

    Returns:
        ``output``.
    """
    return save_weights(load_checkpoint(path, model, **arguments), output)


def _build(translation: Translation, wanted: str | None, overrides: Mapping[str, Any]) -> Network:
    shapes = {name: tuple(tensor.shape) for name, tensor in translation.tensors.items()}
    name, inferred = infer(shapes)
    if name not in list_models():
        raise InputError(f"the tensors are those of {name}, which is not in the registry")
    if wanted is not None and wanted != name:
        raise InputError(f"the tensors are those of {name}, not of {wanted}")
    with torch.device("meta"):
        network = create_model(name, **{**inferred, **translation.arguments, **overrides})
    _fill(network, translation.tensors)
    network.config = network.require_config().with_metadata(**translation.facts)
    return network


def _fill(network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Give a network without storage its tensors: all of both sides, or an error that lists the rest."""
    expected = network.state_dict()
    counters = {name for name in expected if name.endswith("num_batches_tracked")}
    _complain("has tensors that the network lacks", set(tensors) - set(expected))
    _complain("lacks tensors that the network has", set(expected) - set(tensors) - counters)
    _complain(
        "has tensors of other shapes than the network's",
        {
            f"{name} {tuple(tensor.shape)} for {tuple(expected[name].shape)}"
            for name, tensor in tensors.items()
            if tensor.shape != expected[name].shape
        },
    )
    filled = {name: torch.zeros((), dtype=torch.long) for name in counters}
    filled |= {name: tensor.to(expected[name].dtype) for name, tensor in tensors.items()}
    network.load_state_dict(filled, assign=True)
    for parameter in network.parameters():
        parameter.requires_grad_(True)


def _complain(what: str, names: set[str]) -> None:
    if names:
        raise InputError(f"the checkpoint {what}: {', '.join(sorted(names))}")

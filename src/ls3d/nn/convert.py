"""Turning the convolutions of an existing network into learnable-sampling ones, its output kept."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable

from torch import nn

from ls3d.nn.conv import LS3DConv3d

Where = str | Iterable[str] | Callable[[str, nn.Conv3d], bool] | None


def convert(model: nn.Module, where: Where = None, *, modulation: bool = True, offset_groups: int = 1) -> nn.Module:
    """Replace 3D convolutions of ``model`` by :class:`LS3DConv3d`; its output stays the same until it is trained.

    The model is changed in place. A convolution that is used in several places stays shared. Kernels of one tap
    are left alone unless ``where`` asks for them, subclasses of ``torch.nn.Conv3d`` always.

    Args:
        model: any network, or a ``torch.nn.Conv3d``.
        where: which convolutions: a shell pattern on qualified names (``"layer3.*.conv1"``) or several of them, or a
            function of name and module; None for all with more than one tap.
        modulation: predict importances too.
        offset_groups: sets of offsets in each converted layer.

    Returns:
        ``model``, or the new layer if ``model`` itself was a convolution to be replaced.

    Raises:
        ValueError: nothing was found to convert, or the offset groups don't divide a layer's channels.
    """
    chosen = _chooser(where)
    found = {
        name: module
        for name, module in model.named_modules(remove_duplicate=False)
        if type(module) is nn.Conv3d and not _is_predictor(model, name) and chosen(name, module)
    }
    if not found:
        raise ValueError(f"no 3D convolution of the model fits where={where!r}")
    made = {
        conv: LS3DConv3d.from_conv3d(conv, modulation=modulation, offset_groups=offset_groups)
        for conv in dict.fromkeys(found.values())
    }
    for name, conv in found.items():
        if not name:
            return made[conv]
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, made[conv])
    return model


def _is_predictor(model: nn.Module, name: str) -> bool:
    parent, _, _ = name.rpartition(".")
    return bool(name) and isinstance(model.get_submodule(parent), LS3DConv3d)


def _chooser(where: Where) -> Callable[[str, nn.Conv3d], bool]:
    if callable(where):
        return where
    if where is None:
        return lambda name, conv: max(conv.kernel_size) > 1
    patterns = [where] if isinstance(where, str) else list(where)
    return lambda name, conv: any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)

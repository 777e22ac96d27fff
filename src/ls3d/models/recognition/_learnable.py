"""The argument ``ls3d`` of the recognition networks: which of their convolutions become LS3D convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from math import prod
from typing import TypeVar

from torch import nn

from ls3d.errors import InputError
from ls3d.nn import LS3DConv3d, convert

#: Values of the argument: False, True (the default choice), or names, as shell patterns such as ``"layer3.*"``.
Learnable = bool | str | Sequence[str]

Net = TypeVar("Net", bound=nn.Module)


def make_learnable(model: Net, ls3d: Learnable, excluded: tuple[str, ...]) -> Net:
    """Convert convolutions of a network to LS3D convolutions; its outputs stay the same until they are trained.

    Args:
        model: the network, which is changed in place.
        ls3d: False changes nothing. True converts every convolution over more than one frame: 3x3x3, CSN's depthwise
            ones, the 3x1x1 of R(2+1)D and of I3D (as in table 8 of the LS3D paper). Patterns convert the convolutions
            with more than one tap whose names match.
        excluded: the layers that True doesn't convert: those that take the clip itself.

    Returns:
        ``model``.

    Raises:
        InputError: no convolution is chosen, or a pattern matches none.
    """
    if ls3d is False:
        return model
    converted = learnable_names(model)
    kernels = {
        name: module.kernel_size
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv3d) and prod(module.kernel_size) > 1 and not _is_inside(name, converted)
    }
    if ls3d is True:
        chosen = {name for name, size in kernels.items() if size[0] > 1 and not _is_inside(name, excluded)}
        if not chosen:
            raise InputError("ls3d=True, but no convolution over time is left after the network's first layer")
    else:
        chosen = set()
        for pattern in [ls3d] if isinstance(ls3d, str) else ls3d:
            matches = {name for name in kernels if fnmatchcase(name, pattern)}
            if not matches:
                raise InputError(f"ls3d={pattern!r} matches no convolution of the network, of {', '.join(kernels)}")
            chosen |= matches
    convert(model, where=lambda name, _conv: name in chosen)
    return model


def learnable_names(model: nn.Module) -> list[str]:
    """Names of the LS3D convolutions of a network, which choose the same as ``ls3d`` of its builder."""
    return [name for name, module in model.named_modules() if isinstance(module, LS3DConv3d)]


def _is_inside(name: str, modules: Sequence[str]) -> bool:
    return any(name == module or name.startswith(f"{module}.") for module in modules)

"""The argument ``ls3d`` of the recognition networks: which of their convolutions become LS3D."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from math import prod
from typing import TypeVar

from torch import nn

from ls3d.errors import InputError
from ls3d.nn import LS3DConv3d, convert

#: As an argument: False, True (the default choice), or names as shell patterns, such as ``"layer3.*"``.
Learnable = bool | str | Sequence[str]

Net = TypeVar("Net", bound=nn.Module)


def make_learnable(model: Net, ls3d: Learnable, untouched: tuple[str, ...]) -> Net:
    """Turn convolutions of a network into LS3D convolutions; until trained, its outputs stay what they are.

    Args:
        model: the network.
        ls3d: False changes nothing. True takes every convolution that looks at more than one frame: 3x3x3,
            CSN's depthwise ones, the 3x1x1 of R(2+1)D and of I3D (as table 8 of the LS3D paper). Patterns
            take the convolutions with more than one tap whose names match.
        untouched: what True leaves alone: the layers that see the clip itself.

    Raises:
        InputError: no convolution is chosen, or a pattern matches none.
    """
    if ls3d is False:
        return model
    done = tuple(name for name, module in model.named_modules() if isinstance(module, LS3DConv3d))
    taps = {
        name: module.kernel_size
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv3d) and prod(module.kernel_size) > 1 and not _inside(name, done)
    }
    if ls3d is True:
        chosen = {name for name, size in taps.items() if size[0] > 1 and not _inside(name, untouched)}
        if not chosen:
            raise InputError("ls3d=True, but no convolution over time is left behind the network's first layer")
    else:
        chosen = set()
        for pattern in [ls3d] if isinstance(ls3d, str) else ls3d:
            matches = {name for name in taps if fnmatchcase(name, pattern)}
            if not matches:
                raise InputError(f"ls3d={pattern!r} matches no convolution of the network, of {', '.join(taps)}")
            chosen |= matches
    convert(model, where=lambda name, conv: name in chosen)
    return model


def _inside(name: str, modules: tuple[str, ...]) -> bool:
    return any(name == module or name.startswith(f"{module}.") for module in modules)

"""Conversion of an existing network: its 3D convolutions get learnable sampling, and its output stays the same."""

from __future__ import annotations

import fnmatch
import logging
from collections.abc import Callable, Iterable, Mapping

from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from ls3d.nn.conv import LS3DConv3d
from ls3d.nn.dense import Conv3d

log = logging.getLogger(__name__)

#: Names in a message.
_LISTED = 8

Where = str | Iterable[str] | Callable[[str, nn.Conv3d], bool] | None
"""Which convolutions: shell patterns of qualified names, a function of name and module, or None."""


def convert(model: nn.Module, where: Where = None, *, modulation: bool = True, offset_groups: int = 1) -> nn.Module:
    """Replace 3D convolutions of ``model`` by :class:`LS3DConv3d`; its output stays the same until it is trained.

    The model is changed in place. A convolution that is used in several places stays shared. A subclass of
    ``torch.nn.Conv3d`` is replaced, too, if it computes what ``torch.nn.Conv3d`` does. Others are left as they are, and
    so are convolutions with hooks or parametrizations, which the new layer would lose; a warning names them.

    Args:
        model: any network, or a ``torch.nn.Conv3d``.
        where: which convolutions: a shell pattern of qualified names (``"layer3.*.conv1"``) or several of them, or a
            function of name and module; None for all with more than one tap.
        modulation: predict masks, too.
        offset_groups: number of offset groups of each new layer.

    Returns:
        ``model``, or the new layer if ``model`` itself is a convolution that is replaced.

    Raises:
        ValueError: no convolution is selected, a pattern matches none, or the offset groups don't divide a layer's
            channels.
    """
    convolutions = {
        name: module
        for name, module in model.named_modules(remove_duplicate=False)
        if isinstance(module, nn.Conv3d) and not isinstance(module, LS3DConv3d) and not _is_predictor(model, name)
    }
    found = {}
    for name in _selected(where, convolutions):
        module = convolutions[name]
        if obstacle := _obstacle(module):
            log.warning("%s is not converted: it %s", name or "the model", obstacle)
        else:
            found[name] = module
    if not found:
        raise ValueError(f"no 3D convolution of the model matches where={where!r}; {_listing(convolutions)}")
    converted = {
        conv: LS3DConv3d.from_conv3d(conv, modulation=modulation, offset_groups=offset_groups)
        for conv in dict.fromkeys(found.values())
    }
    for name, conv in found.items():
        if not name:
            return converted[conv]
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, converted[conv])
    return model


def _obstacle(conv: nn.Conv3d) -> str | None:
    """Why a convolution can't be replaced, as the rest of a sentence; None if it can."""
    if not isinstance(conv, Conv3d) and (
        type(conv).forward is not nn.Conv3d.forward or type(conv)._conv_forward is not nn.Conv3d._conv_forward
    ):
        return f"is a {type(conv).__name__}, which computes something else than torch.nn.Conv3d"
    if is_parametrized(conv):
        return "has parametrizations"
    if conv._forward_hooks or conv._forward_pre_hooks or conv._backward_hooks or conv._backward_pre_hooks:
        return "has hooks"
    return None


def _is_predictor(model: nn.Module, name: str) -> bool:
    parent, _, _ = name.rpartition(".")
    return bool(name) and isinstance(model.get_submodule(parent), LS3DConv3d)


def _selected(where: Where, convolutions: Mapping[str, nn.Conv3d]) -> list[str]:
    """Names of the convolutions that ``where`` selects, in the order of the network."""
    if where is None:
        return [name for name, conv in convolutions.items() if max(conv.kernel_size) > 1]
    if callable(where):
        return [name for name, conv in convolutions.items() if where(name, conv)]
    chosen: set[str] = set()
    for pattern in [where] if isinstance(where, str) else where:
        matches = [name for name in convolutions if fnmatch.fnmatchcase(name, pattern)]
        if not matches:
            raise ValueError(f"no 3D convolution of the model matches {pattern!r}; {_listing(convolutions)}")
        chosen.update(matches)
    return [name for name in convolutions if name in chosen]


def _listing(convolutions: Mapping[str, nn.Conv3d]) -> str:
    """What the network has instead, in a few words."""
    if not convolutions:
        return "it has none"
    shown = ", ".join(list(convolutions)[:_LISTED])
    return f"it has {shown}{', ...' if len(convolutions) > _LISTED else ''}"

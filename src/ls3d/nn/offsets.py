"""Against exploding offsets: predictors that learn more slowly, and bounds on how far a tap may go."""

from __future__ import annotations

from typing import Any

from torch import nn

from ls3d.nn.conv import LS3DConv3d


def parameter_groups(model: nn.Module, lr: float, sampling_factor: float = 0.1) -> list[dict[str, Any]]:
    """Two groups for an optimiser: sampling predictors at ``lr * sampling_factor``, the rest at ``lr``.

    Exploding offsets are the best-known trap of this operator family; a lower rate on the predictors is the
    remedy. Parameters that need no gradient are left out; a group without parameters is left out.
    """
    predictors = {
        id(parameter)
        for module in model.modules()
        if isinstance(module, LS3DConv3d)
        for parameter in module.predictor.parameters()
    }
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if id(p) not in predictors], "lr": lr, "name": "features"},
        {
            "params": [p for p in trained if id(p) in predictors],
            "lr": lr * sampling_factor,
            "name": "sampling",
        },
    ]
    return [group for group in groups if group["params"]]


def limit_offsets(model: nn.Module, pixels: float | None) -> None:
    """Bound the offsets of every LS3D convolution in ``model``, see ``LS3DConv3d.max_offset``; None frees them.

    Raises:
        ValueError: the bound is not positive.
    """
    if pixels is not None and not pixels > 0:
        raise ValueError(f"offsets can be bounded by a positive number of pixels, got {pixels}")
    for module in model.modules():
        if isinstance(module, LS3DConv3d):
            module.max_offset = pixels

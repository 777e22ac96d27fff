"""Two remedies for exploding offsets: a lower learning rate for the predictors, and a limit of the offsets."""

from __future__ import annotations

from typing import Any

from torch import nn

from ls3d.nn.conv import LS3DConv3d


def parameter_groups(model: nn.Module, lr: float, sampling_factor: float = 0.1) -> list[dict[str, Any]]:
    """Parameter groups for an optimizer, with another learning rate for the predictors of ``LS3DConv3d``.

    Deformable convolutions are known for offsets that grow without limit in training (EDVR and others); a lower
    learning rate of the predictors is the usual remedy.

    Args:
        model: any network. Parameters that don't require a gradient are left out.
        lr: learning rate of all parameters but the predictors'.
        sampling_factor: the predictors' learning rate is ``lr * sampling_factor``.

    Returns:
        Groups with the names ``"features"`` and ``"sampling"``; a group without parameters is left out.
    """
    predictors = predictor_ids(model)
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


def predictor_ids(model: nn.Module) -> set[int]:
    """``id`` of each parameter that predicts offsets or masks."""
    layers = (module for module in model.modules() if isinstance(module, LS3DConv3d))
    return {id(parameter) for layer in layers for parameter in layer.predictor.parameters()}


def limit_offsets(model: nn.Module, pixels: float | None) -> None:
    """Set ``max_offset`` of every ``LS3DConv3d`` in ``model``; None removes the limit.

    Raises:
        ValueError: ``pixels`` isn't positive.
    """
    if pixels is not None and not pixels > 0:
        raise ValueError(f"pixels is {pixels}, expected a positive number of pixels, or None")
    for module in model.modules():
        if isinstance(module, LS3DConv3d):
            module.max_offset = pixels

"""The optimizer of a classification: rates that decrease towards the input, weight decay of the weights alone."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ls3d.models import RecognitionNet
from ls3d.nn.offsets import predictor_ids
from ls3d.training.recognition.recipe import ClassificationOptimization


def make_optimizer(network: RecognitionNet, options: ClassificationOptimization) -> torch.optim.Optimizer:
    """Make the optimizer of a recipe."""
    groups = optimizer_groups(network, options)
    if options.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=options.scaled_rate)
    nesterov = options.nesterov and options.momentum > 0
    return torch.optim.SGD(groups, lr=options.scaled_rate, momentum=options.momentum, nesterov=nesterov)


def optimizer_groups(network: RecognitionNet, options: ClassificationOptimization) -> list[dict[str, Any]]:
    """Divide the parameters by stage, by whether they are decayed, and by whether they predict offsets.

    The top-level children of the network are its stages. The rate of the last one with parameters is ``scaled_rate``,
    that of the first one ``layer_decay ** 5`` times as much, however many there are; a residual network has a stem,
    four stages and a classifier. Biases and the parameters of normalizations are not decayed.

    Returns:
        Groups with the keys ``params``, ``lr``, ``weight_decay`` and ``name``.
    """
    predictors = predictor_ids(network)
    frozen = _norm_parameters(network) if options.frozen_norms else set()
    stages = [(name, stage) for name, stage in network.named_children() if any(True for _ in stage.parameters())]
    fifths = 5 / max(1, len(stages) - 1)  # from one stage to the next
    groups: dict[tuple[str, bool, bool], dict[str, Any]] = {}
    for depth, (name, stage) in enumerate(reversed(stages)):
        for parameter in stage.parameters():
            if id(parameter) in frozen or not parameter.requires_grad:
                continue
            is_predictor, is_decayed = id(parameter) in predictors, parameter.dim() > 1
            factor = options.layer_decay ** (depth * fifths) * (options.offset_factor if is_predictor else 1.0)
            factor *= 1.0 if is_decayed else options.bias_factor
            group = {
                "params": [],
                "lr": options.scaled_rate * factor,
                "weight_decay": options.weight_decay if is_decayed else 0.0,
                "name": f"{name}{'' if is_decayed else '.scales'}{'.offsets' if is_predictor else ''}",
            }
            groups.setdefault((name, is_decayed, is_predictor), group)["params"].append(parameter)
    return list(groups.values())


def _norm_parameters(network: nn.Module) -> set[int]:
    return {
        id(parameter)
        for module in network.modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm)
        for parameter in module.parameters()
    }

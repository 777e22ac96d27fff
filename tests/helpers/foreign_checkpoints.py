"""Checkpoints of other projects with their documented names, and the outputs of their networks.

A plan lists the convolutions of a network with the names that a project gives them. It determines random weights in
exactly that layout and, with ``torch.nn.functional`` only, the outputs of the network. Nothing of ls3d is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Weights = dict[str, Tensor]
#: Names of a normalization's scale, shift, mean and variance.
NormNames = tuple[str, str, str, str]
Pool = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
DEPTHS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}


@dataclass(frozen=True)
class Unit:
    """A convolution, its normalization, if any, and whether a ReLU follows."""

    conv: str
    norm: NormNames | None
    shape: tuple[int, ...]
    stride: tuple[int, ...] = (1, 1, 1)
    groups: int = 1
    relu: bool = True
    bias: str | None = None


@dataclass(frozen=True)
class Block:
    """A residual block: its convolutions, its projection, the names of its non-local block."""

    units: list[Unit]
    shortcut: Unit | None
    attention: dict[str, str] | None = None


@dataclass
class Plan:
    """A whole network. ``pool`` follows the stem: kernel, stride, padding."""

    stem: list[Unit]
    stages: list[list[Block]]
    fc: tuple[str, str]
    eps: float
    pool: Pool | None = None
    pool2: bool = False
    zero_padding: bool = False
    mode: str = "softmax"
    scaled: bool = True
    pool_after: bool = False
    classes: int = 5
    width: int = field(init=False)

    def __post_init__(self) -> None:
        self.width = self.stages[-1][-1].units[-1].shape[0]


class Torch:
    """Names of torchvision, VMZ in PyTorch and ig65m."""

    fc = ("fc.weight", "fc.bias")
    downsample = "downsample"

    def norm(self, prefix: str) -> NormNames:
        return f"{prefix}.weight", f"{prefix}.bias", f"{prefix}.running_mean", f"{prefix}.running_var"

    def stem(self, parts: int) -> list[tuple[str, str]]:
        return [("stem.0.weight", "stem.1"), ("stem.3.weight", "stem.4")][:parts]

    def block(self, stage: int, index: int) -> str:
        return f"layer{stage}.{index}"

    def conv(self, block: str, j: int, kind: str) -> list[tuple[str, str]]:
        if kind == "2+1d":
            return [
                (f"{block}.conv{j}.0.0.weight", f"{block}.conv{j}.0.1"),
                (f"{block}.conv{j}.0.3.weight", f"{block}.conv{j}.1"),
            ]
        if kind == "ip":
            return [
                (f"{block}.conv{j}.0.0.weight", f"{block}.conv{j}.0.1"),
                (f"{block}.conv{j}.0.2.weight", f"{block}.conv{j}.1"),
            ]
        return [(f"{block}.conv{j}.0.weight", f"{block}.conv{j}.1")]

    def shortcut(self, block: str) -> tuple[str, str]:
        return f"{block}.downsample.0.weight", f"{block}.downsample.1"

    def attention(self, stage: int, index: int) -> dict[str, str]:
        raise NotImplementedError


class ResNets3d(Torch):
    """Names of 3D-ResNets-PyTorch."""

    def stem(self, parts: int) -> list[tuple[str, str]]:
        return [("conv1.weight", "bn1")] if parts == 1 else [("conv1_s.weight", "bn1_s"), ("conv1_t.weight", "bn1_t")]

    def conv(self, block: str, j: int, kind: str) -> list[tuple[str, str]]:
        if kind == "2+1d":
            return [(f"{block}.conv{j}_{p}.weight", f"{block}.bn{j}_{p}") for p in "st"]
        return [(f"{block}.conv{j}.weight", f"{block}.bn{j}")]


class Mmaction2(Torch):
    """Names of mmaction2."""

    fc = ("cls_head.fc_cls.weight", "cls_head.fc_cls.bias")
    csn = False

    def stem(self, parts: int) -> list[tuple[str, str]]:
        return [("backbone.conv1.conv.weight", "backbone.conv1.bn")]

    def block(self, stage: int, index: int) -> str:
        return f"backbone.layer{stage}.{index}"

    def conv(self, block: str, j: int, kind: str) -> list[tuple[str, str]]:
        if kind == "ir":
            return [(f"{block}.conv{j}.0.conv.weight", f"{block}.conv{j}.0.bn")]
        if kind == "ip":
            return [(f"{block}.conv{j}.{n}.conv.weight", f"{block}.conv{j}.{n}.bn") for n in (0, 1)]
        return [(f"{block}.conv{j}.conv.weight", f"{block}.conv{j}.bn")]

    def shortcut(self, block: str) -> tuple[str, str]:
        return f"{block}.downsample.conv.weight", f"{block}.downsample.bn"

    def attention(self, stage: int, index: int) -> dict[str, str]:
        prefix = f"{self.block(stage, index)}.non_local_block"
        names = {"theta": "theta.conv", "phi": "phi.0.conv", "g": "g.0.conv", "out": "conv_out.conv"}
        # A normalization follows the last convolution, so that it has no bias.
        without_bias = {"without_bias": "out"}
        return {
            "bn": f"{prefix}.conv_out.bn",
            **{key: f"{prefix}.{name}" for key, name in names.items()},
            **without_bias,
        }


class SlowFast(Torch):
    """Names of SlowFast's ``.pyth`` files."""

    fc = ("head.projection.weight", "head.projection.bias")

    def stem(self, parts: int) -> list[tuple[str, str]]:
        return [("s1.pathway0_stem.conv.weight", "s1.pathway0_stem.bn")]

    def block(self, stage: int, index: int) -> str:
        return f"s{stage + 1}.pathway0_res{index}"

    def conv(self, block: str, j: int, kind: str) -> list[tuple[str, str]]:
        return [(f"{block}.branch2.{'abc'[j - 1]}.weight", f"{block}.branch2.{'abc'[j - 1]}_bn")]

    def shortcut(self, block: str) -> tuple[str, str]:
        return f"{block}.branch1.weight", f"{block}.branch1_bn"

    def attention(self, stage: int, index: int) -> dict[str, str]:
        prefix = f"s{stage + 1}.pathway0_nonlocal{index}"
        return {"bn": f"{prefix}.bn", **{key: f"{prefix}.conv_{key}" for key in ("theta", "phi", "g", "out")}}


class PytorchVideo(Torch):
    """Names of pytorchvideo; ``skip`` is the number of the block that is a pool."""

    def __init__(self, skip: int | None = None) -> None:
        self.numbers = [n for n in range(1, 7) if n != skip]
        self.fc = (f"blocks.{self.numbers[4]}.proj.weight", f"blocks.{self.numbers[4]}.proj.bias")

    def stem(self, parts: int) -> list[tuple[str, str]]:
        return [("blocks.0.conv.weight", "blocks.0.norm")]

    def block(self, stage: int, index: int) -> str:
        return f"blocks.{self.numbers[stage - 1]}.res_blocks.{index}"

    def conv(self, block: str, j: int, kind: str) -> list[tuple[str, str]]:
        return [(f"{block}.branch2.conv_{'abc'[j - 1]}.weight", f"{block}.branch2.norm_{'abc'[j - 1]}")]

    def shortcut(self, block: str) -> tuple[str, str]:
        return f"{block}.branch1_conv.weight", f"{block}.branch1_norm"


class Vmz(Torch):
    """Names of VMZ's Caffe2 files."""

    def __init__(self, depth: int, prefix: str = "", first: int = 0, classes: int = 5) -> None:
        self.starts = [first + sum(DEPTHS[depth][:stage]) for stage in range(4)]
        self.prefix, self.fc = prefix, (f"last_out_L{classes}_w", f"last_out_L{classes}_b")

    def norm(self, prefix: str) -> NormNames:
        return f"{prefix}_s", f"{prefix}_b", f"{prefix}_rm", f"{prefix}_riv"

    def stem(self, parts: int) -> list[tuple[str, str]]:
        names = [f"{self.prefix}conv1_middle", f"{self.prefix}conv1"][2 - parts :]
        return [(f"{name}_w", f"{name}_spatbn_relu") for name in names]

    def block(self, stage: int, index: int) -> str:
        return str(self.starts[stage - 1] + index)

    def conv(self, block: str, j: int, kind: str) -> list[tuple[str, str]]:
        if kind in ("ir", "after ir"):
            j = {1: 1, 2: 3, 3: 4}[j]
        theirs = f"{self.prefix}comp_{block}"
        parts = ["_middle", ""] if kind in ("2+1d", "ip") else [""]
        return [(f"{theirs}_conv_{j}{part}_w", f"{theirs}_spatbn_{j}{part}") for part in parts]

    def shortcut(self, block: str) -> tuple[str, str]:
        theirs = f"{self.prefix}shortcut_projection_{block}"
        return f"{theirs}_w", f"{theirs}_spatbn"


class SlowFastCaffe2(Vmz):
    """Names of SlowFast's ``.pkl`` files and video-nonlocal-net's."""

    def __init__(self) -> None:
        self.fc = ("pred_w", "pred_b")

    def stem(self, parts: int) -> list[tuple[str, str]]:
        return [("conv1_w", "res_conv1_bn")]

    def block(self, stage: int, index: int) -> str:
        return f"res{stage + 1}_{index}"

    def conv(self, block: str, j: int, kind: str) -> list[tuple[str, str]]:
        return [(f"{block}_branch2{'abc'[j - 1]}_w", f"{block}_branch2{'abc'[j - 1]}_bn")]

    def shortcut(self, block: str) -> tuple[str, str]:
        return f"{block}_branch1_w", f"{block}_branch1_bn"

    def attention(self, stage: int, index: int) -> dict[str, str]:
        prefix = f"nonlocal_conv{stage + 1}_{index}"
        return {"bn": f"{prefix}_bn", **{key: f"{prefix}_{key}" for key in ("theta", "phi", "g", "out")}}


def make_plan(
    names: Torch,
    depth: int,
    kinds: str | Sequence[str],
    eps: float,
    *,
    stem_kernel: int = 3,
    stem_width: int = 0,
    stem_stride: int = 1,
    temporal: Sequence[int] = (1, 2, 2, 2),
    rule: str = "vmz",
    project_first: bool = False,
    first_kernels: Sequence[Sequence[int]] | None = None,
    attention_at: Sequence[tuple[int, int]] = (),
    **options: Any,
) -> Plan:
    """Make the plan of a residual network.

    Args:
        names: names of the project.
        depth: number of layers.
        kinds: the convolutions of the stages: 3d, 2d, 2+1d, ir, ip.
        eps: epsilon of the normalizations.
        stem_kernel: temporal extent of the stem.
        stem_width: channels between the parts of a (2+1)D stem, 0 for a 3D stem.
        stem_stride: temporal stride of the stem.
        temporal: temporal strides of the stages.
        rule: midplanes of (2+1)D, "vmz" or "torchvision".
        project_first: whether the first block has a projection although its shapes are equal.
        first_kernels: temporal extents of the first convolutions, stage by stage.
        attention_at: stage (from 1) and index of the blocks with a non-local block.
        options: other fields of ``Plan``.
    """
    stem = _stem(names, stem_kernel, stem_width, stem_stride)
    kinds = [kinds] * 4 if isinstance(kinds, str) else kinds
    wide = 4 if depth >= 50 else 1
    inputs = 64
    stages = []
    for stage, (count, width) in enumerate(zip(DEPTHS[depth], (64, 128, 256, 512), strict=True), 1):
        blocks = []
        for index in range(count):
            spatial = 2 if index == 0 and stage > 1 else 1
            stride = (temporal[stage - 1] if index == 0 else 1, spatial, spatial)
            outputs, block = wide * width, names.block(stage, index)
            kernel = first_kernels[stage - 1][index] if first_kernels else 1
            units = _units(names, block, kinds[stage - 1], inputs, width, stride, wide == 4, kernel, rule)
            changes = inputs != outputs or stride != (1, 1, 1) or (project_first and stage == 1 and index == 0)
            shortcut = None
            if changes and not options.get("zero_padding", False):
                conv, norm = names.shortcut(block)
                shortcut = Unit(conv, names.norm(norm), (outputs, inputs, 1, 1, 1), stride, relu=False)
            attention = names.attention(stage, index) if (stage, index) in attention_at else None
            blocks.append(Block(units, shortcut, attention))
            inputs = outputs
        stages.append(blocks)
    return Plan(stem, stages, names.fc, eps, **options)


def _stem(names: Torch, kernel: int, width: int, stride: int) -> list[Unit]:
    if not width:
        ((conv, norm),) = names.stem(1)
        return [Unit(conv, names.norm(norm), (64, 3, kernel, 7, 7), (stride, 2, 2))]
    (spatial, first), (temporal, second) = names.stem(2)
    return [
        Unit(spatial, names.norm(first), (width, 3, 1, 7, 7), (1, 2, 2)),
        Unit(temporal, names.norm(second), (64, width, kernel, 1, 1)),
    ]


def _units(
    names: Torch,
    block: str,
    kind: str,
    inputs: int,
    width: int,
    stride: tuple[int, ...],
    bottleneck: bool,
    first_kernel: int,
    rule: str,
) -> list[Unit]:
    if not bottleneck:
        first = _conv(names, block, 1, kind, inputs, width, stride, inputs, rule)
        return [*first, *_conv(names, block, 2, kind, width, width, (1, 1, 1), inputs, rule)]
    ((narrow, narrow_norm),) = names.conv(block, 1, "plain")
    ((widen, widen_norm),) = names.conv(block, 3, "after ir" if kind == "ir" else "plain")
    return [
        Unit(narrow, names.norm(narrow_norm), (width, inputs, first_kernel, 1, 1)),
        *_conv(names, block, 2, kind, width, width, stride, inputs, rule),
        Unit(widen, names.norm(widen_norm), (4 * width, width, 1, 1, 1)),
    ]


def _conv(
    names: Torch,
    block: str,
    j: int,
    kind: str,
    inputs: int,
    outputs: int,
    stride: tuple[int, ...],
    block_inputs: int,
    rule: str,
) -> list[Unit]:
    parts = [(conv, names.norm(norm)) for conv, norm in names.conv(block, j, kind)]
    if kind == "2+1d":
        source = block_inputs if rule == "torchvision" else inputs
        middle = 27 * source * outputs // (9 * source + 3 * outputs)
        return [
            Unit(*parts[0], (middle, inputs, 1, 3, 3), (1, *stride[1:])),
            Unit(*parts[1], (outputs, middle, 3, 1, 1), (stride[0], 1, 1)),
        ]
    if kind == "ip":
        return [
            Unit(*parts[0], (outputs, inputs, 1, 1, 1), relu=False),
            Unit(*parts[1], (outputs, 1, 3, 3, 3), stride, groups=outputs),
        ]
    if kind == "ir":
        return [Unit(*parts[0], (outputs, 1, 3, 3, 3), stride, groups=outputs)]
    return [Unit(*parts[0], (outputs, inputs, 3 if kind == "3d" else 1, 3, 3), stride)]


def random_weights(plan: Plan) -> Weights:
    """Make weights in the layout of a plan, of a scale that keeps the size of activations."""
    weights: Weights = {}
    blocks = [block for stage in plan.stages for block in stage]
    units = [
        *plan.stem,
        *(unit for block in blocks for unit in [*block.units, block.shortcut] if unit is not None),
    ]
    for unit in units:
        add_unit(weights, unit)
    for block in blocks:
        if block.attention is not None:
            channels = block.units[-1].shape[0]
            dot = "." if "." in block.attention["bn"] else "_"
            w, b = (f"{dot}weight", f"{dot}bias") if dot == "." else ("_w", "_b")
            for part in ("theta", "phi", "g", "out"):
                shape = (channels, channels // 2) if part == "out" else (channels // 2, channels)
                weights[block.attention[part] + w] = torch.randn(*shape, 1, 1, 1) / shape[1]
                if block.attention.get("without_bias") != part:
                    weights[block.attention[part] + b] = torch.randn(shape[0])
            add_norm(weights, _norm_names(block.attention["bn"]), channels)
    weights[plan.fc[0]] = torch.randn(plan.classes, plan.width) / plan.width**0.5
    weights[plan.fc[1]] = torch.randn(plan.classes)
    return weights


def _norm_names(prefix: str) -> NormNames:
    return Torch().norm(prefix) if "." in prefix else Vmz(18).norm(prefix)


def add_unit(weights: Weights, unit: Unit) -> None:
    fan_in = torch.Size(unit.shape[1:]).numel()
    weights[unit.conv] = torch.randn(unit.shape) * (2 / fan_in) ** 0.5
    if unit.bias is not None:
        weights[unit.bias] = torch.randn(unit.shape[0])
    if unit.norm is not None:
        add_norm(weights, unit.norm, unit.shape[0])


def add_norm(weights: Weights, names: NormNames, channels: int) -> None:
    scale, shift, mean, variance = names
    weights[scale] = torch.rand(channels) + 0.5
    weights[variance] = torch.rand(channels) + 0.5
    weights[shift] = torch.randn(channels) / 4
    weights[mean] = torch.randn(channels) / 4


def run_unit(weights: Weights, unit: Unit, x: Tensor, eps: float) -> Tensor:
    weight = weights[unit.conv]
    padding = tuple(size // 2 for size in weight.shape[2:])
    bias = None if unit.bias is None else weights[unit.bias]
    convolve = F.conv3d if weight.ndim == 5 else F.conv2d
    x = convolve(x, weight, bias, unit.stride, padding, groups=unit.groups)
    if unit.norm is not None:
        scale, shift, mean, variance = (weights[name] for name in unit.norm)
        x = F.batch_norm(x, mean, variance, scale, shift, eps=eps)
    return x.relu() if unit.relu else x


def run_block(plan: Plan, weights: Weights, block: Block, x: Tensor) -> Tensor:
    y = x
    for unit in block.units[:-1]:
        y = run_unit(weights, unit, y, plan.eps)
    y = run_unit(weights, replace(block.units[-1], relu=False), y, plan.eps)
    if block.shortcut is not None:
        x = run_unit(weights, block.shortcut, x, plan.eps)
    elif x.shape != y.shape:  # shortcut type A
        steps = [round(a / b) for a, b in zip(x.shape[2:], y.shape[2:], strict=True)]
        x = F.avg_pool3d(x, 1, steps)
        x = torch.cat([x, x.new_zeros(x.shape[0], y.shape[1] - x.shape[1], *x.shape[2:])], dim=1)
    y = (x + y).relu()
    return y if block.attention is None else attend(plan, weights, block.attention, y)


def attend(plan: Plan, weights: Weights, names: dict[str, str], x: Tensor) -> Tensor:
    w, b = ("_w", "_b") if "." not in names["bn"] else (".weight", ".bias")

    def conv(part: str, y: Tensor) -> Tensor:
        return F.conv3d(y, weights[names[part] + w], weights.get(names[part] + b))

    def pool(y: Tensor) -> Tensor:
        return F.max_pool3d(y, (1, 2, 2))

    theta = conv("theta", x)
    phi, g = (pool(conv(p, x)) if plan.pool_after else conv(p, pool(x)) for p in ("phi", "g"))
    affinity = torch.einsum("ncp,ncq->npq", theta.flatten(2), phi.flatten(2))
    if plan.mode == "softmax":
        affinity = (affinity * (theta.shape[1] ** -0.5 if plan.scaled else 1.0)).softmax(dim=2)
    else:
        affinity = affinity / affinity.shape[2]
    y = torch.einsum("npq,ncq->ncp", affinity, g.flatten(2)).reshape(theta.shape)
    scale, shift, mean, variance = (weights[name] for name in _norm_names(names["bn"]))
    return x + F.batch_norm(conv("out", y), mean, variance, scale, shift, eps=plan.eps)


def features(plan: Plan, weights: Weights, x: Tensor) -> Tensor:
    """Compute the last feature map."""
    for unit in plan.stem:
        x = run_unit(weights, unit, x, plan.eps)
    if plan.pool is not None:
        x = F.max_pool3d(x, *plan.pool)
    for number, stage in enumerate(plan.stages, 1):
        for block in stage:
            x = run_block(plan, weights, block, x)
        if number == 1 and plan.pool2:
            x = F.max_pool3d(x, (2, 1, 1))
    return x


def evaluate(plan: Plan, weights: Weights, clip: Tensor) -> Tensor:
    """Compute the logits."""
    pooled = features(plan, weights, clip).mean(dim=(2, 3, 4))
    return F.linear(pooled, weights[plan.fc[0]].flatten(1), weights[plan.fc[1]])

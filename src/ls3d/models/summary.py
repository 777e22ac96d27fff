"""Parameters and operations of a network, layer by layer, by the conventions of published tables.

The tables have different conventions, whose results differ by a factor of two and more:

* the "parameters" of VMZ are the weights of convolutions and linear layers, without biases and normalizations;
* VMZ and most of the papers print multiply-adds and call them FLOPs; others print twice as many;
* SlowFast and pytorchvideo print multiply-adds, attention included, plus five for every normalized element.

``torch.utils.flop_counter`` counts the operations on meta tensors: nothing is computed or allocated.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ls3d._torch_internals import ConvNd
from ls3d.errors import InputError
from ls3d.models.network import EnhancementNetwork, Network, RestorationNetwork
from ls3d.models.registry import create_model, model_info
from ls3d.nn import LS3DConv3d

_MATRIX_LAYERS = ConvNd | nn.Linear
_OMITTED = nn.ReLU | nn.Identity | nn.Dropout | nn.Sequential | nn.ModuleList


@dataclass(frozen=True)
class Layer:
    """Parameters and operations of a layer, without those of its sublayers.

    Attributes:
        name: its name in the network.
        kind: its class.
        output: shape of its output, with a batch of 1.
        parameters: number of its parameters.
        macs: multiply-adds of its convolution, linear map or matrix products.
    """

    name: str
    kind: str
    output: tuple[int, ...]
    parameters: int
    macs: int


@dataclass(frozen=True)
class Summary:
    """Parameters and operations of one forward pass.

    Attributes:
        model: name of the network.
        inputs: shapes of the inputs, with a batch of 1.
        layers: in the order in which they run.
        parameters: number of parameters.
        conv_fc_weights: weights of convolutions and linear layers, without biases and normalizations: VMZ's count.
        macs: multiply-adds of convolutions and linear layers: the "FLOPs" of VMZ and of the papers.
        attention_macs: multiply-adds of the matrix products in non-local blocks, which most tables don't count.
        sampling_macs: four for every value that LS3D convolutions sample bilinearly; no table counts them.
        normalized: inputs of batch normalizations.
    """

    model: str
    inputs: tuple[tuple[int, ...], ...]
    layers: tuple[Layer, ...]
    parameters: int
    conv_fc_weights: int
    macs: int
    attention_macs: int
    sampling_macs: int
    normalized: int

    @property
    def flops(self) -> int:
        """Two for every multiply-add of convolutions, linear layers, attention and sampling."""
        return 2 * (self.macs + self.attention_macs + self.sampling_macs)

    @property
    def slowfast_flops(self) -> int:
        """The FLOPs that SlowFast and pytorchvideo print."""
        return self.macs + self.attention_macs + 5 * self.normalized


def summarize(model: str | Network, *sizes: Sequence[int], **arguments: Any) -> Summary:
    """Count parameters and operations of a network.

    Args:
        model: a name that ``create_model`` takes, or a network.
        sizes: sizes of the inputs without the batch, ``(C, T, H, W)``; those of ``model_info`` by default.
        arguments: for ``create_model``.

    Raises:
        InputError: the name is unknown, there are no default sizes, or the network doesn't take inputs of that size.
    """
    network = create_model(model, **arguments) if isinstance(model, str) else copy.deepcopy(model)
    network = network.to("meta")
    name = network.name
    inputs = [torch.empty(1, *size, device="meta") for size in sizes or _default_sizes(network)]
    return _count(network.eval(), name, inputs)


def _default_sizes(network: Network) -> list[tuple[int, ...]]:
    info = model_info(network.name)
    if info.input_size is None:
        raise InputError(f"{network.name} has no default input size; give one, such as 3x16x112x112")
    size = info.input_size
    if isinstance(network, RestorationNetwork):  # its window may depend on its arguments
        channels, _, *sides = size
        size = (channels, network.traits.frames_before + 1 + network.traits.frames_after, *sides)
    return [each for each in (size, info.flow_size, info.audio_size) if each is not None]


def _count(network: Network, name: str, inputs: Sequence[Tensor]) -> Summary:
    counter = FlopCounterMode(display=False)
    takes_sigma = isinstance(network, EnhancementNetwork) and network.traits.takes_sigma
    sigma = [torch.empty(1, device="meta")] if takes_sigma else []
    outputs: dict[str, tuple[int, ...]] = {}
    try:
        with torch.no_grad(), counter, _recorded_shapes(network, outputs):
            network(*inputs, *sigma)
    except InputError:
        raise
    except (RuntimeError, ValueError) as error:  # the input of a pool or a convolution is too small
        if next(network.parameters(), None) is None:
            raise InputError(f"{name} has no layers that could be counted") from error
        sizes = " and ".join("x".join(map(str, i.shape[1:])) for i in inputs)
        raise InputError(f"{name} does not take an input of {sizes}: {error}") from error
    macs = _macs_of_modules(network, counter.get_flop_counts())
    modules = dict(network.named_modules())
    layers = tuple(_layers(modules, outputs, macs))
    matrix = {key for key, module in modules.items() if isinstance(module, _MATRIX_LAYERS)}
    return Summary(
        model=name,
        inputs=tuple(tuple(i.shape) for i in inputs),
        layers=layers,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        conv_fc_weights=sum(modules[key].weight.numel() for key in matrix),
        macs=sum(macs[key] for key in matrix),
        attention_macs=sum(count for key, count in macs.items() if key not in matrix),
        sampling_macs=sum(_sampling_macs(modules[key], shape) for key, shape in outputs.items()),
        normalized=sum(
            torch.Size(shape).numel()
            for key, shape in outputs.items()
            if isinstance(modules[key], nn.modules.batchnorm._BatchNorm)
        ),
    )


@contextmanager
def _recorded_shapes(network: nn.Module, outputs: dict[str, tuple[int, ...]]) -> Iterator[None]:
    """Store the shape of every module's output within the context, in the order in which they run."""

    def record(name: str, output: Any) -> None:
        if isinstance(output, Tensor):
            outputs[name] = tuple(output.shape)

    handles = [
        module.register_forward_hook(lambda _module, _inputs, output, name=name: record(name, output))
        for name, module in network.named_modules()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _macs_of_modules(network: nn.Module, counts: Mapping[str, Mapping[Any, int]]) -> dict[str, int]:
    """Compute the multiply-adds of every module, without those of its children, from the counts of a flop counter."""
    root = type(network).__name__  # the counter's names start with the class
    total = {
        name: sum(counts.get(f"{root}.{name}" if name else root, {}).values()) // 2
        for name, _ in network.named_modules()
    }
    own = dict(total)
    for name, count in total.items():
        if name:
            own[name.rpartition(".")[0]] -= count
    return own


def _layers(
    modules: Mapping[str, nn.Module], outputs: Mapping[str, tuple[int, ...]], macs: Mapping[str, int]
) -> Iterator[Layer]:
    for name, shape in outputs.items():
        module = modules[name]
        parameters = sum(parameter.numel() for parameter in module.parameters(recurse=False))
        leaf = not any(module.children()) and not isinstance(module, _OMITTED)
        if parameters or macs[name] or leaf:
            yield Layer(name, type(module).__name__, shape, parameters, macs[name])


def _sampling_macs(module: nn.Module, output: tuple[int, ...]) -> int:
    """Count four multiply-adds for every tap, input channel and position of an LS3D convolution."""
    if not isinstance(module, LS3DConv3d):
        return 0
    positions = output[0] * output[2] * output[3] * output[4]
    return 4 * positions * module.in_channels * torch.Size(module.kernel_size).numel()

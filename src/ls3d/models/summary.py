"""What a network costs, layer by layer, by every counting convention that published tables use.

The tables disagree on three things, and comparing across them without knowing it goes wrong by a factor of
two:

* VMZ's "parameters" are the weights of convolutions and linear layers alone, without biases and
  normalizations;
* the papers of the family and VMZ print multiply-adds and call them FLOPs; others print twice as many;
* SlowFast and pytorchvideo print multiply-adds, attention included, plus five for every element normalized.

The operations are counted by ``torch.utils.flop_counter`` on meta tensors: nothing is computed or allocated.
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

from ls3d.errors import InputError
from ls3d.models.network import EnhancementNetwork, Network
from ls3d.models.registry import create_model, model_info
from ls3d.nn import LS3DConv3d

_MATRIX_LAYERS = nn.modules.conv._ConvNd | nn.Linear
_SILENT = nn.ReLU | nn.Identity | nn.Dropout | nn.Sequential | nn.ModuleList


@dataclass(frozen=True)
class Layer:
    """One layer's own share, what its children have not counted in.

    Attributes:
        name: its name in the network.
        kind: its class.
        output: shape of its output, the batch of 1 included.
        parameters: scalars that it owns.
        macs: multiply-adds of its convolution, linear map or matrix products.
    """

    name: str
    kind: str
    output: tuple[int, ...]
    parameters: int
    macs: int


@dataclass(frozen=True)
class Summary:
    """The cost of one forward pass.

    Attributes:
        model: the network's name.
        inputs: shapes of the inputs, the batch of 1 included.
        layers: in the order in which they run.
        parameters: all of them.
        conv_fc_weights: VMZ's count: weights of convolutions and linear layers, no bias, no normalization.
        macs: multiply-adds of convolutions and linear layers: VMZ's and the papers' "FLOPs".
        attention_macs: multiply-adds of the matrix products in non-local blocks, which most tables leave out.
        sampling_macs: four for every value that LS3D convolutions sample bilinearly; no table counts them.
        normalized: elements that pass a batch normalization.
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
        """Two for every multiply-add, everything counted."""
        return 2 * (self.macs + self.attention_macs + self.sampling_macs)

    @property
    def slowfast_flops(self) -> int:
        """What SlowFast and pytorchvideo print as FLOPs."""
        return self.macs + self.attention_macs + 5 * self.normalized


def summarize(model: str | Network, *sizes: Sequence[int], **arguments: Any) -> Summary:
    """Count parameters and operations of a network.

    Args:
        model: a name that ``create_model`` knows, or a network.
        sizes: input sizes without the batch, ``(C, T, H, W)``; those of ``model_info`` unless told.
        arguments: for ``create_model``.

    Raises:
        InputError: the name is unknown, no size is known, or the network does not take inputs of that size.
    """
    network = create_model(model, **arguments) if isinstance(model, str) else copy.deepcopy(model)
    network = network.to("meta")
    name = network.name
    inputs = [torch.empty(1, *size, device="meta") for size in sizes or _usual_sizes(name)]
    return _count(network.eval(), name, inputs)


def _usual_sizes(name: str) -> list[tuple[int, ...]]:
    info = model_info(name)
    if info.input_size is None:
        raise InputError(f"no usual input size is known for {name}; give one, such as 3x16x112x112")
    audio = info.facts.get("audio_size")
    return [info.input_size] if audio is None else [info.input_size, audio]


def _count(network: Network, name: str, inputs: Sequence[Tensor]) -> Summary:
    counter = FlopCounterMode(display=False)
    takes_sigma = isinstance(network, EnhancementNetwork) and network.traits.takes_sigma
    sigma = [torch.empty(1, device="meta")] if takes_sigma else []
    outputs: dict[str, tuple[int, ...]] = {}
    try:
        with torch.no_grad(), counter, _shapes(network, outputs):
            network(*inputs, *sigma)
    except InputError:
        raise
    except (RuntimeError, ValueError) as error:  # a size that leaves nothing for a pool or a convolution
        if not any(True for _ in network.parameters()):
            raise InputError(f"{name} has no layers that could be counted") from error
        sizes = " and ".join("x".join(map(str, i.shape[1:])) for i in inputs)
        raise InputError(f"{name} does not take an input of {sizes}: {error}") from error
    macs = _own_macs(network, counter.get_flop_counts())
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
        sampling_macs=sum(_sampling(modules[key], shape) for key, shape in outputs.items()),
        normalized=sum(
            torch.Size(shape).numel()
            for key, shape in outputs.items()
            if isinstance(modules[key], nn.modules.batchnorm._BatchNorm)
        ),
    )


@contextmanager
def _shapes(network: nn.Module, outputs: dict[str, tuple[int, ...]]) -> Iterator[None]:
    """Note the shape of every module's output, in the order in which they run."""

    def note(name: str, output: Any) -> None:
        if isinstance(output, Tensor):
            outputs[name] = tuple(output.shape)

    handles = [
        module.register_forward_hook(lambda _module, _inputs, output, name=name: note(name, output))
        for name, module in network.named_modules()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _own_macs(network: nn.Module, counts: Mapping[str, Mapping[Any, int]]) -> dict[str, int]:
    """Multiply-adds of every module less its children's; the counter's names begin with the class."""
    root = type(network).__name__
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
        leaf = not any(module.children()) and not isinstance(module, _SILENT)
        if parameters or macs[name] or leaf:
            yield Layer(name, type(module).__name__, shape, parameters, macs[name])


def _sampling(module: nn.Module, output: tuple[int, ...]) -> int:
    """Four multiply-adds for every tap, input channel and position of an LS3D convolution."""
    if not isinstance(module, LS3DConv3d):
        return 0
    positions = output[0] * output[2] * output[3] * output[4]
    return 4 * positions * module.in_channels * torch.Size(module.kernel_size).numel()

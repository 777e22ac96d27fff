"""How far another runtime is from PyTorch, on inputs of several sizes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ls3d.errors import InputError
from ls3d.export._prepare import Signature, moving_texture

#: Largest difference from PyTorch at which a file is kept, as a share of the largest value, or of 1 if that is larger.
_TOLERANCE = 1e-3

Run = Callable[..., Tensor]


@dataclass(frozen=True)
class ExportReport:
    """What was written, and how far it is from PyTorch.

    Attributes:
        path: the file.
        runtime: what it was compared in.
        open: names of the dimensions of the inputs that may have any size.
        differences: the largest difference from PyTorch, for each shape of the first input that was tried.
        largest_value: largest absolute value of PyTorch's outputs.
    """

    path: Path
    runtime: str
    open: tuple[str, ...]
    differences: dict[tuple[int, ...], float]
    largest_value: float


@dataclass(frozen=True)
class Comparison:
    """Differences from PyTorch.

    Attributes:
        differences: the largest one, for each shape of the first input.
        largest_value: largest absolute value of PyTorch's outputs.
    """

    differences: dict[tuple[int, ...], float]
    largest_value: float

    @property
    def worst(self) -> float:
        """The largest difference, as a share of the largest value; NaN if a value is."""
        return _largest(self.differences.values()) / self.largest_value

    def report(self, network: str, path: Path, runtime: str, names: tuple[str, ...]) -> ExportReport:
        """The report of a file whose differences are small.

        Raises:
            InputError: one of them is too large.
        """
        worst = _largest(self.differences.values())
        if not worst <= _TOLERANCE * max(self.largest_value, 1.0):
            raise InputError(f"{network}: {runtime}'s output differs from PyTorch's by {worst:.2g}, so it is not kept")
        return ExportReport(path, runtime, names, self.differences, self.largest_value)


def compare(run: Run, signature: Signature, names: Collection[str], *, single: bool = True) -> Comparison:
    """Compare the outputs for the traced size, for taller frames, and for wider ones.

    Args:
        run: takes the inputs in order.
        signature: of the network.
        names: dimensions that may have another size than the traced one.
        single: whether the batch of the widest inputs is one sample, where its size may be another one.
    """
    differences: dict[tuple[int, ...], float] = {}
    largest = 0.0
    step = signature.step
    taller = {"height": step, "time": step}
    wider = {"width": 2 * step, "frames": 4, "batch": -int(single)}
    for change in ({}, taller, wider):
        inputs = _inputs(signature, {name: more for name, more in change.items() if name in names})
        with torch.no_grad():
            expected = signature.module(*inputs)
        found = run(*inputs)
        shape = tuple(inputs[0].shape)  # is tried again where no dimension of the first input is open
        differences[shape] = _largest([float((found - expected).abs().max()), differences.get(shape, 0.0)])
        largest = max(largest, float(expected.abs().max()))
    return Comparison(differences, largest)


def _largest(differences: Iterable[float]) -> float:
    """The largest difference; NaN if one is."""
    return float(torch.tensor(list(differences)).max())


def _inputs(signature: Signature, change: Mapping[str, int]) -> list[Tensor]:
    """Inputs whose dimensions are larger than the example's by ``change``."""
    inputs = []
    for name, example in signature.inputs.items():
        sizes = list(example.shape)
        for axis, dimension in signature.dynamic[name].items():
            sizes[axis] += change.get(dimension, 0)
        if len(sizes) == 5:
            inputs.append(moving_texture(sizes))
        elif len(sizes) == 4:
            inputs.append(moving_texture([*sizes[:2], 1, *sizes[2:]])[:, :, 0])
        else:
            inputs.append(example[: sizes[0]])
    return inputs

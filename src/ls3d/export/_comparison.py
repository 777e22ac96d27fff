"""How far another runtime is from PyTorch, on inputs of several sizes."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ls3d.errors import InputError
from ls3d.export._prepare import Signature, moving_texture

#: Largest difference from PyTorch at which a file is kept, as a share of the largest value, or of 1 if that is larger.
_TOLERANCE = 1e-3

#: Share of values that may differ by more in networks that search for motion: where two motions fit about equally
#: well, rounding decides between them.
_SHARE_OF_SEARCH = 1e-3

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
        share_beyond: largest share of values that differ by more than 0.001; 0 unless the network searches for motion.
        operators: names of operators of ls3d that the file calls, which ``import ls3d.ops`` registers.
    """

    path: Path
    runtime: str
    open: tuple[str, ...]
    differences: dict[tuple[int, ...], float]
    largest_value: float
    share_beyond: float
    operators: tuple[str, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """Differences from PyTorch.

    Attributes:
        differences: the largest one, for each shape of the first input.
        largest_value: largest absolute value of PyTorch's outputs.
        share_beyond: largest share of values that differ by more than the tolerance, of all shapes.
    """

    differences: dict[tuple[int, ...], float]
    largest_value: float
    share_beyond: float

    @property
    def worst(self) -> float:
        """The largest difference, as a share of the largest value; NaN if a value is."""
        return _largest(self.differences.values()) / self.largest_value

    def report(self, network: str, path: Path, runtime: str, names: tuple[str, ...], *, searches: bool) -> ExportReport:
        """The report of a file whose differences are small.

        Args:
            network: its name.
            path: the file.
            runtime: what it was compared in.
            names: dimensions that may have any size.
            searches: whether the network searches for motion.

        Raises:
            InputError: they are too large.
        """
        worst = _largest(self.differences.values())
        if not math.isfinite(worst) or self.share_beyond > (_SHARE_OF_SEARCH if searches else 0):
            beyond = f", by more than {_TOLERANCE:g} in {self.share_beyond:.2%} of the values" if searches else ""
            raise InputError(
                f"{network}: {runtime}'s output differs from PyTorch's by {worst:.2g}{beyond}, so it is not kept"
            )
        return ExportReport(path, runtime, names, self.differences, self.largest_value, self.share_beyond)


def compare(run: Run, signature: Signature, names: Collection[str], *, single: bool = True) -> Comparison:
    """Compare the outputs for the traced size, for taller frames, and for wider ones.

    Args:
        run: takes the inputs in order.
        signature: of the network.
        names: dimensions that may have another size than the traced one.
        single: whether the batch of the widest inputs is one sample, where its size may be another one.
    """
    differences: dict[tuple[int, ...], float] = {}
    largest, share_beyond = 0.0, 0.0
    step = signature.step
    taller = {"height": step, "time": step}
    wider = {"width": 2 * step, "frames": 4, "batch": -int(single)}
    for change in ({}, taller, wider):
        inputs = _inputs(signature, {name: more for name, more in change.items() if name in names})
        with torch.no_grad():
            expected = signature.module(*inputs)
        found = run(*inputs)
        shape = tuple(inputs[0].shape)  # is tried again where no dimension of the first input is open
        difference = (found - expected).abs()
        differences[shape] = _largest([float(difference.max()), differences.get(shape, 0.0)])
        own_largest = float(expected.abs().max())
        beyond = ~(difference <= _TOLERANCE * max(own_largest, 1.0))
        share_beyond = max(share_beyond, float(beyond.float().mean()))
        largest = max(largest, own_largest)
    return Comparison(differences, largest, share_beyond)


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

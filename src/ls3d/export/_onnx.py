"""``export_onnx``: a network as an ONNX file that other runtimes run, compared with PyTorch before it gets its name."""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch

from ls3d._version import __version__
from ls3d.errors import InputError, OutputExistsError, require
from ls3d.export._graph import OperatorForm, Signature, moving_texture, signature_of, trace
from ls3d.files import atomic_write
from ls3d.models import EnhancementNetwork, InterpolationNetwork, Network, RecognitionNet, load_model, model_info
from ls3d.models.exported import METADATA_KEY, create_session

#: The runtime that a file is for.
Target = Literal["onnxruntime", "openvino", "tensorrt"]

_OPSET = 20

#: What ``ls3d_conv3d`` becomes. OpenVINO and TensorRT take GridSample; their support of DeformConv was not tested.
_FORMS: dict[Target, OperatorForm] = {
    "onnxruntime": "deform_conv",
    "openvino": "grid_sample",
    "tensorrt": "grid_sample",
}

#: Largest difference from PyTorch, as a share of the largest value, at which a file is kept.
_TOLERANCE = 1e-3

_MIDDLE = (Fraction(1, 2),)
_QUARTERS = (Fraction(1, 4), Fraction(1, 2), Fraction(3, 4))


@dataclass(frozen=True)
class ExportReport:
    """What was written, and how far it is from PyTorch.

    Attributes:
        path: the file.
        form: what LS3D convolutions became.
        open: names of the dimensions of the first input that may have any size.
        differences: the largest difference from PyTorch, for each shape of the first input that was tried.
        largest_value: largest absolute value of PyTorch's outputs.
    """

    path: Path
    form: OperatorForm
    open: tuple[str, ...]
    differences: dict[tuple[int, ...], float]
    largest_value: float


def export_onnx(
    model: str | os.PathLike[str] | Network,
    path: str | os.PathLike[str],
    *,
    target: Target = "onnxruntime",
    form: OperatorForm | None = None,
    size: tuple[int, int] | None = None,
    length: int | None = None,
    times: Sequence[Fraction] | None = None,
    overwrite: bool = False,
) -> ExportReport:
    """Write a network as ONNX, and compare it with PyTorch on three sizes.

    Batch, height, width and, for recognition, the number of frames are open. The file's metadata hold what the weights
    file's do: architecture, license, training data, scores, and how inputs are prepared.

    Args:
        model: a name, a weights file or a network, as for ``load_model``.
        path: the file, ``.onnx``.
        target: the runtime that the file is for.
        form: what LS3D convolutions become; None for what the target is known to run.
        size: height and width of the example with which the network is traced; by default, small ones.
        length: frames of the example clip, for recognition.
        times: of the frames that an interpolation network makes, which are fixed in the file. By default 1/2, or 1/4,
            1/2 and 3/4 for networks that make quarters.
        overwrite: whether an existing file is replaced.

    Raises:
        InputError: the network can't be exported, an argument doesn't fit it, or the file's outputs differ from
            PyTorch's.
        OutputExistsError: the file exists.
        MissingExtraError: the extra ``export`` is not installed.
    """
    require("onnxruntime", "export")
    target_path = Path(path)
    if target_path.suffix != ".onnx":
        raise InputError(f"{path}: expected a name that ends with .onnx", argument="path")
    if target_path.exists() and not overwrite:
        raise OutputExistsError(target_path)
    if target not in get_args(Target):
        raise InputError(f"{target}: expected {', '.join(get_args(Target))}", argument="target")
    network = (model if isinstance(model, Network) else load_model(model)).eval()
    chosen = _times_of(network, times)
    traced = size or _default_size(network)
    moments = None if chosen is None else [float(time) for time in chosen]
    signature = signature_of(network, traced, length, moments)
    used = form or _FORMS[target]
    metadata = _metadata_of(network, chosen)
    with torch.no_grad(), _without_notices(), atomic_write(target_path) as temporary:
        _write(signature, used, metadata, temporary)
        report = _compare(target_path, used, create_session(temporary), signature)
        worst = max(report.differences.values())
        if not worst <= _TOLERANCE * max(report.largest_value, 1.0):
            raise InputError(f"{network.name}: ONNX's output differs from PyTorch's by {worst:.2g}, so it is not kept")
    return report


def _times_of(network: Network, times: Sequence[Fraction] | None) -> tuple[Fraction, ...] | None:
    if not isinstance(network, InterpolationNetwork):
        if times is not None:
            raise InputError(f"{network.name} doesn't interpolate: expected no times", argument="times")
        return None
    quarters = network.traits.times == "quarters"
    chosen = tuple(times) if times is not None else _QUARTERS if quarters else _MIDDLE
    if not chosen or any(not 0 < time < 1 or (quarters and time not in _QUARTERS) for time in chosen):
        expected = "1/4, 1/2 or 3/4" if quarters else "times between 0 and 1"
        raise InputError(f"{', '.join(map(str, chosen)) or 'none'}: expected {expected}", argument="times")
    return chosen


def _default_size(network: Network) -> tuple[int, int]:
    """Small, and not square, so that height and width are not taken for the same."""
    if isinstance(network, EnhancementNetwork):
        multiple = network.traits.size_multiple
        height, width = (-(-side // multiple) * multiple for side in (64, 80))
        return height, width
    info = model_info(network.require_config().architecture)
    if isinstance(network, RecognitionNet) and network.traits.clip_length is not None and info.input_size:
        return info.input_size[-2], info.input_size[-1]  # of networks with fully connected layers
    return 64, 96


def _metadata_of(network: Network, times: Sequence[Fraction] | None) -> dict[str, Any]:
    """What the weights file says, and what :func:`ls3d.models.exported.load_exported` needs to run the file."""
    exported: dict[str, Any] = {"traits": asdict(network.traits), "version": __version__}
    if isinstance(network, RecognitionNet):
        exported |= {"num_classes": network.num_classes, "in_channels": network.in_channels}
    if times is not None:
        exported["times"] = [str(time) for time in times]
    return {**network.require_config().to_dict(), "exported": exported}


@contextmanager
def _without_notices() -> Iterator[None]:
    """Hide what torch's exporter says of itself, such as that torchvision is not installed."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=FutureWarning)
            yield
    finally:
        logger.setLevel(level)


def _write(signature: Signature, form: OperatorForm, metadata: dict[str, Any], path: Path) -> None:
    """Write the file, with the names of inputs, output and open dimensions."""
    program = torch.onnx.export(
        trace(signature, form),
        dynamo=True,
        verbose=False,
        opset_version=_OPSET,
        input_names=list(signature.inputs),
        output_names=[signature.output],
    )
    assert program is not None
    program.model.metadata_props[METADATA_KEY] = json.dumps(metadata)
    program.save(path)


def _compare(path: Path, form: OperatorForm, session: Any, signature: Signature) -> ExportReport:
    """Compare a session with PyTorch: on the traced size, on taller frames, and on one sample of wider frames."""
    (first, traced), axes = next(iter(signature.inputs.items())), next(iter(signature.dynamic.values()))
    shape = session.get_inputs()[0].shape
    names = {name: axis for axis, name in axes.items() if not isinstance(shape[axis], int)}
    differences: dict[tuple[int, ...], float] = {}
    largest = 0.0
    for change in ({}, {"height": signature.step}, {"batch": -1, "width": 2 * signature.step}):
        sizes = list(traced.shape)
        for name in names.keys() & change.keys():
            sizes[names[name]] += change[name]
        inputs = {name: values[: sizes[0]] for name, values in signature.inputs.items()}
        inputs[first] = moving_texture(sizes)
        expected = signature.module(*inputs.values()).numpy()
        (found,) = session.run([signature.output], {name: values.numpy() for name, values in inputs.items()})
        differences[tuple(sizes)] = float(np.abs(found - expected).max())
        largest = max(largest, float(np.abs(expected).max()))
    return ExportReport(path, form, tuple(names), differences, largest)

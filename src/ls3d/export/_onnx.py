"""``export_onnx``: a network as an ONNX file that other runtimes run, compared with PyTorch before it gets its name."""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from ls3d.errors import InputError, OutputExistsError, require
from ls3d.export._comparison import compare
from ls3d.export._graph import OperatorForm, capture, with_standard_operations
from ls3d.export._prepare import Signature, metadata_of, signature_of, times_of
from ls3d.files import atomic_write
from ls3d.models import Network, load_model
from ls3d.models.exported import METADATA_KEY, OnnxSession

#: The runtime that a file is for.
Target = Literal["onnxruntime", "openvino", "tensorrt"]

_OPSET = 20

#: What ``ls3d_conv3d`` becomes. OpenVINO and TensorRT take GridSample; their support of DeformConv was not tested.
_FORMS: dict[Target, OperatorForm] = {
    "onnxruntime": "deform_conv",
    "openvino": "grid_sample",
    "tensorrt": "grid_sample",
}


@dataclass(frozen=True)
class ExportReport:
    """What was written, and how far it is from PyTorch.

    Attributes:
        path: the file.
        form: what LS3D convolutions became.
        open: names of the dimensions of the inputs that may have any size.
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
    chosen = times_of(network, times)
    signature = signature_of(network, size, length, chosen)
    used = form or _FORMS[target]
    metadata = metadata_of(network, chosen)
    with torch.no_grad(), _without_notices(), atomic_write(target_path) as temporary:
        _write(signature, used, metadata, temporary)
        session = OnnxSession(temporary)
        names = _open_dimensions(session, signature)
        comparison = compare(session, signature, names)
        comparison.require_small(network.name)
    return ExportReport(target_path, used, names, comparison.differences, comparison.largest_value)


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
        with_standard_operations(capture(signature), form),
        dynamo=True,
        verbose=False,
        opset_version=_OPSET,
        input_names=list(signature.inputs),
        output_names=[signature.output],
    )
    assert program is not None
    program.model.metadata_props[METADATA_KEY] = json.dumps(metadata)
    program.save(path)


def _open_dimensions(session: OnnxSession, signature: Signature) -> tuple[str, ...]:
    """Names of the dimensions that have no fixed size in the file."""
    names = [
        name
        for shape, axes in zip(session.shapes, signature.dynamic.values(), strict=True)
        for axis, name in axes.items()
        if not isinstance(shape[axis], int)
    ]
    return tuple(dict.fromkeys(names))

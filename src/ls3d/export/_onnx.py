"""``export_onnx``: a network as an ONNX file that other runtimes run, compared with PyTorch before it gets its name."""

from __future__ import annotations

import importlib.util
import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import torch
from torch.export import ExportedProgram

from ls3d.errors import InputError, require
from ls3d.export._comparison import ExportReport, compare
from ls3d.export._graph import OperatorForm, capture, searches_for_motion, with_standard_operations
from ls3d.export._prepare import Signature, prepare
from ls3d.files import atomic_write
from ls3d.models import Network
from ls3d.models.exported import METADATA_KEY, ONNX_SUFFIX, OnnxSession, OpenVinoSession, Session

if TYPE_CHECKING:
    import onnx_ir

#: The runtime that a file is for.
Target = Literal["onnxruntime", "openvino", "tensorrt"]

_OPSET = 20

#: What ``ls3d_conv3d`` becomes. OpenVINO reads no DeformConv (2026.4); TensorRT's support of it was not tested.
_FORMS: dict[Target, OperatorForm] = {
    "onnxruntime": "deform_conv",
    "openvino": "grid_sample",
    "tensorrt": "grid_sample",
}


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
    """Write a network as ONNX, and compare it with PyTorch on three sizes: in OpenVINO or ONNX Runtime.

    Batch, height, width and, for recognition, the number of frames are open. The file's metadata hold what the weights
    file's do: architecture, license, training data, scores, and how inputs are prepared.

    Args:
        model: a name, a weights file or a network, as for ``load_model``.
        path: the file, ``.onnx``.
        target: the runtime that the file is for.
        form: what LS3D convolutions become; None for what fits the target.
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
    if target not in get_args(Target):
        raise InputError(f"{target}: expected {', '.join(get_args(Target))}", argument="target")
    job = prepare(model, path, ONNX_SUFFIX, size=size, length=length, times=times, overwrite=overwrite)
    metadata = job.metadata_for(target)
    with torch.no_grad(), _without_notices(), atomic_write(job.path) as temporary:
        program = capture(job.signature)
        write_onnx(program, job.signature, form or _FORMS[target], metadata, temporary)
        onnx = OnnxSession(temporary)
        names = job.signature.open_dimensions(onnx.shapes)
        checked: Session = onnx
        runtime = "ONNX Runtime"
        if target == "openvino" and importlib.util.find_spec("openvino") is not None:
            checked = OpenVinoSession(temporary, onnx.metadata)
            runtime = "OpenVINO"
        comparison = compare(checked, job.signature, names)
        searches = searches_for_motion(program)
        return comparison.report(job.network.name, job.path, runtime, names, searches=searches)


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


def write_onnx(program: ExportedProgram, signature: Signature, form: OperatorForm, metadata: str, path: Path) -> None:
    """Write the file of a traced network, with the names of inputs and output."""
    written = torch.onnx.export(
        with_standard_operations(program, form),
        dynamo=True,
        verbose=False,
        opset_version=_OPSET,
        input_names=list(signature.inputs),
        output_names=[signature.output],
        optimize=False,
    )
    assert written is not None
    _simplify(written.model)
    written.model.metadata_props[METADATA_KEY] = metadata
    written.save(path)


def _simplify(model: onnx_ir.Model) -> None:
    """Fold constants and remove what is unused or there twice.

    ``optimize=True`` of torch's exporter would also try patterns of several nodes, for a time that grows with the
    square of the number of nodes: more than 20 minutes for `vfi`, whose file runs as fast without.
    """
    import onnx_ir.passes.common as passes
    from onnxscript import optimizer
    from onnxscript.rewriter import rewrite
    from onnxscript.rewriter.rules.common import remove_optional_bias_from_conv_rule

    passes.InlinePass()(model)
    for _ in range(2):  # what is folded makes more constants
        optimizer.fold_constants(model)
        passes.RemoveUnusedNodesPass()(model)
    rewrite(model, [remove_optional_bias_from_conv_rule])  # the exporter's zeros for nn.Conv3d have two dimensions
    passes.DeduplicateInitializersPass()(model)
    passes.CommonSubexpressionEliminationPass()(model)

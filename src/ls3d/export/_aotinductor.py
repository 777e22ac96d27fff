"""``export_aotinductor``: a network as a package of native code for this kind of CPU, compared with PyTorch."""

from __future__ import annotations

import dataclasses
import logging
import os
import warnings
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.export import ExportedProgram

from ls3d._torch_internals import comparable_strides, has_cpp_compiler
from ls3d.errors import InputError, first_line
from ls3d.export._comparison import ExportReport, compare
from ls3d.export._graph import capture, open_dimensions, searches_for_motion
from ls3d.export._operator import as_grid_sample
from ls3d.export._prepare import prepare
from ls3d.files import atomic_write
from ls3d.models import Network
from ls3d.models.exported import METADATA_KEY, PACKAGE_SUFFIX, PackageSession

log = logging.getLogger(__name__)

#: The operator of ls3d that packages call. As standard operations, inductor would need minutes for each pyramid level.
SEARCH = "ls3d::bilateral_motion"


def export_aotinductor(
    model: str | os.PathLike[str] | Network,
    path: str | os.PathLike[str],
    *,
    size: tuple[int, int] | None = None,
    length: int | None = None,
    times: Sequence[Fraction] | None = None,
    overwrite: bool = False,
) -> ExportReport:
    """Compile a network with AOTInductor for this machine's CPU, and compare the package with PyTorch on three sizes.

    LS3D convolutions become standard operations, so the package runs without ls3d, from C++ too. The search for motion
    stays the operator ``ls3d::bilateral_motion``: packages of networks that search need ``import ls3d.ops``.
    Compiling takes minutes, as many as a C++ compiler needs for some thousand lines. Arguments are those of
    ``export_onnx``.

    Raises:
        InputError: the network can't be exported, an argument doesn't fit it, there is no C++ compiler or it fails, or
            the outputs of the package differ from PyTorch's.
        OutputExistsError: the file exists.
    """
    job = prepare(model, path, PACKAGE_SUFFIX, size=size, length=length, times=times, overwrite=overwrite)
    if not has_cpp_compiler():
        raise InputError("a package needs a C++ compiler, and none was found: install g++, or set CXX to another one")
    metadata = {METADATA_KEY: job.metadata_for("aotinductor")}
    with torch.no_grad(), warnings.catch_warnings(), atomic_write(job.path) as temporary:
        warnings.simplefilter("ignore", FutureWarning)
        program = capture(job.signature)
        package = temporary.with_suffix(PACKAGE_SUFFIX)  # torch takes no other
        try:
            write_package(program, metadata, package)
            names = open_dimensions(program, job.signature)
            comparison = compare(PackageSession(package, trusted=True), job.signature, names)
            searches = searches_for_motion(program)
            report = comparison.report(job.network.name, job.path, "AOTInductor", names, searches=searches)
            report = dataclasses.replace(report, operators=(SEARCH,) if searches else ())
            package.replace(temporary)
        finally:
            package.unlink(missing_ok=True)
    return report


def write_package(program: ExportedProgram, metadata: dict[str, str], path: Path) -> None:
    """Compile a traced network.

    Raises:
        InputError: it can't be compiled.
    """
    standard = with_package_operations(program)
    try:
        configuration = {"aot_inductor.metadata": metadata}
        with comparable_strides():
            torch._inductor.aoti_compile_and_package(standard, package_path=str(path), inductor_configs=configuration)
    except Exception as error:  # of the code generator, or of the compiler
        log.debug("AOTInductor failed", exc_info=True)
        raise InputError(f"the network can't be compiled by AOTInductor ({first_line(error)})") from error


def with_package_operations(program: ExportedProgram) -> ExportedProgram:
    """Replace LS3D convolutions by standard operations, and what inductor compiles wrongly."""
    decomposed: ExportedProgram = program.run_decompositions(
        {torch.ops.ls3d.conv3d.default: as_grid_sample, torch.ops.aten.avg_pool2d.default: _pool_padded}
    )
    return decomposed


def _pool_padded(
    input: Tensor,
    kernel_size: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0, 0),
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    """Means of 2x2 pixels with ``ceil_mode``: of frames whose odd last row or column is repeated.

    Inductor compares the sizes of the output with and without ``ceil_mode`` for the traced input and, where they are
    equal, takes them to be equal for all inputs.
    """
    if not ceil_mode or divisor_override is not None:
        return NotImplemented
    if tuple(kernel_size) != (2, 2) or tuple(stride) not in ((), (2, 2)) or any(padding):
        return NotImplemented
    height, width = input.shape[-2:]
    return F.avg_pool2d(F.pad(input, (0, width % 2, 0, height % 2), mode="replicate"), 2)

"""``export_aotinductor``: a network as a package of native code for this kind of CPU, compared with PyTorch."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import torch
from torch.export import ExportedProgram

from ls3d._torch_internals import comparable_strides, has_cpp_compiler
from ls3d.errors import InputError, first_line
from ls3d.export._comparison import ExportReport, compare
from ls3d.export._graph import capture, open_dimensions, searches_for_motion, with_standard_operations
from ls3d.export._prepare import prepare
from ls3d.files import atomic_write
from ls3d.models import Network
from ls3d.models.exported import METADATA_KEY, PACKAGE_SUFFIX, PackageSession

log = logging.getLogger(__name__)


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

    LS3D convolutions become standard operations, so the package runs without ls3d, from C++ too. Compiling takes
    minutes, as many as a C++ compiler needs for some thousand lines. Arguments are those of ``export_onnx``.

    Raises:
        InputError: the network can't be exported, or searches for motion, which AOTInductor can't compile for frames of
            any size; an argument doesn't fit the network, there is no C++ compiler or it fails, or the outputs of the
            package differ from PyTorch's.
        OutputExistsError: the file exists.
    """
    job = prepare(model, path, PACKAGE_SUFFIX, size=size, length=length, times=times, overwrite=overwrite)
    if not has_cpp_compiler():
        raise InputError("a package needs a C++ compiler, and none was found: install g++, or set CXX to another one")
    metadata = {METADATA_KEY: job.metadata_for("aotinductor")}
    with torch.no_grad(), warnings.catch_warnings(), atomic_write(job.path) as temporary:
        warnings.simplefilter("ignore", FutureWarning)
        program = capture(job.signature)
        if searches_for_motion(program):
            raise InputError(
                f"{job.network.name} searches for motion, which AOTInductor can't compile for frames of any size; "
                "export it as .onnx instead"
            )
        package = temporary.with_suffix(PACKAGE_SUFFIX)  # torch takes no other
        try:
            write_package(with_standard_operations(program, "grid_sample"), metadata, package)
            names = open_dimensions(program, job.signature)
            comparison = compare(PackageSession(package, trusted=True), job.signature, names)
            report = comparison.report(job.network.name, job.path, "AOTInductor", names, searches=False)
            package.replace(temporary)
        finally:
            package.unlink(missing_ok=True)
    return report


def write_package(program: ExportedProgram, metadata: dict[str, str], path: Path) -> None:
    """Compile a traced network.

    Raises:
        InputError: it can't be compiled.
    """
    try:
        configuration = {"aot_inductor.metadata": metadata}
        with comparable_strides():
            torch._inductor.aoti_compile_and_package(program, package_path=str(path), inductor_configs=configuration)
    except Exception as error:  # of the code generator, or of the compiler
        log.debug("AOTInductor failed", exc_info=True)
        raise InputError(f"the network can't be compiled by AOTInductor ({first_line(error)})") from error

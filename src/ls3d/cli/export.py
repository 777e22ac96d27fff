"""``ls3d export``: a network as an ONNX file, or as a package of AOTInductor."""

from __future__ import annotations

from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Annotated, cast

import typer

from ls3d.enhance.texts import read_fraction
from ls3d.errors import InputError
from ls3d.terminal import console


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(export)


def export(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A network's name, or its weights file.")],
    path: Annotated[Path, typer.Argument(metavar="OUT", help="The file, .onnx or .pt2.", dir_okay=False)],
    target: Annotated[
        str,
        typer.Option(
            help="Runtime that the file is for: onnxruntime, openvino, tensorrt, or aotinductor for a .pt2 package."
        ),
    ] = "onnxruntime",
    times: Annotated[
        str | None,
        typer.Option(help="Interpolation: times of the new frames, such as 1/3,2/3. By default 1/2, or all quarters."),
    ] = None,
    size: Annotated[
        str | None, typer.Option(metavar="HxW", help="Frames with which the network is traced; others fit, too.")
    ] = None,
    frames: Annotated[int | None, typer.Option(help="Recognition: frames of the clip it is traced with.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
) -> None:
    """Write a network as ONNX or as native code, compare it with PyTorch, and print the largest difference.

    Batch, height, width and the length of clips are open. The file runs in ls3d, too: --model OUT.onnx.

    A .pt2 package holds native code for this kind of CPU. ls3d loads one only where LS3D_TRUST_NATIVE_CODE is 1.

    Example: ls3d export vfi vfi.onnx
    """
    from ls3d.export import Target, export_aotinductor, export_onnx

    run = partial(export_onnx, target=cast(Target, target)) if target != "aotinductor" else export_aotinductor
    report = run(
        model,
        path,
        times=None if times is None else [_fraction(part) for part in times.split(",")],
        size=None if size is None else _read_size(size),
        length=frames,
        overwrite=overwrite,
    )
    shown = console()
    shown.print(f"open dimensions: {', '.join(report.open)}")
    for shape, difference in report.differences.items():
        sides = "x".join(map(str, shape))
        shown.print(
            f"{sides}: {report.runtime} differs from PyTorch by at most {difference:.2g} "
            f"(values up to {report.largest_value:.3g})"
        )
    if report.share_beyond:
        shown.print(
            f"up to {report.share_beyond:.3%} of the values differ by more than 0.001: rounding chose other motion"
        )
    for operator in report.operators:
        shown.print(f"calls {operator}: import ls3d.ops before you load the file", soft_wrap=True)
    shown.print(f"{report.path}: {report.path.stat().st_size / 1e6:.1f} MB", soft_wrap=True)


def _fraction(text: str) -> Fraction:
    time = read_fraction(text, "times")
    assert time is not None
    return time


def _read_size(text: str) -> tuple[int, int]:
    height, separator, width = text.lower().partition("x")
    if not (separator and height.isdecimal() and width.isdecimal() and int(height) and int(width)):
        raise InputError(f"{text}: expected height and width, such as 256x448", argument="size")
    return int(height), int(width)

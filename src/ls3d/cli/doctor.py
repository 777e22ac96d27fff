"""``ls3d doctor``: versions, devices, the operator's backends and the reasons for them, and its self-test."""

from __future__ import annotations

import importlib.metadata
import platform

import typer
from rich.table import Table
from rich.text import Text

from ls3d.terminal import console

_PACKAGES = ("ls3d", "torch", "triton", "numpy", "av", "safetensors", "lightning", "gradio", "onnxruntime", "ray")


def register(app: typer.Typer) -> None:
    """Add the command to the program."""

    @app.command()
    def doctor(
        seconds: float = typer.Option(10.0, min=0.0, help="Duration of the self-test; 0 runs each check once."),
    ) -> None:
        """Show versions, devices and backends, and compare the operator with its reference implementation."""
        shown = console()
        shown.print(_versions())
        shown.print(_devices())
        shown.print(_backends())
        checks, passed = _self_test(seconds)
        shown.print(checks)
        if not passed:
            raise typer.Exit(1)


def _versions() -> Table:
    table = Table("package", "version", title="Versions")
    table.add_row("python", platform.python_version())
    for package in _PACKAGES:
        try:
            version = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            version = "not installed"
        table.add_row(package, version)
    return table


def _devices() -> Table:
    import torch

    from ls3d.ops import diagnosis

    table = Table("device", "description", title="Devices")
    instruction_set, why_not = diagnosis.cpu_kernel()
    kernel = f"kernel uses {instruction_set}" if instruction_set else why_not
    if instruction_set and (problem := diagnosis.kernel_build_problem()):
        kernel = f"{kernel} and one thread, as it was built without OpenMP: {problem}"
    table.add_row("cpu", f"{torch.get_num_threads()} threads; {kernel}")
    for device in diagnosis.devices()[1:]:
        properties = torch.cuda.get_device_properties(device)
        memory = f"{properties.total_memory / 2**30:.0f} GiB"
        table.add_row(str(device), f"{properties.name}, {memory}, sm_{properties.major}{properties.minor}")
    return table


def _backends() -> Table:
    from ls3d.ops import diagnosis

    table = Table("device", "features", "backend", "why it isn't the device's kernel", title="Operator")
    for choice in diagnosis.backend_choices():
        dtype = str(choice.dtype).removeprefix("torch.")
        table.add_row(choice.device, dtype, choice.backend or "none", choice.why_not or "")
    return table


def _self_test(seconds: float) -> tuple[Table, bool]:
    from ls3d.ops import diagnosis

    title = "Self-test against the reference, forward and backward"
    table = Table("call", "error", "tolerance", "result", title=title)
    checks = diagnosis.self_test(seconds)
    for check in checks:
        result = Text("passed", "green") if check.passed else Text("failed", "bold red")
        table.add_row(check.name, f"{check.error:.1e}", f"{check.tolerance:.0e}", result)
    return table, all(check.passed for check in checks)

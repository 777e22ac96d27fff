"""``ls3d doctor``: what is installed, what serves the operator and why, and whether it computes rightly."""

from __future__ import annotations

import importlib.metadata
import platform

import typer
from rich.console import Console
from rich.table import Table

_PACKAGES = ("ls3d", "torch", "triton", "numpy", "av", "safetensors", "lightning", "gradio", "onnxruntime", "ray")


def register(app: typer.Typer) -> None:
    """Add the command to the program."""

    @app.command()
    def doctor(
        seconds: float = typer.Option(10.0, min=0.0, help="Time for the self-test; 0 for its shortest form."),
    ) -> None:
        """Show versions, devices and backends, and test the operator against its reference."""
        console = Console()
        console.print(_versions())
        console.print(_devices())
        console.print(_backends())
        checks, healthy = _checks(seconds)
        console.print(checks)
        if not healthy:
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

    table = Table("device", "what it is", title="Devices")
    instructions, why_not = diagnosis.kernel()
    kernel = f"kernel uses {instructions}" if instructions else why_not
    table.add_row("cpu", f"{torch.get_num_threads()} threads; {kernel}")
    for device in diagnosis.devices()[1:]:
        facts = torch.cuda.get_device_properties(device)
        table.add_row(str(device), f"{facts.name}, {facts.total_memory / 2**30:.0f} GiB, sm_{facts.major}{facts.minor}")
    return table


def _backends() -> Table:
    from ls3d.ops import diagnosis

    table = Table("device", "features", "served by", "why not the fast one", title="Operator")
    for service in diagnosis.services():
        dtype = str(service.dtype).removeprefix("torch.")
        table.add_row(service.device, dtype, service.backend or "nothing", service.why_not or "")
    return table


def _checks(seconds: float) -> tuple[Table, bool]:
    from ls3d.ops import diagnosis

    table = Table("call", "difference", "allowed", "", title="Self-test against the reference, both directions")
    checks = diagnosis.self_test(seconds)
    for check in checks:
        verdict = "[green]good[/]" if check.passed else "[bold red]wrong[/]"
        table.add_row(check.name, f"{check.error:.1e}", f"{check.tolerance:.0e}", verdict)
    return table, all(check.passed for check in checks)

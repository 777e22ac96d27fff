"""Imports: nothing heavy is loaded before it is needed, and third-party packages stay in their one home."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import ls3d

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "numpy", "av", "lightning", "safetensors")


@pytest.mark.parametrize("statement", ["import ls3d", "import ls3d.cli"])
def test_import_loads_nothing_heavy(statement: str) -> None:
    code = f"{statement}; import sys; print(*[name for name in {HEAVY} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == []


def test_public_names_resolve() -> None:
    for name in ls3d.__all__:
        assert getattr(ls3d, name) is not None
    assert ls3d.errors.InputError.__module__ == "ls3d.errors"
    with pytest.raises(AttributeError, match="nothing_like_it"):
        _ = ls3d.nothing_like_it
    for name in ls3d.video.__all__:
        assert not isinstance(getattr(ls3d.video, name), ModuleType)


@pytest.mark.parametrize("package", [ls3d, ls3d.video])
def test_type_checkers_see_the_public_names(package: Any) -> None:
    """The ``TYPE_CHECKING`` block imports each name of ``__all__`` from the module that it is loaded from."""
    tree = ast.parse(Path(package.__file__).read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {}
    for node in block.body:
        assert isinstance(node, ast.ImportFrom)
        for alias in node.names:
            assert alias.asname == alias.name, "only an explicit alias is re-exported"
            seen[alias.name] = f"ls3d.{alias.name}" if node.module == "ls3d" else node.module
    assert seen == package._PUBLIC
    assert set(package.__all__) - {"__version__"} == set(seen)


def homes() -> dict[str, list[str]]:
    """Third-party package to the modules that may import it, from the import contracts."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    protected: list[dict[str, Any]] = [contract for contract in contracts if contract["type"] == "protected"]
    found = {name: contract["allowed_importers"] for contract in protected for name in contract["protected_modules"]}
    # Imported by ``require`` alone, hence not in import-linter's graph.
    by_name = {
        "huggingface_hub": ["ls3d.models.hub"],
        "openvino": ["ls3d.models.exported"],
        "vapoursynth": ["ls3d.hosts.vapoursynth"],
    }
    return found | by_name


def required_packages() -> Iterator[tuple[str, str]]:
    """Module of ``src`` and third-party package, for each ``require("package", "extra")``."""
    for path in sorted((ROOT / "src").rglob("*.py")):
        module = ".".join(path.relative_to(ROOT / "src").with_suffix("").parts)
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "require":
                assert isinstance(node.args[0], ast.Constant)
                yield module, str(node.args[0].value)


def test_packages_are_required_in_their_home() -> None:
    """``require("lightning", "train")`` imports by name, which import-linter can't see."""
    found = list(required_packages())
    assert found
    for module, package in found:
        allowed = homes()[package.partition(".")[0]]
        assert any(f"{module}.".startswith(f"{home}.") for home in allowed), f"{module} requires {package}"


def test_all_tests_but_those_of_faults_run_by_default() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["pytest"]["ini_options"]
    folders = {path.parent.relative_to(ROOT).as_posix() for path in (ROOT / "tests").glob("*/test_*.py")}
    assert {*settings["testpaths"], "tests/faults"} == {"tests/test_*.py", *folders}

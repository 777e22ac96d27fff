"""Nothing heavy loads before it is needed."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "numpy", "av", "lightning", "safetensors")


@pytest.mark.parametrize("statement", ["import ls3d", "import ls3d.cli"])
def test_import_loads_nothing_heavy(statement: str) -> None:
    code = f"{statement}; import sys; print(*[name for name in {HEAVY} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == []


def test_public_names_resolve() -> None:
    import ls3d

    for name in ls3d.__all__:
        assert getattr(ls3d, name) is not None
    with pytest.raises(AttributeError, match="nothing_like_it"):
        _ = ls3d.nothing_like_it

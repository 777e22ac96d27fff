"""The network of flat colors, trained once."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.flat_colors import write_color_network


@pytest.fixture(scope="session")
def color_network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_color_network(tmp_path_factory.mktemp("colors") / "colors.safetensors")

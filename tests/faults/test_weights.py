"""Faults of weights files, at every entry point that reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from faults._rows import Make, Row, check, chunks, write


def metadata(text: str) -> Make:
    """Write a safetensors file with one small tensor and this metadata of ls3d."""
    return lambda folder: save_file({"x": torch.zeros(1)}, folder / "w.safetensors", {"ls3d": text})


def vfi(**arguments: Any) -> str:
    return json.dumps({"architecture": "vfi_ls3d_plus_s", "arguments": arguments})


#: Files that are no weights files, and what the sentence must say.
FILES: dict[str, tuple[Make, str]] = {
    "empty file": (write("w.safetensors", b""), "not a safetensors file"),
    "zip": (write("w.safetensors", b"PK\x03\x04 a zip"), "not a safetensors file"),
    "not JSON": (metadata("{nope"), "not JSON"),
    "list": (metadata("[]"), "expected a JSON object"),
    "null": (metadata("null"), "expected a JSON object"),
    "no entries": (metadata("{}"), "no architecture"),
    "no arguments": (metadata('{"architecture": "vfi_ls3d_plus_s"}'), "no arguments"),
}

#: Commands and functions that read weights files.
READERS: dict[str, tuple[str, ...]] = {
    "summary": ("summary", "w.safetensors"),
    "load_model": ("ls3d.models:load_model", "w.safetensors"),
}

ROWS = [
    Row(f"{fault} at {reader}", call, make, says)
    for fault, (make, says) in FILES.items()
    for reader, call in READERS.items()
]


@pytest.mark.parametrize("rows", chunks(ROWS, 60))
def test_faults_of_weights(rows: list[Row], tmp_path: Path) -> None:
    check(rows, tmp_path)

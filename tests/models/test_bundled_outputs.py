"""The outputs of the bundled networks are those on record.

The record was made with the code of the commit that it names, by scripts/record_bundled_outputs.py.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import pytest
import torch
from helpers.scripts import load_script
from safetensors.torch import load_file
from torch import Tensor

from ls3d.models import DEFAULTS

ROOT = Path(__file__).parents[2]
RECORD = json.loads((ROOT / "tests" / "models" / "bundled_outputs.json").read_text(encoding="utf-8"))
#: float16 rounds values below 2 by at most 2**-11. As much again is left for the rounding of other machines. The sum is
#: a quarter of one of the 255 steps of an 8-bit video.
TOLERANCE = 2**-10


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script("record_bundled_outputs")


@pytest.fixture(scope="module")
def outputs(script: ModuleType) -> dict[str, Tensor]:
    found: dict[str, Tensor] = script.compute_outputs()
    return found


@pytest.mark.parametrize("task", DEFAULTS)
def test_weights_are_those_of_the_record(task: str, script: ModuleType) -> None:
    expected = RECORD["sha256"][task]["weights"]
    assert script.weights_digest(task) == expected, "new weights: run scripts/record_bundled_outputs.py"


@pytest.mark.parametrize("task", DEFAULTS)
def test_outputs_are_close_to_the_record(task: str, outputs: dict[str, Tensor]) -> None:
    expected = load_file(ROOT / "tests" / "models" / "bundled_outputs.safetensors")[task].float()
    assert expected.abs().max() < 2
    torch.testing.assert_close(outputs[task], expected, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("task", DEFAULTS)
def test_outputs_are_equal_to_the_record_in_its_environment(
    task: str, script: ModuleType, outputs: dict[str, Tensor]
) -> None:
    """Bit by bit, where neither another torch nor another CPU or compiler rounds differently."""
    here = script.environment()
    differences = [
        f"{key} {here[key]}, not {value}" for key, value in RECORD["environment"].items() if here[key] != value
    ]
    if differences:
        pytest.skip(f"outputs may round differently here: {'; '.join(differences)}")
    assert script.digest(outputs[task]) == RECORD["sha256"][task]["output"]

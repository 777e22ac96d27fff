"""Record the outputs of the bundled networks on a fixed clip, for tests/models/test_bundled_outputs.py.

    python scripts/record_bundled_outputs.py

Run it after new weights were bundled or after a change that is meant to change outputs, and at no other time: the test
then fails when any other change of the code changes an output. It writes tests/models/bundled_outputs.json (digests,
and where they were computed) and tests/models/bundled_outputs.safetensors (the outputs as float16).
"""

from __future__ import annotations

import hashlib
import json
import platform
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from ls3d.models import DEFAULTS, bundled_weights, load_model, read_metadata
from ls3d.ops.backends.cpu import library

ROOT = Path(__file__).parents[1]
RECORD = ROOT / "tests" / "models" / "bundled_outputs.json"
OUTPUTS = RECORD.with_suffix(".safetensors")


def make_clip(length: int, height: int, width: int) -> Tensor:
    """Make a clip of moving ramps and checkerboards ``(1, 3, length, height, width)`` in [0, 1].

    It is computed from integers, and therefore equal on all machines.
    """
    t, y, x = torch.meshgrid(torch.arange(length), torch.arange(height), torch.arange(width), indexing="ij")
    moved_x = x - 2 * t
    moved_y = y + t
    checkerboard = (moved_x // 6 + moved_y // 5) % 2
    channels = [(moved_x * (5 + c) + moved_y * (3 + 2 * c) + 90 * checkerboard) % 256 for c in range(3)]
    return (torch.stack(channels).float() / 255)[None]


@torch.inference_mode()
def compute_outputs() -> dict[str, Tensor]:
    """Run the default network of each task, on one thread."""
    with _one_thread():
        return {
            "vfi": load_model("vfi")(make_clip(2, 48, 64), [0.25, 0.5, 0.75]),
            "vsr": load_model("vsr")(make_clip(5, 24, 32)),
            "vdn": load_model("vdn")(make_clip(7, 48, 64), torch.tensor([25 / 255])),
        }


def digest(output: Tensor) -> str:
    """Return the SHA-256 of the bytes of a tensor."""
    return hashlib.sha256(output.contiguous().numpy().tobytes()).hexdigest()


def weights_digest(task: str) -> str:
    """Return the SHA-256 of the default weights of a task, from their metadata."""
    return str(read_metadata(bundled_weights()[DEFAULTS[task]])["sha256"])


def environment() -> dict[str, str | None]:
    """Describe everything outside this repository that can change the rounding of an output."""
    return {
        "torch": torch.__version__,
        "capability": torch.backends.cpu.get_cpu_capability(),
        "machine": platform.machine(),
        "processor": _processor(),
        "compiler": _compiler(),
    }


def make_record(outputs: dict[str, Tensor]) -> dict[str, Any]:
    """Make the contents of bundled_outputs.json."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.strip()
    digests = {task: {"weights": weights_digest(task), "output": digest(output)} for task, output in outputs.items()}
    return {"commit": commit, "environment": environment(), "sha256": digests}


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _processor() -> str:
    """Return the name of the CPU; libraries choose kernels by it."""
    information = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.*)", information.read_text()) if information.is_file() else None
    return found[1] if found else platform.processor()


def _compiler() -> str | None:
    """Return the compiler of the CPU kernel, which contains its name; None without a kernel or a name."""
    path = library.path()
    found = re.search(rb"GCC: \([^)]*\) [\d.]+|clang version [\d.]+", path.read_bytes()) if path.is_file() else None
    return found[0].decode() if found else None


def main() -> None:
    """Write both files."""
    outputs = compute_outputs()
    RECORD.write_text(json.dumps(make_record(outputs), indent=2) + "\n", encoding="utf-8")
    OUTPUTS.write_bytes(save({task: output.half().contiguous() for task, output in outputs.items()}))
    print(f"wrote {RECORD} and {OUTPUTS}")


if __name__ == "__main__":
    main()

"""Tile sizes of the Triton kernels: a small table, and a search for those who ask for it.

The first candidate of a table row is what runs. With ``LS3D_AUTOTUNE=1`` in the environment every candidate is timed
on first use, and the choice is kept in ``$XDG_CACHE_HOME/ls3d/`` per kind of GPU; sizes are rounded to powers of two,
so that similar shapes share it. Under Triton's interpreter nothing is timed.
"""

from __future__ import annotations

import functools
import json
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import triton

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Config:
    """How one kernel is cut into programs.

    Attributes:
        positions: positions of a program's tile (output positions, or pixels for the gradient of the input).
        block_c, block_o: channels of the input and the output per matrix product.
        parts: see ``words_of_block``.
        block_m: positions per step of the gradient of the input.
        warps, stages, registers: Triton's ``num_warps``, ``num_stages`` and ``maxnreg``.
    """

    positions: int
    block_c: int
    block_o: int
    parts: int = 1
    block_m: int = 64
    warps: int = 8
    stages: int = 1
    registers: int | None = None

    def options(self) -> dict[str, Any]:
        """Launch options of Triton."""
        cap = {} if self.registers is None else {"maxnreg": self.registers}
        return {"num_warps": self.warps, "num_stages": self.stages, **cap}


def tile_shape(height: int, width: int, positions: int) -> tuple[int, int]:
    """The rectangle of so many positions that covers a frame with the fewest tiles, and is the most compact."""
    shapes = [(positions // w, w) for w in (4, 8, 16, 32, 64, 128) if w <= positions]
    return min(shapes, key=lambda s: (-(-height // s[0]) * -(-width // s[1]), s[0] + s[1]))


def interpreted() -> bool:
    """Whether the kernels run in Triton's interpreter, on the CPU."""
    return bool(triton.knobs.runtime.interpret)


def pick(key: tuple[Any, ...], configs: Sequence[Config], launch: Callable[[Config], None]) -> Config:
    """The configuration to launch with: the first, or the fastest known where tuning is asked for."""
    if os.environ.get("LS3D_AUTOTUNE") != "1" or len(configs) == 1 or interpreted():
        return configs[0]
    name = "/".join(str(part) for part in key)
    known = _known(_file())
    if known.get(name) not in [asdict(config) for config in configs]:
        times = [triton.testing.do_bench(functools.partial(launch, config), return_mode="median") for config in configs]
        best = configs[times.index(min(times))]
        _log.debug("tuned %s: %s of %s ms", name, best, times)
        known[name] = asdict(best)
        _save(_file(), known)
    return Config(**known[name])


def rounded(size: int) -> int:
    """The power of two that a size shares its tuning with."""
    return max(size, 1).bit_length()


def _file() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    gpu = torch.cuda.get_device_name().lower().replace(" ", "-")
    return cache / "ls3d" / f"triton-{triton.__version__}-{gpu}.json"


@functools.cache
def _known(file: Path) -> dict[str, dict[str, Any]]:
    try:
        found: dict[str, dict[str, Any]] = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return found


def _save(file: Path, known: dict[str, dict[str, Any]]) -> None:
    """Write through a file of its own, so that a reader never sees half of it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(f".{os.getpid()}")
    part.write_text(json.dumps(known, indent=1, sort_keys=True))
    part.replace(file)

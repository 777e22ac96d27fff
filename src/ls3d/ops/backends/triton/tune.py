"""Chooses among the candidates of ``configs``: the first one, or with ``LS3D_AUTOTUNE=1`` the fastest one.

With ``LS3D_AUTOTUNE=1`` in the environment, all candidates are timed on first use, and the choice is stored in
``$XDG_CACHE_HOME/ls3d/`` for each kind of GPU. Numbers of positions are rounded to powers of two, so that similar calls
share a choice.

``triton.autotune`` isn't used because it times a kernel whose arguments are the same for all candidates. Here the shape
of the tile, the grid and, for the gradient of the weight, the buffer of partial sums and its reduction depend on the
candidate, so a function that does all of this is timed.
"""

from __future__ import annotations

import functools
import json
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import triton

from ls3d.files import atomic_write, cache_folder
from ls3d.ops.backends.triton.configs import Config, is_interpreted

_log = logging.getLogger(__name__)


def choose_config(key: tuple[Any, ...], configs: Sequence[Config], launch: Callable[[Config], None]) -> Config:
    """The candidate to launch with; under Triton's interpreter always the first one.

    Args:
        key: everything that the time of a launch depends on.
        configs: the candidates, the default first.
        launch: runs the kernel, with all that depends on the candidate.
    """
    if os.environ.get("LS3D_AUTOTUNE") != "1" or len(configs) == 1 or is_interpreted():
        return configs[0]
    name = "/".join(str(part) for part in key)
    choices = _stored_choices(_cache_file())
    if choices.get(name) not in [asdict(config) for config in configs]:
        times = [triton.testing.do_bench(functools.partial(launch, config), return_mode="median") for config in configs]
        best = configs[times.index(min(times))]
        _log.debug("tuned %s: %s, milliseconds of all candidates: %s", name, best, times)
        choices[name] = asdict(best)
        _store(_cache_file(), choices)
    return Config(**choices[name])


def size_bucket(size: int) -> int:
    """A number that sizes between two powers of two share."""
    return max(size, 1).bit_length()


def _cache_file() -> Path:
    gpu = torch.cuda.get_device_name().lower().replace(" ", "-")
    return cache_folder() / f"triton-{triton.__version__}-{gpu}.json"


@functools.cache
def _stored_choices(file: Path) -> dict[str, dict[str, Any]]:
    """The choices of earlier processes, which this process then adds to."""
    try:
        choices: dict[str, dict[str, Any]] = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return choices


def _store(file: Path, choices: dict[str, dict[str, Any]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(file) as temporary:
        temporary.write_text(json.dumps(choices, indent=1, sort_keys=True))

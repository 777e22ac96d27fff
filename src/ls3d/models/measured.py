"""Measured PSNR and speed of the networks that are ready to use: those with bundled weights and those that need none.

``measured.json`` beside this module is written by ``scripts/measured_scores.py`` from the reports of ``ls3d evaluate``
and of ``benchmarks/speed.py``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from ls3d.models.registry import model_info


@dataclass(frozen=True)
class MeasuredScore:
    """The score of a network under a protocol.

    Attributes:
        protocol: a key of ``ls3d.evaluation.PROTOCOLS``, which says what the PSNR is of.
        psnr: in dB, the mean over the protocol's frames.
        clips: number of clips that were measured.
        complete: whether these are the complete data set.
        sha256: digest of the weights; None for a network without.
    """

    protocol: str
    psnr: float
    clips: int
    complete: bool
    sha256: str | None = None


def measured_scores(name: str) -> tuple[MeasuredScore, ...]:
    """Return what was measured of a network.

    Args:
        name: one of ``list_models()``, or a task's default, such as ``"vfi"``.

    Returns:
        One score for each protocol, on as many clips as were measured; none for networks that must be trained first.

    Raises:
        InputError: no network has this name.
    """
    scores = _read()["scores"].get(model_info(name).name, ())
    return tuple(MeasuredScore(**score) for score in scores)


def measured_seconds(name: str) -> float | None:
    """Return the seconds that a network took for a frame of 640x360 on two cores, in float32.

    Args:
        name: one of ``list_models()``, or a task's default, such as ``"vfi"``.

    Returns:
        The median of several calls; None for networks that must be trained first. Processor and versions are in
        ``benchmarks/results/speed``.

    Raises:
        InputError: no network has this name.
    """
    seconds: float | None = _read()["seconds"].get(model_info(name).name)
    return seconds


@cache
def _read() -> dict[str, Any]:
    content: dict[str, Any] = json.loads((resources.files("ls3d.models") / "measured.json").read_text(encoding="utf-8"))
    return content

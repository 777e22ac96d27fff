"""The result of an evaluation, and its JSON."""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ls3d._version import __version__
from ls3d.data.sets import DATA_SETS
from ls3d.evaluation.fidelity.protocols import Protocol, get_protocol
from ls3d.files import atomic_write


@dataclass(frozen=True)
class ClipScore:
    """What a clip scored.

    Attributes:
        scores: the mean over its frames, by column.
        frames: how many frames were scored.
        worst: the frame that scored worst in the first column.
    """

    scores: dict[str, float]
    frames: int
    worst: int


@dataclass(frozen=True)
class Report:
    """The result of an evaluation.

    Attributes:
        protocol: how it was measured.
        model: the name or file that was given.
        facts: what the model says of itself: architecture, arguments, sha256 of the weights, ...
        clips: scores by the clip's name, in the order of the data set.
        device: what it ran on.
        versions: of everything that could move a number.
    """

    protocol: Protocol
    model: str
    facts: Mapping[str, Any]
    clips: dict[str, ClipScore]
    device: str = "cpu"
    versions: dict[str, str] = field(default_factory=lambda: versions())

    @property
    def mean(self) -> dict[str, float]:
        """The mean by column, over clips or over frames as the protocol says."""
        clips = list(self.clips.values())
        weights = [clip.frames if self.protocol.average == "frames" else 1 for clip in clips]
        return {
            column: sum(w * clip.scores[column] for w, clip in zip(weights, clips, strict=True)) / sum(weights)
            for column in self.protocol.metrics
        }

    @property
    def complete(self) -> bool | None:
        """Whether the whole official set was measured; None where there is no official number of clips."""
        official = DATA_SETS[self.protocol.data_set]
        if official.clips is None:
            return None
        frames = _scored_frames(self.protocol, official.clips, official.frames)
        scored = sum(clip.frames for clip in self.clips.values())
        return len(self.clips) == official.clips and frames in (None, scored)

    def to_dict(self) -> dict[str, Any]:
        """The JSON's content; a number that isn't finite (the PSNR of equal pictures) is null."""
        return {
            "protocol": self.protocol.name,
            "model": self.model,
            "weights": {key: self.facts.get(key) for key in ("architecture", "arguments", "sha256")},
            "mean": _finite(self.mean),
            "complete": self.complete,
            "clips": {
                name: _finite(clip.scores) | {"frames": clip.frames, "worst_frame": clip.worst}
                for name, clip in self.clips.items()
            },
            "conditions": self.protocol.conditions(),
            "device": self.device,
            "versions": self.versions,
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the JSON, atomically."""
        with atomic_write(path) as part:
            part.write_text(json.dumps(self.to_dict(), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Report:
        """Read what ``save`` wrote.

        Raises:
            InputError: the result is of a protocol that is not one of ``PROTOCOLS``.
        """
        data = json.loads(Path(path).read_text(encoding="utf-8"))
        protocol = get_protocol(data["protocol"])
        clips = {
            name: ClipScore(
                {column: math.inf if clip[column] is None else clip[column] for column in protocol.metrics},
                clip["frames"],
                clip["worst_frame"],
            )
            for name, clip in data["clips"].items()
        }
        return cls(protocol, data["model"], data["weights"], clips, data["device"], data["versions"])


def _scored_frames(protocol: Protocol, clips: int, frames: int | None) -> int | None:
    """How many frames the complete set scores, where that is known."""
    if protocol.scored:
        return clips * len(protocol.scored)
    if protocol.window and not protocol.window.repeat:
        return clips * len(protocol.window.targets)
    return frames if protocol.window is None else None


def _finite(scores: Mapping[str, float]) -> dict[str, float | None]:
    return {column: value if math.isfinite(value) else None for column, value in scores.items()}


def versions() -> dict[str, str]:
    """Versions of everything that could move a number."""
    packages = {name: version(name) for name in ("torch", "numpy", "av")}
    return {"ls3d": __version__, "python": platform.python_version(), **packages}

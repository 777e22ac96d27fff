"""The result of an evaluation, and its JSON."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ls3d.environment import versions
from ls3d.evaluation.protocol import ClipScore, Protocol
from ls3d.evaluation.registry import get_protocol
from ls3d.files import write_json


@dataclass(frozen=True)
class EvaluationReport:
    """The result of an evaluation.

    Attributes:
        protocol: how it was measured.
        model: name or file of the network.
        config: the network's ``ModelConfig`` as a dictionary: architecture, arguments, SHA-256 of the weights, ...
        clips: scores by clip, in the order of the data set.
        device: the device that the network ran on.
        versions: of the software that was used.
    """

    protocol: Protocol
    model: str
    config: Mapping[str, Any]
    clips: dict[str, ClipScore]
    device: str = "cpu"
    versions: dict[str, str] = field(default_factory=versions)

    @property
    def frames(self) -> int:
        """Number of scored frames in all clips."""
        return sum(clip.frames for clip in self.clips.values())

    @property
    def mean(self) -> dict[str, float]:
        """Mean by column, over clips or over frames as the protocol says."""
        clips = list(self.clips.values())
        weights = [clip.frames if self.protocol.average == "frames" else 1 for clip in clips]
        return {
            column: sum(w * clip.scores[column] for w, clip in zip(weights, clips, strict=True)) / sum(weights)
            for column in self.protocol.metrics
        }

    @property
    def complete(self) -> bool | None:
        """Whether the complete data set was measured; None if there is no official number of clips."""
        official = self.protocol.data_set.clips
        if official is None:
            return None
        return len(self.clips) == official and self.protocol.scored_frames_in_set in (None, self.frames)

    def to_dict(self) -> dict[str, Any]:
        """The content of the JSON. A score that is not finite (the PSNR of equal frames) is null."""
        return {
            "protocol": self.protocol.name,
            "model": self.model,
            "weights": {key: self.config.get(key) for key in ("architecture", "arguments", "sha256")},
            "mean": _finite(self.mean),
            "complete": self.complete,
            "clips": {
                name: _finite(clip.scores) | {"frames": clip.frames, "worst_frame": clip.worst_frame}
                for name, clip in self.clips.items()
            },
            "conditions": self.protocol.conditions(),
            "device": self.device,
            "versions": self.versions,
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the JSON, atomically."""
        write_json(path, self.to_dict())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> EvaluationReport:
        """Read a file that ``save`` wrote.

        Raises:
            InputError: its protocol is not one of ``PROTOCOLS``.
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


def _finite(scores: Mapping[str, float]) -> dict[str, float | None]:
    return {column: value if math.isfinite(value) else None for column, value in scores.items()}

"""Finished segments: what is known of each besides its packets, and how it is stored."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

from ls3d.enhance._plan import SegmentPlan


@dataclass
class FrameCounts:
    """Numbers of frames.

    Attributes:
        frames_in: source frames; as many as were planned, unless the source is damaged.
        frames_out: output frames.
        held_frames: output frames that repeat a source frame because no new frame could be made at their times.
        duplicates: source frames that were dropped because they repeat the one before.
    """

    frames_in: int = 0
    frames_out: int = 0
    held_frames: int = 0
    duplicates: int = 0


@dataclass(frozen=True)
class Segment:
    """A finished segment.

    Attributes:
        plan: by which it was made.
        counts: of its frames.
        delay: maximum reordering depth of the packets, see ``ls3d.video.EncodedSegment``.
        digest: SHA-256 of the packets' data.
        packets: time, size and key flag of every packet, in decoding order; empty except in the file.
    """

    plan: SegmentPlan
    counts: FrameCounts
    delay: int
    digest: str
    packets: tuple[tuple[int, int, bool], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """A dictionary for JSON; ``from_dict`` reads it."""
        return {**asdict(self), "plan": self.plan.to_dict()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Segment:
        """Read what ``to_dict`` wrote."""
        read = {
            "plan": SegmentPlan.from_dict(values["plan"]),
            "counts": FrameCounts(**values["counts"]),
            "packets": tuple((pts, size, key) for pts, size, key in values["packets"]),
        }
        return cls(**{**values, **read})


def seal(values: dict[str, Any]) -> str:
    """A JSON object with a checksum of the values."""
    return json.dumps({"values": values, "sha256": _checksum(values)})


def unseal(text: str) -> dict[str, Any]:
    """The values that ``seal`` wrote.

    Raises:
        ValueError: the text is damaged.
    """
    try:
        content = json.loads(text)
        values: dict[str, Any] = content["values"]
        intact = content["sha256"] == _checksum(values)
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError("no values with a checksum") from error
    if not intact:
        raise ValueError("the checksum is wrong")
    return values


def _checksum(values: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()

"""The result of a job, in numbers. This module imports nothing heavy, for user interfaces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ls3d.enhance._segments import Segment


@dataclass
class EnhanceReport:
    """The result of a job.

    Attributes:
        target: the output.
        frames_in: source frames.
        frames_out: output frames.
        segments: number of segments; 0 if the output was a pipe.
        resumed: segments that an earlier run had finished.
        cuts: hard cuts found.
        held_frames: output frames that repeat a source frame because no new frame could be made at their times.
        duplicates: source frames that were dropped because they repeat the one before.
        undecodable_packets: packets that could not be decoded.
        retimed_frames: source frames whose own timestamps could not be used.
        notes: sentences on streams that the output format can't hold as they are.
        seconds: duration of this run.
        finished_before: whether an earlier run had finished the job, so that this one did nothing.
        shard: the part of the segments that was made, such as ``"0/3"``; None if the output is complete. The other
            attributes count this part only.
        missing: segments of the whole job that are not finished yet.
    """

    target: str
    frames_in: int = 0
    frames_out: int = 0
    segments: int = 0
    resumed: int = 0
    cuts: int = 0
    held_frames: int = 0
    duplicates: int = 0
    undecodable_packets: int = 0
    retimed_frames: int = 0
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0
    finished_before: bool = False
    shard: str | None = None
    missing: int = 0

    @classmethod
    def of(cls, target: str, segments: Sequence[Segment], seconds: float) -> EnhanceReport:
        """Add up the segments of a job."""
        plans = [segment.plan for segment in segments]
        counts = [segment.counts for segment in segments]
        return cls(
            target=target,
            frames_in=sum(count.frames_in for count in counts),
            frames_out=sum(count.frames_out for count in counts),
            segments=len(segments),
            cuts=sum(plan.cut_count for plan in plans),
            held_frames=sum(count.held_frames for count in counts),
            duplicates=sum(count.duplicates for count in counts),
            undecodable_packets=sum(plan.undecodable_packets for plan in plans),
            retimed_frames=sum(plan.retimed_frames for plan in plans),
            seconds=seconds,
        )

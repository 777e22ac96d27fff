"""Finished segments and the workspace that holds them until they are joined.

The folder ``OUT.ls3d`` next to the output holds ``job.json`` (what the segments depend on), the plan of every planned
segment (``000012.plan.json``), and of every finished one its packets (``000012.packets``) and a description
(``000012.json``). Each file is written under a temporary name and renamed, so it is complete if it exists. Segments may
be finished in any order and by several processes. All access to the folder is in this module.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ls3d.enhance._plan import SegmentPlan
from ls3d.errors import InputError
from ls3d.files import atomic_write
from ls3d.video import EncodedSegment, Packet, reorder_depth

log = logging.getLogger(__name__)

#: Increased whenever the workspaces of earlier versions can't be resumed.
FORMAT = 2

_TEMPORARY = ".tmp"  # suffix, also that of ``atomic_write``


@dataclass
class FrameCounts:
    """Numbers of frames.

    Attributes:
        frames_in: source frames; as many as were planned, unless the source is damaged.
        frames_out: output frames.
        held_frames: output frames that repeat a source frame because no new frame could be made at their times.
    """

    frames_in: int = 0
    frames_out: int = 0
    held_frames: int = 0


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

    def to_json(self) -> str:
        """A JSON object; ``from_json`` reads it."""
        return json.dumps({**asdict(self), "plan": self.plan.to_dict()})

    @classmethod
    def from_json(cls, text: str) -> Segment:
        """Read what ``to_json`` wrote."""
        values = json.loads(text)
        values["plan"] = SegmentPlan.from_dict(values["plan"])
        values["counts"] = FrameCounts(**values["counts"])
        values["packets"] = tuple((pts, size, key) for pts, size, key in values["packets"])
        return cls(**values)


class Workspace:
    """The folder of an unfinished job. Creating this object touches no file.

    Args:
        target: the output that it belongs to.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self.folder = target.with_name(f"{target.name}.ls3d")

    def prepare(self, signature: dict[str, Any], resume: bool = True) -> None:
        """Create the folder, or empty it unless it holds the same job and that is to be resumed.

        Args:
            signature: everything that the segments depend on, as JSON.
            resume: False starts over in any case.

        Raises:
            InputError: the folder exists and holds something else.
            OSError: the folder can't be created or read.
        """
        text = json.dumps({"format": FORMAT, **signature}, indent=1, sort_keys=True)
        job = self.folder / "job.json"
        if self.folder.exists():
            if not job.exists() and any(self.folder.iterdir()):
                raise InputError(f"{self.folder} exists and is not an unfinished job; move it away")
            if not (resume and job.exists() and job.read_text() == text):
                if resume and job.exists():
                    log.warning("the unfinished job of %s had other settings or input; starting over", self.target)
                shutil.rmtree(self.folder)
        self.folder.mkdir(exist_ok=True)
        for leftover in self.folder.glob(f"*{_TEMPORARY}"):
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        if not job.exists():
            with atomic_write(job, durable=True) as temporary:
                temporary.write_text(text)

    def exists(self) -> bool:
        """Whether there is an unfinished job."""
        return self.folder.exists()

    def plans(self) -> list[SegmentPlan]:
        """The plans that are known, from the first segment up to the first unknown one."""
        plans: list[SegmentPlan] = []
        while (plan := self._plan(len(plans))) is not None:
            plans.append(plan)
        return plans

    def save_plan(self, plan: SegmentPlan) -> None:
        """Write a plan, so that it need not be made again. A plan that gets lost does no harm."""
        with atomic_write(self._path(plan.index, "plan.json")) as temporary:
            temporary.write_text(json.dumps(plan.to_dict()))

    def finished(self, plan: SegmentPlan) -> Segment | None:
        """The segment that was made by a plan, None if it isn't finished or is damaged."""
        segment = self._segment(plan.index)
        if segment is None or segment.plan != plan:
            return None
        packets = self._path(plan.index, "packets")
        try:
            with packets.open("rb") as file:
                intact = hashlib.file_digest(file, "sha256").hexdigest() == segment.digest
        except FileNotFoundError:
            intact = False
        if not intact:
            log.warning("%s is damaged; its segment is made again", packets)
            return None
        return replace(segment, packets=())

    def create(self) -> SegmentWriter:
        """Start writing a segment."""
        return SegmentWriter(self)

    def encoded(self, segment: Segment) -> EncodedSegment:
        """A finished segment for joining."""
        index = segment.plan.index
        return EncodedSegment(
            lambda: self._read(index),
            lambda: [pts for pts, _, _ in self._table(index)],
            segment.delay,
            segment.plan.end,
        )

    def temporary(self, name: str) -> Path:
        """A path in the folder that no other process uses, for something unfinished; it doesn't exist."""
        return self.folder / f"{name}.{uuid.uuid4().hex}{_TEMPORARY}"

    def publish(self, temporary: Path, segment: Segment) -> None:
        """Rename the flushed packets of a segment and write its description: from then on it is finished."""
        os.replace(temporary, self._path(segment.plan.index, "packets"))
        with atomic_write(self._path(segment.plan.index, "json"), durable=True) as description:
            description.write_text(segment.to_json())

    def deliver(self, temporary: Path) -> None:
        """Rename the finished output to the target, and delete the folder."""
        if temporary.is_file():
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
        elif self.target.is_dir():
            self.target.rmdir()  # an empty folder for the images
        os.replace(temporary, self.target)
        shutil.rmtree(self.folder)

    def _path(self, index: int, suffix: str) -> Path:
        return self.folder / f"{index:06d}.{suffix}"

    def _plan(self, index: int) -> SegmentPlan | None:
        """From the segment if it is finished, since plans are not flushed to disk."""
        segment = self._segment(index)
        if segment is not None:
            return segment.plan
        try:
            return SegmentPlan.from_dict(json.loads(self._path(index, "plan.json").read_text()))
        except (FileNotFoundError, ValueError):
            return None

    def _segment(self, index: int) -> Segment | None:
        try:
            return Segment.from_json(self._path(index, "json").read_text())
        except FileNotFoundError:
            return None

    def _table(self, index: int) -> tuple[tuple[int, int, bool], ...]:
        return Segment.from_json(self._path(index, "json").read_text()).packets

    def _read(self, index: int) -> Iterator[Packet]:
        with self._path(index, "packets").open("rb") as file:
            for pts, size, key in self._table(index):
                yield Packet(pts, key, file.read(size))


class SegmentWriter:
    """Writes the packets of one segment.

    Args:
        workspace: where the segment will be.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._temporary = workspace.temporary("packets")
        self._file = self._temporary.open("wb")
        self._digest = hashlib.sha256()
        self._packets: list[tuple[int, int, bool]] = []

    def write(self, packet: Packet) -> None:
        """Append a packet."""
        self._file.write(packet.data)
        self._digest.update(packet.data)
        self._packets.append((packet.pts, len(packet.data), packet.key))

    def close(self, plan: SegmentPlan, counts: FrameCounts) -> Segment:
        """Flush the packets to disk and finish the segment."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        delay = reorder_depth([pts for pts, _, _ in self._packets])
        segment = Segment(plan, counts, delay, self._digest.hexdigest(), tuple(self._packets))
        self._workspace.publish(self._temporary, segment)
        return replace(segment, packets=())

    def abandon(self) -> None:
        """Delete the unfinished segment."""
        with contextlib.suppress(OSError):  # the disk may be too full for what is still buffered
            self._file.close()
        self._temporary.unlink(missing_ok=True)

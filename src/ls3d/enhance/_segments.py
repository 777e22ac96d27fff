"""Segments: pieces of a job that are finished once and for all, next to the output that they will become.

The folder ``OUT.ls3d`` holds ``job.json`` (what is being done, to which file) and for every finished segment
its packets (``000012.packets``) and what is known of it (``000012.json``): times, sizes, checksum, the source
frames at its end. Both are written beside their names, flushed to disk and renamed, so a name exists only
when its content does.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from ls3d.errors import InputError
from ls3d.video import EncodedSegment, Mark, Packet, reorder_depth

log = logging.getLogger(__name__)

#: Raised whenever older folders can't be gone on with.
FORMAT = 1


@dataclass
class Segment:
    """What is known of a finished segment.

    Attributes:
        index: from 0.
        frames_in: source frames.
        frames_out: output frames.
        end: ticks at which the next segment begins, or the video ends.
        context: the last source frames, and for each whether a cut comes after it.
        last: whether the source ends here.
        cuts: hard cuts in it, at its end included.
        held: output frames that needed no network (duplicates, and frames held at a cut or at the end).
        lost: packets that could not be decoded.
        retimed: source frames whose own time could not be used.
        delay: of its packets, see ``ls3d.video.EncodedSegment``.
        packets: time, size and key flag of every packet, in decoding order; on disk only, once it is finished.
        digest: SHA-256 of the packets' bytes.
    """

    index: int = 0
    frames_in: int = 0
    frames_out: int = 0
    end: int = 0
    context: list[tuple[Mark, bool]] = field(default_factory=list)
    last: bool = False
    cuts: int = 0
    held: int = 0
    lost: int = 0
    retimed: int = 0
    delay: int = 0
    packets: list[tuple[int, int, bool]] = field(default_factory=list)
    digest: str = ""

    def to_json(self) -> str:
        """One JSON object; ``from_json`` reads it back."""
        context = [[str(mark.time), mark.digest, cut] for mark, cut in self.context]
        return json.dumps({**asdict(self), "context": context})

    @classmethod
    def from_json(cls, text: str) -> Segment:
        """Read what ``to_json`` wrote."""
        values = json.loads(text)
        values["context"] = [(Mark(Fraction(time), digest), cut) for time, digest, cut in values["context"]]
        values["packets"] = [(pts, size, key) for pts, size, key in values["packets"]]
        return cls(**values)


class Workspace:
    """The folder of an unfinished job.

    Args:
        target: the output that it belongs to.
        signature: everything that the output depends on, as JSON; a folder of another job is begun anew.
        resume: False begins anew in any case.

    Raises:
        OSError: the folder can't be made or read.
    """

    def __init__(self, target: Path, signature: dict[str, Any], resume: bool = True) -> None:
        self.target = target
        self.folder = target.with_name(f"{target.name}.ls3d")
        text = json.dumps({"format": FORMAT, **signature}, indent=1, sort_keys=True)
        job = self.folder / "job.json"
        if self.folder.exists():
            if not job.exists() and any(self.folder.iterdir()):
                raise InputError(f"{self.folder} exists and is not an unfinished job; move it away")
            same = job.exists() and job.read_text() == text
            if not (resume and same):
                if resume and job.exists():
                    log.warning("the unfinished job of %s had other settings or input; beginning anew", target)
                shutil.rmtree(self.folder)
        self.folder.mkdir(exist_ok=True)
        if not job.exists():
            write_durably(job, text.encode())
        for leftover in self.folder.glob("*.part"):
            leftover.unlink()

    def finished(self) -> list[Segment]:
        """The segments that are complete and intact, from the first up to the first that isn't."""
        segments: list[Segment] = []
        while (path := self._path(len(segments), "json")).exists():
            segment = Segment.from_json(path.read_text())
            if not self._intact(segment):
                log.warning("%s is damaged and is made again", self._path(segment.index, "packets"))
                break
            segment.packets.clear()
            segments.append(segment)
            if segment.last:
                break
        return segments

    def create(self, index: int) -> SegmentWriter:
        """Begin a segment."""
        return SegmentWriter(self._path(index, "packets"), self._path(index, "json"))

    def piece(self, segment: Segment) -> EncodedSegment:
        """The segment for joining."""
        index = segment.index
        return EncodedSegment(
            lambda: self._read(index),
            lambda: [pts for pts, _, _ in self._table(index)],
            segment.delay,
            segment.end,
        )

    def part(self, name: str) -> Path:
        """A path inside the folder for something unfinished, with nothing there."""
        path = self.folder / f"{name}.part"
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        return path

    def remove(self) -> None:
        """Delete the folder: the job is done."""
        shutil.rmtree(self.folder)

    def _path(self, index: int, suffix: str) -> Path:
        return self.folder / f"{index:06d}.{suffix}"

    def _table(self, index: int) -> list[tuple[int, int, bool]]:
        return Segment.from_json(self._path(index, "json").read_text()).packets

    def _read(self, index: int) -> Iterator[Packet]:
        with self._path(index, "packets").open("rb") as file:
            for pts, size, key in self._table(index):
                yield Packet(pts, key, file.read(size))

    def _intact(self, segment: Segment) -> bool:
        try:
            with self._path(segment.index, "packets").open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest() == segment.digest
        except FileNotFoundError:
            return False


class SegmentWriter:
    """Takes the packets of one segment."""

    def __init__(self, packets: Path, facts: Path) -> None:
        self._packets, self._facts = packets, facts
        self._part = packets.with_name(packets.name + ".part")
        self._file = self._part.open("wb")
        self._digest = hashlib.sha256()
        self._table: list[tuple[int, int, bool]] = []

    def write(self, packet: Packet) -> None:
        """Append a packet."""
        self._file.write(packet.data)
        self._digest.update(packet.data)
        self._table.append((packet.pts, len(packet.data), packet.key))

    def close(self, segment: Segment) -> Segment:
        """Finish: from here on the segment exists, whatever happens."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        os.replace(self._part, self._packets)
        segment.packets, segment.digest = self._table, self._digest.hexdigest()
        segment.delay = reorder_depth([pts for pts, _, _ in self._table])
        write_durably(self._facts, segment.to_json().encode())
        segment.packets = []
        return segment

    def abandon(self) -> None:
        """Leave nothing behind."""
        with contextlib.suppress(OSError):  # what is still buffered may not fit on the disk either
            self._file.close()
        self._part.unlink(missing_ok=True)


def write_durably(path: Path, content: bytes) -> None:
    """Write a small file such that it is there whole or not at all."""
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)

"""The workspace that holds the finished segments of a job until they are joined.

The folder ``OUT.ls3d`` next to the output holds ``job.json`` (what the segments depend on), the plan of every planned
segment (``000012.plan.json``), and of every finished one its packets (``000012.packets``) and a description
(``000012.json``). Each file is written under a temporary name and renamed, so it is complete if it exists; the JSON of
plans and segments has a checksum. Segments may be finished in any order and by several processes. The process that
joins holds a lock on the file ``lock``; shards share this lock, and the first one writes the arguments of the call to
``call.json``. When the segments are joined, ``delivered.json`` is written, the output gets its name, and the folder is
deleted. All access to the folder is in this module.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from ls3d.enhance._delivery import Delivery, recall, remember
from ls3d.enhance._plan import SegmentPlan
from ls3d.enhance._segments import FrameCounts, Segment, seal, unseal
from ls3d.enhance.options import WORKSPACE_SUFFIX
from ls3d.enhance.report import EnhanceReport
from ls3d.errors import InputError, OutputExistsError
from ls3d.files import atomic_write, exclusive, replace_folder, write_new
from ls3d.video import EncodedSegment, Packet, reorder_depth

log = logging.getLogger(__name__)

#: Increased whenever the workspaces of earlier versions can't be resumed.
FORMAT = 4

_LOCK = "lock"
_JOB = "job.json"
_CALL = "call.json"
_DELIVERED = "delivered.json"
_TEMPORARY = ".tmp"  # suffix, also that of ``atomic_write``

#: Everything that can be in a workspace.
_OWN_NAMES = re.compile(r"lock|(job|call)\.json|delivered\.json|\d{6,}\.(plan\.json|packets|json)|.*\.tmp")


class Workspace:
    """The folder of an unfinished job. Creating this object touches no file.

    Args:
        target: the output that it belongs to.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self.folder = target.with_name(f"{target.name}{WORKSPACE_SUFFIX}")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Create the folder, and keep other processes from planning and joining. Deletes it if it is empty at the end.

        Raises:
            InputError: another process works on the same output, or the folder exists and holds something else.
            OSError: the folder can't be created or read.
        """
        with self._lock(shared=False):
            try:
                yield
            finally:
                if self.folder.is_dir() and {path.name for path in self.folder.iterdir()} <= {_LOCK}:
                    self.delete()

    @contextmanager
    def shared(self, signature: dict[str, Any], call: dict[str, Any]) -> Iterator[None]:
        """Take part in a job together with other processes, and keep all of them from joining.

        Args:
            signature: everything that the segments depend on, as JSON.
            call: the arguments of the call, as JSON, by which ``join_shards`` finds them.

        Raises:
            InputError: the folder holds another job, another process joins it, or it holds something else.
            OSError: the folder can't be created or read.
        """
        text = _job_text(signature)
        with self._lock(shared=True):
            if not write_new(self.folder / _JOB, text) and _read_job(self.folder / _JOB) != text:
                message = f"{self.folder} holds an unfinished job with other settings or another input"
                raise InputError(f"{message}; finish it, or delete the folder")
            write_new(self.folder / _CALL, seal(call))
            yield

    @contextmanager
    def _lock(self, shared: bool) -> Iterator[None]:
        if self.folder.exists() and not self.folder.is_dir():
            raise InputError(f"{self.folder} is a file, but the folder of unfinished jobs has this name; move it away")
        if self.folder.is_dir() and not (self.folder / _JOB).exists() and self._foreign():
            raise InputError(f"{self.folder} exists and is not an unfinished job; move it away")
        self.folder.mkdir(exist_ok=True)
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(exclusive(self.folder / _LOCK, shared=shared))
            except BlockingIOError as error:
                raise InputError(f"{self.target}: another process is working on this output") from error
            yield

    def check_target(self, overwrite: bool) -> None:
        """Check that the output may be written.

        Raises:
            OutputExistsError: there is a file, and it is not to be overwritten.
            InputError: there is a folder with files in it.
        """
        if self.target.is_dir() and any(self.target.iterdir()):
            raise InputError(f"{self.target} is a folder with files in it; expected a new or an empty one")
        if self.target.exists() and not self.target.is_dir() and not overwrite:
            raise OutputExistsError(self.target)

    def prepare(self, signature: dict[str, Any], resume: bool = True) -> None:
        """Create the folder, or empty it unless it holds the same job and that is to be resumed.

        Args:
            signature: everything that the segments depend on, as JSON.
            resume: False starts over in any case.

        Raises:
            OSError: the folder can't be created or read.
        """
        text = _job_text(signature)
        self.folder.mkdir(exist_ok=True)
        job = self.folder / _JOB
        known = _read_job(job)
        if not (resume and known == text):
            if resume and known is not None:
                log.warning("the unfinished job of %s had other settings or input; starting over", self.target)
            self._empty(_LOCK)
        for leftover in self.folder.glob(f"*{_TEMPORARY}"):
            _remove(leftover)
        if not job.exists():
            with atomic_write(job, durable=True) as temporary:
                temporary.write_text(text)

    def exists(self) -> bool:
        """Whether there is an unfinished job."""
        return (self.folder / _JOB).exists()

    def is_of(self, signature: dict[str, Any]) -> bool:
        """Whether the unfinished job has this signature."""
        return _read_job(self.folder / _JOB) == _job_text(signature)

    def call(self) -> dict[str, Any] | None:
        """The arguments of the call whose shards are made here; None if there are none."""
        return _read_sealed(self.folder / _CALL)

    def plans(self) -> list[SegmentPlan]:
        """The plans that are known, from the first segment up to the first unknown one."""
        plans: list[SegmentPlan] = []
        while (plan := self._plan(len(plans))) is not None:
            plans.append(plan)
        return plans

    def save_plan(self, plan: SegmentPlan) -> None:
        """Write a plan, so that it need not be made again. A plan that gets lost does no harm."""
        with atomic_write(self._path(plan.index, "plan.json")) as temporary:
            temporary.write_text(seal(plan.to_dict()))

    def add_plan(self, plan: SegmentPlan) -> SegmentPlan:
        """Write a plan unless another process has; the plan that counts, which is the first one."""
        write_new(self._path(plan.index, "plan.json"), seal(plan.to_dict()))
        return self._plan(plan.index) or plan

    def described(self) -> set[int]:
        """The indices of the segments that are finished, as far as their descriptions say."""
        return {int(path.stem) for path in self.folder.glob("*.json") if path.stem.isdigit()}

    def finished(self, plan: SegmentPlan) -> Segment | None:
        """The segment that was made by a plan, None if it isn't finished or is damaged."""
        segment = self._segment(plan.index)
        if segment is None or segment.plan != plan:
            return None
        packets = self._path(plan.index, "packets")
        try:
            with packets.open("rb") as file:
                intact = hashlib.file_digest(file, "sha256").hexdigest() == segment.digest
        except (FileNotFoundError, IsADirectoryError):
            intact = False
        if not intact:
            log.warning("%s is damaged; its segment is made again", packets)
            _remove(packets)
            return None
        return replace(segment, packets=())

    def described_segment(self, plan: SegmentPlan) -> Segment | None:
        """As ``finished``, but the packets need not be here and are not read."""
        segment = self._segment(plan.index)
        return replace(segment, packets=()) if segment is not None and segment.plan == plan else None

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
            description.write_text(seal(segment.to_dict()))

    def deliver(self, temporary: Path, signature: dict[str, Any], report: EnhanceReport, overwrite: bool) -> None:
        """Rename the finished output to the target, and delete the folder.

        Args:
            temporary: the output, in the folder.
            signature: of the job.
            report: of the job.
            overwrite: whether to replace a file that exists.

        Raises:
            InputError: the target exists and is not to be overwritten.
        """
        self.check_target(overwrite)
        if temporary.is_file():
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
        delivery = Delivery.of(temporary, _job_text(signature), report)
        with atomic_write(self.folder / _DELIVERED, durable=True) as record:
            record.write_text(seal(delivery.to_dict()))
        if temporary.is_dir():
            replace_folder(temporary, self.target)
        else:
            os.replace(temporary, self.target)
        remember(self.target, delivery)
        self.delete()

    def delivered(self) -> Delivery | None:
        """The record of the output, if it is unchanged since a job was finished; None otherwise."""
        try:  # a job that was killed before it could delete the folder
            delivery = Delivery.from_dict(unseal((self.folder / _DELIVERED).read_text()))
        except (OSError, ValueError):
            return recall(self.target)
        return delivery if delivery.describes(self.target) else recall(self.target)

    def finished_report(self, signature: dict[str, Any]) -> EnhanceReport | None:
        """The report of the same job if it is finished and its output unchanged; None otherwise."""
        delivery = self.delivered()
        return delivery.report if delivery is not None and delivery.is_of(_job_text(signature)) else None

    def remember(self, signature: dict[str, Any], report: EnhanceReport) -> None:
        """Keep a record of an output that another process has delivered, so that this user's next call finds it."""
        remember(self.target, Delivery.of(self.target, _job_text(signature), report))

    def packet_bytes(self, index: int) -> int | None:
        """Number of bytes of a segment's packets, as its description says; None if there is none."""
        segment = self._segment(index)
        return None if segment is None else sum(size for _, size, _ in segment.packets)

    def delete(self) -> None:
        """Delete the folder, if there is one; the record of the delivered output last."""
        if not self.folder.is_dir():
            return
        self._empty(_LOCK, _DELIVERED)
        self._empty(_LOCK)
        self._empty()
        with contextlib.suppress(OSError):  # another process may just have opened the lock
            self.folder.rmdir()

    def _foreign(self) -> bool:
        """Whether the folder holds something that isn't part of a workspace."""
        return any(not _OWN_NAMES.fullmatch(path.name) for path in self.folder.iterdir())

    def _empty(self, *except_names: str) -> None:
        """Delete what is part of a workspace."""
        for path in sorted(self.folder.iterdir()):
            if path.name not in except_names and _OWN_NAMES.fullmatch(path.name):
                _remove(path)

    def _path(self, index: int, suffix: str) -> Path:
        return self.folder / f"{index:06d}.{suffix}"

    def _plan(self, index: int) -> SegmentPlan | None:
        """From the segment if it is finished, since plans are not flushed to disk."""
        segment = self._segment(index)
        if segment is not None:
            return segment.plan
        values = _read_sealed(self._path(index, "plan.json"))
        return None if values is None else SegmentPlan.from_dict(values)

    def _segment(self, index: int) -> Segment | None:
        values = _read_sealed(self._path(index, "json"))
        return None if values is None else Segment.from_dict(values)

    def _table(self, index: int) -> tuple[tuple[int, int, bool], ...]:
        return Segment.from_dict(unseal(self._path(index, "json").read_text())).packets

    def _read(self, index: int) -> Iterator[Packet]:
        with self._path(index, "packets").open("rb") as file:
            for pts, size, key in self._table(index):
                yield Packet(pts, key, file.read(size))


def _job_text(signature: dict[str, Any]) -> str:
    return json.dumps({"format": FORMAT, **signature}, indent=1, sort_keys=True)


def _read_job(path: Path) -> str | None:
    """The content of ``job.json``; None if there is none that can be read."""
    try:
        return path.read_text()
    except (FileNotFoundError, IsADirectoryError, UnicodeDecodeError):
        return None


def _read_sealed(path: Path) -> dict[str, Any] | None:
    """The values in a file that ``seal`` wrote; None if there is none. A damaged file is deleted."""
    try:
        return unseal(path.read_text())
    except FileNotFoundError:
        return None
    except (IsADirectoryError, ValueError) as error:
        log.warning("%s is damaged (%s); its segment is made again", path, error)
        _remove(path)
        return None


def _remove(path: Path) -> None:
    """Delete a file or folder."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


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

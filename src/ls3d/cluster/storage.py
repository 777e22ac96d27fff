"""Sources, workspaces and outputs at URLs (``s3://``, ``gs://``, ``file://``, ...), by way of fsspec.

Workers process local files. A source at a URL is downloaded once for each machine. Finished segments are uploaded into
the workspace ``OUT.ls3d`` at the output's URL; the worker that joins them downloads all. A file at a URL is complete if
it exists: object stores guarantee it, and on other file systems an upload gets its name when it is finished. A folder
of images appears file by file; meanwhile, ``delivering.json`` in the workspace says which job writes it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import posixpath
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import fsspec

from ls3d.cluster.scratch import given_scratch, private_scratch
from ls3d.enhance._job import Job
from ls3d.enhance._segments import Segment
from ls3d.enhance._workspace import Workspace
from ls3d.enhance.options import WORKSPACE_SUFFIX
from ls3d.enhance.report import EnhanceReport
from ls3d.errors import InputError, OutputExistsError
from ls3d.files import exclusive

#: Protocols of object stores, whose files appear when they are complete, and where a renaming is a copy.
_OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "memory"})

_DELIVERED = "delivered.json"
_DELIVERING = "delivering.json"
_TEMPORARY = ".tmp"
_JOB = "job.json"
_LOCK_POLL = 0.2  # seconds


def is_url(name: str) -> bool:
    """Whether a name is a URL, not a path."""
    return "://" in name


@dataclass(frozen=True)
class Place:
    """Where the source and the output of a video are.

    Attributes:
        source: path or URL.
        target: path or URL.
        scratch: folder for copies of files at URLs, on every worker; None is ``private_scratch`` of each machine.
    """

    source: str
    target: str
    scratch: Path | None = field(default_factory=given_scratch)

    @property
    def is_remote(self) -> bool:
        """Whether the output is at a URL."""
        return is_url(self.target)

    def local_source(self) -> Path:
        """The source's path on this machine; it is downloaded if it isn't there.

        Raises:
            FileNotFoundError: there is no such file.
            InputError: see ``private_scratch``.
        """
        if not is_url(self.source):
            return Path(self.source)
        return _download(self.source, self._scratch() / "sources" / _digest(self.source))

    def local_target(self) -> Path:
        """The path on this machine at which the output is written; its folder exists if the output is at a URL.

        Raises:
            InputError: see ``private_scratch``.
        """
        if not self.is_remote:
            return Path(self.target)
        folder = self._scratch() / "outputs" / _digest(self.target)
        folder.mkdir(parents=True, exist_ok=True)
        return folder / posixpath.basename(self.target)

    def _scratch(self) -> Path:
        return private_scratch() if self.scratch is None else self.scratch

    def target_exists(self) -> bool:
        """Whether there is an output, of this or another job."""
        if not self.is_remote:
            return Path(self.target).exists()
        files, path = fsspec.core.url_to_fs(self.target)
        return bool(files.exists(path))

    def localize(self, job: Job) -> Job:
        """The job with the paths of this machine."""
        assert job.source is not None
        return replace(job, source=replace(job.source, path=self.local_source()), target=self.local_target())


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:24]


def _download(url: str, folder: Path) -> Path:
    """Download a file unless this machine has it; other processes wait meanwhile."""
    files, path = fsspec.core.url_to_fs(url)
    info = files.info(path)
    version = json.dumps([info.get("size"), info.get("ETag"), str(info.get("mtime") or info.get("LastModified") or "")])
    target: Path = folder / _digest(version) / posixpath.basename(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    while not target.exists():
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(exclusive(target.parent / "lock"))
            except BlockingIOError:
                time.sleep(_LOCK_POLL)
                continue
            if not target.exists():
                _get(files, path, target)
    return target


def _get(files: Any, path: str, target: Path) -> None:
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    try:
        files.get_file(path, os.fspath(temporary))
        os.utime(temporary, (0, 0))  # the time is a part of the fingerprint of large files
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def upload(path: Path, url: str) -> None:
    """Upload a file, or a folder of images; it gets its name when it is complete."""
    files, target = fsspec.core.url_to_fs(url)
    files.makedirs(posixpath.dirname(target), exist_ok=True)
    if path.is_dir():
        for each in sorted(path.iterdir()):
            upload(each, posixpath.join(url, each.name))
        return
    if url.partition("://")[0] in _OBJECT_STORES:
        files.put_file(os.fspath(path), target)
        return
    temporary = f"{target}.{uuid.uuid4().hex}{_TEMPORARY}"
    files.put_file(os.fspath(path), temporary)
    files.mv(temporary, target)


class RemoteWorkspace:
    """The workspace of an output at a URL.

    Its files have the names and the content of those in a local workspace. There is no lock: one process at a time may
    drive a job. When the output is complete, ``delivered.json`` is written and remains, by which the finished job is
    recognized.

    Args:
        place: where the output is.
    """

    def __init__(self, place: Place) -> None:
        self._url = f"{place.target}{WORKSPACE_SUFFIX}"
        self._target_url = place.target
        self._files, self._folder = fsspec.core.url_to_fs(self._url)
        _, self._target = fsspec.core.url_to_fs(place.target)

    def pull(self, workspace: Workspace) -> None:
        """Download plans, descriptions of segments, and the job, but not packets; a local workspace is replaced.

        Descriptions without packets of the right size are left out.
        """
        workspace.delete()
        workspace.folder.mkdir(parents=True)
        sizes = self._sizes()
        for name in sorted(sizes):
            if name.endswith(".json") and name not in (_DELIVERED, _DELIVERING):
                local = workspace.folder / name
                self._files.get_file(posixpath.join(self._folder, name), os.fspath(local))
                index = name.removesuffix(".json")
                if index.isdigit() and workspace.packet_bytes(int(index)) != sizes.get(f"{index}.packets"):
                    local.unlink(missing_ok=True)

    def push(self, workspace: Workspace, *names: str) -> None:
        """Upload files of the local workspace."""
        for name in names:
            upload(workspace.folder / name, posixpath.join(self._url, name))

    def push_segment(self, workspace: Workspace, index: int) -> None:
        """Upload a finished segment, its description last, by which it is found; and delete it on this machine."""
        names = (f"{index:06d}.packets", f"{index:06d}.json")
        self.push(workspace, *names)
        for name in names:
            (workspace.folder / name).unlink(missing_ok=True)

    def pull_segments(self, workspace: Workspace, segments: Iterable[Segment]) -> None:
        """Download all segments. What a lost worker has left on this machine is deleted.

        Raises:
            OSError: a segment is damaged; it is deleted, so that the same command makes it again.
        """
        _delete_output(workspace.target)
        workspace.delete()
        workspace.folder.mkdir(parents=True)
        for segment in segments:
            names = [f"{segment.plan.index:06d}.{suffix}" for suffix in ("packets", "json")]
            for name in names:
                self._files.get_file(posixpath.join(self._folder, name), os.fspath(workspace.folder / name))
            if workspace.finished(segment.plan) is None:
                self._remove(names)
                raise OSError(f"{self._url}: segment {segment.plan.index} is damaged; run the same command again")

    def finished(self, signature: dict[str, Any]) -> EnhanceReport | None:
        """The report of the same job if its output is complete and unchanged; None otherwise."""
        record = self._record(_DELIVERED, signature)
        try:
            if record is not None and (record.get("files", 1), record["size"]) == self._extent():
                return EnhanceReport(**record["report"])
        except (FileNotFoundError, KeyError, TypeError):
            return None
        return None

    def check_target(self, signature: dict[str, Any], overwrite: bool) -> None:
        """Check that the output may be written. What the same job has written of it may be completed.

        Raises:
            OutputExistsError: there is one, and it is not to be overwritten.
            InputError: there is a folder with files in it.
        """
        self._files.invalidate_cache()
        if not self._files.exists(self._target) or self._record(_DELIVERING, signature) is not None:
            return
        if not self._files.isdir(self._target):
            if not overwrite:
                raise OutputExistsError(self._target_url)
        elif self._files.find(self._target):
            raise InputError(f"{self._target_url} is a folder with files in it; expected a new or an empty one")

    def deliver(self, output: Path, signature: dict[str, Any], report: EnhanceReport, overwrite: bool) -> None:
        """Upload the output, then a record of it, and delete the segments.

        Raises:
            InputError: see ``check_target``.
        """
        self.check_target(signature, overwrite)
        sizes = [path.stat().st_size for path in (output.iterdir() if output.is_dir() else [output])]
        record = {"job": _job_digest(signature), "files": len(sizes), "size": sum(sizes), "report": asdict(report)}
        self._write(_DELIVERING, record)
        upload(output, self._target_url)
        self._write(_DELIVERED, record)
        _delete_output(output)
        self.delete()

    def empty(self) -> None:
        """Delete everything, the job last, but what says which job has begun to upload the output."""
        names = sorted(self._sizes().keys() - {_DELIVERING}, key=lambda name: name == _JOB)
        self._remove(names)

    def delete(self) -> None:
        """Delete everything but the record of the output."""
        self._remove(sorted(self._sizes().keys() - {_DELIVERED}, key=lambda name: name == _JOB))

    def _record(self, name: str, signature: dict[str, Any]) -> dict[str, Any] | None:
        """A record of the output, if this job wrote it."""
        try:
            record = json.loads(self._files.cat_file(posixpath.join(self._folder, name)))
            return record if record["job"] == _job_digest(signature) else None
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def _write(self, name: str, record: dict[str, Any]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / name
            path.write_text(json.dumps(record))
            upload(path, posixpath.join(self._url, name))

    def _extent(self) -> tuple[int, int]:
        """Number of files of the output, and of their bytes.

        Raises:
            FileNotFoundError: there is no output.
        """
        self._files.invalidate_cache()
        info = self._files.info(self._target)
        found = [info]
        if info["type"] == "directory":
            details = self._files.find(self._target, detail=True)
            found = [each for name, each in details.items() if not name.endswith(_TEMPORARY)]
        return len(found), sum(each["size"] for each in found)

    def _sizes(self) -> dict[str, int]:
        """Names and sizes of the files."""
        self._files.invalidate_cache()
        try:
            found = self._files.ls(self._folder, detail=True)
        except FileNotFoundError:
            return {}
        return {posixpath.basename(each["name"]): each["size"] for each in found if each["type"] == "file"}

    def _remove(self, names: Iterable[str]) -> None:
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                self._files.rm_file(posixpath.join(self._folder, name))


def _job_digest(signature: dict[str, Any]) -> str:
    return _digest(json.dumps(signature, sort_keys=True))


def _delete_output(path: Path) -> None:
    """Delete the file or folder of images on this machine, if there is one."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def check_url(name: str) -> None:
    """Check that files at a URL can be accessed.

    Raises:
        InputError: there is no such protocol, its package is not installed, or it can't open the storage.
    """
    try:
        fsspec.core.url_to_fs(name)
    except Exception as error:  # the packages have errors of their own
        raise InputError(f"{name}: {error}") from error

"""Scores of the clips that are finished, so that an interrupted evaluation can be resumed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ls3d.data import Clip
from ls3d.data.cache import files_key
from ls3d.errors import InputError
from ls3d.evaluation.protocol import ClipScore
from ls3d.files import atomic_write, exclusive, remove_leftovers

log = logging.getLogger(__name__)


class Journal:
    """A file of JSON lines next to the report: first what identifies the evaluation, then one line for each clip.

    Args:
        report_path: the JSON report; the journal is ``<report_path>.part``.
        identity: equal for two evaluations only if they give the same scores to the same clips; None if that can't be
            known, and then nothing is resumed.
    """

    def __init__(self, report_path: str | os.PathLike[str], identity: Mapping[str, Any] | None) -> None:
        self.report_path = Path(report_path)
        self.path = Path(f"{os.fspath(report_path)}.part")
        self.identity = json.loads(json.dumps(identity, default=str))
        self._pending = [json.dumps(self.identity)]
        self._started = False

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from writing the same report.

        Raises:
            InputError: another process does.
        """
        lock = exclusive(f"{self.path}.lock", delete=True)
        try:
            lock.__enter__()
        except BlockingIOError as error:
            raise InputError(f"{self.report_path}: another process is writing this report") from error
        try:
            remove_leftovers(self.path)
            remove_leftovers(self.report_path)
            yield
        finally:
            lock.__exit__(None, None, None)

    def read(self) -> dict[tuple[str, str], ClipScore]:
        """The finished clips of an interrupted run of the same evaluation, by name and ``content_of``.

        Damaged lines are ignored.
        """
        if self.identity is None or not self.path.is_file():
            return {}
        text = self.path.read_text(encoding="utf-8", errors="replace")
        head, *lines = [_parse(line) for line in text.splitlines()] or [None]
        if head != self.identity:
            log.warning("%s belongs to another evaluation; starting from the first clip", self.path)
            return {}
        finished = {}
        for line in lines:
            with contextlib.suppress(KeyError, TypeError):
                score = ClipScore(**line["score"])
                finished[str(line["clip"]), str(line["content"])] = score
                self._pending.append(json.dumps(line))
        return finished

    def add(self, clip: str, content: str, score: ClipScore) -> None:
        """Record a clip as finished, by its name and its ``content_of``."""
        self._pending.append(json.dumps({"clip": clip, "content": content, "score": asdict(score)}))
        text = "".join(f"{line}\n" for line in self._pending)
        if self._started:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(text)
        else:
            with atomic_write(self.path) as temporary:
                temporary.write_text(text, encoding="utf-8")
        self._pending.clear()
        self._started = True

    def remove(self) -> None:
        """Delete the file: the evaluation is finished."""
        self.path.unlink(missing_ok=True)


def content_of(clip: Clip) -> str | None:
    """What changes with a clip's files (path, size or modification time), or with its frames in memory.

    None if the clip has neither or a file is missing; then its score can't be used again.
    """
    if hasattr(clip, "paths"):
        try:
            return files_key(clip.paths)
        except OSError:
            return None
    if not hasattr(clip, "frames"):
        return None
    digest = hashlib.sha256(f"{clip.frames.shape}".encode())
    digest.update(np.ascontiguousarray(clip.frames).data)
    return digest.hexdigest()


def _parse(line: str) -> Any:
    """A line's content; None if the line is incomplete."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None

"""Scores of the clips that are finished, so that an interrupted evaluation can be resumed."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ls3d.evaluation.protocol import ClipScore

log = logging.getLogger(__name__)


class Journal:
    """A file of JSON lines next to the report: first what identifies the evaluation, then one line for each clip.

    Args:
        report_path: the JSON report; the journal is ``<report_path>.part``.
        identity: equal for two evaluations only if they give the same scores; None if that can't be known, and then
            nothing is resumed.
    """

    def __init__(self, report_path: str | os.PathLike[str], identity: Mapping[str, Any] | None) -> None:
        self.path = Path(f"{os.fspath(report_path)}.part")
        self.identity = json.loads(json.dumps(identity, default=str))
        self._pending = [json.dumps(self.identity)]
        self._started = False

    def read(self) -> dict[str, ClipScore]:
        """The finished clips of an interrupted run of the same evaluation, by name. Incomplete lines are ignored."""
        if self.identity is None or not self.path.is_file():
            return {}
        head, *lines = [_parse(line) for line in self.path.read_text(encoding="utf-8").splitlines()] or [None]
        if head != self.identity:
            log.warning("%s belongs to another evaluation; starting from the first clip", self.path)
            return {}
        finished = [line for line in lines if line]
        self._pending += [json.dumps(line) for line in finished]
        return {line["clip"]: ClipScore(**line["score"]) for line in finished}

    def add(self, clip: str, score: ClipScore) -> None:
        """Record a clip as finished."""
        self._pending.append(json.dumps({"clip": clip, "score": asdict(score)}))
        with self.path.open("a" if self._started else "w", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in self._pending)
        self._pending.clear()
        self._started = True

    def remove(self) -> None:
        """Delete the file: the evaluation is finished."""
        self.path.unlink(missing_ok=True)


def _parse(line: str) -> Any:
    """A line's content; None if the line is incomplete."""
    try:
        return json.loads(line)
    except json.JSONDecodeError:
        return None

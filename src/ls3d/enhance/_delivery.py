"""Records of delivered outputs, by which a finished job is recognized when it is called again.

A record is kept in the workspace until that is deleted, and then in the user's state folder: ``$XDG_STATE_HOME/ls3d``,
by default ``~/.local/state/ls3d``. Where there is none, finished jobs are not recognized.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ls3d.enhance.report import EnhanceReport
from ls3d.files import write_json

log = logging.getLogger(__name__)

_MAX_RECORDS = 1000


@dataclass(frozen=True)
class Delivery:
    """An output, and the job that made it.

    Attributes:
        job: digest of what the output depends on.
        content: names, sizes and modification times of the output's files.
        report: of the job.
    """

    job: str
    content: list[list[Any]]
    report: EnhanceReport

    @classmethod
    def of(cls, output: Path, job: str, report: EnhanceReport) -> Delivery:
        """Describe an output as it is now.

        Args:
            output: a file or folder.
            job: what the output depends on.
            report: of the job.
        """
        return cls(_digest(job), _content(output), report)

    def describes(self, output: Path) -> bool:
        """Whether the output is unchanged since it was delivered."""
        return output.exists() and _content(output) == self.content

    def is_of(self, job: str) -> bool:
        """Whether this job made the output."""
        return self.job == _digest(job)

    def to_dict(self) -> dict[str, Any]:
        """A dictionary for JSON; ``from_dict`` reads it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Delivery:
        """Read what ``to_dict`` wrote.

        Raises:
            ValueError: the values are not those of a record.
        """
        try:
            return cls(values["job"], values["content"], EnhanceReport(**values["report"]))
        except (KeyError, TypeError) as error:
            raise ValueError("not a record of an output") from error


def remember(output: Path, delivery: Delivery) -> None:
    """Keep a record in the user's state folder, if there is one."""
    record = _record(output)
    if record is None:
        return
    try:
        record.parent.mkdir(parents=True, exist_ok=True)
        write_json(record, delivery.to_dict(), indent=None)
        for old in sorted(record.parent.glob("*.json"), key=lambda path: path.stat().st_mtime)[:-_MAX_RECORDS]:
            old.unlink(missing_ok=True)
    except OSError as error:
        log.debug("%s can't be written: %s", record, error)


def recall(output: Path) -> Delivery | None:
    """The record of an output; None if there is none, or the output has changed since."""
    record = _record(output)
    if record is None or not output.exists():
        return None
    try:
        delivery = Delivery.from_dict(json.loads(record.read_text()))
    except (OSError, ValueError):
        return None
    return delivery if delivery.describes(output) else None


def _record(output: Path) -> Path | None:
    """The file in the state folder that belongs to an output; None for a user without one."""
    try:
        state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    except RuntimeError:
        return None
    return state / "ls3d" / "outputs" / f"{_digest(str(output.resolve()))}.json"


def _content(output: Path) -> list[list[Any]]:
    files = sorted(output.iterdir()) if output.is_dir() else [output]
    status = [(path.name if output.is_dir() else "", path.stat()) for path in files]
    return [[name, each.st_size, each.st_mtime_ns] for name, each in status]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()

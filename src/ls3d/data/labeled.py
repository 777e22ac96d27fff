"""Labeled videos for classification: from a folder for each class, from a CSV file, or decoded in one file.

``open_labeled_set`` reads any of them. A *group* is what must not be divided between training and test, such as the
person who is filmed, or the folder of a published split.
"""

from __future__ import annotations

import csv
import logging
import math
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from ls3d.data.clips import Pixels
from ls3d.data.durations import read_durations
from ls3d.data.sound import FileSound, TimedSound
from ls3d.errors import InputError
from ls3d.video.names import is_video

log = logging.getLogger(__name__)

_MOST_NAMED = 10


class TimedFrames(Protocol):
    """The frames of a video, by time."""

    @property
    def duration(self) -> float:
        """In seconds."""
        ...

    def read(self, times: Sequence[float]) -> Pixels:
        """Return the frames that are nearest to times in seconds, in increasing order: ``(T, H, W, 3)`` RGB.

        Raises:
            InputError: they can't be decoded.
            OSError: the file can't be read.
        """
        ...


@dataclass(frozen=True)
class FileFrames:
    """The frames of a video file, or of a part of it. Implements ``TimedFrames``.

    Attributes:
        path: the file.
        duration: of the part, in seconds.
        start: of the part, in seconds.
        short_side: larger frames are scaled down to this shorter side; None keeps their size.
    """

    path: Path
    duration: float
    start: float = 0.0
    short_side: int | None = None

    def read(self, times: Sequence[float]) -> Pixels:
        """See ``TimedFrames.read``."""
        from ls3d.video import read_frames_at

        return read_frames_at(self.path, [self.start + time for time in times], self.short_side)


@dataclass(frozen=True)
class LabeledVideo:
    """A video and its class.

    Attributes:
        name: its path below the folder of the set.
        label: index in ``LabeledSet.classes``.
        group: such as a person or a split; empty if there are no groups.
        frames: its frames.
        sound: its sound; None if it has none.
    """

    name: str
    label: int
    group: str
    frames: TimedFrames
    sound: TimedSound | None = None


@dataclass(frozen=True)
class LabeledSet:
    """Labeled videos.

    Attributes:
        source: where they are from, for messages.
        classes: names of the classes.
        videos: sorted by name.
        unreadable: names of the files that were left out, each with the reason.
    """

    source: str
    classes: tuple[str, ...]
    videos: tuple[LabeledVideo, ...]
    unreadable: dict[str, str] = field(default_factory=dict)

    def of_groups(self, groups: Collection[str]) -> LabeledSet:
        """Return the videos of some groups.

        Raises:
            InputError: a group has no video.
        """
        known = {video.group for video in self.videos}
        if unknown := set(groups) - known:
            has = f"has the groups {', '.join(sorted(known))}" if known - {""} else "has no groups"
            raise InputError(f"{self.source} has no group {', '.join(sorted(unknown))}; it {has}")
        return replace(self, videos=tuple(video for video in self.videos if video.group in groups))

    def without_groups(self, groups: Collection[str]) -> LabeledSet:
        """Return the videos of all other groups."""
        return replace(self, videos=tuple(video for video in self.videos if video.group not in groups))


def open_labeled_set(root: str | os.PathLike[str], short_side: int | None = None) -> LabeledSet:
    """Open labeled videos. Files that can't be opened are left out, with one warning that names them.

    Args:
        root: a folder with ``LABEL/VIDEO`` or ``GROUP/LABEL/VIDEO``; or a CSV file with the columns ``path``,
            ``label`` and, optionally, ``start``, ``end`` (seconds) and ``group``, paths being relative to its folder;
            or a file that ``save_decoded`` wrote, or a folder that ``make_shards`` wrote.
        short_side: frames of files are scaled down to this shorter side; None keeps their size.

    Raises:
        InputError: ``root`` is none of these, or holds no video.
    """
    path = Path(root)
    if path.suffix.lower() == ".npz":
        from ls3d.data.decoded import load_decoded

        return load_decoded(path)
    if (path / "shards.json").is_file():
        from ls3d.data.shards import load_shards

        return load_shards(path, short_side)
    if path.is_dir():
        entries = _entries_of_folder(path)
    elif path.suffix.lower() == ".csv":
        entries = _entries_of_csv(path)
    else:
        raise InputError(f"{path}: expected a folder of videos, a CSV file or a file of decoded clips (.npz)")
    return _make_set(path, entries, short_side)


@dataclass(frozen=True)
class _Entry:
    name: str
    path: Path
    label: str
    group: str = ""
    start: float = 0.0
    end: float | None = None


def _entries_of_folder(root: Path) -> list[_Entry]:
    names = [path.relative_to(root) for path in root.rglob("*") if is_video(path)]
    depths = {len(name.parts) for name in names}
    if not names:
        raise InputError(f"{root} holds no videos")
    if depths not in ({2}, {3}):
        raise InputError(f"{root} has videos in different depths; expected LABEL/VIDEO or GROUP/LABEL/VIDEO everywhere")
    return [
        _Entry(name.as_posix(), root / name, name.parts[-2], name.parts[0] if len(name.parts) == 3 else "")
        for name in names
    ]


def _entries_of_csv(path: Path) -> list[_Entry]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:  # Excel writes a byte order mark
            rows = list(csv.DictReader(file))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} is not a CSV file in UTF-8 ({error})") from error
    if not rows or not {"path", "label"} <= rows[0].keys():
        raise InputError(f"{path}: expected rows with the columns path, label and, optionally, start, end, group")
    entries = []
    for number, row in enumerate(rows, 2):
        try:
            start = float(row.get("start") or 0)
            end = float(row["end"]) if row.get("end") else None
        except ValueError as error:
            raise InputError(f"{path}, line {number}: start and end must be seconds ({error})") from error
        if not row["path"] or not row["label"] or not 0 <= start < (math.inf if end is None else end):
            raise InputError(f"{path}, line {number}: expected a path, a label and 0 <= start < end")
        part = f"@{start:g}-{'' if end is None else f'{end:g}'}" if start or end is not None else ""
        name = f"{row['path']}{part}"
        entries.append(_Entry(name, path.parent / row["path"], row["label"], row.get("group") or "", start, end))
    return entries


def _make_set(root: Path, entries: list[_Entry], short_side: int | None) -> LabeledSet:
    classes = tuple(sorted({entry.label for entry in entries}))
    durations, reasons = read_durations(sorted({entry.path for entry in entries}))
    videos = []
    unreadable = {}
    for entry in sorted(entries, key=lambda entry: entry.name):
        if entry.path in reasons:
            unreadable[entry.name] = reasons[entry.path]
            continue
        end = durations[entry.path] if entry.end is None else min(entry.end, durations[entry.path])
        if end <= entry.start:
            unreadable[entry.name] = f"it ends at {end:.2f} s, before its part starts"
            continue
        frames = FileFrames(entry.path, end - entry.start, entry.start, short_side)
        sound = FileSound(entry.path, entry.start)
        videos.append(LabeledVideo(entry.name, classes.index(entry.label), entry.group, frames, sound))
    if unreadable:
        warn_of_unreadable(unreadable, len(entries))
    if not videos:
        raise InputError(f"{root} holds no video that can be read")
    return LabeledSet(str(root), classes, tuple(videos), unreadable)


def warn_of_unreadable(unreadable: dict[str, str], count: int) -> None:
    """Log one warning that names the files that can't be read, of ``count`` files."""
    shown = "; ".join(f"{name} ({reason})" for name, reason in list(unreadable.items())[:_MOST_NAMED])
    more = f"; and {len(unreadable) - _MOST_NAMED} more" if len(unreadable) > _MOST_NAMED else ""
    log.warning("%d of %d videos can't be read and are left out: %s%s", len(unreadable), count, shown, more)

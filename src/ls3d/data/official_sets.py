"""The official lists of Kinetics, UCF101, HMDB51 and Something-Something: which videos, of which class and split.

The splits become groups: ``train``, ``val`` and ``test``. Videos are found by their names, in any folder.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ls3d.errors import InputError

#: Suffixes of the files that are taken for videos.
VIDEO_SUFFIXES = frozenset(
    {".3gp", ".avi", ".flv", ".gif", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ts", ".webm", ".wmv"}
)

_UCF101 = re.compile(r"(?:train|test)list(\d\d)\.txt")
_HMDB51 = re.compile(r"(.+)_test_split(\d)\.txt")
_SOMETHING = re.compile(r"(something-something-.*)-(train|validation|test|labels)\.json")
_KINETICS_COLUMNS = frozenset({"label", "youtube_id", "time_start", "time_end"})

_SPLITS = {"train": "train", "val": "val", "validate": "val", "validation": "val", "test": "test"}


@dataclass(frozen=True)
class Entry:
    """A video of a list, or a part of it.

    Attributes:
        name: for messages and reports.
        path: its file.
        label: its class.
        group: such as a person or a split.
        start: of the part, in seconds.
        end: of the part, in seconds; None is the end of the file.
    """

    name: str
    path: Path
    label: str
    group: str = ""
    start: float = 0.0
    end: float | None = None


class _Videos:
    """The video files below a folder, by name. Files that aren't there get a path at which there is none."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in VIDEO_SUFFIXES)
        self.paths = {path.stem: path for path in paths} | {f"{path.parent.name}/{path.stem}": path for path in paths}

    def entry(self, name: str, label: str, group: str, *, whole: str = "", part: tuple[float, float] = (0, 0)) -> Entry:
        """The entry for a name without suffix, or else for ``part`` (seconds) of the video ``whole``."""
        found = self.paths.get(f"{label}/{name}") or self.paths.get(name)
        if found is None and whole in self.paths:
            path = self.paths[whole]
            shown = f"{path.relative_to(self.folder).as_posix()}@{part[0]:g}-{part[1]:g}"
            return Entry(shown, path, label, group, *part)
        path = found or self.folder / name
        return Entry(path.relative_to(self.folder).as_posix(), path, label, group)


def read_official_lists(root: Path) -> list[Entry] | None:
    """Read the lists of a data set.

    Args:
        root: a folder with lists and videos, of which the first split is taken; or one of the lists, which chooses the
            split: ``trainlist02.txt`` (UCF101), ``wave_test_split2.txt`` (HMDB51; stands for those of all classes),
            ``something-something-v2-train.json``, or a CSV file of Kinetics. The videos are next to the lists, or next
            to their folder.

    Returns:
        The videos of all splits; None if there are no such lists.

    Raises:
        InputError: a list is damaged.
    """
    lists = sorted([root] if root.is_file() else [*root.glob("*.*"), *root.glob("*/*.*")])
    for pattern, read in _READERS.items():
        matching = (path for path in lists if pattern.fullmatch(path.name) and path.is_file())
        found = next((path for path in matching if read is not _read_kinetics or _is_kinetics(path)), None)
        if found is not None:
            videos = _Videos(root if root.is_dir() else _folder_of_videos(found))
            try:
                return read(found, videos)
            except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
                raise InputError(f"{found} is not a list as it was published ({error})") from error
    return None


def _folder_of_videos(listed: Path) -> Path:
    """The folder of a list, or the one above it if that one holds no videos."""
    folder = listed.absolute().parent
    has_videos = any(path.suffix.lower() in VIDEO_SUFFIXES for path in folder.rglob("*"))
    return folder if has_videos else folder.parent


def _read_ucf101(listed: Path, videos: _Videos) -> list[Entry]:
    """``Label/v_Label_g01_c01.avi 1`` in each line; test lists have no number."""
    match = _UCF101.fullmatch(listed.name)
    assert match is not None
    entries = []
    for split in ("train", "test"):
        path = listed.with_name(f"{split}list{match[1]}.txt")
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.strip():
                label, file = line.split()[0].split("/")
                entries.append(videos.entry(Path(file).stem, label, split))
    return entries


def _read_hmdb51(listed: Path, videos: _Videos) -> list[Entry]:
    """One file for each class, ``name.avi 1`` in each line: 1 is training, 2 is test, 0 is neither."""
    match = _HMDB51.fullmatch(listed.name)
    assert match is not None
    entries = []
    for path in sorted(listed.parent.glob(f"*_test_split{match[2]}.txt")):
        label = path.name.removesuffix(f"_test_split{match[2]}.txt")
        for line in path.read_text(encoding="utf-8").splitlines():
            if not line.strip():
                continue
            file, number = line.rsplit(maxsplit=1)
            if number != "0":
                entries.append(videos.entry(Path(file).stem, label, {"1": "train", "2": "test"}[number]))
    return entries


def _read_something(listed: Path, videos: _Videos) -> list[Entry]:
    """A list of ``{"id": "1", "template": "Holding [something]"}`` for each split; that of the test has no classes."""
    match = _SOMETHING.fullmatch(listed.name)
    assert match is not None
    entries = []
    for split in ("train", "validation"):
        path = listed.with_name(f"{match[1]}-{split}.json")
        rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
        for row in rows:
            label = row["template"].replace("[", "").replace("]", "")
            entries.append(videos.entry(str(row["id"]), label, _SPLITS[split]))
    return entries


def _is_kinetics(path: Path) -> bool:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return set(next(csv.reader(file), [])) >= _KINETICS_COLUMNS
    except (OSError, UnicodeDecodeError, csv.Error):
        return False


def _read_kinetics(listed: Path, videos: _Videos) -> list[Entry]:
    """All files of Kinetics next to ``listed``; a file without the column ``split`` is named after its split.

    Videos are named ``ID_000010_000020``, after the part that was cut out, or ``ID``.
    """
    entries: dict[str, Entry] = {}
    for path in sorted(path for path in listed.parent.glob("*.csv") if _is_kinetics(path)):
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                if not row["label"]:  # test sets without classes
                    continue
                split = _SPLITS[row.get("split") or path.stem.rpartition("_")[2]]
                start, end = float(row["time_start"]), float(row["time_end"])
                name = f"{row['youtube_id']}_{round(start):06d}_{round(end):06d}"
                label, whole = row["label"], row["youtube_id"]
                entries[name] = videos.entry(name, label, split, whole=whole, part=(start, end))
    return list(entries.values())


_READERS: dict[re.Pattern[str], Callable[[Path, _Videos], list[Entry]]] = {
    _UCF101: _read_ucf101,
    _HMDB51: _read_hmdb51,
    _SOMETHING: _read_something,
    re.compile(r".+\.csv"): _read_kinetics,
}

"""Official split files of published sets of actions, as a CSV file that ``open_labeled_set`` reads.

The groups of the CSV are ``train``, ``val`` and ``test``. Videos that are missing are named when the CSV is opened.
"""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from ls3d.errors import InputError
from ls3d.files import atomic_write

_HMDB_FILE = re.compile(r"(?P<label>.+)_test_split(?P<split>\d+)\.txt")
_HMDB_PARTS = {"1": "train", "2": "test"}  # 0: in neither
_KINETICS_PARTS = {"train": "train", "val": "val", "validate": "val", "validation": "val", "test": "test"}


class SplitRow(NamedTuple):
    """A video of a split: its path below the folder of videos, its class, and ``train``, ``val`` or ``test``."""

    path: str
    label: str
    group: str


def read_ucf101(lists: Path, split: int = 1) -> Iterator[SplitRow]:
    """UCF101: ``trainlist01.txt`` and ``testlist01.txt``, lines such as ``Archery/v_Archery_g01_c01.avi 3``."""
    for part in ("train", "test"):
        for line in _lines(lists / f"{part}list{split:02d}.txt"):
            path = line.split()[0]
            label, slash, _ = path.partition("/")
            if not slash:
                raise InputError(f"{lists}: {line!r} is not CLASS/VIDEO")
            yield SplitRow(path, label, part)


def read_hmdb51(lists: Path, split: int = 1) -> Iterator[SplitRow]:
    """HMDB51: ``CLASS_test_split1.txt`` for each class, lines such as ``video.avi 1`` (train), 2 (test), 0 (unused)."""
    for path in sorted(lists.iterdir()):
        match = _HMDB_FILE.fullmatch(path.name)
        if match is None or int(match["split"]) != split:
            continue
        for line in _lines(path):
            name, _, number = line.rpartition(" ")
            if number in _HMDB_PARTS:
                yield SplitRow(f"{match['label']}/{name.strip()}", match["label"], _HMDB_PARTS[number])


def read_kinetics(lists: Path, split: int = 1) -> Iterator[SplitRow]:
    """Kinetics: CSV files with ``label``, ``youtube_id``, ``time_start``, ``time_end``, ``split``.

    Videos are named as the usual download tools do: ``CLASS/ID_000012_000022.mp4``.
    """
    for path in sorted(lists.glob("*.csv")):
        with path.open(newline="", encoding="utf-8-sig") as file:
            for row in csv.DictReader(file):
                try:
                    start, end = int(float(row["time_start"])), int(float(row["time_end"]))
                    name = f"{row['label']}/{row['youtube_id']}_{start:06d}_{end:06d}.mp4"
                    yield SplitRow(name, row["label"], _KINETICS_PARTS[row["split"].strip()])
                except (KeyError, ValueError, OverflowError) as error:
                    raise InputError(f"{path}: {row} is not a row of Kinetics ({error})") from error


def read_something_something(lists: Path, split: int = 1) -> Iterator[SplitRow]:
    """Something-Something: ``*-train.json`` and ``*-validation.json``; the class is the template without brackets."""
    for part, group in (("train", "train"), ("validation", "val")):
        for path in sorted(lists.glob(f"*-{part}.json")):
            try:
                entries = json.loads(path.read_text(encoding="utf-8"))
                for entry in entries:
                    label = entry["template"].replace("[", "").replace("]", "")
                    yield SplitRow(f"{entry['id']}.webm", label, group)
            except (ValueError, LookupError, TypeError, AttributeError) as error:
                raise InputError(f"{path} is not a list of Something-Something ({error})") from error


#: Readers of the official files by the name of the set.
PUBLISHED_SPLITS: dict[str, Callable[[Path, int], Iterator[SplitRow]]] = {
    "hmdb51": read_hmdb51,
    "kinetics": read_kinetics,
    "something-something": read_something_something,
    "ucf101": read_ucf101,
}


def write_split_csv(
    name: str,
    lists: str | os.PathLike[str],
    videos: str | os.PathLike[str],
    output: str | os.PathLike[str],
    split: int = 1,
) -> int:
    """Write the official split of a published set as a CSV file.

    Args:
        name: a key of ``PUBLISHED_SPLITS``.
        lists: the folder of the official files.
        videos: the folder of the videos.
        output: the CSV file; ``ls3d train --data`` and ``ls3d evaluate --data`` take it.
        split: number of the split, for UCF101 and HMDB51.

    Returns:
        The number of videos.

    Raises:
        InputError: there is no such set, or the files are not its official ones.
    """
    if name not in PUBLISHED_SPLITS:
        raise InputError(f"{name}: expected one of {', '.join(PUBLISHED_SPLITS)}", argument="name")
    if not Path(lists).is_dir():
        raise InputError(f"there is no folder {os.fspath(lists)}", argument="lists")
    rows = list(PUBLISHED_SPLITS[name](Path(lists), split))
    if not rows:
        raise InputError(f"{os.fspath(lists)} holds no official split of {name}")
    folder = Path(videos).absolute()
    with atomic_write(output) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "group"])
        writer.writerows([str(folder / row.path), row.label, row.group] for row in rows)
    return len(rows)


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise InputError(f"there is no file {path}") from error
    return [line.strip() for line in text.splitlines() if line.strip()]

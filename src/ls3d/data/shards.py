"""Shards: labeled videos in a few large tar files, as the library webdataset reads them.

A training on a cluster reads many small files slowly from shared storage. ``make_shards`` writes them into tar files of
about equal size, and ``shards.json`` says where each video is. A video is read from its shard once for each machine and
kept in the cache folder. Since every video can be found by its position, samples are numbered as those of single files,
and a training resumes in the middle of an epoch.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ls3d.data.clips import Pixels
from ls3d.data.labeled import FileFrames, LabeledSet, LabeledVideo
from ls3d.data.sound import FileSound, Samples
from ls3d.errors import InputError
from ls3d.files import atomic_write, cache_folder, write_json

INDEX = "shards.json"

_FORMAT = 1


@dataclass(frozen=True)
class Member:
    """A video in a shard.

    Attributes:
        shard: the tar file.
        offset: position of its first byte.
        size: in bytes.
        suffix: of its name.
        sha256: of its bytes.
    """

    shard: Path
    offset: int
    size: int
    suffix: str
    sha256: str

    def path(self) -> Path:
        """A file with the bytes of the video, in the cache folder; it is written if it is not there.

        Raises:
            OSError: the shard can't be read.
            InputError: the shard is damaged.
        """
        file = cache_folder() / "shards" / self.sha256[:2] / f"{self.sha256}{self.suffix}"
        if file.exists() and file.stat().st_size == self.size:
            return file
        with self.shard.open("rb") as shard:
            shard.seek(self.offset)
            content = shard.read(self.size)
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise InputError(f"{self.shard} is damaged at byte {self.offset}; make the shards again")
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(file) as temporary:
            temporary.write_bytes(content)
        return file


@dataclass(frozen=True)
class ShardFrames:
    """The frames of a video in a shard. Implements ``TimedFrames``.

    Attributes:
        member: the video.
        duration: in seconds.
        short_side: see ``FileFrames``.
    """

    member: Member
    duration: float
    short_side: int | None = None

    def file(self) -> FileFrames:
        """The frames of the file in the cache folder."""
        return FileFrames(self.member.path(), self.duration, 0.0, self.short_side)

    def read(self, times: Sequence[float]) -> Pixels:
        """See ``TimedFrames.read``."""
        return self.file().read(times)


@dataclass(frozen=True)
class ShardSound:
    """The sound of a video in a shard. Implements ``TimedSound``.

    Attributes:
        member: the video.
    """

    member: Member

    def read(self, start: float, count: int) -> Samples | None:
        """See ``TimedSound.read``."""
        return FileSound(self.member.path()).read(start, count)


def make_shards(
    labeled: LabeledSet,
    folder: str | os.PathLike[str],
    shard_bytes: int = 256 << 20,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write the files of labeled videos into shards. If it is interrupted, the same call resumes.

    Args:
        labeled: a set of whole files.
        folder: for ``000000.tar`` and so on, and ``shards.json``.
        shard_bytes: a shard ends when it has this size; a video is never divided.
        progress: is called after every shard with the number of shards done, and of all.

    Returns:
        The number of shards.

    Raises:
        InputError: a video is a part of a file, or not a file; or the folder holds shards of other videos.
        OSError: a file can't be read or written.
    """
    paths = [_whole_file(video) for video in labeled.videos]
    sizes = [path.stat().st_size for path in paths]
    groups = _divide(sizes, shard_bytes)
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    identity = _identity(labeled, sizes, shard_bytes)
    _require_same(target, identity)
    entries: list[dict[str, Any]] = []
    for number, indices in enumerate(groups):
        shard = target / f"{number:06d}.tar"
        if not shard.exists():
            with atomic_write(shard, durable=True) as temporary:
                _write_shard(temporary, [(index, labeled.videos[index], paths[index]) for index in indices])
        entries += _read_shard(shard, [labeled.videos[index] for index in indices])
        if progress is not None:
            progress(number + 1, len(groups))
    content = {"format": _FORMAT, "identity": identity, "classes": list(labeled.classes), "videos": entries}
    write_json(target / INDEX, content, durable=True)
    return len(groups)


def load_shards(folder: Path, short_side: int | None = None) -> LabeledSet:
    """Open the set that ``make_shards`` wrote; no shard is read.

    Args:
        folder: with ``shards.json``.
        short_side: see ``open_labeled_set``.

    Raises:
        InputError: ``shards.json`` can't be read, or a shard is missing.
    """
    try:
        content = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        if content["format"] != _FORMAT:
            raise ValueError(f"its format is {content['format']!r}, expected {_FORMAT}")
        classes = tuple(str(name) for name in content["classes"])
        videos = tuple(_video(folder, entry, len(classes), short_side) for entry in content["videos"])
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise InputError(f"{folder / INDEX} can't be read ({error})") from error
    for shard in sorted({video.frames.member.shard for video in videos if isinstance(video.frames, ShardFrames)}):
        if not shard.is_file():
            raise InputError(f"{shard} is missing; make the shards again")
    return LabeledSet(str(folder), classes, videos)


def _whole_file(video: LabeledVideo) -> Path:
    if isinstance(video.frames, FileFrames) and Path(video.name).name == video.frames.path.name:
        return video.frames.path
    raise InputError(f"{video.name}: expected a whole video file; shards can't hold parts of files or decoded videos")


def _divide(sizes: Sequence[int], limit: int) -> list[list[int]]:
    """Indices of the videos of each shard. Neighbors in the sorted names go to different shards.

    A shard that can't be read for some time then concerns all classes alike.
    """
    count = max(1, -(-sum(sizes) // limit))
    groups = [list(range(first, len(sizes), count)) for first in range(count)]
    return [group for group in groups if group]


def _identity(labeled: LabeledSet, sizes: Sequence[int], shard_bytes: int) -> str:
    digest = hashlib.sha256(f"{_FORMAT} {shard_bytes} {labeled.classes}".encode(errors="surrogateescape"))
    for video, size in zip(labeled.videos, sizes, strict=True):
        digest.update(f"{video.name}\t{video.label}\t{video.group}\t{size}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def _require_same(folder: Path, identity: str) -> None:
    """Check that the folder is empty or holds shards of the same videos, and record whose they are."""
    record = folder / "videos.sha256"
    if record.exists():
        if record.read_text() != identity:
            raise InputError(f"{folder} holds shards of other videos or of another size; expected another folder")
        return
    if next(folder.iterdir(), None) is not None:
        raise InputError(f"{folder} holds other files; expected a new or an empty folder")
    with atomic_write(record) as temporary:
        temporary.write_text(identity)


def _write_shard(path: Path, videos: Sequence[tuple[int, LabeledVideo, Path]]) -> None:
    """Write a tar file; its bytes depend on the videos alone."""
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        for index, video, source in videos:
            key = f"{index:09d}"
            with source.open("rb") as file:
                info = tarfile.TarInfo(f"{key}{source.suffix.lower()}")
                info.size = os.fstat(file.fileno()).st_size
                tar.addfile(info, file)
            described = {"name": video.name, "label": video.label, "group": video.group}
            for suffix, content in (("cls", str(video.label)), ("json", json.dumps(described))):
                info = tarfile.TarInfo(f"{key}.{suffix}")
                info.size = len(content.encode())
                tar.addfile(info, io.BytesIO(content.encode()))


def _read_shard(shard: Path, videos: Sequence[LabeledVideo]) -> list[dict[str, Any]]:
    """Where the videos of a shard are."""
    entries = []
    with tarfile.open(shard) as tar, shard.open("rb") as file:
        members = [member for member in tar if not member.name.endswith((".cls", ".json"))]
        for member, video in zip(members, videos, strict=True):
            file.seek(member.offset_data)
            digest = hashlib.sha256(file.read(member.size)).hexdigest()
            place = Member(Path(shard.name), member.offset_data, member.size, Path(member.name).suffix, digest)
            entries.append(
                {
                    "name": video.name,
                    "label": video.label,
                    "group": video.group,
                    "duration": video.frames.duration,
                    **asdict(place),
                    "shard": shard.name,
                }
            )
    return entries


def _video(folder: Path, entry: dict[str, Any], classes: int, short_side: int | None) -> LabeledVideo:
    """A video from its entry in the index, whose values are checked: a shard is a file of this folder."""
    shard, offset, size, suffix, sha256 = (entry[key] for key in ("shard", "offset", "size", "suffix", "sha256"))
    if Path(shard).name != shard or not 0 <= entry["label"] < classes or min(offset, size) < 0:
        raise ValueError(f"{entry['name']}: wrong values")
    if not (len(sha256) == 64 and sha256.isalnum()) or Path(sha256 + suffix).name != sha256 + suffix:
        raise ValueError(f"{entry['name']}: wrong values")
    member = Member(folder / shard, int(offset), int(size), suffix, sha256)
    frames = ShardFrames(member, float(entry["duration"]), short_side)
    return LabeledVideo(str(entry["name"]), int(entry["label"]), str(entry["group"]), frames, ShardSound(member))

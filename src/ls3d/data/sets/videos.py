"""Sets that come as video files, and any folder of videos or frames."""

from __future__ import annotations

import json
import re
from pathlib import Path

from ls3d.data.footage import VIDEO_SUFFIXES, Footage, ImageFootage, VideoFootage, YuvFootage
from ls3d.data.sets._registry import data_set
from ls3d.errors import InputError
from ls3d.video.image_source import ImageSequence
from ls3d.video.images import IMAGE_SUFFIXES


@data_set(
    "yuv25",
    "the test sequences of the 25 YUV benchmark",
    "the authors of BRCN (NIPS 2015)",
    "Dancing_WIDTHxHEIGHT.yuv, Treadmill, Flag, Fan, Turbine: raw 8-bit 4:2:0, the size in the name",
    clips=5,
)
def yuv25(root: Path) -> list[Footage]:
    """Huang et al., "Bidirectional recurrent convolutional networks" (NIPS 2015): five test sequences.

    Raw files do not tell their size, so their names must.
    """
    clips: list[Footage] = []
    for path in sorted(root.glob("*.yuv")):
        match = re.fullmatch(r"(.+?)_?(\d+)x(\d+).*", path.stem)
        if not match:
            raise InputError(f"{path.name} does not tell its size; rename it to {path.stem}_WIDTHxHEIGHT.yuv")
        clips.append(YuvFootage(match[1], path, int(match[2]), int(match[3])))
    return clips


@data_set(
    "mlb-youtube",
    "the segmented clips of MLB-YouTube",
    "github.com/piergiaj/mlb-youtube",
    "mlb-youtube-segmented.json and the clips <name>.mp4 or <name>.mkv in folders of any depth",
)
def mlb_youtube(root: Path, subset: str = "testing") -> list[Footage]:
    """The clips of a subset (Piergiovanni and Ryoo, CVPRW 2018) that lie there, by name.

    Videos vanish from YouTube, so nobody has all of them: the report says how many there were.
    """
    lists = sorted(root.rglob("mlb-youtube-segmented.json"))
    if not lists:
        return []
    wanted = {name for name, facts in json.loads(lists[0].read_text()).items() if facts["subset"] == subset}
    return [VideoFootage(path.stem, path) for path in _videos(root) if path.stem in wanted]


@data_set(
    "folder",
    "videos or folders of frames",
    "anywhere",
    "video files, or folders with one image per frame, at any depth",
)
def folder(root: Path) -> list[Footage]:
    """Every video and every folder of images below ``root``."""
    clips: list[Footage] = [VideoFootage(path.relative_to(root).as_posix(), path) for path in _videos(root)]
    parents = {path.parent for path in root.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES}
    for parent in sorted(parents):
        name = parent.relative_to(root).as_posix()
        clips.append(ImageFootage(root.name if name == "." else name, ImageSequence(parent).paths))
    return clips


def _videos(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.suffix.lower() in VIDEO_SUFFIXES)

"""Test sets of video files, and any folder of videos or frames."""

from __future__ import annotations

import json
import re
from pathlib import Path

from ls3d.data.clips import FileClip, ImageClip, VideoClip, YuvClip
from ls3d.data.sets.registry import register_data_set
from ls3d.errors import InputError
from ls3d.video.image_source import images_in_order
from ls3d.video.names import is_image, is_video


@register_data_set(
    "yuv25",
    "the test sequences of the 25 YUV benchmark",
    "the authors of BRCN (NIPS 2015)",
    "Dancing_WIDTHxHEIGHT.yuv, Treadmill, Flag, Fan, Turbine: raw 8-bit 4:2:0 with the size in the name",
    clips=5,
)
def yuv25(root: Path) -> list[FileClip]:
    """Huang et al., "Bidirectional recurrent convolutional networks" (NIPS 2015): five test sequences.

    Raw files have no header, so the frame size is read from their names.
    """
    clips: list[FileClip] = []
    for path in sorted(root.glob("*.yuv")):
        match = re.fullmatch(r"(.+?)_?(\d+)x(\d+).*", path.stem)
        if not match:
            raise InputError(f"{path.name} has no frame size in its name; rename it to {path.stem}_WIDTHxHEIGHT.yuv")
        clips.append(YuvClip(match[1], path, int(match[2]), int(match[3])))
    return clips


@register_data_set(
    "mlb-youtube",
    "the segmented clips of MLB-YouTube",
    "github.com/piergiaj/mlb-youtube",
    "mlb-youtube-segmented.json and the clips <name>.mp4 or <name>.mkv in folders of any depth",
)
def mlb_youtube(root: Path, subset: str = "testing") -> list[FileClip]:
    """The clips of a subset (Piergiovanni and Ryoo, CVPRW 2018) that exist below ``root``, by name.

    Videos are removed from YouTube over time, so no copy is complete; reports state the number of clips.
    """
    lists = sorted(root.rglob("mlb-youtube-segmented.json"))
    if not lists:
        return []
    try:
        segments = json.loads(lists[0].read_text())
        wanted = {name for name, segment in segments.items() if segment["subset"] == subset}
    except (ValueError, AttributeError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{lists[0]} is not the list of MLB-YouTube; expected an object with a subset each") from error
    return [VideoClip(path.stem, path) for path in _videos_below(root) if path.stem in wanted]


@register_data_set(
    "folder",
    "videos or folders of frames",
    "your own videos",
    "video files, or folders with one image per frame, at any depth",
)
def folder(root: Path) -> list[FileClip]:
    """Every video and every folder of images below ``root``; the images are in natural order (9 before 10)."""
    clips: list[FileClip] = [VideoClip(path.relative_to(root).as_posix(), path) for path in _videos_below(root)]
    for parent in sorted({path.parent for path in root.rglob("*") if is_image(path)}):
        name = root.name if parent == root else parent.relative_to(root).as_posix()
        clips.append(ImageClip(name, images_in_order(parent)))
    return clips


def _videos_below(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if is_video(path))

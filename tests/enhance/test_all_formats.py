"""Every kind of video and stream in every output format: nothing is lost without a note, or fails after the work."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from helpers.scripts import load_script
from helpers.videos import BT709, HDR10, Clip, decode, planes, times

from ls3d.enhance import EnhanceOptions, denoise
from ls3d.video import probe

formats = load_script("formats")

#: Files whose pictures the output holds without loss, in FFV1.
_EXTRAS: dict[str, dict[str, Any]] = {
    "audio": {"audio": ("eng", "deu"), "audio_codec": "flac"},
    "text": {"subtitles": ((40, 120, "one"),), "metadata": {"title": "A title"}},
    "attachment": {"attachment": b"a font", "chapters": ((0, 80, "one"),)},
}
CLIPS = {
    f"{codec}, {'variable' if pts else 'constant'} rate, {name}": Clip(
        4,
        codec=encoder,
        pix_fmt=pix_fmt,
        options=dict(options),
        tags=tags,
        pts=pts,
        time_base=Fraction(1, 1000),
        **extra,
    )
    for codec, encoder, pix_fmt, options, tags in (
        ("h264", "libx264", "yuv420p", {"crf": "20"}, BT709),
        ("h264 10 bits", "libx264", "yuv420p10le", {"crf": "20"}, HDR10),
        ("hevc", "libx265", "yuv420p10le", {"x265-params": "log-level=none"}, HDR10),
        ("vp9", "libvpx-vp9", "yuv420p", {}, BT709),
        ("ffv1", "ffv1", "yuv444p", {}, BT709),
    )
    for pts in (None, (0, 40, 200, 240))
    for name, extra in _EXTRAS.items()
}


@pytest.mark.slow
def test_nothing_is_lost_without_a_note_and_the_page_is_current() -> None:
    cells = formats.make_cells()
    assert [cell for cell in cells if cell.outcome in (formats.SILENT, formats.FAILED)] == []
    assert formats.page(cells, formats.TARGETS) == formats.PAGE.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("name", CLIPS)
def test_the_identity_changes_nothing(tmp_path: Path, name: str) -> None:
    source = CLIPS[name].write(tmp_path / "in.mkv")
    target = tmp_path / "out.mkv"
    denoise(source, target, model="identity", options=EnhanceOptions(codec="ffv1"))
    for before, after in zip(decode(source), decode(target), strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(planes(before), planes(after), strict=True))
    assert times(target) == times(source)
    old, new = probe(source), probe(target)
    for field in ("width", "height", "tags", "display_matrix", "sample_aspect_ratio", "field_order", "disposition"):
        assert getattr(new, field) == getattr(old, field), field
    assert new.color.layout == old.color.layout
    assert copied(target) == copied(source)


def copied(path: Path) -> dict[str, Any]:
    """Metadata, chapters, and the copied streams with their packets."""
    with av.open(str(path)) as container:
        streams = [each for each in container.streams if each.type != "video"]
        packets: dict[int, list[Any]] = {each.index: [] for each in streams}
        for packet in container.demux():
            if packet.size and packet.stream.index in packets:
                packets[packet.stream.index].append((packet.pts, bytes(packet)))
        return {
            "title": container.metadata.get("title"),
            "chapters": [(each["start"], each["end"], each["metadata"]) for each in container.chapters()],
            "streams": [(each.type, each.disposition, each.metadata.get("language")) for each in streams],
            "packets": packets,
            "attachments": [each.data for each in container.streams.attachments],
        }

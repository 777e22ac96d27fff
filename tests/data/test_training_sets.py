"""Training lists: clips in the layout of the official archives are found, and none of the test lists."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers import videos

from ls3d.data.cache import open_clips
from ls3d.data.sets import get_data_set
from ls3d.data.training_sets import TRAINING_SETS, open_training_set
from ls3d.data.windows import RandomWindows
from ls3d.errors import InputError
from ls3d.video.images import encode_png


def write_frames(folder: Path, names: list[str], size: tuple[int, int] = (24, 32)) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        (folder / name).write_bytes(encode_png(videos.moving_picture(number, *size)))


def septuplets(root: Path) -> None:
    for clip in ("00001/0001", "00001/0002", "00002/0001"):
        write_frames(root / "sequences" / clip, [f"im{n}.png" for n in range(1, 8)])
    (root / "sep_trainlist.txt").write_text("00001/0001\n00002/0001\n")
    (root / "sep_testlist.txt").write_text("00001/0002\n")


def cityscapes(root: Path) -> None:
    for split, city in (("train", "aachen"), ("val", "frankfurt")):
        folder = root / "leftImg8bit_sequence" / split / city
        write_frames(folder, [f"{city}_000000_{n:06d}_leftImg8bit.png" for n in range(8)])


def mlb(root: Path) -> None:
    subsets = {"one": "training", "two": "testing", "three": "training", "gone": "training"}
    (root / "mlb-youtube-segmented.json").write_text(json.dumps({k: {"subset": v} for k, v in subsets.items()}))
    for name in ("one", "two", "three"):
        videos.Clip(6, (24, 32)).write(root / f"{name}.mp4")


def yuv(root: Path) -> None:
    for name in ("Dance_32x24", "Flag_32x24"):
        (root / f"{name}.yuv").write_bytes(bytes(range(256)) * (6 * 32 * 24 * 3 // 2 // 256))


def folder(root: Path) -> None:
    write_frames(root / "walk", [f"{n}.png" for n in range(6)])
    videos.Clip(6, (24, 32)).write(root / "video.mp4")


LAYOUTS = {
    "vimeo-septuplet": (septuplets, ["00001/0001", "00002/0001"]),
    "cityscapes": (cityscapes, ["aachen_000000_000000"]),
    "mlb-youtube": (mlb, ["one", "three"]),
    "yuv25": (yuv, ["Dance", "Flag"]),
    "folder": (folder, ["video.mp4", "walk"]),
}


@pytest.mark.parametrize("name", TRAINING_SETS)
def test_every_training_set_gives_windows(name: str, tmp_path: Path) -> None:
    write, names = LAYOUTS[name]
    (tmp_path / "data").mkdir()
    write(tmp_path / "data")
    clips = open_clips(tmp_path / "data", tmp_path / "cache", name)
    assert [clip.name for clip in clips] == names
    assert all(clip.frames.shape[1:] == (24, 32, 3) for clip in clips)
    assert RandomWindows(clips, 5, 16)[0]["frames"].shape == (3, 5, 16, 16)
    if name in ("vimeo-septuplet", "cityscapes", "mlb-youtube"):
        test_names = {clip.name for clip in get_data_set(name).open(tmp_path / "data")}
        assert test_names
        assert not test_names & set(names)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("cityscape", "no training set is called 'cityscape'"), ("cityscapes", "holds no training clips of cityscapes")],
)
def test_a_missing_training_set_is_refused(tmp_path: Path, name: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        open_training_set(name, tmp_path)

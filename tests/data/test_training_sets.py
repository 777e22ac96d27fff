"""Training lists: what lies where the papers' data lies is found, and nothing of the test lists."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from helpers import videos as clip_maker

from ls3d.data.clips import MappedClip, RandomWindows, open_clips
from ls3d.data.sets import open_data_set
from ls3d.data.training_sets import TRAINING_SETS, open_training_set
from ls3d.errors import InputError
from ls3d.nn.resize import imresize
from ls3d.video.images import encode_png


def write_frames(folder: Path, names: list[str], size: tuple[int, int] = (24, 32)) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        (folder / name).write_bytes(encode_png(clip_maker.moving_picture(number, *size)))


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
        clip_maker.Clip(6, (24, 32)).write(root / f"{name}.mp4")


def yuv(root: Path) -> None:
    for name in ("Dance_32x24", "Flag_32x24"):
        (root / f"{name}.yuv").write_bytes(bytes(range(256)) * (6 * 32 * 24 * 3 // 2 // 256))


def folder(root: Path) -> None:
    write_frames(root / "walk", [f"{n}.png" for n in range(6)])
    clip_maker.Clip(6, (24, 32)).write(root / "video.mp4")


LAYOUTS = {
    "vimeo-septuplet": (septuplets, ["00001/0001", "00002/0001"]),
    "cityscapes": (cityscapes, ["aachen_000000_000000"]),
    "mlb-youtube": (mlb, ["one", "three"]),
    "yuv25": (yuv, ["Dance", "Flag"]),
    "folder": (folder, ["video.mp4", "walk"]),
}


@pytest.mark.parametrize("name", TRAINING_SETS)
def test_every_set_gives_training_samples(name: str, tmp_path: Path) -> None:
    lay, names = LAYOUTS[name]
    (tmp_path / "data").mkdir()
    lay(tmp_path / "data")
    clips = open_clips(tmp_path / "data", tmp_path / "cache", name)
    assert [clip.name for clip in clips] == names
    assert all(clip.frames.shape[1:] == (24, 32, 3) for clip in clips)
    assert RandomWindows(clips, 5, 16)[0]["frames"].shape == (3, 5, 16, 16)
    if name in ("vimeo-septuplet", "cityscapes", "mlb-youtube"):
        tested = {clip.name for clip in open_data_set(name, tmp_path / "data")}
        assert tested
        assert not tested & set(names)


def test_frames_are_kept_as_they_are_or_at_the_size_asked_for(tmp_path: Path) -> None:
    write_frames(tmp_path / "data" / "walk", [f"{n}.png" for n in range(3)], (24, 32))
    (whole,) = open_clips(tmp_path / "data", tmp_path / "cache")
    truth = np.stack([clip_maker.moving_picture(n, 24, 32) for n in range(3)])
    assert np.array_equal(whole.frames, truth)
    (small,) = open_clips(tmp_path / "data", tmp_path / "cache", size=(12, 16))
    import torch

    expected = imresize(torch.from_numpy(truth).permute(0, 3, 1, 2).double(), 0.5).round().clamp(0, 255)
    assert np.abs(small.frames.astype(int) - expected.permute(0, 2, 3, 1).numpy()).max() <= 1
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_frames_of_different_sizes_are_no_clip(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_frames(tmp_path / "good", ["0.png", "1.png"])
    write_frames(tmp_path / "odd", ["0.png"])
    write_frames(tmp_path / "odd", ["1.png"], (20, 20))
    assert [clip.name for clip in open_clips(tmp_path, tmp_path.parent / f"{tmp_path.name}_cache")] == ["good"]
    assert "odd has frames of different sizes" in caplog.text


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("cityscape", "no training set is called 'cityscape'"), ("cityscapes", "holds no training clips of cityscapes")],
)
def test_a_set_that_is_not_there_is_named(tmp_path: Path, name: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        open_training_set(name, tmp_path)


def test_a_clip_is_mapped_only_while_it_is_read(tmp_path: Path) -> None:
    """More clips than a process may map files must not be a problem."""
    np.save(tmp_path / "clip.npy", np.zeros((5, 16, 16, 3), np.uint8))
    windows = RandomWindows([MappedClip("clip", tmp_path / "clip.npy")], 5, 16)
    maps = Path("/proc/self/maps")
    if not maps.exists():
        pytest.skip("only Linux tells which files are mapped")
    windows[0]
    assert "clip.npy" not in maps.read_text()

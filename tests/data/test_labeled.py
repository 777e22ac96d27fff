"""Sets of labeled videos: folders, CSV files, groups, files that can't be read, clips."""

from __future__ import annotations

import errno
import logging
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.labeled import damage, gray_frames, gray_set, write_gray_videos

from ls3d import video
from ls3d.data import durations
from ls3d.data.clip_times import ClipTiming
from ls3d.data.decoded import DecodedFrames, decode_set, load_decoded, save_decoded
from ls3d.data.labeled import open_labeled_set
from ls3d.data.labeled_clips import Augmentation, FixedViews, RandomClips, Region, resize_region
from ls3d.errors import InputError
from ls3d.training.recognition.loaders import Split, digest_split

TIMING = ClipTiming(4, 4.0)


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_a_folder_for_each_class(tmp_path: Path) -> None:
    labeled = open_labeled_set(write_gray_videos(tmp_path / "set", 2, groups=False))
    assert labeled.classes == ("bright", "dark")
    assert [(video.name, video.label, video.group) for video in labeled.videos] == [
        ("bright/bright0.mp4", 0, ""),
        ("bright/bright1.mp4", 0, ""),
        ("dark/dark0.mp4", 1, ""),
        ("dark/dark1.mp4", 1, ""),
    ]
    assert [video.frames.duration for video in labeled.videos] == pytest.approx([1.2] * 4, abs=0.01)
    assert labeled.videos[0].frames.read([0.0, 0.5]).shape == (2, 32, 48, 3)


def test_groups_are_folders_above_the_classes(tmp_path: Path) -> None:
    labeled = open_labeled_set(write_gray_videos(tmp_path / "set"))
    assert {video.group for video in labeled.videos} == {"S1", "S2", "S3"}
    assert {video.group for video in labeled.of_groups(["S2"]).videos} == {"S2"}
    assert {video.group for video in labeled.without_groups(["S2"]).videos} == {"S1", "S3"}
    with pytest.raises(InputError, match="has no group S9; it has the groups S1, S2, S3"):
        labeled.of_groups(["S9"])


def test_a_csv_names_parts_of_files(tmp_path: Path) -> None:
    write_gray_videos(tmp_path, 1, groups=False)
    (tmp_path / "set.csv").write_text(
        "path,label,start,end\ndark/dark0.mp4,night,0.2,0.7\nbright/bright0.mp4,day,,\ndark/dark0.mp4,night,0.8,9\n"
    )
    labeled = open_labeled_set(tmp_path / "set.csv")
    assert labeled.classes == ("day", "night")
    assert [video.name for video in labeled.videos] == [
        "bright/bright0.mp4",
        "dark/dark0.mp4@0.2-0.7",
        "dark/dark0.mp4@0.8-9",
    ]
    assert [video.frames.duration for video in labeled.videos] == pytest.approx([1.2, 0.5, 0.4], abs=0.01)
    whole = open_labeled_set(tmp_path / "set.csv").videos[0]
    part = labeled.videos[1].frames.read([0.1])
    assert abs(int(part.mean()) - 60) < 10
    assert whole.frames.read([0.1]).mean() > 150


def test_the_suffix_of_a_csv_may_be_in_upper_case(tmp_path: Path) -> None:
    root = write_gray_videos(tmp_path / "set", 1, groups=False)
    (root / "SET.CSV").write_text("path,label\ndark/dark0.mp4,y\n")
    assert open_labeled_set(root / "SET.CSV").classes == ("y",)


def test_a_csv_may_have_a_byte_order_mark(tmp_path: Path) -> None:
    root = write_gray_videos(tmp_path / "set", 1, groups=False)
    (root / "set.csv").write_text("path,label\ndark/dark0.mp4,é\n", encoding="utf-8-sig")
    assert open_labeled_set(root / "set.csv").classes == ("é",)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a,b\n1,2\n", "columns path, label"),
        ("path,label,start\nx.mp4,y,soon\n", "line 2: start and end must be seconds"),
        ("path,label,start,end\nx.mp4,y,3,2\n", "line 2: expected a path, a label and 0 <= start < end"),
        ("path,label,start,end\nx.mp4,y,nan,2\n", "line 2: expected a path, a label and 0 <= start < end"),
        ("path,label,start,end\nx.mp4,y,1,nan\n", "line 2: expected a path, a label and 0 <= start < end"),
        ("path,label,start\nx.mp4,y,inf\n", "line 2: expected a path, a label and 0 <= start < end"),
    ],
)
def test_mistakes_in_a_csv_are_named(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "set.csv").write_text(text)
    with pytest.raises(InputError, match=sentence):
        open_labeled_set(tmp_path / "set.csv")


def test_files_that_cannot_be_opened_are_named_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = write_gray_videos(tmp_path / "set", groups=False)
    (root / "dark" / "dark1.mp4").write_bytes(b"damaged")
    with caplog.at_level(logging.WARNING):
        labeled = open_labeled_set(root)
    assert list(labeled.unreadable) == ["dark/dark1.mp4"]
    assert len(labeled.videos) == 5
    assert [record.message for record in caplog.records if "1 of 6 videos can't be read" in record.message]


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are text elsewhere")
def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    root = write_gray_videos(tmp_path / "set", groups=False)
    (root / "dark" / "dark1.mp4").rename(root / "dark" / os.fsdecode(b"\xe9.mp4"))
    labeled = open_labeled_set(root)
    assert len(labeled.videos) == 6
    split = Split(labeled.classes, tuple(labeled.videos), (), {})
    assert digest_split(split) != digest_split(replace(split, training=tuple(labeled.videos[1:])))


def test_a_second_start_opens_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_gray_videos(tmp_path / "set", groups=False)
    first = open_labeled_set(root)

    def refuse(path: Path) -> float:
        raise AssertionError(path)

    monkeypatch.setattr(durations, "_read", refuse)
    assert open_labeled_set(root) == first


def test_a_file_that_could_not_be_read_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_gray_videos(tmp_path / "set", groups=False)
    read_duration = video.read_duration

    def fail(path: Path) -> float:
        if path.name == "dark1.mp4":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read_duration(path)

    with monkeypatch.context() as broken:
        broken.setattr(video, "read_duration", fail)
        assert open_labeled_set(root).unreadable == {"dark/dark1.mp4": os.strerror(errno.EIO)}
    labeled = open_labeled_set(root)
    assert not labeled.unreadable
    assert len(labeled.videos) == 6


def test_folders_without_classes_are_refused(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    with pytest.raises(InputError, match="holds no videos"):
        open_labeled_set(tmp_path / "set")
    (tmp_path / "set" / "clip.mp4").touch()
    with pytest.raises(InputError, match="expected LABEL/VIDEO or GROUP/LABEL/VIDEO"):
        open_labeled_set(tmp_path / "set")


def test_decoded_videos_survive_a_file(tmp_path: Path) -> None:
    """Y'CbCr 4:2:0 in 8 bit: smooth frames come back within a few codes; the file is read without a decoder."""
    decoded = decode_set(open_labeled_set(write_gray_videos(tmp_path / "set")), rate=5.0)
    save_decoded(decoded, tmp_path / "set.npz")
    loaded = open_labeled_set(tmp_path / "set.npz")
    assert loaded.classes == decoded.classes
    for one, other in zip(decoded.videos, loaded.videos, strict=True):
        assert (one.name, one.label, one.group) == (other.name, other.label, other.group)
        assert isinstance(one.frames, DecodedFrames)
        assert isinstance(other.frames, DecodedFrames)
        assert other.frames.pixels.shape == one.frames.pixels.shape == (6, 32, 48, 3)
        weights = np.array([0.299, 0.587, 0.114])
        luma = [frames.pixels.astype(float) @ weights for frames in (one.frames, other.frames)]
        assert np.abs(luma[0] - luma[1]).mean() < 2


def test_odd_sizes_survive_a_file(tmp_path: Path) -> None:
    labeled = gray_set(1)
    frames = DecodedFrames(np.repeat(gray_frames(90, 3, (1, 1)), 7, 1).repeat(5, 2), 3.0, 1.0)
    videos = tuple(type(video)(video.name, video.label, "", frames) for video in labeled.videos)
    save_decoded(type(labeled)("", labeled.classes, videos), tmp_path / "set.npz")
    loaded = load_decoded(tmp_path / "set.npz").videos[0].frames
    assert isinstance(loaded, DecodedFrames)
    assert np.abs(loaded.pixels.astype(int) - frames.pixels).max() <= 2


def test_a_damaged_file_of_decoded_videos_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "set.npz"
    save_decoded(gray_set(), path)
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(InputError, match="is not a file of decoded clips, or is damaged"):
        load_decoded(path)


def test_decoded_frames_are_the_nearest() -> None:
    frames = DecodedFrames(np.arange(10, dtype=np.uint8)[:, None, None, None].repeat(3, 3), 5.0, 2.0)
    assert frames.read([0.0, 0.09, 0.11, 1.9, 7.0]).ravel()[::3].tolist() == [0, 0, 1, 9, 9]


def random_clips(**options: Any) -> RandomClips:
    return RandomClips(gray_set().videos, TIMING, (16, 16), Augmentation(**options), seed=3)


def test_a_random_clip_depends_on_its_index_alone() -> None:
    one, other = random_clips(speed=(0.5, 2.0)), random_clips(speed=(0.5, 2.0))
    expected = [one[index] for index in range(12)]
    for index in (7, 2, 11):
        assert torch.equal(other[index]["clip"], expected[index]["clip"])
    assert expected[0]["clip"].shape == (3, 4, 16, 16)
    assert expected[0]["clip"].dtype == torch.uint8


def test_every_video_is_used_once_in_a_pass() -> None:
    clips = random_clips()
    names = [clips[index]["name"] for index in range(12)]
    assert sorted(names[:6]) == sorted(names[6:]) == sorted(video.name for video in gray_set().videos)
    assert names[:6] != names[6:]


def test_a_video_that_cannot_be_decoded_is_replaced_and_named(tmp_path: Path) -> None:
    labeled = open_labeled_set(write_gray_videos(tmp_path / "set"))
    damage(tmp_path / "set" / "S1" / "dark" / "dark0.mp4")
    clips = RandomClips(labeled.videos, TIMING, (16, 16), Augmentation())
    samples = [clips[index] for index in range(6)]
    failed = [sample["unreadable"] for sample in samples if sample["unreadable"]]
    assert len(failed) == 1
    assert failed[0].startswith("S1/dark/dark0.mp4\t")
    assert "S1/dark/dark0.mp4" not in {sample["name"] for sample in samples}
    views = FixedViews(labeled.videos, TIMING, (16, 16))
    bad = [views[index] for index in range(6) if views[index]["clips"] is None]
    assert [sample["name"] for sample in bad] == ["S1/dark/dark0.mp4"]


def test_views_are_clips_times_crops() -> None:
    views = FixedViews(gray_set().videos, TIMING, (16, 16), clips=2, crops=3)
    sample = views[0]
    assert sample["clips"] is not None
    assert sample["clips"].shape == (6, 3, 4, 16, 16)


def test_regions_have_the_aspect_ratio_of_the_clip() -> None:
    assert Region.inside((128, 170), (112, 112), 0.875) == Region(8, 29, 112, 112)
    assert Region.inside((96, 128), (48, 64), 1.0) == Region(0, 0, 96, 128)
    assert Region.inside((100, 200), (50, 50), 0.5, 0.0, 1.0) == Region(0, 150, 50, 50)


def test_a_region_of_the_size_of_the_clip_is_copied() -> None:
    frames = gray_frames(100, 2)
    clip = resize_region(frames, Region(3, 5, 16, 16), (16, 16))
    assert np.array_equal(clip.permute(1, 2, 3, 0).numpy(), frames[:, 3:19, 5:21])


def test_decoded_frames_between_two_are_not_repeated() -> None:
    """A clip at the rate of the decoded frames has each frame once."""
    pixels = np.arange(10, dtype=np.uint8).repeat(12).reshape(10, 2, 2, 3)
    frames = DecodedFrames(pixels, 10.0, 1.0)
    times = ClipTiming(8, 10.0).times(0.1, 1.0)
    assert frames.read(times)[:, 0, 0, 0].tolist() == [2, 3, 4, 5, 6, 7, 8, 9]

"""Shards: what they hold, how they are made again after an interruption, and trainings on them."""

from __future__ import annotations

import json
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from helpers.labeled import write_gray_videos

from ls3d.cli.main import main
from ls3d.data.labeled import open_labeled_set
from ls3d.data.shards import ShardFrames, _write_shard, make_shards
from ls3d.errors import InputError


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    return write_gray_videos(tmp_path / "set", 6)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_shards_hold_what_the_files_hold(videos: Path, tmp_path: Path) -> None:
    labeled = open_labeled_set(videos, short_side=16)
    size = sum(path.stat().st_size for path in videos.rglob("*.mp4"))
    assert make_shards(labeled, tmp_path / "shards", size // 3) in (3, 4)
    read = open_labeled_set(tmp_path / "shards", short_side=16)
    assert read.classes == labeled.classes
    found = {video.name: video for video in read.videos}
    assert found.keys() == {video.name for video in labeled.videos}
    for video in labeled.videos:
        other = found[video.name]
        assert (other.label, other.group, other.frames.duration) == (video.label, video.group, video.frames.duration)
        assert np.array_equal(other.frames.read([0.0, 0.3]), video.frames.read([0.0, 0.3]))
        assert other.sound is not None
        assert other.sound.read(0.0, 100) is None


def test_shards_are_tar_files_of_samples(videos: Path, tmp_path: Path) -> None:
    """webdataset groups files by the name up to the first dot."""
    labeled = open_labeled_set(videos)
    make_shards(labeled, tmp_path / "shards")
    with tarfile.open(tmp_path / "shards" / "000000.tar") as tar:
        names = tar.getnames()
        assert names[:3] == ["000000000.mp4", "000000000.cls", "000000000.json"]
        described = tar.extractfile("000000001.json")
        assert described is not None
        assert json.load(described)["name"] == labeled.videos[1].name
    assert len(names) == 3 * len(labeled.videos)


def test_an_interrupted_call_is_resumed(videos: Path, tmp_path: Path) -> None:
    labeled = open_labeled_set(videos)
    make_shards(labeled, tmp_path / "whole", 4000)

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_shards(labeled, tmp_path / "shards", 4000, stop)
    first = (tmp_path / "shards" / "000000.tar").stat().st_mtime_ns
    make_shards(labeled, tmp_path / "shards", 4000)
    assert contents(tmp_path / "shards") == contents(tmp_path / "whole")
    assert (tmp_path / "shards" / "000000.tar").stat().st_mtime_ns == first


def test_other_folders_and_damaged_shards_are_refused(videos: Path, tmp_path: Path) -> None:
    labeled = open_labeled_set(videos)
    make_shards(labeled, tmp_path / "shards")
    with pytest.raises(InputError, match="holds shards of other videos or of another size"):
        make_shards(labeled, tmp_path / "shards", 4000)
    with pytest.raises(InputError, match="holds other files"):
        make_shards(labeled, videos)
    shard = tmp_path / "shards" / "000000.tar"
    shard.write_bytes(shard.read_bytes().replace(b"ftyp", b"FTYP"))
    with pytest.raises(InputError, match=r"000000\.tar is damaged at byte 512"):
        open_labeled_set(tmp_path / "shards").videos[0].frames.read([0.0])
    shard.unlink()
    with pytest.raises(InputError, match=r"000000\.tar is missing"):
        open_labeled_set(tmp_path / "shards")
    index = tmp_path / "shards" / "shards.json"
    index.write_text(index.read_text().replace("000000.tar", "../000000.tar"))
    with pytest.raises(InputError, match=r"shards\.json can't be read"):
        open_labeled_set(tmp_path / "shards")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"format": 1', '"format": 2', "its format is 2, expected 1"),
        ('"suffix": ".mp4"', '"suffix": 4', ""),
        ('"offset": 512', '"offset": 1e999', ""),
    ],
)
def test_an_index_of_another_kind_is_refused(videos: Path, tmp_path: Path, old: str, new: str, message: str) -> None:
    make_shards(open_labeled_set(videos), tmp_path / "shards")
    index = tmp_path / "shards" / "shards.json"
    text = index.read_text()
    assert old in text
    index.write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match=rf"shards\.json can't be read .*{message}"):
        open_labeled_set(tmp_path / "shards")


def test_a_video_may_have_8_gib_and_more(videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "large.mp4"
    with source.open("wb") as file:
        file.truncate(9 << 30)  # takes no space on the disk
    monkeypatch.setattr(tarfile, "copyfileobj", lambda *_, **__: None)
    _write_shard(tmp_path / "large.tar", [(0, open_labeled_set(videos).videos[0], source)])
    with tarfile.open(tmp_path / "large.tar") as tar:
        first = tar.next()
    assert first is not None
    assert (first.name, first.size) == ("000000000.mp4", 9 << 30)


def test_parts_of_files_are_refused(videos: Path, tmp_path: Path) -> None:
    path = next(videos.rglob("*.mp4"))
    table = tmp_path / "set.csv"
    table.write_text(f"path,label,start,end\n{path},dark,0.1,0.3\n")
    with pytest.raises(InputError, match="expected a whole video file"):
        make_shards(open_labeled_set(table), tmp_path / "shards")


@pytest.mark.parametrize("name", ["a@home/v.mp4", "v@0-1.mp4", "no_suffix", "copy.mp4 (1)"])
def test_names_of_whole_files(videos: Path, tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    next(videos.rglob("*.mp4")).rename(file)
    (tmp_path / "set.csv").write_text(f"path,label\n{name},dark\n")
    make_shards(open_labeled_set(tmp_path / "set.csv"), tmp_path / "shards")
    (video,) = open_labeled_set(tmp_path / "shards").videos
    assert video.name == name
    assert isinstance(video.frames, ShardFrames)
    assert video.frames.member.path().read_bytes() == file.read_bytes()


def test_the_command(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["ls3d", "shards", "make", str(videos), str(tmp_path / "shards"), "--size", "4K"])
    main()
    shown = capsys.readouterr().err
    count = len(open_labeled_set(tmp_path / "shards").videos)
    assert f"shards: {count} videos in" in shown.replace("\n", " ")

"""Lists of videos: which files a folder or a pattern stands for, and one result for each."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from helpers.videos import Clip, decode

from ls3d.enhance import EnhanceOptions, EnhanceReport, denoise, enhance_files, find_videos, interpolate, pair_files
from ls3d.errors import InputError, OutputExistsError

#: No FFmpeg has both: VA-API is Linux's, VideoToolbox is macOS's.
ABSENT = "hevc_videotoolbox" if sys.platform == "linux" else "hevc_vaapi"

FAST = EnhanceOptions(threads=1)


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def names(paths: list[Path]) -> list[str]:
    return [path.name for path in paths]


def test_videos_of_a_folder(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    touch(tmp_path, "b.MKV", "a.mp4", ".hidden.mp4", "._a.mp4", "a.srt", "notes", "deep/c.mp4", "a.mp4.ls3d/lock")
    with caplog.at_level(logging.WARNING):
        assert names(find_videos(tmp_path)) == ["a.mp4", "b.MKV"]
    assert caplog.messages == [f"{tmp_path}: passed over, no videos: a.srt, notes"]


def test_videos_of_a_pattern(tmp_path: Path) -> None:
    touch(tmp_path, "b.mp4", "a.mp4", "a.srt", ".a.mp4", "deep/c.mp4", "x[1].mp4")
    assert names(find_videos(tmp_path / "*.mp4")) == ["a.mp4", "b.mp4", "x[1].mp4"]
    assert names(find_videos(tmp_path / "a*")) == ["a.mp4"]
    assert names(find_videos(tmp_path / "*" / "*")) == ["c.mp4"]
    assert find_videos(tmp_path / "x[1].mp4") == []  # a file with this name
    assert find_videos(tmp_path / "*.avi") == []
    with pytest.raises(InputError, match=r"suffix \.srt is not a video format"):
        find_videos(tmp_path / "*.srt")


def test_folders_without_videos_are_no_lists(tmp_path: Path) -> None:
    touch(tmp_path, "1.png", "2.png", "notes.txt")
    assert find_videos(tmp_path) == []
    assert find_videos(tmp_path / "1.png") == []
    assert find_videos(tmp_path / "nothing") == []


def test_videos_and_images_in_one_folder_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "1.png", "2.png", "a.mp4")
    with pytest.raises(
        InputError, match=r"holds videos .1. and images .2.; expected one kind, or a pattern such as '.*/\*\.mp4'"
    ):
        find_videos(tmp_path)


@pytest.mark.parametrize(
    ("folder", "error", "sentence"),
    [
        ("in", InputError, "is the folder of the sources"),
        ("file", InputError, "expected a folder, for the outputs of 2 videos"),
        ("new.mp4", InputError, "expected a folder, for the outputs of 2 videos"),
        ("no/out", FileNotFoundError, "there is no folder"),
    ],
)
def test_targets_that_are_refused(tmp_path: Path, folder: str, error: type[Exception], sentence: str) -> None:
    touch(tmp_path, "in/a.mp4", "in/b.mp4", "file")
    with pytest.raises(error, match=sentence):
        pair_files(find_videos(tmp_path / "in"), tmp_path / folder)


def test_two_outputs_of_one_name_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "1/a.mp4", "2/a.mp4")
    with pytest.raises(InputError, match=r"1/a\.mp4 and .*2/a\.mp4 would both become .*out/a\.mp4"):
        pair_files(find_videos(tmp_path / "*" / "a.mp4"), tmp_path / "out")


def test_formats_that_are_only_read_become_matroska(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    Clip(3, codec="mpeg2video").write(tmp_path / "in" / "Tape.MPG")
    pairs = pair_files(find_videos(tmp_path / "in"), tmp_path / "out")
    assert [target.name for _, target in pairs] == ["Tape.mkv"]
    job = partial(interpolate, factor=2, model="blend", options=FAST)
    assert [result.status for result in enhance_files(pairs, job)] == ["done"]
    touch(tmp_path, "in/Tape.mkv")
    with pytest.raises(InputError, match=r"would both become .*out/Tape\.mkv"):
        pair_files(find_videos(tmp_path / "in"), tmp_path / "out")


def test_one_bad_file_does_not_stop_the_rest(tmp_path: Path) -> None:
    """And the same call again does only what is not done."""
    (tmp_path / "in").mkdir()
    for name in ("a.mp4", "c.mkv", "d.mp4"):
        Clip(3).write(tmp_path / "in" / name)
    (tmp_path / "in" / "b.mp4").write_bytes(b"no video")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "d.mp4").write_bytes(b"precious")
    job = partial(interpolate, factor=2, model="blend", options=FAST)

    def statuses() -> list[str]:
        pairs = pair_files(find_videos(tmp_path / "in"), tmp_path / "out")
        results = list(enhance_files(pairs, job))
        assert [result.target for result in results] == [tmp_path / "out" / each.name for each, _ in pairs]
        assert "b.mp4" in str(results[1].error)
        assert isinstance(results[3].error, OutputExistsError)
        return [result.status for result in results]

    assert statuses() == ["done", "failed", "done", "failed"]
    assert len(decode(tmp_path / "out" / "c.mkv")) == 6
    assert statuses() == ["already done", "failed", "already done", "failed"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.mp4", "c.mkv", "d.mp4"]


@pytest.mark.parametrize(
    "job",
    [
        partial(interpolate, factor=0),
        partial(denoise, model="no_such_model"),
        partial(denoise, model="x.safetensors"),
        partial(interpolate, model="blend", options=EnhanceOptions(codec=ABSENT)),
    ],
)
def test_arguments_that_are_wrong_for_all_files_stop_the_list(
    tmp_path: Path, job: Callable[[Path, Path], EnhanceReport]
) -> None:
    (tmp_path / "in").mkdir()
    Clip(1).write(tmp_path / "in" / "a.mp4")
    with pytest.raises(InputError):
        list(enhance_files(pair_files(find_videos(tmp_path / "in"), tmp_path / "out"), job))
    assert not (tmp_path / "out").exists()


def test_an_interruption_stops_the_list(tmp_path: Path) -> None:
    started = []

    def job(source: Path, target: Path) -> EnhanceReport:
        started.append(source.name)
        if source.name == "b":
            raise KeyboardInterrupt
        return EnhanceReport(str(target))

    pairs = [(tmp_path / name, tmp_path / f"{name}.out") for name in "abc"]
    results = enhance_files(pairs, job)
    assert next(results).status == "done"
    with pytest.raises(KeyboardInterrupt):
        next(results)
    assert started == ["a", "b"]

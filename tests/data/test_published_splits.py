"""Official split files, in the form in which they are published."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from helpers.labeled import write_gray_videos

from ls3d.data.labeled import open_labeled_set
from ls3d.data.published_splits import write_split_csv
from ls3d.errors import InputError


def rows(name: str, lists: Path, split: int = 1) -> list[list[str]]:
    """Path below the folder of videos, class and group of every row."""
    output = lists / "out.csv"
    count = write_split_csv(name, lists, lists, output, split)
    with output.open(newline="") as file:
        found = [
            [Path(row["path"]).relative_to(lists).as_posix(), row["label"], row["group"]]
            for row in csv.DictReader(file)
        ]
    output.unlink()
    assert len(found) == count
    return found


def test_ucf101(tmp_path: Path) -> None:
    (tmp_path / "trainlist02.txt").write_text("Archery/v_Archery_g08_c01.avi 3\nYoYo/v_YoYo_g08_c01.avi 101\n")
    (tmp_path / "testlist02.txt").write_text("Archery/v_Archery_g01_c01.avi\n")
    assert rows("ucf101", tmp_path, 2) == [
        ["Archery/v_Archery_g08_c01.avi", "Archery", "train"],
        ["YoYo/v_YoYo_g08_c01.avi", "YoYo", "train"],
        ["Archery/v_Archery_g01_c01.avi", "Archery", "test"],
    ]
    with pytest.raises(InputError, match=r"there is no file .*trainlist01\.txt"):
        rows("ucf101", tmp_path)


def test_hmdb51(tmp_path: Path) -> None:
    (tmp_path / "brush_hair_test_split1.txt").write_text("a_b.avi 1 \nc.avi 2 \nd.avi 0 \n")
    (tmp_path / "brush_hair_test_split2.txt").write_text("c.avi 1 \n")
    assert rows("hmdb51", tmp_path) == [
        ["brush_hair/a_b.avi", "brush_hair", "train"],
        ["brush_hair/c.avi", "brush_hair", "test"],
    ]


def test_kinetics(tmp_path: Path) -> None:
    (tmp_path / "val.csv").write_text(
        "label,youtube_id,time_start,time_end,split\nair drumming,-0vk_m,12,22,validate\n"
    )
    assert rows("kinetics", tmp_path) == [["air drumming/-0vk_m_000012_000022.mp4", "air drumming", "val"]]


@pytest.mark.parametrize("time", ["", "soon", "nan", "inf"])
def test_times_of_kinetics_that_are_none(tmp_path: Path, time: str) -> None:
    (tmp_path / "val.csv").write_text(f"label,youtube_id,time_start,time_end,split\nyawning,x,{time},22,val\n")
    with pytest.raises(InputError, match="is not a row of Kinetics"):
        rows("kinetics", tmp_path)


def test_something_something(tmp_path: Path) -> None:
    entry = {"id": "78687", "label": "holding potato", "template": "Holding [something] next to [something]"}
    (tmp_path / "something-something-v2-train.json").write_text(json.dumps([entry]))
    assert rows("something-something", tmp_path) == [["78687.webm", "Holding something next to something", "train"]]


def test_the_csv_is_a_labeled_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    videos = write_gray_videos(tmp_path / "videos", 2, groups=False)
    (tmp_path / "trainlist01.txt").write_text("dark/dark0.mp4 1\nbright/bright0.mp4 2\nbright/missing.mp4 2\n")
    (tmp_path / "testlist01.txt").write_text("dark/dark1.mp4\n")
    write_split_csv("ucf101", tmp_path, videos, tmp_path / "ucf.csv")
    labeled = open_labeled_set(tmp_path / "ucf.csv")
    assert [video.group for video in labeled.videos] == ["train", "train", "test"]
    assert [Path(name).name for name in labeled.unreadable] == ["missing.mp4"]


def test_other_names_and_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="name ucf: expected one of hmdb51, kinetics"):
        write_split_csv("ucf", tmp_path, tmp_path, tmp_path / "out.csv")
    with pytest.raises(InputError, match="holds no official split of hmdb51"):
        write_split_csv("hmdb51", tmp_path, tmp_path, tmp_path / "out.csv")

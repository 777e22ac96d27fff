"""The official lists of data sets: classes, splits, where the videos are, and what is missing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest
from helpers.labeled import write_gray_videos

from ls3d.data.labeled import LabeledSet, open_labeled_set
from ls3d.errors import InputError
from ls3d.training.recognition.loaders import open_split
from ls3d.training.recognition.recipe import ClassificationData


@pytest.fixture
def video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A video of 1.2 seconds."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return write_gray_videos(tmp_path / "gray", 1, groups=False) / "dark" / "dark0.mp4"


def copy(video: Path, folder: Path, names: Iterable[str]) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(video, folder / name)


def contents(labeled: LabeledSet) -> set[tuple[str, str, str]]:
    """Name, class and group of each video."""
    return {(video.name, labeled.classes[video.label], video.group) for video in labeled.videos}


def test_ucf101(tmp_path: Path, video: Path) -> None:
    root, lists = tmp_path / "ucf", tmp_path / "ucf" / "ucfTrainTestlist"
    first, second = "Archery/v_Archery_g08_c01.avi", "Archery/v_Archery_g01_c01.avi"
    copy(video, root / "UCF-101", [first, second])
    lists.mkdir()
    for number, (train, test) in enumerate(((first, second), (second, first)), 1):
        (lists / f"trainlist0{number}.txt").write_text(f"{train} 1\r\n")
        (lists / f"testlist0{number}.txt").write_text(f"{test}\n")
    expected = {(f"UCF-101/{first}", "Archery", "train"), (f"UCF-101/{second}", "Archery", "test")}
    assert contents(open_labeled_set(root)) == expected
    assert contents(open_labeled_set(lists / "trainlist01.txt")) == expected
    assert contents(open_labeled_set(lists / "testlist02.txt")) == {
        (f"UCF-101/{second}", "Archery", "train"),
        (f"UCF-101/{first}", "Archery", "test"),
    }


def test_hmdb51(tmp_path: Path, video: Path) -> None:
    """Two classes have videos of the same name."""
    root, lists = tmp_path / "hmdb", tmp_path / "hmdb" / "testTrainMulti_7030_splits"
    copy(video, root, ["brush_hair/a.avi", "brush_hair/b.avi", "wave/a.avi", "wave/c (1).avi"])
    lists.mkdir()
    (lists / "brush_hair_test_split1.txt").write_text("a.avi 1 \nb.avi 2 \n")
    (lists / "wave_test_split1.txt").write_text("a.avi 0 \nc (1).avi 1 \n")
    (lists / "wave_test_split2.txt").write_text("a.avi 2 \n")
    assert contents(open_labeled_set(root)) == {
        ("brush_hair/a.avi", "brush_hair", "train"),
        ("brush_hair/b.avi", "brush_hair", "test"),
        ("wave/c (1).avi", "wave", "train"),
    }
    assert contents(open_labeled_set(lists / "wave_test_split2.txt")) == {("wave/a.avi", "wave", "test")}


def test_something_something(tmp_path: Path, video: Path) -> None:
    root = tmp_path / "something"
    copy(video, root / "20bn-something-something-v2", ["1.webm", "2.webm", "3.webm"])
    (root / "labels").mkdir()
    name = "something-something-v2"
    rows = [
        {"id": str(number), "label": "holding a cup", "template": "Holding [something]", "placeholders": ["a cup"]}
        for number in (1, 2)
    ]
    for split, row in zip(("train", "validation"), rows, strict=True):
        (root / "labels" / f"{name}-{split}.json").write_text(json.dumps([row]))
    (root / "labels" / f"{name}-labels.json").write_text(json.dumps({"Holding something": "0"}))
    (root / "labels" / f"{name}-test.json").write_text(json.dumps([{"id": "3"}]))
    expected = {
        ("20bn-something-something-v2/1.webm", "Holding something", "train"),
        ("20bn-something-something-v2/2.webm", "Holding something", "val"),
    }
    assert contents(open_labeled_set(root)) == expected
    assert contents(open_labeled_set(root / "labels" / f"{name}-train.json")) == expected
    opened = open_split(ClassificationData(root=root))
    assert [len(opened.training), len(opened.validation)] == [1, 1]


def test_kinetics(tmp_path: Path, video: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Files that were cut, a complete file of which a part is taken, and one that was never downloaded."""
    root = tmp_path / "kinetics"
    copy(video, root, ["train/ab_-cd_000010_000020.mp4", "val/efgh.mp4"])
    header = "label,youtube_id,time_start,time_end,split"
    (root / "train.csv").write_text(f"{header}\nyoga,ab_-cd,10,20,train\nyoga,gone,3,13,train\n")
    (root / "kinetics_val.csv").write_text("label,youtube_id,time_start,time_end\nyoga,efgh,0,1\n")
    for chosen in (root, root / "train.csv"):
        labeled = open_labeled_set(chosen)
        assert contents(labeled) == {
            ("train/ab_-cd_000010_000020.mp4", "yoga", "train"),
            ("val/efgh.mp4@0-1", "yoga", "val"),
        }
        assert [video.frames.duration for video in labeled.videos] == pytest.approx([1.2, 1.0], abs=0.01)
        assert list(labeled.unreadable) == ["gone_000003_000013"]
    assert "gone_000003_000013 (No such file or directory)" in caplog.text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("trainlist01.txt", "no slash\n"),
        ("wave_test_split1.txt", "a.avi 3\n"),
        ("something-something-v2-train.json", "{"),
        ("train.csv", "label,youtube_id,time_start,time_end\nyoga,a,soon,later\n"),
    ],
)
def test_a_damaged_list_is_named(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=f"{name} is not a list as it was published"):
        open_labeled_set(tmp_path / name)

"""An evaluation that is interrupted is resumed, and never mixed with another one."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from ls3d.data import Clip
from ls3d.data.clips import ArrayClip, TruncatedClip
from ls3d.evaluation import evaluate
from ls3d.evaluation.registry import get_protocol
from ls3d.models import create_model


class StoppedError(Exception):
    """Ends an evaluation in a test."""


def interrupt(json_path: Path, data: Path | Sequence[Clip], clips: int, model: str = "blend") -> None:
    """Evaluate a model until ``clips`` clips are finished."""

    def progress(done: int, total: int, clip: str) -> None:
        if done == clips:
            raise StoppedError

    network = create_model("vfi_conv3d", width=4) if model == "vfi_conv3d" else model
    with pytest.raises(StoppedError):
        evaluate(network, "ucf101", data, json_path=json_path, progress=progress)


def test_an_interrupted_evaluation_is_resumed(triplets: Path, tmp_path: Path, scored: list[str]) -> None:
    target = tmp_path / "r.json"
    whole = evaluate("blend", "ucf101", triplets).to_dict()
    interrupt(target, triplets, 3)
    assert not target.exists()
    scored.clear()
    resumed = evaluate("blend", "ucf101", triplets, json_path=target)
    assert scored == ["4", "5"]
    assert resumed.to_dict() == whole == json.loads(target.read_text())
    assert not Path(f"{target}.part").exists()


def test_an_incomplete_line_is_ignored(triplets: Path, tmp_path: Path, scored: list[str]) -> None:
    target = tmp_path / "r.json"
    journal = tmp_path / "r.json.part"
    interrupt(target, triplets, 3)
    journal.write_text(journal.read_text()[:-20])
    scored.clear()
    interrupt(target, triplets, 4)
    assert scored == ["3", "4"]
    scored.clear()
    evaluate("blend", "ucf101", triplets, json_path=target)
    assert scored == ["5"]


def test_another_evaluation_starts_from_the_first_clip(triplets: Path, tmp_path: Path, scored: list[str]) -> None:
    interrupt(tmp_path / "r.json", triplets, 3)
    scored.clear()
    evaluate("repeat", "ucf101", triplets, json_path=tmp_path / "r.json")
    assert len(scored) == 5


def test_clips_of_another_folder_are_measured(triplets: Path, tmp_path: Path, scored: list[str]) -> None:
    """They have the same names, and even the same content, size and time."""
    interrupt(tmp_path / "r.json", triplets, 3)
    other = tmp_path / "other"
    shutil.copytree(triplets, other)
    scored.clear()
    evaluate("blend", "ucf101", other, json_path=tmp_path / "r.json")
    assert len(scored) == 5


def test_only_clips_that_have_changed_are_measured_again(triplets: Path, tmp_path: Path, scored: list[str]) -> None:
    interrupt(tmp_path / "r.json", triplets, 3)
    os.utime(triplets / "2" / "frame_00.png", (0, 0))
    (triplets / "3" / "frame_01_gt.png").write_bytes((triplets / "1" / "frame_01_gt.png").read_bytes())
    scored.clear()
    resumed = evaluate("blend", "ucf101", triplets, json_path=tmp_path / "r.json")
    assert scored == ["2", "3", "4", "5"]
    assert resumed.to_dict() == evaluate("blend", "ucf101", triplets).to_dict()


def test_clips_in_memory_are_known_by_their_frames(triplets: Path, tmp_path: Path, scored: list[str]) -> None:
    clips = [ArrayClip(clip.name, np.stack(list(clip))) for clip in get_protocol("ucf101").data_set.open(triplets)]
    interrupt(tmp_path / "r.json", clips, 3)
    clips[1] = ArrayClip(clips[1].name, clips[1].frames // 2)
    scored.clear()
    evaluate("blend", "ucf101", clips, json_path=tmp_path / "r.json")
    assert scored == ["2", "4", "5"]


def test_clips_of_which_only_frames_can_be_asked_are_measured_again(
    triplets: Path, tmp_path: Path, scored: list[str]
) -> None:
    clips = [TruncatedClip(clip, 3) for clip in get_protocol("ucf101").data_set.open(triplets)]
    interrupt(tmp_path / "r.json", clips, 3)
    scored.clear()
    evaluate("blend", "ucf101", clips, json_path=tmp_path / "r.json")
    assert len(scored) == 5


def test_without_resume_everything_is_measured_again(triplets: Path, tmp_path: Path, scored: list[str]) -> None:
    interrupt(tmp_path / "r.json", triplets, 3)
    scored.clear()
    evaluate("blend", "ucf101", triplets, json_path=tmp_path / "r.json", resume=False)
    assert len(scored) == 5


def test_networks_without_a_digest_are_never_resumed(triplets: Path, tmp_path: Path, scored: list[str]) -> None:
    interrupt(tmp_path / "r.json", triplets, 2, "vfi_conv3d")
    scored.clear()
    evaluate(create_model("vfi_conv3d", width=4), "ucf101", triplets, json_path=tmp_path / "r.json")
    assert len(scored) == 5

"""Clips by modality: the same region and time, mirrored flow, sound in step with the frames, videos without sound."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.labeled import gray_frames
from helpers.sound import click_track, click_wave
from helpers.videos import Clip

from ls3d.data.clip_times import ClipTiming
from ls3d.data.decoded import DecodedFrames
from ls3d.data.flow import compute_flow
from ls3d.data.labeled import LabeledVideo, open_labeled_set
from ls3d.data.labeled_clips import Augmentation, RandomClips, Region, resize_region
from ls3d.data.multimodal_clips import (
    FixedMultimodalViews,
    MultimodalFormat,
    RandomMultimodalClips,
    resize_flow,
)
from ls3d.data.sound import DecodedSound
from ls3d.errors import InputError

ALL = MultimodalFormat(("clip", "flow", "spectrogram"), ClipTiming(4, 10.0), (16, 24))


def smooth_video(name: str = "a", seconds: float = 2.0, sound: bool = True) -> LabeledVideo:
    """Blurred noise that moves to the right by two pixels in a tenth of a second; a click each half second."""
    count = round(10 * seconds)
    noise = torch.from_numpy(gray_frames(128, 1, (40, 64 + 2 * count))).permute(0, 3, 1, 2).float()
    wide = torch.nn.functional.avg_pool2d(noise, 5, 1, 2)[0].permute(1, 2, 0)
    wide = 128 + 6 * (wide - 128)
    frames = np.stack([wide[:, 2 * (count - k) : 2 * (count - k) + 64].clamp(0, 255).byte() for k in range(count)])
    wave = DecodedSound(click_wave(np.arange(0.5, seconds, 0.5).tolist(), seconds, 16_000)) if sound else None
    return LabeledVideo(name, 1, "", DecodedFrames(frames, 10.0, seconds), wave)


def test_clip_and_flow_show_the_same_region() -> None:
    """The clips are those of the data set without flow; the flow is that of the clips."""
    video = smooth_video()
    augmentation = Augmentation(share=(0.6, 0.9), speed=(0.8, 1.2))
    plain = RandomClips([video], ALL.timing, ALL.size, augmentation, seed=3)
    both = RandomMultimodalClips([video], replace(ALL, modalities=("clip", "flow")), augmentation, seed=3)
    directions = set()
    for index in range(8):
        sample = both[index]
        clip, flow = sample["inputs"]["clip"], sample["inputs"]["flow"]
        torch.testing.assert_close(clip, plain[index]["clip"])
        assert flow.shape == (2, 4, 16, 24)
        large = torch.nn.functional.interpolate(clip.transpose(0, 1).float(), scale_factor=4.0, mode="bicubic")
        frames = large.clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()
        expected = np.median(compute_flow(frames)[:, 12:-12, 12:-12, 0]) / 4
        assert abs(float(flow[0, :3, 3:-3, 3:-3].median()) - expected) < 0.25
        directions.add(expected > 0)
    assert directions == {True, False}, "some clips are mirrored"


def test_flow_is_scaled_and_mirrored_with_its_clip() -> None:
    flow = np.zeros((2, 20, 40, 2), np.float32)
    flow[..., 0] = 3
    flow[..., 1] = -1
    flow[:, :, 20:] *= 2
    region = Region(0, 10, 20, 20)
    small = resize_flow(flow, region, (10, 5))
    assert small.shape == (2, 2, 10, 5)
    torch.testing.assert_close(small[:, 0, 0, [0, -1]], torch.tensor([[0.75, 1.5], [-0.5, -1.0]]))
    mirrored = resize_flow(flow, region, (10, 5), flip=True)
    torch.testing.assert_close(mirrored, small.flip(-1) * torch.tensor([-1.0, 1.0]).view(2, 1, 1, 1))
    pixels = np.arange(2 * 20 * 40 * 3).reshape(2, 20, 40, 3).astype(np.uint8)
    assert resize_region(pixels, region, (10, 5)).shape[1:] == small.shape[1:]


def test_spectrogram_is_of_the_second_around_the_clip() -> None:
    """A clip of 0.4 s in the middle of 2 s: window 50 is at 1.0 s, where a click is; others are at 0.5 s and 1.5 s."""
    views = FixedMultimodalViews([smooth_video()], replace(ALL, modalities=("spectrogram",)))
    inputs = views[0]["inputs"]
    assert inputs is not None
    loud = inputs["spectrogram"][0, 0].amax(dim=1)
    assert loud.shape == (100,)
    assert abs(int(loud[10:90].argmax()) + 10 - 50) <= 1
    assert views[0]["present"] == {"spectrogram": True}


def test_views_have_all_modalities() -> None:
    views = FixedMultimodalViews([smooth_video()], ALL, clips=2, crops=3)[0]
    assert views["inputs"] is not None
    assert {name: tuple(value.shape) for name, value in views["inputs"].items()} == {
        "clip": (6, 3, 4, 16, 24),
        "flow": (6, 2, 4, 16, 24),
        "spectrogram": (6, 1, 100, 40),
    }


def test_cached_flow_is_that_of_the_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made = [
        FixedMultimodalViews([smooth_video()], replace(ALL, modalities=("flow",), flow_rate=rate), share=1.0)[0]
        for rate in (None, 10.0)
    ]
    medians = [views["inputs"]["flow"][0, 0, :, 4:-4, 4:-4].median() for views in made if views["inputs"] is not None]
    torch.testing.assert_close(medians[1], medians[0], atol=0.1, rtol=0)


def test_videos_without_sound_are_dropped_or_masked() -> None:
    videos = [smooth_video("silent", sound=False), smooth_video("loud")]
    dropped = RandomMultimodalClips(videos, ALL, Augmentation())
    samples = [dropped[index] for index in range(4)]
    assert {sample["name"] for sample in samples} == {"loud"}
    assert {sample["unreadable"] for sample in samples} == {"", "silent\tit has no sound"}
    assert FixedMultimodalViews(videos, ALL)[0]["unreadable"] == "silent\tit has no sound"
    masked = RandomMultimodalClips(videos, replace(ALL, missing="mask"), Augmentation())
    by_name = {sample["name"]: sample for sample in (masked[index] for index in range(2))}
    assert by_name["silent"]["present"] == {"clip": True, "flow": True, "spectrogram": False}
    assert not by_name["silent"]["inputs"]["spectrogram"].any()
    assert by_name["loud"]["present"]["spectrogram"]
    with pytest.raises(InputError, match="none of the training videos"):
        RandomMultimodalClips(videos[:1], ALL, Augmentation())[0]


def test_files_of_a_folder_have_sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "set" / "walk").mkdir(parents=True)
    click_track(tmp_path / "set" / "walk" / "loud.mkv", [1.0, 2.0, 3.0], audio_start=0.7)
    Clip(40).write(tmp_path / "set" / "walk" / "silent.mp4")
    videos = open_labeled_set(tmp_path / "set").videos
    format = replace(ALL, modalities=("clip", "spectrogram"), timing=ClipTiming(8, 10.0))
    loud, silent = (FixedMultimodalViews(videos, format)[index] for index in range(2))
    assert loud["inputs"] is not None
    clip, spectrogram = loud["inputs"]["clip"][0], loud["inputs"]["spectrogram"][0]
    # The clip begins at 1.6 s and has a frame each 0.1 s; the spectrogram begins at 1.497 s.
    assert clip.float().mean(dim=(0, 2, 3)).argmax() == 4
    assert abs(int(spectrogram[0].amax(dim=1).argmax()) - 50) <= 1
    assert silent["unreadable"] == "walk/silent.mp4\tit has no sound"

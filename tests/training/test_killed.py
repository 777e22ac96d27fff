"""The program with real files: it resumes after a kill, and leaves out a damaged clip."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.labeled import gray_set, write_gray_videos
from helpers.recipes import losses

from ls3d.data.decoded import save_decoded
from ls3d.errors import InputError
from ls3d.models import read_metadata
from ls3d.training import load_recipe, train
from ls3d.training.state import load_state

RECIPE = """
kind: {kind}
model: {{name: {model}, arguments: {{width: 8}}}}
data: {{root: {clips}, held_out: [d.mp4], crop: 32, scale: [1, 1]}}
optimization:
  {{steps: 60, batch_size: 2, warm_up: 1, ema: 0.5, adversarial: {{weight_2d: 0.01, weight_3d: 0.01, width: 4}}}}
steps_per_epoch: 20
accelerator: cpu
"""

CLASSIFICATION = """
kind: classification
model: {{name: r3d_18, arguments: {{num_classes: 2, width: 4, dropout: 0.5}}}}
data: {{root: {root}, validation: [S3], frames: 2, fps: 2.0, size: [16, 16], color: 0.3, workers: 1}}
optimization:
  {{steps: 60, batch_size: 4, warm_up: 1, mixup: 0.3, cutmix: 1.0, ema: 0.5, accumulate: 2, label_smoothing: 0.1,
   precise_norms: 3}}
steps_per_epoch: 20
accelerator: cpu
"""


def start(recipe: Path, output: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "ls3d", "train", str(recipe), f"output={output}"]
    return subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "model"), [("interpolation", "vfi_ls3d"), ("super-resolution", "vsr_ls3d"), ("denoising", "vdn_ls3d")]
)
def test_training_killed_within_an_epoch_resumes_to_the_same_losses(
    tmp_path: Path, folder: Path, kind: str, model: str
) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(RECIPE.format(kind=kind, model=model, clips=folder))
    require_same_losses_after_a_kill(recipe)


@pytest.mark.slow
def test_classification_killed_within_an_epoch_resumes_to_the_same_losses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(CLASSIFICATION.format(root=write_gray_videos(tmp_path / "set")))
    require_same_losses_after_a_kill(recipe)


def require_same_losses_after_a_kill(recipe: Path) -> None:
    """Train a recipe of 60 steps without and with a kill; compare the losses and the weights."""
    whole, stopped = recipe.parent / "whole", recipe.parent / "stopped"
    assert start(recipe, whole).wait() == 0
    process = start(recipe, stopped)
    while not (stopped / "last.ckpt").exists():
        assert process.poll() is None
        time.sleep(0.01)
    time.sleep(0.2)  # into the second or third epoch
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (stopped / "weights.safetensors").exists()
    assert load_state(stopped / "last.ckpt").values["global_step"] < 60
    assert start(recipe, stopped).wait() == 0
    resumed, uninterrupted = losses(stopped), losses(whole)
    assert resumed
    assert resumed == {step: uninterrupted[step] for step in resumed}
    assert [read_metadata(run / "weights.safetensors")["sha256"] for run in (whole, stopped)] == [
        read_metadata(whole / "weights.safetensors")["sha256"]
    ] * 2


def test_a_damaged_clip_causes_one_warning_and_is_left_out(
    tmp_path: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "broken.mp4").write_bytes((folder / "a.mp4").read_bytes()[:700])
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(RECIPE.format(kind="interpolation", model="vfi_ls3d", clips=folder))
    weights = train(load_recipe(recipe, [f"output={tmp_path / 'run'}", "optimization.steps=2", "data.held_out=1"]))
    assert weights.is_file()
    warnings = [record.getMessage() for record in caplog.records if "broken.mp4" in record.getMessage()]
    assert len(warnings) == 1
    with pytest.raises(InputError, match=r"held_out names \['broken.mp4'\]"):
        train(load_recipe(recipe, [f"output={tmp_path / 'other'}", "data.held_out=[broken.mp4]"]))


BLENDING = """
kind: gradient_blending
model:
  name: late_fusion
  arguments:
    spectrogram: null
    unimodal_heads: true
    num_classes: 2
    clip_arguments: {{width: 4, blocks: [1, 1, 1, 1]}}
    flow_arguments: {{width: 4, blocks: [1, 1, 1, 1]}}
data: {{root: {root}, validation: [S3], frames: 2, fps: 2.0, size: [16, 16]}}
optimization: {{steps: 40, batch_size: 4, warm_up: 1}}
blending: {{weights: online, epochs: 2, held_out: 0.5}}
steps_per_epoch: 5
accelerator: cpu
"""


@pytest.mark.slow
def test_blending_killed_within_a_super_epoch_resumes_to_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    recipe = tmp_path / "recipe.yaml"
    save_decoded(gray_set(), tmp_path / "gray.npz")
    recipe.write_text(BLENDING.format(root=tmp_path / "gray.npz"))
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert start(recipe, whole).wait() == 0
    process = start(recipe, stopped)
    while not _is_in_second_super_epoch(stopped):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert start(recipe, stopped).wait() == 0
    histories = [json.loads((folder / "blending.json").read_text())["history"] for folder in (whole, stopped)]
    assert histories[0] == histories[1]
    assert len(histories[0]) == 4
    digests = [read_metadata(folder / "weights.safetensors")["sha256"] for folder in (whole, stopped)]
    assert digests[0] == digests[1]


def _is_in_second_super_epoch(folder: Path) -> bool:
    file = folder / "blending.json"
    return file.exists() and len(json.loads(file.read_text())["history"]) == 2

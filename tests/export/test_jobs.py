"""Exported networks in the commands that run networks: the same frames and classes, tiles, segments, resume."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from helpers.videos import Clip, decode, planes
from torch import Tensor
from typer.testing import CliRunner

from ls3d.cli.main import app
from ls3d.enhance import EnhanceOptions, upscale
from ls3d.errors import InputError
from ls3d.export import export_onnx
from ls3d.inference import Classifier
from ls3d.models import RecognitionNet, create_model, load_model, save_weights
from ls3d.models.exported import OnnxSession

pytest.importorskip("onnxruntime")

EXAMPLE = Path(__file__).parents[2] / "examples" / "crossing.mp4"
LOSSLESS = ["--codec", "ffv1", "--device", "cpu"]


def run(*arguments: str | Path) -> None:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exception is None, result.output


def largest_difference(first: Path, second: Path) -> int:
    """The largest difference of two videos, in code values."""
    differences = [
        abs(plane - other).max()
        for frame, twin in zip(decode(first), decode(second), strict=True)
        for plane, other in zip(planes(frame), planes(twin), strict=True)
    ]
    return int(max(differences))


@pytest.fixture(scope="module")
def bicubic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bicubic") / "bicubic.onnx"
    export_onnx("bicubic", path)
    return path


def test_tiles_and_segments(bicubic: Path, tmp_path: Path) -> None:
    compare_jobs("upscale", "bicubic", bicubic, tmp_path)


@pytest.mark.parametrize(("command", "model"), [("interpolate", "blend"), ("denoise", "identity")])
def test_the_other_commands(command: str, model: str, tmp_path: Path) -> None:
    export_onnx(model, tmp_path / "network.onnx")
    compare_jobs(command, model, tmp_path / "network.onnx", tmp_path)


def compare_jobs(command: str, model: str, exported: Path, folder: Path) -> None:
    """Run a job in tiles and segments with both."""
    source = Clip(frames=5, size=(72, 136)).write(folder / "in.mp4")
    for name, network in (("torch", model), ("onnx", exported)):
        options = ["--tile", "64", "--segment-frames", "2", *LOSSLESS]
        run(command, source, folder / f"{name}.mkv", "--model", network, *options)
    assert largest_difference(folder / "torch.mkv", folder / "onnx.mkv") <= 1


def test_an_interrupted_job_resumes(bicubic: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Clip(frames=6).write(tmp_path / "in.mp4")
    options = EnhanceOptions(threads=1, segment_frames=2)
    upscale(source, tmp_path / "whole.mp4", model=bicubic, options=options)
    original = OnnxSession.__call__
    calls = iter(range(100))

    def interrupted(self: OnnxSession, *inputs: Tensor) -> Tensor:
        if next(calls) == 3:
            raise KeyboardInterrupt
        return original(self, *inputs)

    monkeypatch.setattr(OnnxSession, "__call__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        upscale(source, tmp_path / "resumed.mp4", model=bicubic, options=options)
    monkeypatch.undo()
    report = upscale(source, tmp_path / "resumed.mp4", model=bicubic, options=options)
    assert report.resumed == 1
    assert (tmp_path / "resumed.mp4").read_bytes() == (tmp_path / "whole.mp4").read_bytes()


def test_classify_reads_classes_and_preprocessing_from_the_file(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = create_model("r3d_18", num_classes=2, width=4).eval()
    clip = {"frames": 4, "fps": 4.0, "size": [32, 48], "share": 1.0}
    preprocessing = {"mean": [0.3, 0.4, 0.5], "std": [0.2, 0.2, 0.3], "value_range": [0.0, 1.0], "channels": "BGR"}
    config = network.require_config()
    network.config = config.with_metadata(classes=["red", "blue"], clip=clip, preprocessing=preprocessing)
    save_weights(network, tmp_path / "network.safetensors")
    export_onnx(network, tmp_path / "network.onnx", length=4)
    source = Clip(frames=30).write(tmp_path / "in.mp4")
    found = load_model(tmp_path / "network.onnx")
    assert isinstance(found, RecognitionNet)
    assert found.config == network.config
    with pytest.raises(InputError, match="an exported r3d_18 returns logits only"):
        Classifier(found).features(torch.zeros(1, 3, 4, 32, 48, dtype=torch.uint8))
    lines = []
    for suffix in ("safetensors", "onnx"):
        options: list[str | Path] = ["--device", "cpu", "--json", tmp_path / f"{suffix}.json"]
        run("classify", source, "--model", tmp_path / f"network.{suffix}", *options)
        lines.append(json.loads((tmp_path / f"{suffix}.json").read_text())[0])
    assert set(lines[1]["best"]) == {"red", "blue"}
    for name, probability in lines[0]["best"].items():
        assert lines[1]["best"][name] == pytest.approx(probability, abs=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(("command", "model"), [("interpolate", "vfi"), ("upscale", "vsr"), ("denoise", "vdn")])
def test_bundled_networks_make_the_same_frames(command: str, model: str, tmp_path: Path) -> None:
    export_onnx(model, tmp_path / "network.onnx")
    sigma = ["--sigma", "10"] if command == "denoise" else []
    for name, source in (("torch", model), ("onnx", tmp_path / "network.onnx")):
        span = ["--duration", "0.4"]
        run(command, EXAMPLE, tmp_path / f"{name}.mkv", "--model", source, *sigma, *span, *LOSSLESS)
    assert largest_difference(tmp_path / "torch.mkv", tmp_path / "onnx.mkv") <= 1

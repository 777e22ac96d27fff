"""Networks as ONNX files: what they compute, their metadata, and files that are damaged or of others."""

from __future__ import annotations

import functools
import json
import math
import operator
import re
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.marks import slow_except
from helpers.scripts import load_script
from torch import Tensor, nn

from ls3d.errors import InputError, OutputExistsError
from ls3d.export import export_onnx
from ls3d.export._comparison import compare
from ls3d.export._prepare import Signature
from ls3d.inference import Enhancer
from ls3d.models import create_model, load_enhancement_model, load_model
from ls3d.models.exported import METADATA_KEY, OnnxSession, _Recognition
from ls3d.models.network import RecognitionTraits

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

QUICK = {"vfi_conv3d"}


@pytest.mark.parametrize("name", slow_except(["vfi_conv3d", "late_fusion", "audio_resnet_18"], QUICK))
def test_networks_give_the_same_in_every_way(name: str) -> None:
    found = load_script("record_exports").record(name, ("compile", "export", "onnx"))
    for method in ("compile", "export", "onnx"):
        assert found[method].get("difference", found[method]) <= 1e-4, method


def test_times_are_fixed_in_the_file(tmp_path: Path) -> None:
    export_onnx("blend", tmp_path / "blend.onnx", times=[Fraction(1, 3)])
    network = load_enhancement_model(tmp_path / "blend.onnx")
    frames = torch.rand(1, 3, 2, 8, 8)
    made = Enhancer(network).interpolate(frames, [Fraction(1, 3)])
    torch.testing.assert_close(made[:, :, 0], frames[:, :, 0] * 2 / 3 + frames[:, :, 1] / 3)
    with pytest.raises(InputError, match=re.escape("makes frames at the times 0.333333, not at 0.5")):
        Enhancer(network).interpolate(frames, [Fraction(1, 2)])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"path": "missing/network.onnx"}, "missing/network.onnx can't be written: there is no folder"),
        ({"path": "network.txt"}, "path network.txt: expected a name that ends with .onnx"),
        ({"target": "ncnn"}, "target ncnn: expected onnxruntime, openvino, tensorrt"),
        ({"model": "bicubic", "times": [Fraction(1, 2)]}, "times bicubic doesn't interpolate"),
        ({"model": "vfi_conv3d", "times": [Fraction(1, 3)]}, "times 1/3: expected 1/4, 1/2 or 3/4"),
        ({"model": "vfi_conv3d", "size": (66, 64)}, "size 66x64: expected multiples of 4"),
        ({"model": "bilateral", "length": 99}, "length bilateral takes as many frames as it needs"),
        ({"model": "c3d", "length": 8}, "length 8: c3d takes 16 frames"),
        ({"model": "r3d_18", "length": 0}, "length 0: expected at least 1"),
        ({"model": "minterpolate"}, "the network can't be traced by torch.export"),
    ],
)
def test_what_cannot_be_exported(arguments: dict[str, Any], message: str, tmp_path: Path) -> None:
    options = {"model": "blend", "path": "network.onnx", **arguments}
    if options["model"] in ("vfi_conv3d", "c3d", "r3d_18"):
        options["model"] = create_model(options["model"])
    path = options.pop("path")
    with pytest.raises(InputError, match=re.escape(message)):
        export_onnx(options.pop("model"), path if path.endswith("txt") else tmp_path / path, **options)
    assert not list(tmp_path.iterdir())


def test_an_existing_file_is_kept(tmp_path: Path) -> None:
    (tmp_path / "blend.onnx").write_text("mine")
    with pytest.raises(OutputExistsError):
        export_onnx("blend", tmp_path / "blend.onnx")
    assert (tmp_path / "blend.onnx").read_text() == "mine"


@pytest.mark.parametrize("content", [b"", b"no model at all"])
def test_files_that_are_not_ours(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "other.onnx").write_bytes(content)
    with pytest.raises(InputError, match=r"other\.onnx can't be run by ONNX Runtime"):
        load_model(tmp_path / "other.onnx")


@pytest.fixture(scope="module")
def blend(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("blend") / "blend.onnx"
    export_onnx("blend", path)
    return path


def test_a_truncated_file(blend: Path, tmp_path: Path) -> None:
    content = blend.read_bytes()
    (tmp_path / "cut.onnx").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"cut\.onnx"):
        load_model(tmp_path / "cut.onnx")


@pytest.mark.parametrize(
    "change",
    [
        "",
        "[]",
        ("architecture", 3),
        ("exported", None),
        ("exported/traits", []),
        ("exported/traits/task", "cooking"),
        ("exported/traits/times", ["1/2"]),
        ("exported/traits/scale", "four"),
        ("exported/traits/scale", 0),
        ("exported/traits/size_multiple", 1.5),
        ("exported/traits/value_range", [1.0]),
        ("exported/traits/value_range", [1.0, 0.0]),
        ("exported/traits/unknown", 1),
        ("exported/times", []),
        ("exported/times", ["1/0"]),
        ("exported/times", [{}]),
        ("exported/times", ["1e400"]),
        ("exported/traits/value_range", [0, 10**400]),
    ],
)
def test_metadata_that_are_not_ours(change: Any, blend: Path, tmp_path: Path) -> None:
    model = onnx.load(blend)
    (entry,) = (entry for entry in model.metadata_props if entry.key == METADATA_KEY)
    if isinstance(change, tuple):
        values = json.loads(entry.value)
        *folders, key = change[0].split("/")
        functools.reduce(operator.getitem, folders, values)[key] = change[1]
        entry.value = json.dumps(values)
    else:
        entry.value = change
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(InputError, match="its metadata are not those that `ls3d export` writes") as error:
        load_model(tmp_path / "other.onnx")
    assert "\n" not in str(error.value)


def test_named_inputs_are_passed_in_the_order_of_the_file() -> None:
    traits = RecognitionTraits(task="multimodal", modalities=("clip", "flow", "spectrogram"), clip_length=None)
    given: list[float] = []

    class Recorded:
        metadata: Mapping[str, str] = {}

        def __call__(self, *inputs: Tensor) -> Tensor:
            given[:] = [float(values) for values in inputs]
            return torch.zeros(1, 2)

    network = _Recognition(Recorded(), traits, 2, 3)
    clip, flow, spectrogram = (torch.tensor([float(number)]) for number in range(3))
    network(spectrogram=spectrogram, clip=clip, flow=flow)
    assert given == [0, 1, 2]
    network(clip, spectrogram=spectrogram, flow=flow)
    assert given == [0, 1, 2]
    for named in ({"flow": flow}, {"flow": flow, "sound": spectrogram}, {"flow": flow, "clip": clip}):
        with pytest.raises(InputError, match=r"the inputs are .*: expected clip, flow, spectrogram"):
            network(clip, **named)


def test_a_difference_of_one_of_three_equal_shapes_is_kept() -> None:
    differences = iter([0.5, 0.0, 0.25])
    signature = Signature(nn.Identity(), {"frames": torch.rand(1, 3, 2, 8, 8)}, {"frames": {3: "height"}}, "restored")
    found = compare(lambda frames: frames + next(differences), signature, ())
    assert found.differences == {(1, 3, 2, 8, 8): pytest.approx(0.5)}


@pytest.mark.parametrize("searches", [True, False])
@pytest.mark.parametrize(("changed", "by"), [(1, 0.5), (6, 0.5), (1, math.nan), (1, 0.0005)])
def test_networks_that_search_may_differ_in_few_values(changed: int, by: float, searches: bool) -> None:
    def run(frames: Tensor) -> Tensor:
        found = frames.clone()
        found.flatten()[:changed] += by
        return found

    clip = torch.rand(1, 3, 2, 30, 30)  # a thousandth is 5.4 values
    signature = Signature(nn.Identity(), {"frames": clip}, {"frames": {3: "height"}}, "restored")
    comparison = compare(run, signature, ())
    if by < 1e-3 or (searches and changed == 1 and not math.isnan(by)):
        report = comparison.report("net", Path("net.onnx"), "a runtime", (), searches=searches)
        assert report.share_beyond == pytest.approx(0 if by < 1e-3 else changed / clip.numel())
    else:
        with pytest.raises(InputError, match=r"a runtime's output differs from PyTorch's by (0.5|nan)"):
            comparison.report("net", Path("net.onnx"), "a runtime", (), searches=searches)


def test_metadata_of_another_network(tmp_path: Path, blend: Path) -> None:
    model = onnx.load(blend)
    (entry,) = (entry for entry in model.metadata_props if entry.key == METADATA_KEY)
    entry.value = entry.value.replace('"scale": 1', '"scale": 2')
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(InputError, match="blend returned a tensor of shape"):
        Enhancer(load_enhancement_model(tmp_path / "other.onnx")).interpolate(
            torch.rand(1, 3, 2, 8, 8), [Fraction(1, 2)]
        )


def test_files_for_openvino_are_run_by_openvino(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino")
    report = export_onnx("blend", tmp_path / "blend.onnx", target="openvino")
    assert report.runtime == "OpenVINO"
    monkeypatch.setattr(OnnxSession, "__call__", None)
    frames = torch.rand(1, 3, 2, 8, 12)
    made = Enhancer(load_enhancement_model(tmp_path / "blend.onnx")).interpolate(frames, [Fraction(1, 2)])
    torch.testing.assert_close(made[:, :, 0], frames.mean(dim=2))


def test_memory_is_measured_where_another_runtime_computes(blend: Path) -> None:
    enhancer = Enhancer(load_enhancement_model(blend))
    assert enhancer.fit_memory(2 << 30) >= 64
    with pytest.raises(InputError, match="max_memory 699 MiB: too little"):
        enhancer.fit_memory(699 << 20)


def test_memory_that_runs_out_makes_tiles_smaller(blend: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = OnnxSession(blend)

    def run(*_: Any) -> Any:
        raise Exception("Failed to allocate memory for requested buffer of size 4096")  # as onnxruntime

    monkeypatch.setattr(session._session, "run", run)
    with pytest.raises(torch.OutOfMemoryError, match="Failed to allocate"):
        session(torch.rand(1, 3, 2, 8, 8))

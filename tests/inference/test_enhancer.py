"""``Enhancer``: the network's own result whatever the size, range, device and precision of the frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
import torch
from helpers.networks import DENOISING, Mean, NotANumber, RecordingBlend, RecordingDenoiser
from torch import Tensor

from ls3d.errors import InputError
from ls3d.inference import Classifier, Enhancer, NetworkOutputError, NonFiniteOutputError, Precision, resolve_device
from ls3d.inference.device import resolve_precision
from ls3d.models import RecognitionNet, RestorationNetwork, create_model, load_enhancement_model

SIXTEENTHS = [Fraction(n, 16) for n in range(1, 16)]


def blended(frames: Tensor, times: Sequence[Fraction]) -> Tensor:
    """The linear mix of two frames, ``(N, 3, 2, H, W)`` to ``(N, 3, len(times), H, W)``."""
    first, second = frames.unbind(2)
    return torch.stack([first + (second - first) * float(time) for time in times], dim=2)


@pytest.mark.parametrize("size", [(1, 1), (37, 51), (64, 80)])
@pytest.mark.parametrize("tile", [None, 64])
def test_frames_of_any_size(size: tuple[int, int], tile: int | None) -> None:
    frames = torch.rand(2, 3, 2, *size)
    enhancer = Enhancer(RecordingBlend(size_multiple=16), tile=tile)
    assert torch.allclose(enhancer.interpolate(frames, SIXTEENTHS), blended(frames, SIXTEENTHS), atol=1e-6)


def test_networks_that_make_quarters_are_run_again_between_them() -> None:
    network = RecordingBlend()
    frames = torch.rand(1, 3, 2, 8, 8)
    times = [Fraction(1, 8), Fraction(1, 2), Fraction(15, 16)]
    made = Enhancer(network).interpolate(frames, times)
    assert torch.allclose(made, blended(frames, times), atol=1e-6)
    assert network.calls == [(0.25, 0.5, 0.75), (0.5,), (0.75,)]


@pytest.mark.parametrize("time", [Fraction(1, 3), Fraction(1, 32), Fraction(0), Fraction(1), Fraction(5, 4)])
def test_times_at_which_no_frame_can_be_made(time: Fraction) -> None:
    with pytest.raises(ValueError, match=f"no frame can be made at {time}"):
        Enhancer(RecordingBlend()).interpolate(torch.rand(1, 3, 2, 8, 8), [time])


def test_times_are_rounded_only_for_networks_that_make_quarters() -> None:
    time = Fraction(1001, 3000)
    assert Enhancer(RecordingBlend()).nearest_time(time) == Fraction(5, 16)
    network = RecordingBlend(times="any")
    enhancer = Enhancer(network)
    assert enhancer.nearest_time(time) == time
    frames = torch.rand(1, 3, 2, 8, 8)
    assert torch.allclose(enhancer.interpolate(frames, [time]), blended(frames, [time]), atol=1e-6)
    assert network.calls == [(float(time),)]


@pytest.mark.parametrize("value_range", [(0.0, 1.0), (0.0, 255.0), (-1.0, 1.0)])
def test_frames_stay_in_the_unit_range(value_range: tuple[float, float]) -> None:
    frames = torch.rand(1, 3, 2, 20, 30)
    times = [Fraction(1, 4), Fraction(1, 8)]
    made = Enhancer(RecordingBlend(value_range=value_range)).interpolate(frames, times)
    assert torch.allclose(made, blended(frames, times), atol=1e-5)


def test_the_noise_level_follows_the_value_range() -> None:
    network = RecordingDenoiser(value_range=(-1.0, 1.0))
    frames = torch.rand(3, 3, 1, 8, 8)
    restored = Enhancer(network).restore(frames, torch.tensor([0.1, 0.2, 0.3]))
    assert torch.allclose(restored, frames[:, :, 0], atol=1e-6)
    assert network.levels == pytest.approx([0.2, 0.4, 0.6])


def test_a_noise_level_that_is_missing() -> None:
    with pytest.raises(ValueError, match="takes a noise level"):
        Enhancer(RecordingDenoiser()).restore(torch.rand(1, 3, 1, 8, 8))


def test_the_middle_frame_is_restored() -> None:
    frames = torch.rand(2, 3, 3, 9, 7)
    assert torch.allclose(Enhancer(Mean()).restore(frames), frames.mean(2))

    class AllFrames(RestorationNetwork):
        traits = replace(DENOISING, frames_before=1, frames_after=1)

        def forward(self, frames: Tensor, sigma: Tensor | None = None) -> Tensor:
            return frames

    assert torch.equal(Enhancer(AllFrames()).restore(frames), frames[:, :, 1])


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_is_close_to_single(precision: Precision) -> None:
    class Projection(RestorationNetwork):
        traits = DENOISING

        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(3, 3)
            self.dtype = torch.float32

        def forward(self, frames: Tensor, sigma: Tensor | None = None) -> Tensor:
            output: Tensor = self.layer(frames.transpose(1, 4)).transpose(1, 4)
            self.dtype = output.dtype
            return output

    network = Projection()
    frames = torch.rand(1, 3, 1, 8, 8)
    single = Enhancer(network, "cpu").restore(frames)
    half = Enhancer(network, "cpu", precision).restore(frames)
    assert network.dtype == getattr(torch, precision)
    assert half.dtype == torch.float32
    assert 0 < (half - single).abs().max() < 0.02


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx512_bf16": True, "avx2": True}, "bfloat16"),
        ({"amx_bf16": True}, "bfloat16"),
        ({"avx512_bf16": False, "amx_bf16": False, "avx512_bw": True}, "float32"),
        ({}, "float32"),
    ],
)
def test_auto_is_bfloat16_on_cpus_that_compute_in_it(
    capabilities: dict[str, bool], expected: Precision, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert Enhancer(Mean(), "cpu", "auto").precision == expected
    assert resolve_precision("auto", torch.device("cuda")) == "float32"
    assert Enhancer(Mean(), "cpu", "float16").precision == "float16"
    network = create_model("r3d_18", num_classes=2, width=8)
    assert isinstance(network, RecognitionNet)
    assert Classifier(network, "cpu", "auto").precision == expected


def test_nan_is_an_error() -> None:
    with pytest.raises(NonFiniteOutputError, match="NotANumber returned NaN or infinity in bfloat16"):
        Enhancer(NotANumber(), precision="bfloat16").restore(torch.rand(1, 3, 1, 8, 8))


@pytest.mark.parametrize("message", ["CUDA out of memory", "DefaultCPUAllocator: can't allocate memory"])
def test_tiles_are_halved_when_memory_runs_out(message: str, caplog: pytest.LogCaptureFixture) -> None:
    class Large(RecordingDenoiser):
        def forward(self, frames: Tensor, sigma: Tensor | None = None) -> Tensor:
            if max(frames.shape[-2:]) > 70:
                raise torch.OutOfMemoryError(message) if "CUDA" in message else RuntimeError(message)
            return super().forward(frames, sigma)

    frames = torch.rand(1, 3, 1, 90, 200)
    enhancer = Enhancer(Large())
    assert torch.allclose(enhancer.restore(frames, torch.zeros(1)), frames[:, :, 0], atol=1e-6)
    assert enhancer.tiler.tile == 64
    assert "memory ran out; continuing with tiles of 64 pixels" in caplog.text


@pytest.mark.parametrize("network", [RecordingBlend(times="any"), RecordingDenoiser(), Mean()])
def test_tiles_fit_a_memory_limit(network: RecordingBlend | RecordingDenoiser | Mean) -> None:
    enhancer = Enhancer(network)
    large = enhancer.fit_memory(2 << 30)
    small = enhancer.fit_memory(705 << 20)
    assert 64 <= small < large
    assert enhancer.fit_memory(2 << 30) == enhancer.tiler.tile == small  # the lowest limit stays
    with pytest.raises(InputError, match="max_memory 699 MiB: too little"):
        enhancer.fit_memory(699 << 20)


def test_devices_and_precisions_that_do_not_exist() -> None:
    assert resolve_device("cpu") == torch.device("cpu")
    assert resolve_device(torch.device("cpu")).type == "cpu"
    assert resolve_device().type == ("cuda" if torch.cuda.is_available() else "cpu")
    for device in ("warp", "cuda:77"):
        with pytest.raises(InputError, match=f"device {device}: this machine has no such device"):
            Enhancer(Mean(), device)
    double: Any = "double"
    with pytest.raises(InputError, match="precision double: expected auto, float32"):
        Enhancer(Mean(), precision=double)


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        (lambda made: made[..., :-8, :], "returned a tensor of shape"),
        (lambda made: made[:, :1], "returned a tensor of shape"),
        (lambda made: made[:, :, :0], "returned a tensor of shape"),
        (lambda made: torch.cat([made, made]), "returned a tensor of shape"),
        (lambda made: (made * 255).int(), "returned a tensor of torch.int32"),
        (lambda made: made.numpy(), "returned a ndarray"),
        (lambda made: made * float("inf"), "returned NaN or infinity"),
    ],
)
def test_what_a_network_returns_is_checked(spoil: Callable[[Tensor], object], found: str) -> None:
    network = load_enhancement_model("blend")
    forward = network.forward
    network.forward = lambda *arguments: spoil(forward(*arguments))
    with pytest.raises(NetworkOutputError, match=f"^blend {found}"):
        Enhancer(network, "cpu").interpolate(torch.rand(1, 3, 2, 64, 64), [Fraction(1, 2)])


def test_other_default_types_change_nothing() -> None:
    frames = torch.rand(1, 3, 2, 64, 64)
    expected = Enhancer(load_enhancement_model("blend"), "cpu").interpolate(frames, [Fraction(1, 2)])
    torch.set_default_dtype(torch.float64)
    try:
        made = Enhancer(load_enhancement_model("blend"), "cpu").interpolate(frames.double(), [Fraction(1, 2)])
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(made, expected)

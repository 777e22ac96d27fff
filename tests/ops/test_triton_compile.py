"""The Triton kernels compile for sm_80 and sm_90 without a GPU, for the arguments that a launch would have.

Spilled registers are read from the machine code, with the ``cuobjdump`` that Triton contains.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

triton = pytest.importorskip("triton", reason="triton is not installed: pip install 'ls3d[test]'")

from ls3d.ops._call import Call  # noqa: E402
from ls3d.ops._geometry import Interpolation  # noqa: E402
from ls3d.ops.backends.triton import backend, motion, motion_kernels  # noqa: E402
from ls3d.ops.backends.triton import compiled as compiled_kernels  # noqa: E402
from ls3d.ops.backends.triton import launch as kernel_launches  # noqa: E402

if triton.knobs.runtime.interpret:
    pytest.skip("the interpreter compiles nothing", allow_module_level=True)

MOTION_KERNELS = ("difference_kernel", "cost_kernel", "search_kernel", "select_kernel", "median_kernel")
KERNELS = ("forward_kernel", "sampling_kernel", "scatter_kernel", "input_kernel", "weight_kernel")
SHARED_MEMORY = {80: 163 * 1024, 90: 227 * 1024}
"""Most bytes of a program, by compute capability (CUDA C++ Programming Guide)."""


class _Driver:
    """A driver that reports a GPU of some architecture."""

    def __init__(self, arch: int) -> None:
        self.arch = arch

    def get_current_target(self) -> Any:
        return triton.backends.compiler.GPUTarget("cuda", self.arch, 32)

    def get_current_device(self) -> int:
        return self.arch

    def get_current_stream(self, device: int) -> int:
        return 0


class _Compiler:
    """Replaces a kernel: a launch compiles it for the launch's arguments instead."""

    def __init__(self, kernel: Any, compiled: dict[str, Any]) -> None:
        self.kernel, self.compiled = kernel, compiled

    def __getitem__(self, grid: Any) -> Callable[..., None]:
        def launch(**arguments: Any) -> None:
            self.compiled[self.kernel.__name__] = self.kernel.warmup(grid=grid, **arguments)

        return launch


@pytest.fixture(params=[80, 90], ids=["sm_80", "sm_90"])
def arch(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    before = triton.runtime.driver._active
    triton.runtime.driver.set_active(_Driver(request.param))
    monkeypatch.setattr(kernel_launches, "_chosen", {})
    yield request.param
    triton.runtime.driver._active = before


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The kernels that have been compiled so far, by name."""
    kernels: dict[str, Any] = {}
    for name in KERNELS:
        monkeypatch.setattr(kernel_launches, name, _Compiler(getattr(kernel_launches, name), kernels))
    return kernels


def _call(
    channels: int,
    size: tuple[int, int, int],
    kernel: tuple[int, int, int],
    dtype: torch.dtype,
    groups: int = 1,
    offset_groups: int = 1,
    offset_dtype: torch.dtype | None = None,
    interpolation: Interpolation = "bilinear",
) -> None:
    """Forward and backward on tensors without data."""
    taps = kernel[0] * kernel[1] * kernel[2]
    padding = tuple(k // 2 for k in kernel)
    x = torch.empty(2, channels, *size, dtype=dtype, device="meta").contiguous(memory_format=torch.channels_last_3d)
    offset = x.new_empty(2, 2 * taps * offset_groups, *size, dtype=offset_dtype or dtype)
    mask = offset.new_empty(2, taps * offset_groups, *size)
    weight = x.new_empty(channels, channels // groups, *kernel)
    bias = x.new_empty(channels)
    call = Call.of(x, offset, mask, weight, bias, 1, padding, 1, groups, interpolation)
    backend.backward(call, torch.empty_like(backend.forward(call)), (True,) * 4)


def _stack_bytes(binary: bytes, folder: Path) -> int:
    """Bytes of local memory of a kernel: its spilled registers."""
    file = folder / "kernel.cubin"
    file.write_bytes(binary)
    tool = triton.knobs.nvidia.cuobjdump.path
    text = subprocess.run([tool, "--dump-resource-usage", file], capture_output=True, text=True, check=True).stdout
    found = re.search(r"STACK:(\d+) .*LOCAL:(\d+)", text)
    assert found, text
    return int(found[1]) + int(found[2])


BENCHMARKED = [
    pytest.param(64, (7, 270, 480), (3, 3, 3), torch.bfloat16, id="vfi-bfloat16"),
    pytest.param(64, (7, 270, 480), (3, 3, 3), torch.float16, id="vfi-float16"),
    pytest.param(64, (7, 270, 480), (3, 3, 3), torch.float32, id="vfi-float32"),
    pytest.param(64, (3, 64, 128), (3, 3, 3), torch.bfloat16, id="vfi-small"),
    pytest.param(128, (5, 64, 64), (3, 3, 3), torch.bfloat16, id="128-channels"),
    pytest.param(256, (8, 28, 28), (3, 1, 1), torch.bfloat16, id="i3d-256"),
    pytest.param(1024, (8, 14, 14), (3, 1, 1), torch.bfloat16, id="i3d-1024"),
]


@pytest.mark.parametrize(("channels", "size", "kernel", "dtype"), BENCHMARKED)
def test_default_configurations_spill_no_registers(
    channels: int,
    size: tuple[int, int, int],
    kernel: tuple[int, int, int],
    dtype: torch.dtype,
    arch: int,
    compiled: dict[str, Any],
    tmp_path: Path,
) -> None:
    _call(channels, size, kernel, dtype)
    assert sorted(compiled) == sorted(KERNELS)
    spilled = {name: _stack_bytes(kernel.asm["cubin"], tmp_path) for name, kernel in compiled.items()}
    assert spilled == dict.fromkeys(KERNELS, 0)
    assert max(kernel.metadata.shared for kernel in compiled.values()) < SHARED_MEMORY[arch]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("arch", [90], ids=["sm_90"], indirect=True)
def test_hopper_uses_its_own_matrix_instructions(dtype: torch.dtype, arch: int, compiled: dict[str, Any]) -> None:
    _call(64, (7, 270, 480), (3, 3, 3), dtype)
    assert "wgmma.mma_async" in compiled["forward_kernel"].asm["ptx"]
    assert "wgmma.mma_async" in compiled["sampling_kernel"].asm["ptx"]
    assert "wgmma.mma_async" in compiled["input_kernel"].asm["ptx"]


def test_features_are_loaded_16_bytes_at_a_time(arch: int, compiled: dict[str, Any]) -> None:
    _call(64, (7, 270, 480), (3, 3, 3), torch.bfloat16)
    for name in ("forward_kernel", "sampling_kernel", "weight_kernel"):
        assert "ld.global.v4.b32" in compiled[name].asm["ptx"], name


@pytest.mark.parametrize("offset_dtype", [torch.float32, torch.float16])
def test_odd_and_grouped_shapes_compile(arch: int, compiled: dict[str, Any], offset_dtype: torch.dtype) -> None:
    _call(12, (3, 7, 9), (1, 3, 5), torch.float16, groups=2, offset_groups=3, offset_dtype=offset_dtype)
    _call(7, (3, 7, 9), (3, 3, 1), torch.float16, offset_dtype=offset_dtype)
    assert sorted(compiled) == sorted(KERNELS)


def test_bicubic_sampling_compiles_without_spilled_registers(
    arch: int, compiled: dict[str, Any], tmp_path: Path
) -> None:
    _call(64, (7, 270, 480), (3, 3, 3), torch.bfloat16, interpolation="bicubic")
    spilled = {name: _stack_bytes(kernel.asm["cubin"], tmp_path) for name, kernel in compiled.items()}
    assert spilled == dict.fromkeys(KERNELS, 0)


def test_kernels_of_bilateral_motion_compile_without_fused_products(
    arch: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kernels: dict[str, Any] = {}
    for name in MOTION_KERNELS:
        monkeypatch.setattr(motion_kernels, name, _Compiler(getattr(motion_kernels, name), kernels))
    frame = torch.empty(1, 3, 717, 1279, device="meta")
    motion.bilateral_motion(frame, frame, [0.5], 2)
    assert sorted(kernels) == sorted(MOTION_KERNELS)
    for kernel in kernels.values():
        assert "fma.rn.f32" not in kernel.asm["ptx"]
        assert _stack_bytes(kernel.asm["cubin"], tmp_path) == 0


def test_deterministic_variant_compiles(arch: int, compiled: dict[str, Any], tmp_path: Path) -> None:
    torch.use_deterministic_algorithms(True)
    try:
        _call(64, (7, 270, 480), (3, 3, 3), torch.bfloat16)
    finally:
        torch.use_deterministic_algorithms(False)
    assert "atom.global.gpu.relaxed.add.u64" in compiled["scatter_kernel"].asm["ptx"].replace("red.", "atom.")
    assert _stack_bytes(compiled["scatter_kernel"].asm["cubin"], tmp_path) == 0


def test_a_repeated_launch_passes_what_triton_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    launched: list[tuple[Any, ...]] = []
    monkeypatch.setattr(compiled_kernels, "_launches", {})
    monkeypatch.setattr(triton.compiler.CompiledKernel, "_init_handles", lambda self: None)
    run = property(lambda self: lambda *arguments: launched.append((self.name, *arguments[:3], *arguments[9:])))
    monkeypatch.setattr(triton.compiler.CompiledKernel, "run", run)
    monkeypatch.setattr(triton.runtime.driver, "_active", _Driver(90))
    jit = triton.runtime.jit.JITFunction.run
    inspected: list[str] = []

    def inspect(self: Any, *arguments: Any, **named: Any) -> Any:
        inspected.append(self.fn.__name__)
        return jit(self, *arguments, **named)

    monkeypatch.setattr(triton.runtime.jit.JITFunction, "run", inspect)
    x = torch.randn(1, 32, 2, 4, 4).contiguous(memory_format=torch.channels_last_3d)
    call = Call.of(x, torch.randn(1, 54, 2, 4, 4), None, torch.randn(32, 32, 3, 3, 3), None, 1, 1, 1, 1, "bilinear")
    grad = torch.ones_like(x)
    for _ in range(2):
        backend.forward(call)
        backend.backward(call, grad, (True, True, False, True))
    assert inspected == ["forward_kernel", "sampling_kernel", "scatter_kernel", "input_kernel", "weight_kernel"]
    first, second = launched[:5], launched[5:]
    for one, other in zip(first, second, strict=True):
        assert [_plain(argument) for argument in one] == [_plain(argument) for argument in other]


def _plain(argument: Any) -> Any:
    """What tells arguments of equal launches apart; buffers are made anew for each."""
    return (argument.shape, argument.dtype) if isinstance(argument, torch.Tensor) else argument

"""Which backend runs a call: the automatic choice, ``use_backend``, and what the log says about it."""

from __future__ import annotations

import contextvars
import logging
import threading
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
import torch
from helpers.operator_cases import CASES, Arguments, Case
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ls3d.ops import deform_conv2d, ls3d_conv3d, use_backend
from ls3d.ops._call import Call, Gradients
from ls3d.ops.backends import choose, reference
from ls3d.ops.backends.cpu import backend as cpu
from ls3d.ops.backends.cpu import library

CASE = CASES["usual"]
CPU = torch.device("cpu")

pytestmark = pytest.mark.skipif(library.load()[0] is None, reason="needs the compiled kernel")


@dataclass
class Runs:
    """The names of the backends that have run, in order."""

    forward: list[str] = field(default_factory=list)
    backward: list[str] = field(default_factory=list)


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Runs:
    """Records which backends run."""
    recorded = Runs()
    for name, module in (("reference", reference), ("cpu", cpu)):
        monkeypatch.setattr(module, "forward", _recording_forward(name, module.forward, recorded))
        monkeypatch.setattr(module, "backward", _recording_backward(name, module.backward, recorded))
    return recorded


def _recording_forward(name: str, original: Callable[[Call], Tensor], recorded: Runs) -> Callable[[Call], Tensor]:
    def forward(call: Call) -> Tensor:
        recorded.forward.append(name)
        return original(call)

    return forward


Backward = Callable[[Call, Tensor, Sequence[bool]], Gradients]


def _recording_backward(name: str, original: Backward, recorded: Runs) -> Backward:
    def backward(call: Call, grad_output: Tensor, needs: Sequence[bool]) -> Gradients:
        recorded.backward.append(name)
        return original(call, grad_output, needs)

    return backward


def draw() -> Arguments:
    return CASE.draw().requiring_gradients()


def operator(input: Tensor, offset: Tensor, mask: Tensor | None, weight: Tensor, bias: Tensor | None) -> Tensor:
    return ls3d_conv3d(input, offset, mask, weight, bias, *CASE.sizes)


def test_the_kernel_is_chosen_on_the_cpu(runs: Runs) -> None:
    operator(*draw()).sum().backward()
    assert runs == Runs(["cpu"], ["cpu"])


def test_use_backend_selects_the_backend_of_both_directions(runs: Runs) -> None:
    tensors = draw()
    expected = reference.forward(CASE.call(tensors))
    runs.forward.clear()
    with use_backend("reference"):
        output = operator(*tensors)
        output.sum().backward()
    assert runs == Runs(["reference"], ["reference"])
    assert torch.equal(output, expected)
    with use_backend("cpu"):
        operator(*draw()).sum().backward()
    assert runs == Runs(["reference", "cpu"], ["reference", "cpu"])


def test_backward_uses_the_setting_of_its_forward_pass(runs: Runs) -> None:
    with use_backend("reference"):
        requested = operator(*draw())
    automatic = operator(*draw())
    requested.sum().backward()
    assert runs.backward == ["reference"]
    with use_backend("reference"):
        automatic.sum().backward()
    assert runs.backward == ["reference", "cpu"]


def test_backward_in_another_thread_uses_the_setting_of_its_forward_pass(runs: Runs) -> None:
    with use_backend("reference"):
        output = operator(*draw())
    thread = threading.Thread(target=output.sum().backward)
    thread.start()
    thread.join()
    assert runs.backward == ["reference"]


def test_blocks_nest_and_end_with_an_exception(runs: Runs) -> None:
    tensors = CASE.draw()
    with use_backend("reference"):
        with pytest.raises(ValueError, match="dilation is"), use_backend("cpu"):
            ls3d_conv3d(*tensors, dilation=0)
        operator(*tensors)
        with use_backend("cpu"):
            operator(*tensors)
        operator(*tensors)
    operator(*tensors)
    assert runs.forward == ["reference", "cpu", "reference", "cpu"]


def test_other_threads_and_contexts_have_settings_of_their_own(runs: Runs) -> None:
    tensors = CASE.draw()

    def run() -> None:
        operator(*tensors)

    with use_backend("reference"):
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        copied = contextvars.copy_context()
    copied.run(run)
    run()
    assert runs.forward == ["cpu", "reference", "cpu"]


def test_deform_conv2d_and_torch_func_use_the_requested_backend(runs: Runs) -> None:
    input, offset, mask, weight, bias = CASES["one frame"].draw()
    assert mask is not None

    def loss(weight: Tensor) -> Tensor:
        output = deform_conv2d(input[:, :, 0], offset[:, :, 0], weight[:, :, 0], bias, padding=1, mask=mask[:, :, 0])
        return output.square().sum()

    with use_backend("reference"):
        torch.func.grad(loss)(weight)
    assert runs == Runs(["reference"], ["reference"])


def test_a_compiled_graph_chooses_when_it_runs(runs: Runs) -> None:
    compiled = torch.compile(operator, backend="aot_eager", fullgraph=True)
    with use_backend("reference"):
        output = compiled(*draw())
    output.sum().backward()
    compiled(*draw())
    assert runs == Runs(["reference", "cpu"], ["cpu"])


def test_checkpointing_repeats_the_forward_pass_with_the_setting_of_that_time(runs: Runs) -> None:
    with use_backend("reference"):
        output = checkpoint(operator, *draw(), use_reentrant=False)
    output.sum().backward()
    assert runs == Runs(["reference", "cpu"], ["reference"])


def test_an_unknown_name_is_an_error() -> None:
    context = use_backend("cuda")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="backend is 'cuda', expected one of reference, cpu, triton"), context:
        pass


def test_a_backend_that_cannot_run_the_call_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = CASE.draw(dtype=torch.float32)
    with (
        use_backend("triton"),
        pytest.raises(ValueError, match=r"backend 'triton' can't run this call: .*(not on cpu|not installed)"),
    ):
        operator(*tensors)
    monkeypatch.setattr(library, "load", lambda: (None, "the compiled kernel is missing"))
    with use_backend("cpu"), pytest.raises(ValueError, match=r"backend 'cpu' .*: the compiled kernel is missing"):
        operator(*tensors)


def test_devices_without_a_kernel_get_the_reference() -> None:
    geometry = CASE.call(CASE.draw()).geometry
    mps = torch.device("mps")
    assert choose.explain(geometry, torch.float32, CPU) == ("cpu", None)
    assert choose.explain(geometry, torch.float32, mps) == ("reference", "there is no kernel for mps devices")
    assert cpu.supports(geometry, torch.float32, mps) == "the CPU kernel runs on CPUs, not on mps devices"


def test_the_fallback_to_the_reference_warns_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = CASE.draw()
    expected = operator(*tensors)
    monkeypatch.setattr(library, "load", lambda: (None, "the compiled kernel isn't here"))
    choose.warn_of_fallback.cache_clear()
    with pytest.warns(RuntimeWarning, match="slow reference implementation: the compiled kernel isn't here"):
        torch.testing.assert_close(operator(*tensors), expected)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        operator(*tensors)


def test_a_requested_reference_does_not_warn() -> None:
    with warnings.catch_warnings(), use_backend("reference"):
        warnings.simplefilter("error")
        operator(*CASE.draw())


def test_each_choice_is_logged_once_with_its_reasons(caplog: pytest.LogCaptureFixture) -> None:
    case = Case(batch=1, size=(2, 5, 7))
    choose._log_once.cache_clear()
    ls3d_conv3d(*case.draw(dtype=torch.float32), *case.sizes)
    assert caplog.messages == []
    with caplog.at_level(logging.DEBUG, logger=choose.__name__):
        for _ in range(2):
            ls3d_conv3d(*case.draw(dtype=torch.float32), *case.sizes)
        with use_backend("reference"):
            ls3d_conv3d(*case.draw(), *case.sizes)
    automatic, requested = caplog.messages
    assert automatic.startswith("input (1, 4, 2, 5, 7), weight (3, 4, 3, 3, 3), stride (1, 1, 1), padding (1, 1, 1), ")
    assert "torch.float32 on cpu: backend cpu chosen; not reference: slower; not triton: " in automatic
    assert automatic.endswith(("not on cpu", "not installed"))
    assert "torch.float64 on cpu: backend reference requested; not cpu: not requested; not triton: " in requested

"""Executors: the GPUs of their processes, and errors that come back from workers."""

from __future__ import annotations

from typing import Any

import pytest

from ls3d.cluster import LocalExecutor, Resources
from ls3d.cluster.executors import Failure
from ls3d.errors import MissingExtraError


@pytest.mark.parametrize(
    ("visible", "gpus", "expected"),
    [
        (None, 2, ["0", "1", "0"]),
        ("2,3", 2, ["2", "3", "2"]),
        ("3, GPU-8932f937", 2, ["3", "GPU-8932f937", "3"]),
        ("4,5,6", 2, ["4", "5", "4"]),
        ("2", 1, [None, None, None]),
    ],
)
def test_processes_use_the_gpus_that_this_one_may(
    visible: str | None, gpus: int, expected: list[str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    executor = LocalExecutor(0, gpus)
    assert [executor._environment(index).get("CUDA_VISIBLE_DEVICES") for index in range(3)] == expected


def test_a_package_that_is_missing_is_not_a_bug() -> None:
    failure = Failure.of(MissingExtraError("onnxruntime is not installed: pip install 'ls3d[export]'"))
    assert failure.kind == "missing"
    error = failure.error()
    assert isinstance(error, MissingExtraError)
    assert str(error) == "onnxruntime is not installed: pip install 'ls3d[export]'"


def test_errors_of_ray_concern_one_task(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray")
    from ls3d.cluster.ray_executor import RayExecutor

    answers: dict[str, Exception] = {
        "a": ray.exceptions.RuntimeEnvSetupError("no such package"),
        "b": ray.exceptions.RayTaskError("perform", "no module", ModuleNotFoundError("ls3d")).as_instanceof_cause(),
        "c": ray.exceptions.NodeDiedError("the node has died"),
    }

    def get(reference: str) -> Any:
        raise answers[reference]

    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(ray, "wait", lambda references, num_returns, timeout=None: (references, []))
    monkeypatch.setattr(ray, "get", get)
    executor = RayExecutor()
    executor._running = {reference: (number, Resources()) for number, reference in enumerate(answers)}
    first, second, third = executor.wait()
    assert first.failure is not None
    assert "no such package" in first.failure.message
    assert second.failure is not None
    assert "no module" in second.failure.message
    assert (third.failure, third.lost) == (None, "the node has died")

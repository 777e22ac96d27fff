"""Executors: the GPUs of their processes, and errors that come back from workers."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from ls3d.cluster import LocalExecutor, Resources
from ls3d.cluster.executors import Failure
from ls3d.enhance._arguments import NothingToDoError, UnusableModelError
from ls3d.errors import InputError, MissingExtraError, OutputExistsError


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


@pytest.mark.parametrize(
    "error",
    [
        MissingExtraError("onnxruntime is not installed: pip install 'ls3d[export]'"),
        InputError("3: expected 2", argument="factor"),
        OutputExistsError("out.mp4"),
        UnusableModelError("nosuch: there is no such model", argument="model"),
        NothingToDoError("nothing to do"),
        FileNotFoundError(2, "No such file or directory", "in.mp4"),
        OSError("segment 3 is damaged"),
    ],
)
def test_an_error_for_users_comes_back_as_it_was(error: Exception) -> None:
    found = pickle.loads(pickle.dumps(Failure.of(error))).error()
    assert type(found) is type(error)
    assert (str(found), vars(found)) == (str(error), vars(error))
    assert getattr(found, "filename", None) == getattr(error, "filename", None)


def test_an_error_of_another_package_comes_back_as_one_of_python() -> None:
    class OtherError(FileNotFoundError):
        """Can't be pickled, as it is local."""

    found = pickle.loads(pickle.dumps(Failure.of(OtherError("none.mp4")))).error()
    assert (type(found), str(found)) == (FileNotFoundError, "none.mp4")


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

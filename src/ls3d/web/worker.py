"""The process of one job: ``python -m ls3d.web.worker``.

It loads what jobs need, reads a line of JSON (``Task``) from standard input, does the job, and writes lines of JSON to
standard output: those of ``--progress json``, the last of which can be ``{"report": ...}`` or ``{"error": ...}``. It
ends when its standard input is closed, as when the server dies.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from ls3d.allocator import keep_freed_memory
from ls3d.enhance import EnhanceOptions, enhance
from ls3d.enhance.options import QUALITIES
from ls3d.errors import InputError, MissingExtraError
from ls3d.files import write_json
from ls3d.progress import JsonMessages, JsonProgress, Progress, ProgressCallback, format_duration
from ls3d.video import VideoInfo, probe, read_duration
from ls3d.web.options import Limits
from ls3d.web.requests import EnhanceRequest, SamplingRequest, Task
from ls3d.web.sampling import find_samples

_HIGHEST_RATE = 240  # frames per second; a video with more frames than that at its maximum length is refused


def main() -> None:
    """Wait for a job and do it."""
    lines = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # nothing else gets between the lines
    keep_freed_memory()
    _load()
    line = sys.stdin.readline()
    if not line:
        return
    threading.Thread(target=_end_with_server, daemon=True).start()
    task = Task.from_json(line)
    # Temporary files and records of finished jobs are deleted with the folder.
    os.environ["TMPDIR"] = os.environ["XDG_STATE_HOME"] = os.fspath(task.folder)

    def write(values: dict[str, Any]) -> None:
        text = json.dumps(values, ensure_ascii=False)
        lines.write(text.replace(os.fspath(task.source), "the upload").replace(f"{task.folder}{os.sep}", "") + "\n")
        lines.flush()

    if (last := run_task(task, write)) is not None:
        write(last)


def _load() -> None:
    """Import what a job would import first, which takes seconds."""
    import ls3d.enhance.jobs
    import ls3d.recognition  # noqa: F401


def _end_with_server() -> None:
    sys.stdin.read()
    os._exit(1)


def run_task(task: Task, write: Callable[[dict[str, Any]], None]) -> dict[str, Any] | None:
    """Do a job; the last line, if there is one."""
    logger = logging.getLogger("ls3d")
    logger.addHandler(JsonMessages(write, set()))
    logging.getLogger("ls3d.enhance").setLevel(logging.INFO)
    states = JsonProgress(write)
    try:
        info = probe(task.source, task.limits.max_pixels)
        duration = _checked_duration(task, info)
        show = _limited(states, task.limits)
        if isinstance(task.request, EnhanceRequest):
            return _enhance(task, task.request, show)
        if isinstance(task.request, SamplingRequest):
            _write_result(task, find_samples(task.source, task.request, info, task.device))
        else:
            _classify(task, duration, show)
        return None
    except (InputError, MissingExtraError, OSError) as error:
        return {"error": _sentence(error, task.limits)}
    except MemoryError:
        return {"error": "the job needs more memory than the server has"}
    finally:
        states.finish()


def _checked_duration(task: Task, info: VideoInfo) -> float:
    """Check the upload against the limits; its duration in seconds.

    Raises:
        InputError: it exceeds a limit.
    """
    duration = read_duration(task.source)
    if duration > task.limits.max_length:
        longest = format_duration(task.limits.max_length)
        raise InputError(f"the video lasts {format_duration(duration)}; this server accepts at most {longest}")
    if isinstance(task.request, EnhanceRequest):
        _check_result_size(info, task.request.scale or 1, task.limits)
    return duration


def _check_result_size(info: VideoInfo, scale: float, limits: Limits) -> None:
    width, height = (round(side * scale) for side in (info.width, info.height))
    if width * height > limits.max_pixels:
        raise InputError(
            f"the result would have pictures of {width} x {height} pixels; this server makes at most "
            f"{limits.max_pixels:,} pixels"
        )


def _limited(show: ProgressCallback, limits: Limits) -> ProgressCallback:
    """A callback that ends the job of a video with more frames than its stated duration can have."""
    most = limits.max_length * _HIGHEST_RATE

    def check(state: Progress) -> None:
        if state.done > most:
            raise InputError(f"the video has more than {most:,.0f} frames")
        show(state)

    return check


def _enhance(task: Task, request: EnhanceRequest, show: ProgressCallback) -> dict[str, Any]:
    smoother = request.slow_motion or request.factor is not None or request.fps is not None
    options = EnhanceOptions(device=task.device, max_pixels=task.limits.max_pixels, codec="h264", overwrite=True)
    report = enhance(
        task.source,
        task.target,
        sigma=request.sigma,
        scale=request.scale,
        factor=request.factor,
        fps=request.fps,
        slow_motion=request.slow_motion,
        interpolation_model=QUALITIES[request.quality] if smoother else None,
        options=replace(options, duration=task.limits.preview) if request.preview else options,
        progress=show,
    )
    return {"report": asdict(report)}


def _classify(task: Task, duration: float, show: ProgressCallback) -> None:
    from ls3d.inference import Classifier
    from ls3d.models import load_recognition_model
    from ls3d.recognition import classify_video

    network = load_recognition_model(task.classifier, "classifier")

    def progress(time: float) -> None:
        show(Progress(min(round(time), round(duration)), round(duration), phase="windows"))

    time_line = classify_video(Classifier(network, task.device), task.source, progress=progress)
    found = time_line.to_dict()
    _write_result(task, {"best": found["best"], "windows": found["windows"], "duration": round(duration, 3)})


def _write_result(task: Task, content: dict[str, Any]) -> None:
    write_json(task.target, content, indent=None)


def _sentence(error: Exception, limits: Limits) -> str:
    """What the client is told about an error."""
    if isinstance(error, InputError) and error.argument == "max_pixels":
        return f"{error.message.partition(': ')[2]}; this server accepts at most {limits.max_pixels:,} pixels"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error)


if __name__ == "__main__":
    main()

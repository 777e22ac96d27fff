"""Batches: many videos, from a CSV file or a folder, done by the workers of one machine or of a cluster."""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from ls3d.cluster.executors import Executor, reported
from ls3d.cluster.scheduler import Scheduler, active_videos
from ls3d.cluster.storage import Place, check_url, is_url
from ls3d.cluster.tasks import ClassifyTask, Resources
from ls3d.cluster.works import ClassifyWork, EnhanceWork
from ls3d.enhance import EnhanceCall, EnhanceReport
from ls3d.enhance.calls import FUNCTIONS
from ls3d.enhance.files import concerns_all
from ls3d.enhance.texts import read_call
from ls3d.errors import InputError
from ls3d.progress import Progress, ProgressCallback

DEFAULT_CLASSIFIER = "i3d_inception"

_COLUMNS = ("command", "input", "output")


@dataclass(frozen=True)
class ClassifyCall:
    """A video to classify.

    Attributes:
        source: path or URL.
        target: path or URL of the time line, a JSON file.
        model: a recognition network: its name, or its weights file.
        stride: seconds from one window to the next; None is half a clip.
        device: that runs the network.
    """

    source: str
    target: str
    model: str = DEFAULT_CLASSIFIER
    stride: float | None = None
    device: str = "auto"


Call = EnhanceCall | ClassifyCall
Work = EnhanceWork | ClassifyWork


@dataclass(frozen=True)
class BatchResult:
    """What happened to one video.

    Attributes:
        source: path or URL.
        target: path or URL.
        report: of an enhancement; None if it failed, or the video was classified.
        error: why it failed; None if it didn't.
        finished_before: whether there was nothing to do.
    """

    source: str
    target: str
    report: EnhanceReport | None = None
    error: Exception | None = None
    finished_before: bool = False

    @property
    def status(self) -> Literal["done", "already done", "failed"]:
        """In words."""
        if self.error is not None:
            return "failed"
        return "already done" if self.finished_before else "done"


def make_call(command: str, source: str, target: str, texts: Mapping[str, str]) -> Call:
    """The call that a row of a CSV file describes.

    Args:
        command: ``"interpolate"``, ``"upscale"``, ``"denoise"``, ``"enhance"`` or ``"classify"``.
        source: path or URL.
        target: path or URL.
        texts: arguments and options by name, as they are typed on the command line; empty ones are left out.

    Raises:
        InputError: there is no such command or option, or a value can't be read.
    """
    given = {name: text for name, text in texts.items() if text}
    if command == "classify":
        unknown = given.keys() - {"model", "stride", "device"}
        if unknown:
            raise InputError(f"classify has no option {sorted(unknown)[0]}; expected model, stride or device")
        try:
            stride = float(given["stride"]) if "stride" in given else None
        except ValueError as error:
            raise InputError(f"{given['stride']}: expected seconds", argument="stride") from error
        return ClassifyCall(source, target, given.get("model", DEFAULT_CLASSIFIER), stride, given.get("device", "auto"))
    if command not in FUNCTIONS:
        raise InputError(f"{command}: expected one of the commands {', '.join((*FUNCTIONS, 'classify'))}")
    return read_call(command, source, target, given)


def read_batch(path: Path) -> list[Call]:
    """Read a CSV file with a row for each video.

    Its columns are ``command``, ``input`` and ``output``, and any arguments and options of the commands, by the names
    that they have on the command line without ``--``. Relative paths refer to the folder of the file.

    Raises:
        OSError: the file can't be read.
        InputError: it isn't a CSV file in UTF-8, a column is missing, or a row can't be used; the message names its
            line.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return _read_rows(path, file)
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: expected a CSV file in UTF-8 ({error})") from error


def _read_rows(path: Path, lines: Iterable[str]) -> list[Call]:
    calls: list[Call] = []
    rows = csv.DictReader(lines)
    missing = [name for name in _COLUMNS if name not in (rows.fieldnames or ())]
    if missing:
        raise InputError(f"{path}: expected the columns {', '.join(_COLUMNS)}; {', '.join(missing)} missing")
    names = [_option_name(name) for name in rows.fieldnames or ()]
    for name in names:
        if name and names.count(name) > 1:
            raise InputError(f"{path}: expected each column once; {name} is there {names.count(name)} times")
    for row in rows:
        if None in row or None in row.values():
            raise InputError(f"{path}, line {rows.line_num}: expected {len(rows.fieldnames or ())} values")
        texts = {_option_name(name): text.strip() for name, text in row.items()}
        command = texts.pop("command")
        source = _from_folder(texts.pop("input"), path.parent)
        target = _from_folder(texts.pop("output"), path.parent)
        try:
            calls.append(make_call(command, source, target, texts))
        except InputError as error:
            raise InputError(f"{path}, line {rows.line_num}: {error}") from error
    return calls


def _option_name(column: str) -> str:
    return column.strip().removeprefix("--").replace("-", "_")


def _from_folder(name: str, folder: Path) -> str:
    return name if is_url(name) else str(folder / name)


def run_batch(
    calls: Sequence[Call],
    executor: Executor,
    *,
    resources: Resources | None = None,
    active: int | None = None,
    progress: ProgressCallback | None = None,
    on_result: Callable[[BatchResult], None] | None = None,
) -> list[BatchResult]:
    """Do the work of a batch. The same call again resumes what is unfinished, and doesn't repeat what is finished.

    Args:
        calls: the videos.
        executor: where tasks run.
        resources: what making a segment, or classifying a video, needs.
        active: number of videos in work at a time; by default, at least twice the number of workers.
        progress: is called after every task, with the sums over all videos.
        on_result: is called when a video is done or has failed.

    Returns:
        What happened to each video, in the order of the calls.

    Raises:
        InputError: two videos have the same output, a URL can't be used, or all calls have the same arguments and one
            of them is wrong for all videos, such as a model that doesn't exist.
        MissingExtraError: likewise, a package that all of them need is not installed.
    """
    places = [_place(call) for call in calls]
    seen: dict[str, str] = {}
    for place in places:
        target = place.target if place.is_remote else os.path.realpath(place.target)
        if target in seen:
            raise InputError(f"{seen[target]} and {place.source} have the same output, {place.target}")
        seen[target] = place.source
    enhanced = sum(isinstance(call, EnhanceCall) for call in calls)
    meter = _Meter(len(calls), enhanced, progress)
    works: list[Work] = []
    of_all: list[Exception] = []
    are_alike = _are_alike(calls)

    def ended(result: BatchResult) -> None:
        if result.error is not None and are_alike and concerns_all(result.error):
            of_all.append(result.error)
        elif on_result is not None:
            on_result(result)

    try:
        limit = active_videos(executor.workers) if active is None else active
        begun = _begun(calls, places, resources or Resources(), meter, works, ended)
        Scheduler(executor, limit).run(begun, lambda: bool(of_all))
    finally:
        for work in works:
            if isinstance(work, EnhanceWork):
                work.close()
    if of_all:
        raise of_all[0]
    return [_result(work) for work in works]


def _are_alike(calls: Sequence[Call]) -> bool:
    """Whether the calls differ in their sources and targets only."""
    bare = [replace(call, source="", target="") for call in calls]
    return all(each == bare[0] for each in bare)


def _place(call: Call) -> Place:
    place = Place(str(call.source), str(call.target))
    for name in (place.source, place.target):
        if is_url(name):
            check_url(name)
    return place


def _begun(
    calls: Sequence[Call],
    places: Sequence[Place],
    resources: Resources,
    meter: _Meter,
    works: list[Work],
    on_result: Callable[[BatchResult], None],
) -> Iterator[Work]:
    """The videos as work, each made when it can be begun, and added to ``works``."""
    for call, place in zip(calls, places, strict=True):
        work: Work

        def changed(index: int = len(works)) -> None:
            meter.show(works)
            if works[index].is_finished:
                on_result(_result(works[index]))

        if isinstance(call, EnhanceCall):
            work = EnhanceWork(call, place, resources, changed)
        else:
            task = ClassifyTask(place, call.model, call.stride, call.device, resources)
            work = ClassifyWork(task, changed)
        works.append(work)
        try:
            if not place.is_remote:
                Path(place.target).parent.mkdir(exist_ok=True)
            is_done = isinstance(work, ClassifyWork) and work.is_done_before()
        except Exception as error:  # the packages for URLs have errors of their own
            work.fail(reported(error))
        else:
            if is_done:
                changed()
        yield work


def _result(work: Work) -> BatchResult:
    place = work.place
    if isinstance(work, EnhanceWork):
        before = work.report is not None and work.report.finished_before
        return BatchResult(place.source, place.target, work.report, work.error, before)
    return BatchResult(place.source, place.target, None, work.error, work.finished_before)


class _Meter:
    """The progress of all videos together.

    It counts frames of the videos that are enhanced, and the videos if none is. The number of frames of videos that are
    not open yet is estimated by the mean of those that are.

    Args:
        videos: number of all.
        enhanced: number of those that are enhanced.
        callback: is called with the progress.
    """

    def __init__(self, videos: int, enhanced: int, callback: ProgressCallback | None) -> None:
        self._videos = videos
        self._enhanced = enhanced
        self._callback = callback
        self._start = time.monotonic()
        self._before: dict[int, tuple[int, int]] = {}  # frames that earlier runs had finished, by video

    def show(self, works: Sequence[Work]) -> None:
        """Call the callback."""
        if self._callback is None:
            return
        if not self._enhanced:
            done = sum(work.is_finished for work in works)
            self._callback(Progress(done, self._videos, phase="videos"))
            return
        videos = [work for work in works if isinstance(work, EnhanceWork)]
        for index, work in enumerate(videos):
            if index not in self._before and work.expected is not None:
                self._before[index] = (work.frames_in, work.frames_out)
        done = sum(work.frames_in for work in videos)
        written = sum(work.frames_out for work in videos)
        expected = [max(work.expected, work.frames_in) for work in videos if work.expected is not None]
        total = round(sum(expected) * self._enhanced / len(expected)) if expected else None
        seconds = time.monotonic() - self._start
        done_now = done - sum(frames for frames, _ in self._before.values())
        written_now = written - sum(frames for _, frames in self._before.values())
        remaining = None
        if total is not None and done_now > 0:
            remaining = max(0, total - done) * seconds / done_now
        estimate = None if remaining is None else seconds + remaining
        fps = max(0, written_now) / seconds if seconds > 0 else 0.0
        self._callback(Progress(done, total, written, fps, remaining, "frames", estimate))

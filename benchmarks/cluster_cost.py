"""The time of batches on many workers: simulated for many GPUs, or measured on this machine and compared.

    python -P benchmarks/cluster_cost.py [--hours 1000] [--gpus 8 64 512] [--json out.json]
    python -P benchmarks/cluster_cost.py --measure [--videos 4] [--frames 96] [--workers 1 2 4] [--json out.json]

-P, because this folder holds a module named operator. The first command runs the model of ``ls3d.cluster.cost`` with
times that are assumptions, named in ``ASSUMED``. The second one measures the parts of a batch of small clips, simulates
the batch with them, runs it, and prints how far the simulation is off. Each worker has one thread of torch's. The
machine must do nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np

from ls3d.cluster import LocalExecutor, Resources, run_batch
from ls3d.cluster.cost import Machines, Videos, simulate
from ls3d.cluster.storage import Place
from ls3d.cluster.tasks import JoinTask, PlanTask, PrepareTask, SegmentTask, Task
from ls3d.enhance import EnhanceCall, EnhanceOptions
from ls3d.environment import versions

#: Of one GPU and one planner, for 1080p; bytes are those of 8 Mbit/s in and 16 Mbit/s out at 25 frames per second.
ASSUMED: dict[str, Any] = {
    "frame": 0.1,
    "segment": 1.0,
    "plan_frame": 0.005,
    "prepare": 5.0,
    "start": 60.0,
    "load": 10.0,
    "join_byte": 1 / 200e6,
    "order": 0.002,
    "bandwidth": 2e9,
}
ASSUMED_VIDEOS: dict[str, Any] = {"segment_frames": 128, "bytes_in": 40_000, "bytes_out": 80_000}

_PLANNERS = 4  # for each eight GPUs
_VIDEO_HOURS = 2.0
_SEGMENT_FRAMES = 8


@dataclass(frozen=True)
class Nothing:
    """A task that ends at once."""

    resources: Resources = field(default_factory=Resources)

    def run(self) -> None:
        """Do nothing."""


def scale(hours: float, gpus: Sequence[int], **changes: Any) -> list[dict[str, Any]]:
    """Simulated hours for each number of GPUs, by default from ``ASSUMED``."""
    rows = []
    videos = Videos.of_hours(hours, max(1, round(hours / _VIDEO_HOURS)), **ASSUMED_VIDEOS)
    for count in gpus:
        machines = Machines(workers=count, planners=max(1, _PLANNERS * count // 8), **{**ASSUMED, **changes})
        estimate = simulate(videos, machines)
        rows.append(
            {
                "gpus": count,
                "hours": estimate.seconds / 3600,
                "busy": estimate.busy,
                "limit": estimate.limit,
                "bounds_hours": {name: seconds / 3600 for name, seconds in estimate.bounds.items()},
                "tasks": estimate.tasks,
            }
        )
    return rows


def make_clip(path: Path, frames: int) -> Path:
    """A moving pattern without cuts, 320 x 192."""
    y, x = np.mgrid[0:192, 0:320].astype(float)
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=25, options={"crf": "18", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = 320, 192, "yuv420p"
        for n in range(frames):
            waves = [np.sin(x / (9 + c) + 0.2 * n) * np.cos(y / (13 - c) - 0.1 * n) for c in range(3)]
            pixels = np.round(127 + 120 * np.stack(waves, -1)).astype(np.uint8)
            picture = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            output.mux(stream.encode(picture.reformat(format="yuv420p")))
        output.mux(stream.encode())
    return path


def call_for(source: Path, target: Path) -> EnhanceCall:
    """The call that is measured."""
    options = EnhanceOptions(threads=1, segment_frames=_SEGMENT_FRAMES, device="cpu")
    return EnhanceCall("interpolate", source, target, {"model": "bilateral"}, options)


def timed(executor: LocalExecutor, tasks: Sequence[Task]) -> list[tuple[Any, float]]:
    """Results and seconds of tasks, of which as many run at a time as there are workers."""
    waiting = list(enumerate(tasks))[::-1]
    begun: dict[int, float] = {}
    done: dict[int, tuple[Any, float]] = {}
    while waiting or len(done) < len(tasks):
        while waiting and executor.accepts(Resources()):
            number, task = waiting.pop()
            begun[number] = time.perf_counter()
            executor.submit(number, task)
        for ended in executor.wait():
            if ended.failure is not None:
                raise ended.failure.error()
            done[ended.number] = ended.result, time.perf_counter() - begun[ended.number]
    return [done[number] for number in range(len(tasks))]


def parts(source: Path, folder: Path, frames: int, workers: int) -> Machines:
    """Times of the parts of one video's work, while as many workers make segments as cores can be busy.

    Cores share caches, memory and sometimes their arithmetic units: beside others, a worker is slower than alone.
    """
    target = folder / "parts.mkv"
    call = call_for(source, target)
    place = Place(str(source), str(target))
    cores = len(os.sched_getaffinity(0))
    busy = min(workers, cores)
    begin = time.perf_counter()
    with closing(LocalExecutor(busy)) as executor:
        timed(executor, [PrepareTask(call, place)] * busy)  # imports PyAV and torch
        until_first = time.perf_counter() - begin
        ((job, prepare),) = timed(executor, [PrepareTask(call, place)])
        workspace = job.workspace()
        with workspace.locked():
            workspace.prepare(job.signature(), resume=False)
            ((plans, planning),) = timed(executor, [PlanTask(job, place, None, 1000)])
            made = timed(executor, [SegmentTask(job, place, plan) for plan in plans])
            segments = tuple(segment for segment, _ in made)
            ((_, joining),) = timed(executor, [JoinTask(job, place, segments, True, 0.0, 0)])
        size = target.stat().st_size
        order = statistics.median(seconds for _ in range(9) for _, seconds in timed(executor, [Nothing()]))
    seconds = [seconds for _, seconds in made]
    later = statistics.median(seconds[busy : len(seconds) - busy + 1])
    return Machines(
        workers=workers,
        frame=later / _SEGMENT_FRAMES,
        plan_frame=planning / frames,
        prepare=prepare,
        start=until_first - prepare,
        load=max(0.0, statistics.median(seconds[:busy]) - later),
        join_byte=joining / size,
        order=order / 2,
        cores=cores,
    )


def measure(videos: int, frames: int, workers: Sequence[int], repeats: int = 3) -> dict[str, Any]:
    """Measured and simulated seconds of a batch for each number of workers.

    The parts are measured anew before each batch, as the speed of a machine changes within minutes.
    """
    os.environ["OMP_NUM_THREADS"] = "1"
    runs: dict[int, list[dict[str, Any]]] = {count: [] for count in workers}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["XDG_STATE_HOME"] = str(folder / "state")
        sources = [make_clip(folder / f"{n}.mkv", frames) for n in range(videos)]
        for repeat in range(repeats):
            for count in workers:
                machines = parts(sources[0], folder, frames, count)
                outputs = folder / f"out{count}_{repeat}"
                measured = batch_seconds([call_for(source, outputs / source.name) for source in sources], count)
                size = (outputs / "0.mkv").stat().st_size
                simulated = simulate(Videos([frames] * videos, _SEGMENT_FRAMES, bytes_out=size / frames), machines)
                runs[count].append({"measured": measured, "simulated": simulated.seconds, "parts": asdict(machines)})
    return {"rows": [{"workers": count, **summary(runs[count])} for count in workers]}


def batch_seconds(calls: Sequence[EnhanceCall], workers: int) -> float:
    """How long a batch takes, from the start of the workers on."""
    begin = time.perf_counter()
    with closing(LocalExecutor(workers)) as executor:
        results = run_batch(calls, executor)
        seconds = time.perf_counter() - begin
    for result in results:
        if result.error is not None:
            raise result.error
    return seconds


def summary(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Medians over the runs, and the runs."""
    measured, simulated = (statistics.median(run[name] for run in runs) for name in ("measured", "simulated"))
    return {"measured": measured, "simulated": simulated, "error": simulated / measured - 1, "runs": list(runs)}


def main() -> None:
    """Print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--hours", type=float, default=1000)
    parser.add_argument("--gpus", type=int, nargs="+", default=[8, 16, 32, 64, 128, 256, 512])
    parser.add_argument("--videos", type=int, default=4)
    parser.add_argument("--frames", type=int, default=96)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    result: dict[str, Any] = {"versions": versions()}
    if arguments.measure:
        result |= measure(arguments.videos, arguments.frames, arguments.workers, arguments.repeats)
    else:
        result |= {"hours": arguments.hours, "assumed": {**ASSUMED, **ASSUMED_VIDEOS}}
        result["rows"] = scale(arguments.hours, arguments.gpus)
    text = json.dumps(result, indent=1)
    if arguments.json:
        arguments.json.write_text(f"{text}\n")
    print(text)


if __name__ == "__main__":
    main()

"""Batches: CSV files and folders, resumed batches, files at URLs, and the command."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from helpers.simulated import SimulatedExecutor
from helpers.videos import Clip

from ls3d.cli.main import main
from ls3d.cluster import BatchResult, Call, ClassifyCall, LocalExecutor, make_call, read_batch, run_batch
from ls3d.cluster.executors import Outcome
from ls3d.cluster.storage import Place
from ls3d.cluster.tasks import JoinTask, SegmentTask, Task
from ls3d.enhance import EnhanceCall, EnhanceOptions
from ls3d.errors import InputError
from ls3d.progress import Progress

OPTIONS = EnhanceOptions(threads=1, segment_frames=4)


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    """A folder with a video of twenty frames with sound, and a short one."""
    folder = tmp_path / "videos"
    folder.mkdir()
    Clip(20, (32, 48), shot_length=7, audio=["eng"]).write(folder / "a.mp4")
    Clip(6, (32, 48)).write(folder / "b.mkv")
    return folder


def calls_of(videos: Path, folder: str | Path) -> list[EnhanceCall]:
    names = sorted(path.name for path in videos.iterdir())
    return [
        EnhanceCall("interpolate", videos / name, f"{folder}/{name}", {"model": "blend"}, OPTIONS) for name in names
    ]


def expected_bytes(videos: Path, tmp_path: Path) -> dict[str, bytes]:
    whole = tmp_path / "whole"
    whole.mkdir()
    for call in calls_of(videos, whole):
        call.run()
    return {path.name: path.read_bytes() for path in whole.iterdir()}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_table_of_jobs(tmp_path: Path) -> None:
    table = tmp_path / "jobs.csv"
    table.write_text(
        "command,input,output,factor,fps,denoise,--crf,max-memory,fit,model,slow-motion\n"
        "interpolate,a.mp4,out/a.mkv,5/2,,,,2G,,blend,yes\n"
        "enhance,b.mp4,s3://bucket/b.mp4,,60,auto,20,,96x64,,\n"
        "classify,/c.mp4,c.json,,,,,,,weights.safetensors,\n"
    )
    first, second, third = read_batch(table)
    arguments = {"factor": Fraction(5, 2), "model": "blend", "slow_motion": True}
    options = EnhanceOptions(max_memory=2 << 30)
    assert first == EnhanceCall("interpolate", f"{tmp_path}/a.mp4", f"{tmp_path}/out/a.mkv", arguments, options)
    arguments = {"fps": 60, "sigma": "auto", "fit": (96, 64)}
    assert second == EnhanceCall("enhance", f"{tmp_path}/b.mp4", "s3://bucket/b.mp4", arguments, EnhanceOptions(crf=20))
    assert third == ClassifyCall("/c.mp4", f"{tmp_path}/c.json", "weights.safetensors")


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ("input,output\na,b\n", "expected the columns command, input, output; command missing"),
        ("command,input,output,fps,--fps\ninterpolate,a,b,30,60\n", "each column once; fps is there 2 times"),
        ("command,input,output\nscale,a,b\n", "line 2: scale: expected one of the commands interpolate"),
        ("command,input,output,crf\nupscale,a,b,\nupscale,a,b,x\n", "line 3: crf x: expected a whole number"),
        ("command,input,output,factor\ndenoise,a,b,2\n", "line 2: denoise has no option factor"),
        ("command,input,output,factor\ninterpolate,a,b,many\n", "line 2: factor many: expected a number"),
        ("command,input,output\nupscale,a\n", "line 2: expected 3 values"),
        ("command,input,output,crf\nclassify,a,b,1\n", "line 2: classify has no option crf"),
        ("command,input,output,shard\nupscale,a,b,0/2\n", "line 2: upscale has no option shard"),
        ("command,input,output,resume\nupscale,a,b,maybe\n", "line 2: resume maybe: expected yes or no"),
    ],
)
def test_errors_of_a_table_name_the_line(table: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "jobs.csv").write_text(table)
    with pytest.raises(InputError, match=sentence):
        read_batch(tmp_path / "jobs.csv")


@pytest.mark.parametrize("content", [b"command,input,output\nupscale,\xff,b\n", b"a" * 200_000])
def test_a_file_that_is_no_table(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "jobs.csv").write_bytes(content)
    with pytest.raises(InputError, match=r"jobs\.csv: expected a CSV file in UTF-8 \("):
        read_batch(tmp_path / "jobs.csv")


def test_a_batch_gives_the_bytes_of_single_calls(videos: Path, tmp_path: Path) -> None:
    states: list[Progress] = []
    ended: list[BatchResult] = []
    executor = SimulatedExecutor()
    results = run_batch(calls_of(videos, tmp_path / "out"), executor, progress=states.append, on_result=ended.append)
    assert [result.status for result in results] == ["done", "done"]
    assert {result.target for result in ended} == {result.target for result in results}
    assert contents(tmp_path / "out") == expected_bytes(videos, tmp_path)
    assert (states[-1].done, states[-1].total, states[-1].written) == (26, 26, 52)
    assert [state.done for state in states] == sorted(state.done for state in states)


def test_a_batch_is_resumed(videos: Path, tmp_path: Path) -> None:
    class Stopped(SimulatedExecutor):
        def wait(self) -> Sequence[Outcome]:
            if sum(isinstance(task, SegmentTask) for task in self.started) > 6:
                raise KeyboardInterrupt
            return super().wait()

    calls = calls_of(videos, tmp_path / "out")
    with pytest.raises(KeyboardInterrupt):
        run_batch(calls, Stopped())
    executor = SimulatedExecutor()
    results = run_batch(calls, executor)
    assert [result.status for result in results] == ["done", "already done"]
    report = results[0].report
    assert report is not None
    assert report.resumed > 0
    assert sum(isinstance(task, SegmentTask) for task in executor.started) == report.segments - report.resumed
    assert contents(tmp_path / "out") == expected_bytes(videos, tmp_path)
    executor = SimulatedExecutor()
    assert [result.status for result in run_batch(calls, executor)] == ["already done"] * 2
    assert not any(isinstance(task, SegmentTask) for task in executor.started)


def test_a_video_that_fails_does_not_stop_the_others(videos: Path, tmp_path: Path) -> None:
    (videos / "c.mp4").write_bytes(b"not a video")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "b.mkv").write_bytes(b"something else")
    results = run_batch(calls_of(videos, tmp_path / "out"), SimulatedExecutor())
    assert [result.status for result in results] == ["done", "failed", "failed"]
    assert "exists" in str(results[1].error)
    assert isinstance(results[2].error, InputError)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a.mp4", "b.mkv"}


@pytest.mark.parametrize(
    ("command", "texts"),
    [
        ("interpolate", {"model": "nosuch"}),
        ("interpolate", {"model": "blend", "factor": "1000"}),
        ("enhance", {}),
        ("classify", {"model": "nosuch"}),
    ],
)
def test_arguments_that_are_wrong_for_all_videos_stop_the_batch(
    videos: Path, tmp_path: Path, command: str, texts: dict[str, str]
) -> None:
    calls = [
        make_call(command, str(video), str(tmp_path / "out" / video.name), texts) for video in sorted(videos.iterdir())
    ]
    executor = SimulatedExecutor(workers=1)
    ended: list[BatchResult] = []
    with pytest.raises(InputError):
        run_batch(calls, executor, on_result=ended.append)
    assert (len(executor.started), ended) == (1, [])
    others = make_call("interpolate", str(videos / "a.mp4"), str(tmp_path / "out" / "c.mp4"), {"model": "blend"})
    assert [result.status for result in run_batch([*calls, others], executor)] == ["failed", "failed", "done"]


class CredentialsError(Exception):
    """What packages for URLs raise."""


def test_errors_of_the_storage_concern_one_video(
    videos: Path, tmp_path: Path, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    exists = MemoryFileSystem.exists

    def refused(files: MemoryFileSystem, path: str, **options: Any) -> bool:
        if "secret" in path:
            raise CredentialsError("no credentials")
        return bool(exists(files, path, **options))

    monkeypatch.setattr(MemoryFileSystem, "exists", refused)
    (call, *_) = calls_of(videos, tmp_path / "out")
    secret = replace(call, target=f"{bucket}/secret/a.mp4")
    batch: list[Call] = [ClassifyCall(str(call.source), f"{bucket}/secret/a.json"), secret, call]
    results = run_batch(batch, SimulatedExecutor())
    assert [result.status for result in results] == ["failed", "failed", "done"]
    for result in results[:2]:
        assert str(result.error).startswith("no credentials\n")


def test_progress_of_a_batch_that_also_classifies(videos: Path, tmp_path: Path) -> None:
    states: list[Progress] = []
    outputs = [tmp_path / name for name in ("1.json", "2.json")]
    for output in outputs:
        output.touch()
    classified = [ClassifyCall(str(videos / "a.mp4"), str(output)) for output in outputs]
    calls: list[Call] = [*classified, *calls_of(videos, tmp_path / "out")]
    run_batch(calls, SimulatedExecutor(), progress=states.append)
    assert {state.phase for state in states} == {"frames"}
    assert (states[0].done, states[0].total) == (0, None)
    assert (states[-1].done, states[-1].total) == (26, 26)


@pytest.mark.parametrize("name", ["out.mp4", "videos/../out.mp4", "./link/out.mp4"])
def test_two_videos_with_one_output(name: str, videos: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    calls = [
        EnhanceCall("denoise", videos / "a.mp4", tmp_path / "out.mp4"),
        EnhanceCall("denoise", videos / "b.mkv", f"{tmp_path}/{name}"),
    ]
    with pytest.raises(InputError, match=r"a\.mp4 and .*b\.mkv have the same output"):
        run_batch(calls, SimulatedExecutor())
    call = EnhanceCall("denoise", videos / "a.mp4", "nothing://out.mp4")
    with pytest.raises(InputError, match=r"nothing://out\.mp4: .*rotocol"):
        run_batch([call], SimulatedExecutor())


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("LS3D_SCRATCH", str(tmp_path / "scratch"))
    files = fsspec.filesystem("memory")
    files.store.clear()
    yield "memory://bucket"
    files.store.clear()


def put(videos: Path, url: str) -> list[EnhanceCall]:
    for path in videos.iterdir():
        files, target = fsspec.core.url_to_fs(f"{url}/{path.name}")
        files.makedirs(target.rpartition("/")[0], exist_ok=True)
        files.put_file(str(path), target)
    names = sorted(path.name for path in videos.iterdir())
    return [
        EnhanceCall("interpolate", f"{url}/{name}", f"{url}/out/{name}", {"model": "blend"}, OPTIONS) for name in names
    ]


def listed(url: str) -> dict[str, bytes]:
    files, folder = fsspec.core.url_to_fs(url)
    names = [name for name in files.find(folder) if ".ls3d/" not in name]
    return {name.rpartition("/")[2]: files.cat_file(name) for name in names}


def test_files_at_urls(videos: Path, tmp_path: Path, bucket: str) -> None:
    calls = put(videos, bucket)
    assert [result.status for result in run_batch(calls, SimulatedExecutor(seed=1, deaths=0.1))] == ["done", "done"]
    assert listed(f"{bucket}/out") == expected_bytes(videos, tmp_path)
    files = fsspec.filesystem("memory")
    left = [name for name in files.find("/bucket/out") if ".ls3d/" in name]
    assert sorted(left) == ["/bucket/out/a.mp4.ls3d/delivered.json", "/bucket/out/b.mkv.ls3d/delivered.json"]
    assert [result.status for result in run_batch(calls, SimulatedExecutor())] == ["already done"] * 2
    files.pipe_file("/bucket/out/a.mp4", b"replaced")
    assert [result.status for result in run_batch(calls, SimulatedExecutor())] == ["failed", "already done"]


def test_another_machine_resumes_from_a_url(
    videos: Path, tmp_path: Path, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stopped(SimulatedExecutor):
        def submit(self, number: int, task: Task) -> None:
            if isinstance(task, JoinTask):
                raise KeyboardInterrupt
            super().submit(number, task)

    calls = put(videos, bucket)[:1]
    with pytest.raises(KeyboardInterrupt):
        run_batch(calls, Stopped())
    monkeypatch.setenv("LS3D_SCRATCH", str(tmp_path / "other_machine"))
    files = fsspec.filesystem("memory")
    files.rm_file("/bucket/out/a.mp4.ls3d/000002.packets")
    files.pipe_file("/bucket/out/a.mp4.ls3d/000003.packets", b"a part")
    executor = SimulatedExecutor()
    (result,) = run_batch(calls, executor)
    assert result.report is not None
    assert result.report.resumed == result.report.segments - 2
    assert sorted(task.plan.index for task in executor.started if isinstance(task, SegmentTask)) == [2, 3]
    assert listed(f"{bucket}/out")["a.mp4"] == expected_bytes(videos, tmp_path)["a.mp4"]


def test_another_job_at_a_url_starts_over(videos: Path, bucket: str) -> None:
    class Stopped(SimulatedExecutor):
        def submit(self, number: int, task: Task) -> None:
            if isinstance(task, JoinTask):
                raise KeyboardInterrupt
            super().submit(number, task)

    (call, *_) = put(videos, bucket)
    with pytest.raises(KeyboardInterrupt):
        run_batch([call], Stopped())
    other = make_call("interpolate", str(call.source), str(call.target), {"model": "blend", "crf": "30"})
    (result,) = run_batch([other], SimulatedExecutor())
    assert result.report is not None
    assert result.report.resumed == 0


def test_a_source_is_downloaded_once(videos: Path, tmp_path: Path, bucket: str) -> None:
    put(videos, bucket)
    place = Place(f"{bucket}/a.mp4", "out.mp4", tmp_path / "scratch")
    first = place.local_source()
    assert first.read_bytes() == (videos / "a.mp4").read_bytes()
    time = first.stat().st_ctime_ns
    assert place.local_source().stat().st_ctime_ns == time
    fsspec.filesystem("memory").pipe_file("/bucket/a.mp4", b"another file")
    assert place.local_source().read_bytes() == b"another file"


def test_a_download_has_its_time_before_its_name(
    videos: Path, tmp_path: Path, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(videos, bucket)
    replaced = os.replace

    def killed(source: Path, target: Path) -> None:
        replaced(source, target)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    place = Place(f"{bucket}/a.mp4", "out.mp4", tmp_path / "scratch")
    with pytest.raises(KeyboardInterrupt):
        place.local_source()
    assert place.local_source().stat().st_mtime == 0


def test_a_video_is_classified(videos: Path, tmp_path: Path) -> None:
    from ls3d.models import create_model, save_weights

    network = create_model("r3d_18", num_classes=2, width=4)
    clip = {"frames": 2, "fps": 2.0, "size": [16, 16], "share": 0.875, "subtract_mean": False}
    save_weights(network, tmp_path / "weights.safetensors", classes=["dark", "light"], clip=clip)
    model = str(tmp_path / "weights.safetensors")
    calls = [ClassifyCall(str(videos / "a.mp4"), str(tmp_path / "out" / "a.json"), model, device="cpu")]
    assert [result.status for result in run_batch(calls, SimulatedExecutor())] == ["done"]
    (time_line,) = json.loads((tmp_path / "out" / "a.json").read_text())
    assert set(time_line["best"]) == {"dark", "light"}
    assert [result.status for result in run_batch(calls, SimulatedExecutor())] == ["already done"]


@pytest.mark.slow
def test_two_processes(videos: Path, tmp_path: Path) -> None:
    executor = LocalExecutor(2)
    try:
        results = run_batch(calls_of(videos, tmp_path / "out"), executor)
    finally:
        executor.close()
    assert [result.status for result in results] == ["done", "done"], results
    assert contents(tmp_path / "out") == expected_bytes(videos, tmp_path)


def test_the_command(
    videos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def ls3d(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["ls3d", *map(str, arguments)])
        status = 0
        try:
            main()
        except SystemExit as end:
            status = int(end.code or 0)
        return status, capsys.readouterr().err

    monkeypatch.setattr("ls3d.cluster.opening.LocalExecutor", lambda count, gpus: SimulatedExecutor(count))
    (videos / "c.mp4").write_bytes(b"not a video")
    options = [f"--option={each}" for each in ("model=blend", "threads=1", "segment-frames=4")]
    status, output = ls3d("batch", videos, tmp_path / "out", *options, "--cluster", 2)
    assert status == 3
    assert "3 videos: 2 done, 1 failed" in output
    (videos / "c.mp4").unlink()
    assert contents(tmp_path / "out") == expected_bytes(videos, tmp_path)
    flags = ("--model", "blend", "--threads", 1, "--segment-frames", 4, "--cluster", 3)
    status, output = ls3d("interpolate", videos, tmp_path / "out", *flags)
    assert status == 0
    assert "2 videos: 2 already done" in output
    status, output = ls3d("interpolate", videos / "a.mp4", tmp_path / "single.mp4", *flags)
    assert (status, "20 frames became 40" in output) == (0, True)
    assert (tmp_path / "single.mp4").read_bytes() == (tmp_path / "out" / "a.mp4").read_bytes()
    for arguments, sentence in (
        (("batch", tmp_path / "none.csv"), "no such file"),
        (("batch", videos, tmp_path / "new", "--option=factor"), "--option factor: expected NAME=VALUE"),
        (("batch", videos, tmp_path / "new", "--option=crf=1", "--option=crf=2"), "--option crf=2: crf is given twice"),
        (("batch", videos, tmp_path / "new", "--option=model=nosuch"), "2 videos: 2 unfinished"),
        (("batch", videos, tmp_path / "new", "--option=factor=1000"), "factor 1000: expected a number from 1"),
        (("interpolate", videos, tmp_path / "new", *flags, "--factor", 1000), "--factor 1000: expected a number from"),
        (("denoise", tmp_path / "none.mp4", tmp_path / "n.mp4", "--cluster", 1), "none.mp4: no such file"),
        (("denoise", videos / "a.mp4", tmp_path / "out" / "b.mkv", "--cluster", 1), "b.mkv exists; --overwrite"),
        (("interpolate", videos / "a.mp4", "-", *flags), "--cluster -: a pipe can't be divided among workers"),
        (("interpolate", videos / "a.mp4", tmp_path / "n.mp4", *flags, "--shard", "0/2"), "can't be combined with a"),
    ):
        status, output = ls3d(*arguments)
        assert status == 2
        assert sentence in output
        assert output.count("error:") == 1


def test_a_bug_in_one_video_is_shown_when_the_others_are_done(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Faulty(SimulatedExecutor):
        def submit(self, number: int, task: Task) -> None:
            super().submit(number, replace(task, call=None) if number == 0 else task)  # type: ignore[type-var]

    monkeypatch.setattr("ls3d.cluster.opening.LocalExecutor", lambda count, gpus: Faulty(count))
    options = [f"--option={each}" for each in ("model=blend", "threads=1", "segment-frames=4")]
    monkeypatch.setattr(sys, "argv", ["ls3d", "batch", str(videos), str(tmp_path / "out"), *options, "--cluster", "2"])
    with pytest.raises(RuntimeError, match="Traceback"):
        main()
    output = capsys.readouterr().err
    assert "2 videos: 1 done, 1 failed" in output
    assert "Traceback" not in output
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b.mkv"]

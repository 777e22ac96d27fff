"""Shards: parts of a job made by several processes, in any order and at the same time, join to the same bytes."""

from __future__ import annotations

import inspect
import itertools
import json
import multiprocessing
import sys
from dataclasses import replace
from fractions import Fraction
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

import pytest
from helpers.marks import slow_except
from helpers.networks import Mean
from helpers.videos import Clip

import ls3d.enhance
from ls3d.cli.main import main
from ls3d.enhance import EnhanceCall, EnhanceOptions, EnhanceReport, denoise, interpolate, join_shards
from ls3d.enhance._segments import seal
from ls3d.enhance._workspace import Workspace
from ls3d.enhance.calls import ARGUMENTS, FUNCTIONS, Function
from ls3d.enhance.shards import _plan_together
from ls3d.errors import InputError, OutputExistsError
from ls3d.files import exclusive, write_new

OPTIONS = EnhanceOptions(threads=1, segment_frames=4)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Forty-eight frames in twelve segments, with B-frames in an open GOP, cuts and sound."""
    options = {"crf": "20", "g": "12", "bf": "3", "x264-params": "open-gop=1"}
    return Clip(48, (32, 48), shot_length=13, options=options, audio=["eng"]).write(tmp_path / "in.mp4")


def part(source: Path, target: Path, shard: str | None, options: EnhanceOptions = OPTIONS) -> EnhanceReport:
    factor = Fraction(5, 2)
    return interpolate(source, target, factor=factor, model="blend", options=replace(options, shard=shard))


@pytest.mark.parametrize("order", slow_except(list(itertools.permutations(range(3))), [(2, 0, 1)]), ids=str)
def test_shards_in_any_order_give_the_same_bytes(order: tuple[int, ...], source: Path, tmp_path: Path) -> None:
    whole, target = tmp_path / "whole.mp4", tmp_path / "out.mp4"
    part(source, whole, None)
    missing = []
    for index in order:
        report = part(source, target, f"{index}/3")
        assert (report.segments, report.resumed, report.shard) == (4, 0, f"{index}/3")
        missing.append(report.missing)
        assert not target.exists()
    assert missing == [8, 4, 0]
    joined = join_shards(target)
    assert (joined.segments, joined.shard, joined.frames_out) == (12, None, 120)
    assert target.read_bytes() == whole.read_bytes()
    assert not (tmp_path / "out.mp4.ls3d").exists()


def test_the_same_command_without_a_shard_makes_the_rest(source: Path, tmp_path: Path) -> None:
    whole, target = tmp_path / "whole.mp4", tmp_path / "out.mp4"
    part(source, whole, None)
    part(source, target, "1/3")
    assert part(source, target, None).resumed == 4
    assert target.read_bytes() == whole.read_bytes()


def test_a_shard_does_what_is_left_of_an_interrupted_run(source: Path, tmp_path: Path) -> None:
    whole, target = tmp_path / "whole.mp4", tmp_path / "out.mp4"
    arguments = {"model": Mean(), "options": OPTIONS}
    denoise(source, whole, **arguments)  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        denoise(source, target, model=Mean(breaks_at=30), options=OPTIONS)
    before = len(Workspace(target).described())
    assert 0 < before < 12
    call = EnhanceCall("denoise", source, target, {"model": "aligned_mean"}, replace(OPTIONS, shard="0/2"))
    with pytest.raises(InputError, match="unfinished job with other settings or another input; finish it, or delete"):
        call.run()
    assert len(Workspace(target).described()) == before


def run_part(source: Path, target: Path, shard: str) -> EnhanceReport:
    return part(source, target, shard)


@pytest.mark.parametrize("kind", slow_except(["threads", "processes"], ["threads"]))
def test_shards_at_the_same_time(kind: str, source: Path, tmp_path: Path) -> None:
    whole, target = tmp_path / "whole.mp4", tmp_path / "out.mp4"
    part(source, whole, None)
    with ThreadPool(2) if kind == "threads" else multiprocessing.get_context("spawn").Pool(2) as pool:
        reports = pool.starmap(run_part, [(source, target, f"{index}/2") for index in range(2)], chunksize=1)
    assert [report.segments for report in reports] == [6, 6]
    join_shards(target)
    assert target.read_bytes() == whole.read_bytes()


def test_a_shard_that_runs_again_does_nothing_twice(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    part(source, target, "0/3")
    assert part(source, target, "0/3").resumed == 4
    for index in (1, 2):
        part(source, target, f"{index}/3")
    join_shards(target)
    assert part(source, target, "0/3").finished_before
    assert join_shards(target).finished_before


def test_another_number_of_shards_uses_what_is_finished(source: Path, tmp_path: Path) -> None:
    whole, target = tmp_path / "whole.mp4", tmp_path / "out.mp4"
    part(source, whole, None)
    part(source, target, "0/3")
    assert [part(source, target, f"{index}/2").resumed for index in range(2)] == [2, 2]
    join_shards(target)
    assert target.read_bytes() == whole.read_bytes()


def test_another_job_is_refused(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    part(source, target, "0/3")
    with pytest.raises(InputError, match=r"out\.mp4\.ls3d holds an unfinished job with other settings or another"):
        part(source, target, "1/3", replace(OPTIONS, crf=30))
    Clip(20, (32, 48)).write(source)
    with pytest.raises(InputError, match="holds an unfinished job"):
        part(source, target, "1/3")
    with pytest.raises(InputError, match=r"out\.mp4: source or weights have changed since the shards were made"):
        join_shards(target)


def test_missing_segments_are_named(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    with pytest.raises(InputError, match="no shards of it are in"):
        join_shards(target)
    part(source, target, "0/4")
    part(source, target, "2/4")
    with pytest.raises(InputError, match=r"6 of 12 segments are not finished: 1, 3, 5, 7, 9, 11$"):
        join_shards(target)
    (tmp_path / "out.mp4.ls3d" / "000007.plan.json").unlink()
    with pytest.raises(InputError, match="not all segments are planned"):
        join_shards(target)


def test_a_damaged_segment_is_not_joined(source: Path, tmp_path: Path) -> None:
    whole, target = tmp_path / "whole.mp4", tmp_path / "out.mp4"
    part(source, whole, None)
    part(source, target, "0/1")
    packets = tmp_path / "out.mp4.ls3d" / "000004.packets"
    packets.write_bytes(packets.read_bytes()[:-1] + b"!")
    with pytest.raises(InputError, match="1 of 12 segments are not finished: 4"):
        join_shards(target)
    assert part(source, target, "1/3").resumed == 3
    join_shards(target)
    assert target.read_bytes() == whole.read_bytes()


def test_shards_and_other_runs_exclude_each_other(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    part(source, target, "0/2")
    lock = tmp_path / "out.mp4.ls3d" / "lock"
    with exclusive(lock, shared=True):
        part(source, target, "1/2")
        with pytest.raises(InputError, match="another process is working on this output"):
            part(source, target, None)
        with pytest.raises(InputError, match="another process is working on this output"):
            join_shards(target)
    with exclusive(lock), pytest.raises(InputError, match="another process is working on this output"):
        part(source, target, "0/2")


def test_an_output_that_exists_is_kept(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    part(source, target, "0/1")
    target.write_bytes(b"something else")
    with pytest.raises(OutputExistsError):
        part(source, target, "0/1")
    with pytest.raises(OutputExistsError):
        join_shards(target)
    assert join_shards(target, overwrite=True).segments == 12


def test_what_cant_be_divided(source: Path, tmp_path: Path) -> None:
    options = replace(OPTIONS, shard="0/2")
    with pytest.raises(InputError, match="a network in memory can't be divided"):
        denoise(source, tmp_path / "out.mp4", model=Mean(), options=options)
    with (tmp_path / "out.y4m").open("wb") as pipe, pytest.raises(InputError, match="a pipe can't be divided"):
        interpolate(source, pipe, model="blend", options=options)
    with pytest.raises(InputError, match="shard 0/2: a part can't start the job over"):
        replace(options, resume=False)
    for text in ("3/3", "1", "-1/3", "1/0", "a/b"):
        with pytest.raises(InputError, match=f"shard {text}: expected the number of a part"):
            replace(options, shard=text)


def test_a_call_is_data(source: Path, tmp_path: Path) -> None:
    options = EnhanceOptions(start=Fraction(1, 3), encoder_options={"preset": "slow"}, tile=64)
    call = EnhanceCall(
        "enhance", source, "out.mp4", {"factor": Fraction(5, 2), "fit": (96, 64), "sigma": "auto"}, options
    )
    text = json.dumps(call.to_dict())
    assert EnhanceCall.from_dict(json.loads(text), "out.mp4") == replace(call, source=str(source))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_arguments_of_calls_are_those_of_the_functions(function: Function) -> None:
    parameters = list(inspect.signature(getattr(ls3d.enhance, function)).parameters)
    assert {*parameters[2:]} - {"options", "progress"} == ARGUMENTS[function]


@pytest.mark.parametrize(
    ("section", "name", "reason"),
    [
        ("options", "sharpen", "unexpected keyword argument 'sharpen'"),
        ("arguments", "sharpen", "unknown argument 'sharpen'"),
        (None, "function", "'function'"),
        (None, "options", "'options'"),
    ],
)
def test_a_call_of_another_version_is_not_joined(
    section: str | None, name: str, reason: str, source: Path, tmp_path: Path
) -> None:
    call: dict[str, Any] = EnhanceCall("interpolate", source, "out.mp4", {"model": "blend"}, OPTIONS).to_dict()
    if section is None:
        del call[name]
    else:
        call[section][name] = 3
    folder = tmp_path / "out.mp4.ls3d"
    folder.mkdir()
    (folder / "call.json").write_text(seal(call))
    message = rf"out\.mp4: the call was written by another version of ls3d than .*{reason}"
    with pytest.raises(InputError, match=message):
        join_shards(tmp_path / "out.mp4")


def test_plans_of_the_first_process_count(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    call = EnhanceCall("interpolate", source, target, {"model": "blend"}, OPTIONS)
    prepared = call.prepare()
    workspace = prepared.job.workspace()
    with workspace.shared(prepared.job.signature(), call.to_dict()):
        plans = list(_plan_together(prepared, []))
        other = replace(plans[2], undecodable_packets=7)
        path = tmp_path / "out.mp4.ls3d" / "000002.plan.json"
        for each in path.parent.glob("*.plan.json"):
            each.unlink()
        workspace.add_plan(other)
        again = list(_plan_together(prepared, []))
        assert again == [*plans[:2], other, *plans[3:]]


def test_a_new_file_is_written_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    assert write_new(path, "first")
    assert not write_new(path, "second")

    def no_links(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr("os.link", no_links)
    assert not write_new(path, "third")
    assert path.read_text() == "first"
    assert write_new(tmp_path / "other", "fourth")
    assert {file.name for file in tmp_path.iterdir()} == {"file", "other"}


def test_the_command(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def ls3d(*arguments: object) -> str:
        monkeypatch.setattr(sys, "argv", ["ls3d", *map(str, arguments)])
        main()
        return capsys.readouterr().err.replace("\n", " ")

    target = tmp_path / "out.mp4"
    options = ("--model", "blend", "--threads", 1, "--segment-frames", 4)
    shown = ls3d("interpolate", source, target, *options, "--shard", "1/2")
    assert "out.mp4: shard 1/2: 24 frames became 48" in shown
    assert "6 segments of other shards not finished yet" in shown
    shown = ls3d("interpolate", source, target, *options, "--shard", "0/2")
    assert f"all segments are finished; to join them: ls3d join {target}" in shown
    assert "48 frames became 96" in ls3d("join", f"{target}.ls3d")
    assert target.exists()

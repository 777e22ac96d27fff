"""Several processes train as one: their shares, and the weights and losses of trainings by ``torchrun``."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from helpers.labeled import damage, gray_set, write_gray_videos
from helpers.processes import PROGRAM, WITH_SGD, run_processes, start_processes
from safetensors.torch import load_file

from ls3d.data.decoded import save_decoded
from ls3d.data.windows import RunningSampler
from ls3d.errors import InputError
from ls3d.training import load_recipe, train
from ls3d.training.processes import Processes
from ls3d.training.state import load_state

CLASSIFICATION = """
kind: classification
model: {{name: r3d_18, arguments: {{num_classes: 2, width: 4}}}}
data: {{root: {root}, validation: [S3], frames: 2, fps: 2.0, size: [16, 16], color: 0.3}}
optimization: {{steps: 3, batch_size: 4, warm_up: 1, mixup: 0.3, ema: 0.5}}
steps_per_epoch: 2
accelerator: cpu
"""

ENHANCEMENT = """
kind: {kind}
model: {{name: {model}, arguments: {{width: 8}}}}
data: {{root: {clips}, held_out: [d.mp4], crop: 32, scale: [1, 1]}}
optimization:
  {{steps: 3, batch_size: 2, warm_up: 1, learning_rate: 0.1, ema: 0.5, offset_every: 1, adversarial: {adversarial}}}
steps_per_epoch: 2
accelerator: cpu
"""


#: By network, the kind of the recipe and the adversarial losses.
ENHANCEMENT_NETWORKS = {
    "vfi_ls3d": ("interpolation", "{weight_2d: 0.05, weight_3d: 0.05, width: 4, learning_rate: 0.01}"),
    "vfi_ls3d_plus_s": ("interpolation", "null"),
    "vsr_ls3d": ("super-resolution", "null"),
    "vsr_ls3d_plus_s": ("super-resolution", "null"),
    "vdn_ls3d": ("denoising", "null"),
    "vdn_ls3d_plus_s": ("denoising", "null"),
}


def test_processes_divide_each_batch() -> None:
    samplers = [RunningSampler(8, lambda: 100, batch=4, rank=rank, processes=2) for rank in range(2)]
    assert [list(sampler) for sampler in samplers] == [[100, 101, 104, 105], [102, 103, 106, 107]]
    assert [len(sampler) for sampler in samplers] == [4, 4]


def test_shares_of_a_batch_and_of_the_validation() -> None:
    first, second = Processes(0, 2), Processes(1, 2)
    assert first.share(torch.arange(4)).tolist() == [0, 1]
    assert second.share(torch.arange(4)).tolist() == [2, 3]
    assert [list(each.validated(5)) for each in (first, second)] == [[0, 2, 4], [1, 3]]
    assert [list(each.validated(1)) for each in (first, second)] == [[0], [0]]
    with pytest.raises(InputError, match="batch_size is 5, expected a multiple of 2, the number of processes"):
        first.share_size(5, "batch_size")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """As in the processes that are compared with this one: sums differ by the number of threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def write_classification(tmp_path: Path) -> Path:
    save_decoded(gray_set(), tmp_path / "gray.npz")
    path = tmp_path / "recipe.yaml"
    path.write_text(CLASSIFICATION.format(root=tmp_path / "gray.npz"))
    return path


def require_same_training(one: Path, other: Path, statistics: float = 2e-6) -> None:
    """Compare all weights, and the steps of the last states; statistics of normalizations with another tolerance."""
    weights, others = (load_file(folder / "weights.safetensors") for folder in (one, other))
    assert weights.keys() == others.keys()
    for name, tensor in weights.items():
        tolerance = statistics if "running" in name else 2e-6
        close = torch.allclose(others[name], tensor, atol=tolerance, rtol=2.5 * tolerance)
        assert close, f"{one}, {name}: {(others[name] - tensor).abs().max()}"
    steps, other_steps = (load_state(folder / "last.ckpt").values["global_step"] for folder in (one, other))
    assert steps == other_steps


def test_two_processes_train_a_classifier_as_one(tmp_path: Path) -> None:
    """Batch normalization, mixup, color jitter, moving average, validation."""
    recipe = write_classification(tmp_path)
    train(load_recipe(recipe, [f"output={tmp_path / 'one'}"]))
    status, output = run_processes(2, PROGRAM, recipe, f"output={tmp_path / 'two'}")
    assert status == 0, output
    assert output.count("Weights: ") == 1
    require_same_training(tmp_path / "one", tmp_path / "two")


def logged_losses(folder: Path) -> list[float]:
    """The losses in the order of their steps."""
    with next(folder.glob("log/**/metrics.csv")).open(newline="") as file:
        return [float(row["loss"]) for row in csv.DictReader(file) if row.get("loss")]


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_processes_have_the_losses_of_one(strategy: str, tmp_path: Path) -> None:
    """One process with the whole batch, two that keep all parameters or a part of them, each with half of the batch."""
    recipe = write_classification(tmp_path)
    changed = tmp_path / "changed.yaml"
    values = "optimization: {ema: 0.0, steps: 30, learning_rate: 1.0e-3, frozen_norms: true}\nsteps_per_epoch: 10\n"
    changed.write_text(f"base: {recipe.name}\nstrategy: {strategy}\n{values}")
    for count, name in ((1, "one"), (2, "two")):
        status, output = run_processes(count, PROGRAM, changed, f"output={tmp_path / name}")
        assert status == 0, output
    one, two = (logged_losses(tmp_path / name) for name in ("one", "two"))
    assert len(one) == 3
    assert two == pytest.approx(one, abs=1e-6)
    weights, others = (load_file(tmp_path / name / "weights.safetensors") for name in ("one", "two"))
    for name, tensor in weights.items():
        torch.testing.assert_close(others[name], tensor, atol=1e-4, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_torchrun_restarts_a_killed_process(strategy: str, tmp_path: Path) -> None:
    recipe = write_classification(tmp_path)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    changes = ["optimization.steps=120", "steps_per_epoch=20", "optimization.ema=0.0", "optimization.frozen_norms=true"]
    changes.append(f"strategy={strategy}")
    status, output = run_processes(2, PROGRAM, recipe, f"output={whole}", *changes)
    assert status == 0, output
    program = ["--max-restarts=2", *PROGRAM]
    with start_processes(2, program, recipe, f"output={killed}", *changes) as process:
        while not (killed / "last.ckpt").exists():
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.01)
        victims = children(process.pid)
        assert len(victims) == 2
        os.kill(victims[1], signal.SIGKILL)
        output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert {path.name for path in (killed / "log").iterdir()} == {"version_0", "version_1"}
    weights, others = (load_file(folder / "weights.safetensors") for folder in (whole, killed))
    for name, tensor in weights.items():
        torch.testing.assert_close(others[name], tensor, atol=1e-6, rtol=1e-6)


def children(process_id: int) -> list[int]:
    """The processes that a process has started, in the order of their ids."""
    text = Path(f"/proc/{process_id}/task/{process_id}/children").read_text()
    return sorted(map(int, text.split()))


@pytest.mark.slow
def test_two_processes_mix_and_compute_precise_norms_as_one(tmp_path: Path) -> None:
    """At a low rate, because the statistics change a lot with the weights, which differ by rounding errors."""
    recipe = write_classification(tmp_path)
    changes = "optimization: {cutmix: 1.0, precise_norms: 2, learning_rate: 1.0e-4}\ngrad_checkpointing: true\n"
    (tmp_path / "changed.yaml").write_text(f"base: {recipe.name}\n{changes}")
    for count, name in ((1, "one"), (2, "two")):
        status, output = run_processes(count, WITH_SGD, tmp_path / name, tmp_path / "changed.yaml")
        assert status == 0, output
    require_same_training(tmp_path / "one" / "changed", tmp_path / "two" / "changed", statistics=1e-4)


@pytest.mark.slow
def test_two_processes_enhance_as_one(tmp_path: Path, folder: Path) -> None:
    recipes = []
    for model, (kind, adversarial) in ENHANCEMENT_NETWORKS.items():
        recipes.append(tmp_path / f"{model}.yaml")
        recipes[-1].write_text(ENHANCEMENT.format(kind=kind, model=model, clips=folder, adversarial=adversarial))
    for count, name in ((1, "one"), (2, "two")):
        status, output = run_processes(count, WITH_SGD, tmp_path / name, *recipes, timeout=1200)
        assert status == 0, output
    for model in ENHANCEMENT_NETWORKS:
        require_same_training(tmp_path / "one" / model, tmp_path / "two" / model)


@pytest.mark.slow
def test_processes_stop_together_and_another_number_resumes(tmp_path: Path) -> None:
    recipe = write_classification(tmp_path)
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    changes = [
        "optimization.steps=200",
        "steps_per_epoch=40",
        "optimization.frozen_norms=true",
        "optimization.precise_norms=0",
    ]
    train(load_recipe(recipe, [f"output={whole}", *changes]))
    with start_processes(2, PROGRAM, recipe, f"output={stopped}", *changes) as process:
        while not (stopped / "last.ckpt").exists():
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=60)
    state = load_state(stopped / "last.ckpt")
    assert 0 < state.values["global_step"] < 200
    assert output.count(f"stopped by SIGTERM after step {state.values['global_step']}") == 1
    train(load_recipe(recipe, [f"output={stopped}", *changes]))
    weights, others = (load_file(folder / "weights.safetensors") for folder in (whole, stopped))
    for name, tensor in weights.items():  # rounding errors of many steps
        torch.testing.assert_close(others[name], tensor, atol=1e-3, rtol=1e-3)


@pytest.mark.slow
def test_damaged_files_of_all_processes_are_named(tmp_path: Path) -> None:
    root = write_gray_videos(tmp_path / "set", 6)
    damaged = {f"{group}/dark/dark{number}.mp4" for number, group in ((0, "S1"), (1, "S2"), (3, "S1"), (5, "S3"))}
    for name in damaged:
        damage(root / name)
    (tmp_path / "recipe.yaml").write_text(CLASSIFICATION.format(root=root))
    status, output = run_processes(2, PROGRAM, tmp_path / "recipe.yaml", f"output={tmp_path / 'run'}")
    assert status == 0, output
    (summary,) = re.findall("videos could not be decoded and were skipped: (.*)", output)
    assert set(summary.split(", ")) == damaged


@pytest.mark.slow
def test_an_error_of_all_processes_is_reported_once(tmp_path: Path) -> None:
    recipe = write_classification(tmp_path)
    status, output = run_processes(2, PROGRAM, recipe, "optimization.batch_size=3", f"output={tmp_path / 'run'}")
    assert status != 0
    assert output.count("expected a multiple of 2, the number of processes") == 1


BLENDING = """
kind: gradient_blending
model:
  name: late_fusion
  arguments:
    spectrogram: null
    unimodal_heads: true
    num_classes: 2
    clip_arguments: {{width: 4, blocks: [1, 1, 1, 1]}}
    flow_arguments: {{width: 4, blocks: [1, 1, 1, 1]}}
data: {{root: {root}, validation: [S3], frames: 2, fps: 2.0, size: [16, 16], color: 0.3}}
optimization: {{steps: 4, batch_size: 4, warm_up: 1}}
blending: {{weights: online, epochs: 1, held_out: 0.5}}
steps_per_epoch: 2
accelerator: cpu
"""


def test_two_processes_blend_as_one(tmp_path: Path) -> None:
    """The first weights are equal; the later ones are measured from networks that differ by rounding."""
    save_decoded(gray_set(), tmp_path / "gray.npz")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(BLENDING.format(root=tmp_path / "gray.npz"))
    train(load_recipe(recipe, [f"output={tmp_path / 'one'}"]))
    status, output = run_processes(2, PROGRAM, recipe, f"output={tmp_path / 'two'}")
    assert status == 0, output
    one, two = (json.loads((tmp_path / name / "blending.json").read_text())["history"] for name in ("one", "two"))
    assert one[0] == two[0]
    for ours, theirs in zip(one, two, strict=True):
        assert ours["weights"] == pytest.approx(theirs["weights"], abs=1e-3)
    weights, others = (load_file(tmp_path / name / "weights.safetensors") for name in ("one", "two"))
    torch.testing.assert_close(weights, others, atol=1e-4, rtol=1e-4)


THREADS = """
import atexit
from pathlib import Path

@atexit.register  # before the others, so it is called last
def show_threads():
    print(*(path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")))

from ls3d.training.processes import join_processes

join_processes(on_cpu=True).gather(0)
import torch.distributed.nn.functional
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="names of threads are read from Linux's /proc")
def test_the_threads_of_gloo_end_before_python_does(tmp_path: Path) -> None:
    """Python aborts the process if one of them releases a tensor later."""
    program = tmp_path / "program.py"
    program.write_text(THREADS)
    status, output = run_processes(2, [str(program)])
    assert status == 0, output
    assert "python" in output
    assert "gloo" not in output

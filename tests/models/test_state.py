"""Finding the weights in checkpoints of training programs: nesting, prefixes, averages, other objects."""

from __future__ import annotations

import argparse
import collections
import datetime
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ls3d.errors import InputError
from ls3d.models import convert_checkpoint
from ls3d.models.checkpoints import read_checkpoint
from ls3d.models.checkpoints._state import find_state
from ls3d.models.outline import make_outline
from ls3d.models.untrusted import Placeholder

WEIGHTS = {"stem.0.weight": torch.ones(2), "fc.bias": torch.zeros(3)}
AVERAGE = {name: tensor + 5 for name, tensor in WEIGHTS.items()}


def known(tensors: Mapping[str, Tensor]) -> bool:
    return "stem.0.weight" in tensors


def prefixed(prefix: str, weights: Mapping[str, Tensor] = WEIGHTS) -> dict[str, Tensor]:
    return {f"{prefix}{name}": tensor for name, tensor in weights.items()}


@pytest.mark.parametrize(
    "root",
    [
        WEIGHTS,
        {"net": WEIGHTS},
        {"model": {"state_dict": WEIGHTS}, "epoch": 3},
        {"state_dict": prefixed("model.")},
        {"state_dict": prefixed("_orig_mod.")},
        {"model_state": prefixed("module.module.")},
        {"state_dict": prefixed("model._orig_mod.")},
        {"state_dict": {"stem._orig_mod.0.weight": WEIGHTS["stem.0.weight"], "fc.bias": WEIGHTS["fc.bias"]}},
        {"n_averaged": torch.tensor(3), **prefixed("module.")},
    ],
)
def test_weights_are_found_at_any_depth(root: dict[str, Any]) -> None:
    state = find_state(root, recognized=known)
    assert state.tensors.keys() == WEIGHTS.keys()
    assert state.assumed == ()


def test_tensors_outside_the_wrapper_are_left_out_and_named() -> None:
    state = find_state({"state_dict": {**prefixed("model."), "loss.weight": torch.ones(1)}}, recognized=known)
    assert state.tensors.keys() == WEIGHTS.keys()
    assert state.assumed == ("not a part of the network: loss.weight",)


@pytest.mark.parametrize(
    "root",
    [
        {"model": WEIGHTS, "model_ema": {"n_averaged": torch.tensor(3), **prefixed("module.", AVERAGE)}},
        {"state_dict": WEIGHTS, "state_dict_ema": AVERAGE},
        {"state_dict": AVERAGE, "current_model_state": WEIGHTS},
    ],
)
def test_the_moving_average_can_be_chosen(root: dict[str, Any]) -> None:
    raw, average = (find_state(root, choice, known) for choice in (False, True))
    assert raw.tensors["fc.bias"].equal(WEIGHTS["fc.bias"])
    assert average.tensors["fc.bias"].equal(AVERAGE["fc.bias"])
    assert raw.assumed == ("the weights of the last step, of two sets in the file",)
    assert average.assumed == ("the moving average of the weights, of two sets in the file",)


def test_an_average_that_is_not_there() -> None:
    with pytest.raises(InputError, match="no moving average"):
        find_state({"state_dict": WEIGHTS}, average=True)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("zipped", [True, False])
def test_objects_of_training_programs_become_placeholders(protocol: int, zipped: bool, tmp_path: Path) -> None:
    model = torch.nn.Linear(3, 4)
    content = {
        "model": model.state_dict(),
        "args": argparse.Namespace(lr=0.1),
        "history": collections.defaultdict(list, {"loss": [1.0]}),
        "folder": Path("x"),
        "date": datetime.datetime(2026, 1, 1),
        "rng": [torch.get_rng_state(), np.random.get_state(), random.getstate(), np.random.default_rng(0)],
        "optimizer": torch.optim.SGD(model.parameters(), 0.1, momentum=0.9).state_dict(),
        "turned": torch.arange(12).view(3, 4).t()[1:],
        "half": torch.ones(3, dtype=torch.bfloat16),
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "device": torch.device("cpu"),
    }
    path = tmp_path / "checkpoint.pth"
    torch.save(content, path, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    read = read_checkpoint(path)
    assert torch.equal(read["model"]["weight"], model.weight)
    assert isinstance(read["args"], Placeholder)
    assert read["args"].name == "argparse.Namespace"
    assert read["args"].state == {"lr": 0.1}
    assert read["history"] == {"loss": [1.0]}
    assert read["optimizer"] == content["optimizer"]
    assert torch.equal(read["turned"], content["turned"])  # type: ignore[arg-type]
    assert torch.equal(read["half"], torch.ones(3, dtype=torch.bfloat16))
    assert all(isinstance(read[key], Placeholder) for key in ("folder", "date", "device"))


def touch(path: Path) -> Path:
    path.touch()
    return path


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda folder: (touch(folder / "a.safetensors"), folder / "a.safetensors"),
            "another file than the checkpoint",
        ),
        (lambda folder: (touch(folder / "a.pth"), folder / "b.pth"), r"expected the suffix \.safetensors"),
        (lambda folder: (folder / "none.pth", folder / "missing" / "b.safetensors"), "there is no folder"),
    ],
)
def test_mistakes_with_the_output_are_noticed_first(
    make: Callable[[Path], tuple[Path, Path]], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        convert_checkpoint(*make(tmp_path))
    assert caught.value.argument == "output"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bn_eps": "tiny"}, "bn_eps is 'tiny', expected float"),
        ({"bn_eps": float("nan")}, "bn_eps is nan, expected float"),
        ({"num_classes": True}, "num_classes is True, expected int"),
        ({"num_classes": -1}, "num_classes is -1, expected 0 to"),
        ({"num_classes": 10**30}, "num_classes is 1e[+]30, expected 0 to"),
        ({"pool1": "all"}, "pool1 is 'all', expected 'none' or"),
        ({"temporal_strides": [1, "2", 2, 2]}, "temporal_strides is"),
        ({"in_channels": 0}, "stem.0.weight would have no elements"),
    ],
)
def test_arguments_of_wrong_type_or_size(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_outline("r3d_18", arguments)


def test_a_network_with_too_many_layers_is_not_built() -> None:
    with pytest.raises(InputError, match="more than 500 layers and parameters"):
        make_outline("ip_csn_152", {}, most_parts=500)

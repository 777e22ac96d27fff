"""Kinds of files for ``fuzz.py``: weights, pickles, zips of torch, training states, recipes."""

from __future__ import annotations

import argparse
import collections
import io
import pickle
import random
import struct
import tempfile
from pathlib import Path
from typing import Any

from fuzz import Kind, mutate_bytes


def _import() -> None:
    import torch

    import ls3d.models.checkpoints
    import ls3d.training.state

    torch.set_num_threads(1)
    assert ls3d.models.checkpoints
    assert ls3d.training.state


def _content() -> dict[str, Any]:
    import numpy as np
    import torch

    model = torch.nn.Linear(3, 4)
    return {
        "state_dict": model.state_dict(),
        "args": argparse.Namespace(lr=0.1, name="x"),
        "history": collections.defaultdict(list, {"loss": [1.0, 2.5]}),
        "ordered": collections.OrderedDict(a=1, b=(2, 3)),
        "array": np.arange(6.0).reshape(2, 3),
        "scalar": np.float32(3),
        "text": "x" * 300,
        "half": torch.ones(5, dtype=torch.bfloat16),
        "optimizer": torch.optim.SGD(model.parameters(), 0.1, momentum=0.9).state_dict(),
        "path": Path("x"),
    }


def _saved(**options: Any) -> bytes:
    import torch

    buffer = io.BytesIO()
    torch.save(_content(), buffer, **options)
    return buffer.getvalue()


def _pickles() -> list[bytes]:
    plain = {
        "blobs": {key: value for key, value in _content().items() if key not in ("state_dict", "half", "optimizer")}
    }
    files = [pickle.dumps(plain, protocol=protocol) for protocol in range(6)]
    return [*files, _saved(_use_new_zipfile_serialization=False)]


def _zips() -> list[bytes]:
    return [_saved(), _saved(pickle_protocol=4)]


def _weights() -> list[bytes]:
    from ls3d.models import create_model, save_weights

    files = []
    with tempfile.TemporaryDirectory() as folder:
        for name, arguments in (("vfi_ls3d", {"width": 4}), ("vdn_ls3d_plus_s", {"width": 8}), ("blend", {})):
            files.append(save_weights(create_model(name, **arguments), Path(folder) / "w.safetensors").read_bytes())
    return files


def _mutate_header(content: bytes, draw: random.Random) -> bytes:
    """Mutate the header of a safetensors file more often than its tensors, and mostly keep its length right."""
    length = int.from_bytes(content[:8], "little")
    if draw.random() < 0.3:
        return mutate_bytes(content, draw)
    header = mutate_bytes(content[8 : 8 + length], draw)
    if draw.random() < 0.5:
        for number in (b"0", b"4", b"8", b"1"):
            if draw.random() < 0.3:
                header = header.replace(number, draw.choice((b"-1", b"9" * 30, b"1e400", b'"x"', b"[]", b"65535")), 1)
    return struct.pack("<Q", len(header)) + header + content[8 + length :]


def _states() -> list[bytes]:
    import torch

    from ls3d.training.state import NEWEST, save_state

    values = {"state_dict": {"a": torch.ones(3)}, "global_step": 3, "list": [1, (2.5, None)], "dict": {0: {"x": "y"}}}
    with tempfile.TemporaryDirectory() as folder:
        save_state(values, Path(folder) / NEWEST, {"recipe": {"seed": 1}})
        return [(Path(folder) / NEWEST).read_bytes()]


def _recipes() -> list[bytes]:
    """All recipes, with their bases merged in."""
    import yaml

    from ls3d.training.recipe.inheritance import read_with_bases

    folder = Path(__file__).parents[1] / "recipes"
    files = [path for path in sorted(folder.rglob("*.yaml")) if not path.name.startswith("_")]
    return [yaml.safe_dump({**read_with_bases(path), "output": "run"}).encode() for path in files]


def _mutate_text(content: bytes, draw: random.Random) -> bytes:
    """Mutate a recipe: its bytes, its numbers, its lines, anchors and aliases."""
    lines = content.split(b"\n")
    for _ in range(draw.randrange(1, 4)):
        index = draw.randrange(len(lines))
        kind = draw.randrange(5)
        if kind == 0:
            lines[index] = mutate_bytes(lines[index], draw)
        elif kind == 1:
            key = lines[index].partition(b":")[0]
            odd = (
                b"-1",
                b".nan",
                b".inf",
                b"1e9",
                b"[1]",
                b"{a: 1}",
                b"null",
                b"'x'",
                b"9" * 50,
                b"&a [*a]",
                b"!!binary x",
            )
            lines[index] = key + b": " + draw.choice(odd)
        elif kind == 2:
            lines.insert(index, draw.choice(lines))
        elif kind == 3:
            lines[index] = b"  " + lines[index]
        else:
            lines.insert(index, b"x: &x [" + b"*x, " * draw.randrange(9) + b"1]")
    return b"\n".join(lines)


def _read_checkpoint(path: Path) -> object:
    from ls3d.models.checkpoints import load_checkpoint, read_checkpoint

    read_checkpoint(path)
    return load_checkpoint(path)


def _load_model(path: Path) -> object:
    from ls3d.models import load_model

    return load_model(path)


def _load_state(path: Path) -> object:
    from ls3d.training.state import load_state

    return load_state(path)


def _load_recipe(path: Path) -> object:
    from ls3d.training import load_recipe

    return load_recipe(path)


KINDS = {
    "weights": Kind(".safetensors", _weights, _load_model, _mutate_header, _import),
    "pickles": Kind(".pkl", _pickles, _read_checkpoint, prepare=_import),
    "zips": Kind(".pth", _zips, _read_checkpoint, prepare=_import),
    "states": Kind(".ckpt", _states, _load_state, _mutate_header, _import),
    "recipes": Kind(".yaml", _recipes, _load_recipe, _mutate_text, _import),
}

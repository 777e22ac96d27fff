"""Reading files of other projects: all arrays are read, and no code is executed."""

from __future__ import annotations

import io
import os
import pickle
import struct
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ls3d.errors import InputError
from ls3d.models.checkpoints import load_checkpoint, read_checkpoint


class RunsCommand:
    """Unpickling this runs a command that creates a file."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.trace}",)


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    return tmp_path / "it-ran"


def write_pickle(content: Any, path: Path) -> None:
    path.write_bytes(pickle.dumps(content, protocol=2))


def write_torch(content: Any, path: Path) -> None:
    torch.save(content, path)


def write_legacy_torch(content: Any, path: Path) -> None:
    torch.save(content, path, _use_new_zipfile_serialization=False)


WRITERS = [write_pickle, write_torch, write_legacy_torch]


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("load", [read_checkpoint, load_checkpoint])
def test_a_file_that_would_run_a_command_is_refused_by_name(write: Any, load: Any, tmp_path: Path, trace: Path) -> None:
    write({"blobs": {"conv1_w": RunsCommand(trace)}}, tmp_path / "evil.pkl")
    with pytest.raises(InputError, match=r"wants (posix|os|nt)\.system"):
        load(tmp_path / "evil.pkl")
    assert not trace.exists()


def test_the_command_runs_without_protection(tmp_path: Path, trace: Path) -> None:
    """``pickle`` itself does run the command of the test above."""
    write_pickle(RunsCommand(trace), tmp_path / "evil.pkl")
    pickle.loads((tmp_path / "evil.pkl").read_bytes())
    assert trace.exists()


class Getattr:
    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, ([], "append")


class CallsNdarray:
    """Would allocate any amount of memory if ``numpy.ndarray`` were callable."""

    def __reduce__(self) -> tuple[Any, ...]:
        return np.ndarray, ((1 << 40,),)


class Decodes:
    """``_codecs.encode`` with a codec that isn't text."""

    def __reduce__(self) -> tuple[Any, ...]:
        import _codecs

        return _codecs.encode, ("a", "rot13")


@pytest.mark.parametrize("hostile", [Getattr(), CallsNdarray(), Decodes(), np.zeros(2, object), pickle.PickleBuffer])
def test_other_objects_are_refused(hostile: Any, tmp_path: Path) -> None:
    write_pickle({"blobs": {"conv1_w": hostile}}, tmp_path / "evil.pkl")
    with pytest.raises(InputError):
        read_checkpoint(tmp_path / "evil.pkl")


arrays = hnp.arrays(
    st.sampled_from(["<f4", ">f8", "<f2", "<i8", "|u1", "|b1"]), hnp.array_shapes(min_dims=0, max_dims=5, min_side=0)
)


@given(content=st.dictionaries(st.text(), arrays | st.integers() | st.text() | st.lists(st.floats(allow_nan=False))))
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_containers_and_arrays_round_trip(
    content: dict[str, Any], protocol: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("pickle") / "blobs.pkl"
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    read = read_checkpoint(path)
    assert read.keys() == content.keys()
    for key, value in content.items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(read[key], value)
            assert read[key].dtype == value.dtype
        else:
            assert read[key] == value


def test_python_2_arrays_and_fortran_order(tmp_path: Path) -> None:
    """Python 2 wrote the bytes of an array as a string; this is such a pickle, opcode by opcode."""
    values = np.array([[1.5, -2.0, 0.25], [3.0, 4.0, -1.0]], "<f4")
    raw = values.tobytes()
    string = b"T" + struct.pack("<i", len(raw)) + raw  # BINSTRING
    dtype = b"cnumpy\ndtype\n(U\x02f4K\x00K\x01tR(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR(K\x01(K\x02K\x03t"
    program = b"\x80\x02}(U\x05blobs}(U\x01w" + array + dtype + b"\x89" + string + b"tbuu."
    (tmp_path / "old.pkl").write_bytes(program)
    np.testing.assert_array_equal(read_checkpoint(tmp_path / "old.pkl")["blobs"]["w"], values)

    write_pickle({"w": np.asfortranarray(values), "n": np.float64(2.5), "o": OrderedDict(a=1)}, tmp_path / "new.pkl")
    read = read_checkpoint(tmp_path / "new.pkl")
    np.testing.assert_array_equal(read["w"], values)
    assert (read["n"], read["o"]) == (2.5, {"a": 1})


def test_torch_files_may_hold_numpy_arrays_and_scalars(tmp_path: Path) -> None:
    content = {"state_dict": OrderedDict(w=torch.ones(2)), "best": np.float64(0.5), "mean": np.arange(3.0)}
    for write in (write_torch, write_legacy_torch):
        write(content, tmp_path / "checkpoint.pth")
        read = read_checkpoint(tmp_path / "checkpoint.pth")
        assert read["best"] == 0.5
        np.testing.assert_array_equal(read["mean"], content["mean"])


class TestDamage:
    """Damaged files raise an error with one sentence."""

    @pytest.mark.parametrize("content", [b"", b"not a pickle", b"PK\x03\x04 not a zip", b"\x80\x02}q\x00(X"])
    def test_not_a_checkpoint(self, content: bytes, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(content)
        with pytest.raises(InputError, match=str(tmp_path / "file")):
            read_checkpoint(tmp_path / "file")

    @pytest.mark.parametrize("write", WRITERS)
    def test_cut_short(self, write: Any, tmp_path: Path) -> None:
        write({"w": torch.ones(100).numpy() if write is write_pickle else torch.ones(100)}, tmp_path / "file")
        content = (tmp_path / "file").read_bytes()
        (tmp_path / "file").write_bytes(content[: len(content) // 2])
        with pytest.raises(InputError, match=str(tmp_path / "file")):
            read_checkpoint(tmp_path / "file")

    def test_an_array_with_too_few_bytes(self, tmp_path: Path) -> None:
        buffer = io.BytesIO()
        pickle.dump({"w": np.zeros(4, "<f4")}, buffer, protocol=2)
        damaged = buffer.getvalue().replace(b"K\x04\x85", b"K\x05\x85")
        assert damaged != buffer.getvalue()
        (tmp_path / "file").write_bytes(damaged)
        with pytest.raises(InputError, match="4 values for an array of shape"):
            read_checkpoint(tmp_path / "file")

    def test_objects_nested_in_states(self, tmp_path: Path) -> None:
        nested = b"\x80\x02" + b"ca\nb\n)R" * 20_000 + b"b" * 19_999 + b"."
        (tmp_path / "file").write_bytes(nested)
        with pytest.raises(InputError, match=str(tmp_path / "file")):
            read_checkpoint(tmp_path / "file")

    def test_not_a_dictionary(self, tmp_path: Path) -> None:
        write_pickle([1, 2], tmp_path / "file")
        with pytest.raises(InputError, match="holds a list"):
            read_checkpoint(tmp_path / "file")

    def test_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            read_checkpoint(tmp_path / "file")

    def test_no_tensors(self, tmp_path: Path) -> None:
        write_torch({"epoch": 3}, tmp_path / "file")
        with pytest.raises(InputError, match="holds no tensors, only epoch"):
            load_checkpoint(tmp_path / "file")

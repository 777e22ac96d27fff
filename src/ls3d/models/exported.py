"""Networks from files that ``ls3d export`` wrote, run by ONNX Runtime, OpenVINO or AOTInductor."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar, get_args

import torch
from torch import Tensor

from ls3d.errors import InputError, first_line, require
from ls3d.models.network import (
    EnhancementTraits,
    InterpolationNetwork,
    ModelConfig,
    Network,
    RecognitionTraits,
    RestorationNetwork,
    Times,
    required_sigma,
)
from ls3d.models.recognition._base import RecognitionNet

ONNX_SUFFIX = ".onnx"
PACKAGE_SUFFIX = ".pt2"

#: Suffixes of exported files.
EXPORTED_SUFFIXES = (ONNX_SUFFIX, PACKAGE_SUFFIX)

#: Name of the metadata property that holds JSON.
METADATA_KEY = "ls3d"

#: Environment variable that allows packages, which hold native code; its value must be 1.
TRUST_VARIABLE = "LS3D_TRUST_NATIVE_CODE"

#: A time as it is exported. Other numbers that ``Fraction`` reads can be larger than the memory.
_TIME = re.compile(r"[0-9]{1,20}(/[0-9]{1,20})?")

#: Runtimes of an ONNX session, the preferred one first.
_PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")


T = TypeVar("T")


class Session(Protocol):
    """An opened file with one output.

    Attributes:
        metadata: properties of the file.
    """

    metadata: Mapping[str, str]

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Run the file on its inputs, in order."""


class OnnxSession:
    """An ONNX file in ONNX Runtime, on as many threads as torch uses.

    Args:
        path: the file.

    Attributes:
        shapes: of the inputs; names stand for open sizes.
        metadata: properties of the file.

    Raises:
        InputError: the runtime can't read or run the file.
        MissingExtraError: onnxruntime is not installed.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        require("onnxruntime", "export")
        import onnxruntime as runtime

        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        available = runtime.get_available_providers()
        providers = [provider for provider in _PROVIDERS if provider in available]
        try:
            self._session = runtime.InferenceSession(os.fspath(path), options, providers=providers)
        except Exception as error:  # the runtime's exceptions have no common base
            raise InputError(f"{os.fspath(path)} can't be run by ONNX Runtime ({first_line(error)})") from error
        self._inputs = [entry.name for entry in self._session.get_inputs()]
        self.shapes: list[list[int | str]] = [entry.shape for entry in self._session.get_inputs()]
        self.metadata: Mapping[str, str] = self._session.get_modelmeta().custom_metadata_map

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Run the file on its inputs, in order."""
        try:
            (found,) = self._session.run(None, dict(zip(self._inputs, _arrays(inputs), strict=True)))
        except Exception as error:  # as above
            raise _failure("ONNX Runtime", error, inputs) from error
        return torch.from_numpy(found).to(inputs[0].device)


class OpenVinoSession:
    """An ONNX file in OpenVINO, in single precision on the CPU, on as many threads as torch uses.

    Args:
        path: the file.
        metadata: properties of the file.

    Raises:
        InputError: OpenVINO can't read or run the file.
        MissingExtraError: openvino is not installed.
    """

    def __init__(self, path: str | os.PathLike[str], metadata: Mapping[str, str]) -> None:
        require("openvino", "openvino")
        import openvino

        options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": torch.get_num_threads()}
        try:
            self._model = openvino.Core().compile_model(os.fspath(path), "CPU", options)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]  # the first lines name files of OpenVINO's source
            raise InputError(f"{os.fspath(path)} can't be run by OpenVINO ({reason})") from error
        self.metadata = metadata

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Run the file on its inputs, in order."""
        try:
            found = self._model(_arrays(inputs))[0]
        except RuntimeError as error:
            raise _failure("OpenVINO", error, inputs) from error
        return torch.from_numpy(found.copy()).to(inputs[0].device)


class PackageSession:
    """A package of AOTInductor, which is a shared library for the CPU.

    Args:
        path: the file.
        trusted: whether its code may run; otherwise the environment variable ``LS3D_TRUST_NATIVE_CODE=1`` allows it.

    Attributes:
        metadata: properties of the file.

    Raises:
        InputError: packages are not allowed, or torch can't load the file.
    """

    def __init__(self, path: str | os.PathLike[str], trusted: bool = False) -> None:
        if not trusted and os.environ.get(TRUST_VARIABLE) != "1":
            raise InputError(
                f"{os.fspath(path)} contains native code, which would run with all rights of this process; "
                f"set the environment variable {TRUST_VARIABLE}=1 to load packages of people that you trust"
            )
        try:
            self._package = torch._inductor.aoti_load_package(os.fspath(path))
            self.metadata: Mapping[str, str] = self._package.loader.get_metadata()
        except Exception as error:  # of the archive, of the dynamic linker, and others
            raise InputError(f"{os.fspath(path)} can't be loaded by AOTInductor ({first_line(error)})") from error

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Run the package on its inputs, in order."""
        try:
            found: Tensor = self._package(*(values.float().cpu() for values in inputs))
        except RuntimeError as error:
            raise _failure("AOTInductor", error, inputs) from error
        return found.to(inputs[0].device)


def _arrays(inputs: Sequence[Tensor]) -> list[Any]:
    return [values.float().contiguous().numpy(force=True) for values in inputs]


def _failure(runtime: str, error: Exception, inputs: Sequence[Tensor]) -> Exception:
    """What to raise for an error of a runtime: smaller tiles are tried when memory runs out."""
    reason = first_line(error)
    if "alloc" in reason.lower():
        return torch.OutOfMemoryError(reason)
    shapes = " and ".join(str(tuple(values.shape)) for values in inputs)
    return InputError(f"{runtime} can't run the file on inputs of shape {shapes} ({reason})")


@dataclass(frozen=True)
class _Description:
    """What the metadata of a file say.

    Attributes:
        config: of the network that was exported.
        traits: of the network.
        times: of the frames that it makes, for interpolation.
        num_classes: for recognition.
        in_channels: for recognition.
        target: the runtime that the file is for.
    """

    config: ModelConfig
    traits: EnhancementTraits | RecognitionTraits
    times: tuple[float, ...] = ()
    num_classes: int = 0
    in_channels: int = 3
    target: str = ""

    @classmethod
    def read(cls, path: str | os.PathLike[str], metadata: Mapping[str, str]) -> Self:
        """Read the metadata of a file.

        Raises:
            InputError: they are not those that ``ls3d export`` writes.
        """
        try:
            values = json.loads(metadata[METADATA_KEY])
            exported = values.pop("exported")
            traits = _traits(exported["traits"])
            times = tuple(_time(time) for time in exported.get("times", ()))
            if (traits.task == "interpolation") != bool(times):
                raise ValueError(f"the times of a network for {traits.task} are {times}")
            numbers = {name: exported[name] for name in ("num_classes", "in_channels") if name in exported}
            if not all(type(number) is int and number >= 0 for number in numbers.values()):
                raise ValueError(f"{numbers}: expected numbers")
            return cls(ModelConfig.from_dict(values), traits, times, target=exported.get("target", ""), **numbers)
        except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
            message = f"{os.fspath(path)}: its metadata are not those that `ls3d export` writes"
            raise InputError(f"{message} ({type(error).__name__}: {first_line(error)})") from error


def _time(stated: str) -> float:
    if not _TIME.fullmatch(stated):
        raise ValueError(f"the time {stated[:20]}: expected a fraction")
    return float(Fraction(stated))


def _traits(stated: dict[str, Any]) -> EnhancementTraits | RecognitionTraits:
    if stated["task"] in ("interpolation", "super-resolution", "denoising"):
        low, high = stated["value_range"]
        return _typed(EnhancementTraits(**{**stated, "value_range": (float(low), float(high))}))
    return _typed(RecognitionTraits(**{**stated, "modalities": tuple(stated["modalities"])}))


def _typed(traits: T) -> T:
    """The traits, if each has the type that it is declared with.

    Raises:
        TypeError: one has another type.
    """
    for name in ("size_multiple", "scale", "frames_before", "frames_after", "clip_length"):
        value = vars(traits).get(name)
        if value is not None and type(value) is not int:
            raise TypeError(f"{name} is {value!r}, expected an integer")
    if vars(traits).get("times") not in (None, *get_args(Times)):
        raise TypeError(f"times is {vars(traits)['times']!r}, expected {' or '.join(get_args(Times))}")
    return traits


def load_exported(path: str | os.PathLike[str]) -> Network:
    """Open a file that ``ls3d export`` wrote. The network has no parameters; another runtime computes its output.

    That is the runtime that the file was exported for; ONNX Runtime takes the place of OpenVINO where that is missing.

    Raises:
        InputError: it is another file, it is damaged, or it is a package and those are not allowed.
        MissingExtraError: onnxruntime is not installed.
    """
    session: Session = PackageSession(path) if Path(path).suffix == PACKAGE_SUFFIX else OnnxSession(path)
    description = _Description.read(path, session.metadata)
    if description.target == "openvino" and importlib.util.find_spec("openvino") is not None:
        session = OpenVinoSession(path, session.metadata)
    network = _network_of(session, description)
    network.config = description.config
    # A job that is resumed compares the state of its networks.
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").digest()
    network.register_buffer("file_digest", torch.frombuffer(bytearray(digest), dtype=torch.uint8))
    return network.eval()


def _network_of(session: Session, description: _Description) -> Network:
    traits = description.traits
    if isinstance(traits, RecognitionTraits):
        return _Recognition(session, traits, description.num_classes, description.in_channels)
    return _Restoration(session, traits) if traits.times is None else _Interpolation(session, traits, description.times)


class _Interpolation(InterpolationNetwork):
    runs_in_torch = False
    fixed_times: tuple[float, ...]

    def __init__(self, session: Session, traits: EnhancementTraits, times: tuple[float, ...]) -> None:
        super().__init__()
        self.traits = traits
        self.fixed_times = times
        self._session = session

    def forward(self, frames: Tensor, times: Sequence[float] | None = None) -> Tensor:
        """See ``InterpolationNetwork.forward``.

        Raises:
            InputError: the file doesn't make frames at these times.
        """
        known = self.fixed_times
        wanted = list(known if times is None else times)
        made = {0.0: frames[:, :, 0], 1.0: frames[:, :, 1]}
        unknown = [time for time in wanted if time not in made and time not in known]
        if unknown:
            stated = ", ".join(f"{time:g}" for time in known)
            raise InputError(
                f"the file makes frames at the times {stated}, not at {unknown[0]:g}; "
                "expected others, or a file exported for these times"
            )
        if any(time not in made for time in wanted):
            made |= zip(known, self._session(frames).unbind(2), strict=True)
        return torch.stack([made[time] for time in wanted], dim=2)


class _Restoration(RestorationNetwork):
    runs_in_torch = False

    def __init__(self, session: Session, traits: EnhancementTraits) -> None:
        super().__init__()
        self.traits = traits
        self._session = session

    def forward(self, frames: Tensor, sigma: Tensor | None = None) -> Tensor:
        """See ``RestorationNetwork.forward``."""
        return self._session(frames, required_sigma(sigma)) if self.traits.takes_sigma else self._session(frames)


class _Recognition(RecognitionNet):
    def __init__(self, session: Session, traits: RecognitionTraits, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.traits = traits
        self.num_classes = num_classes
        self.in_channels = in_channels
        self._session = session

    def forward_features(self, *inputs: Tensor, **named_inputs: Tensor) -> Tensor:
        """The file has no outputs but the logits.

        Raises:
            InputError: always.
        """
        raise InputError(f"an exported {self.name} returns logits only; features need its weights file")

    def forward(self, *inputs: Tensor, **named_inputs: Tensor) -> Tensor:
        """See ``RecognitionNet.forward``.

        Raises:
            InputError: the inputs are not those that the file takes, or it doesn't return logits.
        """
        given = self._in_order(inputs, named_inputs)
        if self.traits.modalities == ("clip",):
            self.check_clip(given[0])
        logits = self._session(*given)
        if logits.shape != (len(given[0]), self.num_classes):
            raise InputError(f"the file returned {tuple(logits.shape)}, its metadata state {self.num_classes} classes")
        return logits

    def _in_order(self, inputs: Sequence[Tensor], named_inputs: Mapping[str, Tensor]) -> list[Tensor]:
        """The inputs in the order of the file's: the unnamed ones come first."""
        names = self.traits.modalities[len(inputs) :]
        if len(inputs) > len(self.traits.modalities) or named_inputs.keys() != set(names):
            given = ", ".join([f"{len(inputs)} without a name", *named_inputs])
            raise InputError(f"the inputs are {given}: expected {', '.join(self.traits.modalities)}")
        return [*inputs, *(named_inputs[name] for name in names)]

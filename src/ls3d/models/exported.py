"""Networks from ONNX files that ``ls3d export`` wrote, run by ONNX Runtime."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from ls3d.errors import InputError, require
from ls3d.models.network import (
    EnhancementTraits,
    InterpolationNetwork,
    ModelConfig,
    Network,
    RecognitionTraits,
    RestorationNetwork,
    required_sigma,
)
from ls3d.models.recognition._base import RecognitionNet

#: Suffix of the files.
ONNX_SUFFIX = ".onnx"

#: Name of the metadata property that holds JSON.
METADATA_KEY = "ls3d"


#: Runtimes of an ONNX session, the preferred one first.
_PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")


class OnnxSession:
    """An ONNX file with one output, opened by ONNX Runtime on as many threads as torch uses.

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
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise InputError(f"{os.fspath(path)} can't be run by ONNX Runtime ({reason})") from error
        self._inputs = [entry.name for entry in self._session.get_inputs()]
        self.shapes: list[list[int | str]] = [entry.shape for entry in self._session.get_inputs()]
        self.metadata: dict[str, str] = self._session.get_modelmeta().custom_metadata_map

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Run the file on its inputs, in order."""
        arrays = [values.float().contiguous().numpy(force=True) for values in inputs]
        (found,) = self._session.run(None, dict(zip(self._inputs, arrays, strict=True)))
        return torch.from_numpy(found).to(inputs[0].device)


def load_exported(path: str | os.PathLike[str]) -> Network:
    """Open an ONNX file that ``ls3d export`` wrote. The network has no parameters; ONNX Runtime computes its output.

    Raises:
        InputError: it is another file.
        MissingExtraError: onnxruntime is not installed.
    """
    session = OnnxSession(path)
    try:
        metadata = json.loads(session.metadata[METADATA_KEY])
        exported = metadata.pop("exported")
        config = ModelConfig.from_dict(metadata)
        network = _network_of(session, exported)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{os.fspath(path)} is not a file that `ls3d export` wrote ({error})") from error
    network.config = config
    # A job that is resumed compares the state of its networks.
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").digest()
    network.register_buffer("file_digest", torch.frombuffer(bytearray(digest), dtype=torch.uint8))
    return network.eval()


def _network_of(session: OnnxSession, exported: dict[str, Any]) -> Network:
    stated = exported["traits"]
    if stated["task"] == "recognition":
        traits = RecognitionTraits(**{**stated, "modalities": tuple(stated["modalities"])})
        return _Recognition(session, traits, exported["num_classes"], exported["in_channels"])
    frames = EnhancementTraits(**{**stated, "value_range": tuple(stated["value_range"])})
    if frames.times is not None:
        return _Interpolation(session, frames, [Fraction(time) for time in exported["times"]])
    return _Restoration(session, frames)


class _Interpolation(InterpolationNetwork):
    def __init__(self, session: OnnxSession, traits: EnhancementTraits, times: Sequence[Fraction]) -> None:
        super().__init__()
        self.traits = traits
        self._times = [float(time) for time in times]
        self._session = session

    def forward(self, frames: Tensor, times: Sequence[float] | None = None) -> Tensor:
        """See ``InterpolationNetwork.forward``.

        Raises:
            InputError: the file doesn't make frames at these times.
        """
        wanted = self._times if times is None else list(times)
        made = {0.0: frames[:, :, 0], 1.0: frames[:, :, 1]}
        unknown = [time for time in wanted if time not in made and time not in self._times]
        if unknown:
            known = ", ".join(f"{time:g}" for time in self._times)
            raise InputError(
                f"the ONNX file makes frames at the times {known}, not at {unknown[0]:g}; "
                "expected others, or a file exported for these times"
            )
        if any(time not in made for time in wanted):
            made |= zip(self._times, self._session(frames).unbind(2), strict=True)
        return torch.stack([made[time] for time in wanted], dim=2)


class _Restoration(RestorationNetwork):
    def __init__(self, session: OnnxSession, traits: EnhancementTraits) -> None:
        super().__init__()
        self.traits = traits
        self._session = session

    def forward(self, frames: Tensor, sigma: Tensor | None = None) -> Tensor:
        """See ``RestorationNetwork.forward``."""
        return self._session(frames, required_sigma(sigma)) if self.traits.takes_sigma else self._session(frames)


class _Recognition(RecognitionNet):
    def __init__(self, session: OnnxSession, traits: RecognitionTraits, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.traits = traits
        self.num_classes = num_classes
        self.in_channels = in_channels
        self._session = session

    def forward(self, *inputs: Tensor, **named_inputs: Tensor) -> Tensor:
        """See ``RecognitionNet.forward``."""
        (clip,) = (*inputs, *named_inputs.values())
        self.check_clip(clip)
        return self._session(clip)

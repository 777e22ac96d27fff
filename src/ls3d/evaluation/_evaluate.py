"""``evaluate``: a model under a protocol, clip by clip; stopped, it goes on where it stood."""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from ls3d.data.footage import Footage
from ls3d.data.sets import open_data_set
from ls3d.errors import InputError
from ls3d.evaluation.fidelity.protocols import Protocol, get_protocol
from ls3d.evaluation.fidelity.scored_frames import samples
from ls3d.evaluation.page import write_page
from ls3d.evaluation.report import ClipScore, Report, versions
from ls3d.inference import Enhancer
from ls3d.metrics import METRICS, measure
from ls3d.models import load_enhancement_model
from ls3d.models.network import EnhancementNetwork

log = logging.getLogger(__name__)

#: Called before each clip with the clips done, the clips there are, and the clip's name.
Progress = Callable[[int, int, str], None]


def evaluate(
    model: str | os.PathLike[str] | EnhancementNetwork,
    protocol: str | Protocol,
    data: str | os.PathLike[str] | Sequence[Footage],
    *,
    json_path: str | os.PathLike[str] | None = None,
    html_path: str | os.PathLike[str] | None = None,
    device: str | torch.device = "auto",
    resume: bool = True,
    progress: Progress | None = None,
) -> Report:
    """Measure a model as a paper measures.

    Args:
        model: a name such as ``"vfi"`` or ``"blend"``, a weights file, or a network.
        protocol: a key of ``PROTOCOLS``, or a protocol of your own.
        data: the folder in which the protocol's data set lies, or the clips themselves.
        json_path: write the result there. What is finished is kept beside it (``<json_path>.part``) clip by
            clip, so that the same call goes on after a stop; the file disappears at the end.
        html_path: write a page with scores, bars and pictures there; it needs no other file.
        device: where the model runs.
        resume: go on from ``<json_path>.part``, if it is of the same evaluation.
        progress: told before each clip.

    Returns:
        The result. Clips too short to have a scored frame are left out, with a warning.

    Raises:
        InputError: an unknown model, protocol, data set or device, a model for another task, data that isn't
            there, or no folder to write to.
    """
    for target in (json_path, html_path):
        if target and not Path(target).parent.is_dir():
            raise InputError(f"{os.fspath(target)} can't be written: there is no folder {Path(target).parent}")
    protocol = get_protocol(protocol) if isinstance(protocol, str) else protocol
    name, network = _open_model(model, protocol)
    clips = open_data_set(protocol.data_set, data) if isinstance(data, (str, os.PathLike)) else list(data)
    enhancer = Enhancer(network, device)
    facts = network.config.to_dict() if network.config else {}
    identity = _identity(name, network, protocol, enhancer.device)
    journal = _Journal(json_path, identity) if json_path else None
    finished = journal.read() if journal and resume else {}
    report = Report(protocol, name, facts, {}, str(enhancer.device))
    for number, clip in enumerate(clips):
        if progress:
            progress(number, len(clips), clip.name)
        score = finished.get(clip.name) or score_clip(enhancer, protocol, clip)
        if score is None:
            log.warning("%s is too short (%d frames) and left out", clip.name, len(clip))
            continue
        report.clips[clip.name] = score
        if journal and clip.name not in finished:
            journal.add(clip.name, score)
    if not report.clips:
        where = f" in {os.fspath(data)}" if isinstance(data, (str, os.PathLike)) else ""
        raise InputError(f"no clip{where} is long enough for {protocol.name}")
    if html_path:
        write_page(report, html_path, enhancer, clips)
    if json_path and journal:
        report.save(json_path)
        journal.remove()
    return report


def _open_model(
    model: str | os.PathLike[str] | EnhancementNetwork, protocol: Protocol
) -> tuple[str, EnhancementNetwork]:
    """The network and what to call it.

    Raises:
        InputError: it is made for another task.
    """
    if isinstance(model, EnhancementNetwork):
        name, network = model.name, model
    else:
        name, network = Path(model).name, load_enhancement_model(model)
    task = network.traits.task
    if task != protocol.task:
        raise InputError(f"{name} is made for {task}, the protocol {protocol.name} measures {protocol.task}")
    return name, network


@torch.inference_mode()
def score_clip(enhancer: Enhancer, protocol: Protocol, clip: Footage) -> ClipScore | None:
    """Score one clip; None when it is too short to have a scored frame."""
    totals = dict.fromkeys(protocol.metrics, 0.0)
    main = next(iter(protocol.metrics.values()))
    sign = 1 if METRICS[main].higher_is_better else -1
    frames, worst, lowest = 0, 0, math.inf
    for sample in samples(enhancer, protocol, clip):
        scores = measure(protocol.metrics.values(), sample.output[None], sample.truth[None], protocol.crop)
        for key, metric in protocol.metrics.items():
            totals[key] += scores[metric].item()
        if frames == 0 or sign * scores[main].item() < lowest:
            worst, lowest = sample.index, sign * scores[main].item()
        frames += 1
    if not frames:
        return None
    return ClipScore({key: total / frames for key, total in totals.items()}, frames, worst)


def _identity(
    name: str, network: EnhancementNetwork, protocol: Protocol, device: torch.device
) -> dict[str, Any] | None:
    """What must be the same for finished clips to count; None when the weights can't be told apart."""
    config = network.config.to_dict() if network.config else {}
    if "sha256" not in config and any(True for _ in network.parameters()):
        return None
    return {
        "model": name,
        "config": config,
        "protocol": protocol.conditions() | {"name": protocol.name},
        "device": device.type,
        "versions": versions(),
    }


class _Journal:
    """Finished clips beside the JSON, one line each; the first line says which evaluation they are of."""

    def __init__(self, json_path: str | os.PathLike[str], identity: dict[str, Any] | None) -> None:
        self.path = Path(f"{os.fspath(json_path)}.part")
        self.identity = json.loads(json.dumps(identity, default=str))
        self._lines = [json.dumps(self.identity)]
        self._begun = False

    def read(self) -> dict[str, ClipScore]:
        """Clips that the same evaluation finished before; a line that was cut off does not count."""
        if self.identity is None or not self.path.is_file():
            return {}
        head, *lines = [_parsed(line) for line in self.path.read_text(encoding="utf-8").splitlines()] or [None]
        if head != self.identity:
            log.warning("%s is of another evaluation; starting anew", self.path)
            return {}
        finished = [line for line in lines if line]
        self._lines += [json.dumps(line) for line in finished]
        return {line["clip"]: ClipScore(**line["score"]) for line in finished}

    def add(self, clip: str, score: ClipScore) -> None:
        """Note a clip as finished."""
        self._lines.append(json.dumps({"clip": clip, "score": asdict(score)}))
        with self.path.open("a" if self._begun else "w", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in self._lines)
        self._lines.clear()
        self._begun = True

    def remove(self) -> None:
        """The evaluation is finished."""
        self.path.unlink(missing_ok=True)


def _parsed(line: str) -> Any:
    try:
        return json.loads(line)
    except json.JSONDecodeError:
        return None

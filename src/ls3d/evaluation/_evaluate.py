"""``evaluate``: measure a network under a protocol, clip by clip."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from ls3d.data import Clip
from ls3d.environment import versions
from ls3d.errors import InputError
from ls3d.evaluation.journal import Journal, content_of
from ls3d.evaluation.page import write_page
from ls3d.evaluation.protocol import ClipScore, ClipScorer, Protocol
from ls3d.evaluation.registry import get_protocol
from ls3d.evaluation.report import EvaluationReport
from ls3d.files import check_folder_of
from ls3d.inference import resolve_device
from ls3d.models import Network, load_model

log = logging.getLogger(__name__)

#: Called before each clip with the number of finished clips, the number of all clips, and the clip's name.
ProgressCallback = Callable[[int, int, str], None]


def evaluate(
    model: str | os.PathLike[str] | Network,
    protocol: str | Protocol,
    data: str | os.PathLike[str] | Sequence[Clip],
    *,
    json_path: str | os.PathLike[str] | None = None,
    html_path: str | os.PathLike[str] | None = None,
    device: str | torch.device = "auto",
    resume: bool = True,
    progress: ProgressCallback | None = None,
) -> EvaluationReport:
    """Measure a network as a paper does.

    Args:
        model: a name such as ``"vfi"`` or ``"blend"``, a weights file, or a network.
        protocol: a key of ``PROTOCOLS``, or a protocol of your own.
        data: the folder of the protocol's data set, or the clips themselves.
        json_path: file for the JSON report. While the evaluation runs, ``<json_path>.part`` records the finished
            clips, so that the same call resumes an interrupted evaluation. Clips whose files have changed since, or
            are others, are measured again, as are clips that are neither in files nor in memory.
        html_path: file for a page with scores, bars and pictures; it refers to no other file.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ...
        resume: whether to keep the clips in ``<json_path>.part``, if it belongs to the same evaluation.
        progress: called before each clip.

    Returns:
        The report. Clips that are too short to have a scored frame are left out, with a warning.

    Raises:
        InputError: the model, protocol, data set or device is unknown, the network is for another task, the data or
            the folder of a report does not exist, or no clip is long enough.
        NetworkOutputError: what the network returned is not as promised; the message names the clip and the frame.
    """
    for path in (json_path, html_path):
        if path is None:
            continue
        check_folder_of(path)
        if Path(path).is_dir():
            raise InputError(f"{os.fspath(path)} can't be written: it is a folder")
    protocol = get_protocol(protocol) if isinstance(protocol, str) else protocol
    name, network = _open_model(model, protocol)
    device = resolve_device(device)
    clips = protocol.data_set.open(data) if isinstance(data, (str, os.PathLike)) else list(data)
    config = network.config.to_dict() if network.config else {}
    journal = Journal(json_path, _identity(name, network, protocol, device)) if json_path else None
    scorer = protocol.scorer(network, device)
    with journal.locked() if journal else nullcontext():
        scores = _score_clips(scorer, clips, journal, resume, progress)
        if not scores:
            folder = f" in {os.fspath(data)}" if isinstance(data, (str, os.PathLike)) else ""
            raise InputError(f"no clip{folder} is long enough for {protocol.name}")
        report = EvaluationReport(protocol, name, config, scores, str(device))
        if html_path:
            write_page(report, html_path, scorer, clips)
        if json_path and journal:
            report.save(json_path)
            journal.remove()
    return report


def _open_model(model: str | os.PathLike[str] | Network, protocol: Protocol) -> tuple[str, Network]:
    """The name of the network in reports, and the network.

    Raises:
        InputError: it is for another task.
    """
    if isinstance(model, Network):
        name = model.name
        network = model
    else:
        name = Path(model).name
        network = load_model(model)
    task = network.traits.task
    if task != protocol.task:
        raise InputError(f"{name} is a network for {task}, but the protocol {protocol.name} measures {protocol.task}")
    return name, network


def _score_clips(
    scorer: ClipScorer,
    clips: Sequence[Clip],
    journal: Journal | None,
    resume: bool,
    progress: ProgressCallback | None,
) -> dict[str, ClipScore]:
    """The scores of all clips that are long enough, by name; those in the journal are not measured again."""
    finished = journal.read() if journal and resume else {}
    scores: dict[str, ClipScore] = {}
    for number, clip in enumerate(clips):
        if progress:
            progress(number, len(clips), clip.name)
        content = content_of(clip) if journal else None
        score = finished.get((clip.name, content)) if content else None
        if score is None:
            score = scorer.score(clip)
            if score is None:
                log.warning("%s is too short (%d frames) and is left out", clip.name, len(clip))
                continue
            if journal and content:
                journal.add(clip.name, content, score)
        scores[clip.name] = score
    return scores


def _identity(name: str, network: Network, protocol: Protocol, device: torch.device) -> dict[str, Any] | None:
    """See ``Journal``; None for a network with weights of which no digest is known."""
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

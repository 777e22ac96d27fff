"""``evaluate_recognition``: classify labeled videos and compare with their labels."""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

import torch

from ls3d.data.labeled import LabeledSet, LabeledVideo, open_labeled_set, warn_of_unreadable
from ls3d.errors import InputError
from ls3d.evaluation.recognition.report import RecognitionReport, VideoScore
from ls3d.evaluation.recognition.views import ViewProtocol
from ls3d.files import check_folder_of
from ls3d.inference import Classifier, Precision
from ls3d.models import Network, RecognitionNet, load_model

log = logging.getLogger(__name__)

#: Called before each video with the number of finished videos, the number of all videos, and the video's name.
ProgressCallback = Callable[[int, int, str], None]


def evaluate_recognition(
    model: str | os.PathLike[str] | Network,
    data: str | os.PathLike[str] | LabeledSet,
    protocol: ViewProtocol | None = None,
    *,
    groups: Collection[str] | None = None,
    json_path: str | os.PathLike[str] | None = None,
    device: str | torch.device = "auto",
    precision: Precision = "float32",
    progress: ProgressCallback | None = None,
) -> RecognitionReport:
    """Measure the accuracy of a recognition network.

    Args:
        model: a weights file, the name of a model, or a network; its metadata say how clips are taken from a video.
        data: a folder, CSV file or file of decoded videos as for ``open_labeled_set``, or an open set. Its classes
            are matched with the network's by name.
        protocol: clips and crops of each video, and what is done with them; None for 10 clips and 1 crop.
        groups: of the videos to test; None tests all.
        json_path: file for the JSON report.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ...
        precision: the half-precision types run under autocast.
        progress: called before each video.

    Returns:
        The report. Videos that can't be decoded are left out, named in the report and in one warning.

    Raises:
        InputError: the network doesn't classify clips, its classes are not those of the videos, there is no such
            device or group, no video can be decoded, or the folder of the report doesn't exist.
    """
    if json_path is not None:
        check_folder_of(json_path)
    protocol = protocol or ViewProtocol()
    network = model if isinstance(model, Network) else load_model(model)
    name = network.name if isinstance(model, Network) else Path(model).name
    if not isinstance(network, RecognitionNet):
        raise InputError(f"{name} is a network for {network.traits.task}, expected one for recognition")
    classifier = Classifier(network, device, precision)
    labeled = data if isinstance(data, LabeledSet) else open_labeled_set(data)
    if groups is not None:
        labeled = labeled.of_groups(groups)
    labeled = _with_classes_of(classifier, labeled)
    scores, unreadable = _score(classifier, labeled, protocol, progress)
    if not scores:
        raise InputError(f"{labeled.source} holds no video that can be decoded")
    report = RecognitionReport(
        name,
        network.config.to_dict() if network.config else {},
        labeled.source,
        classifier.classes,
        protocol,
        scores,
        labeled.unreadable | unreadable,
        str(classifier.device),
    )
    if json_path is not None:
        report.save(json_path)
    return report


def _score(
    classifier: Classifier, labeled: LabeledSet, protocol: ViewProtocol, progress: ProgressCallback | None
) -> tuple[dict[str, VideoScore], dict[str, str]]:
    """The scores by video, and the reasons for the videos that can't be decoded."""
    scores: dict[str, VideoScore] = {}
    unreadable: dict[str, str] = {}
    for number, video in enumerate(labeled.videos):
        if progress:
            progress(number, len(labeled.videos), video.name)
        found = _probabilities_of(classifier, video, protocol)
        if isinstance(found, str):
            unreadable[video.name] = found
        else:
            scores[video.name] = VideoScore(video.label, found)
    if unreadable:
        warn_of_unreadable(unreadable, len(labeled.videos))
    return scores, unreadable


def _probabilities_of(classifier: Classifier, video: LabeledVideo, protocol: ViewProtocol) -> tuple[float, ...] | str:
    """The mean probabilities of the views of a video, or why it can't be decoded."""
    convolutional = protocol.convolutional is not None
    classify = classifier.probabilities_of_positions if convolutional else classifier.probabilities
    views = protocol.views(video, classifier.clip)
    total = torch.zeros(len(classifier.classes), dtype=torch.float64)
    count = 0
    while True:
        try:
            batch = list(itertools.islice(views, classifier.batch_size))
        except (InputError, OSError) as error:
            return str(error)
        if not batch:
            return tuple((total / count).tolist())
        total += classify(torch.stack(batch)).double().sum(dim=0).cpu()
        count += len(batch)


def _with_classes_of(classifier: Classifier, labeled: LabeledSet) -> LabeledSet:
    """The set with its labels as indices of the network's classes.

    Raises:
        InputError: a class is unknown to the network.
    """
    if classifier.classes == labeled.classes:
        return labeled
    number = {name: index for index, name in enumerate(classifier.classes)}
    unknown = [name for name in labeled.classes if name not in number]
    if unknown:
        raise InputError(
            f"{labeled.source} has the classes {', '.join(unknown[:5])}, which {classifier.network.name} doesn't know"
        )
    videos = tuple(replace(video, label=number[labeled.classes[video.label]]) for video in labeled.videos)
    return replace(labeled, classes=classifier.classes, videos=videos)

"""``extract_features``: one vector for each video, from any layer of a recognition network.

The protocol of C3D (arXiv:1412.0767, section 4): clips that overlap by half, the output of a layer for each clip, the
mean over the clips, divided by its length.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ls3d.data.clip_times import ClipTiming
from ls3d.data.labeled import LabeledSet, LabeledVideo, open_labeled_set, warn_of_unreadable
from ls3d.data.labeled_clips import Region, resize_region
from ls3d.errors import InputError
from ls3d.files import atomic_write
from ls3d.inference import Classifier, Precision
from ls3d.models import Network, RecognitionNet, load_model

#: Called before each video with the number of finished videos, the number of all videos, and the video's name.
ProgressCallback = Callable[[int, int, str], None]


@dataclass(frozen=True, eq=False)
class FeatureSet:
    """Features of labeled videos.

    Attributes:
        values: ``(N, D)`` float32, a row for each video.
        labels: ``(N,)``, indices of the classes.
        names: names of the videos.
        groups: groups of the videos.
        classes: names of the classes.
        origin: model, layer and clips, JSON-able.
    """

    values: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    names: tuple[str, ...]
    groups: tuple[str, ...]
    classes: tuple[str, ...]
    origin: dict[str, Any]

    def of_groups(self, groups: Collection[str], inverted: bool = False) -> FeatureSet:
        """Return the features of the videos of some groups, or of all other groups.

        Raises:
            InputError: there are none.
        """
        chosen = [k for k, group in enumerate(self.groups) if (group in groups) != inverted]
        if not chosen:
            raise InputError(f"there are no videos {'besides' if inverted else 'in'} the groups {', '.join(groups)}")
        return FeatureSet(
            self.values[chosen],
            self.labels[chosen],
            tuple(self.names[k] for k in chosen),
            tuple(self.groups[k] for k in chosen),
            self.classes,
            self.origin,
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the arrays ``values`` and ``labels`` and the other attributes as JSON in ``header``, as ``.npz``."""
        header = {"names": self.names, "groups": self.groups, "classes": self.classes, "origin": self.origin}
        encoded = np.frombuffer(json.dumps(header).encode(), np.uint8)
        with atomic_write(path) as temporary, temporary.open("wb") as file:
            np.savez(file, values=self.values, labels=self.labels, header=encoded)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> FeatureSet:
        """Read a file that ``save`` wrote.

        Raises:
            FileNotFoundError: there is no such file.
            InputError: it is another file.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                header = json.loads(file["header"].tobytes())
                values, labels = file["values"], file["labels"]
            names, groups, classes = (tuple(header[key]) for key in ("names", "groups", "classes"))
            return cls(values, labels, names, groups, classes, header["origin"])
        except (ValueError, LookupError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise InputError(f"{os.fspath(path)} is not a file of features, or is damaged ({error})") from error


class _UndecodableError(InputError):
    """A video can't be decoded."""


def extract_features(
    model: str | os.PathLike[str] | Network,
    data: str | os.PathLike[str] | LabeledSet,
    layer: str | None = None,
    *,
    overlap: float = 0.5,
    normalize: bool = True,
    device: str | torch.device = "auto",
    precision: Precision = "float32",
    progress: ProgressCallback | None = None,
) -> FeatureSet:
    """Compute the features of labeled videos.

    Args:
        model: a weights file, the name of a model, or a network; its metadata say how clips are taken from a video.
        data: as for ``ls3d.data.labeled.open_labeled_set``, or an open set.
        layer: a name from ``RecognitionNet.layer_names``, for C3D ``"fc6"`` (after its ReLU); outputs with positions
            are averaged over them. None for the inputs of the classifier.
        overlap: share of a clip that the next one shows again; an incomplete clip at the end of a video is left out.
        normalize: whether the mean over the clips is divided by its Euclidean length.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ...
        precision: the half-precision types run under autocast.
        progress: called before each video.

    Returns:
        The features. Videos that can't be decoded are left out, with one warning.

    Raises:
        InputError: the network doesn't take clips, has no such layer, or no video can be decoded.
    """
    if not 0 <= overlap < 1:
        raise InputError(f"{overlap:g}: expected at least 0 and less than 1", argument="overlap")
    network = model if isinstance(model, Network) else load_model(model)
    if not isinstance(network, RecognitionNet):
        raise InputError(f"{network.name} is a network for {network.traits.task}, expected one for recognition")
    classifier = Classifier(network, device, precision)
    labeled = data if isinstance(data, LabeledSet) else open_labeled_set(data)
    compute = partial(_features_of, classifier, layer=layer, overlap=overlap, normalize=normalize)
    rows, videos = _extract_all(labeled, compute, progress)
    return FeatureSet(
        np.stack(rows),
        np.array([video.label for video in videos], np.int64),
        tuple(video.name for video in videos),
        tuple(video.group for video in videos),
        labeled.classes,
        _origin(classifier, model, layer, overlap, normalize),
    )


def _extract_all(
    labeled: LabeledSet,
    compute: Callable[[LabeledVideo], npt.NDArray[np.float32]],
    progress: ProgressCallback | None,
) -> tuple[list[npt.NDArray[np.float32]], list[LabeledVideo]]:
    """The features of the videos that can be decoded, and these videos.

    Raises:
        InputError: no video can be decoded.
    """
    rows: list[npt.NDArray[np.float32]] = []
    videos: list[LabeledVideo] = []
    unreadable: dict[str, str] = {}
    for number, video in enumerate(labeled.videos):
        if progress:
            progress(number, len(labeled.videos), video.name)
        try:
            rows.append(compute(video))
        except (_UndecodableError, OSError) as error:
            unreadable[video.name] = str(error)
        else:
            videos.append(video)
    if unreadable:
        warn_of_unreadable(unreadable, len(labeled.videos))
    if not videos:
        raise InputError(f"{labeled.source} holds no video that can be decoded")
    return rows, videos


def _features_of(
    classifier: Classifier, video: LabeledVideo, layer: str | None, overlap: float, normalize: bool
) -> npt.NDArray[np.float32]:
    clip = classifier.clip
    timing = ClipTiming(clip.frames, clip.fps)
    duration = video.frames.duration
    starts = timing.dense_starts(duration, (1 - overlap) * timing.duration)
    total: Tensor | None = None
    batch_size = classifier.batch_size
    for first in range(0, len(starts), batch_size):
        clips = []
        for start in starts[first : first + batch_size]:
            try:
                frames = video.frames.read(timing.times(start, duration))
            except InputError as error:
                raise _UndecodableError(str(error)) from error
            region = Region.inside(frames.shape[1:3], clip.size, clip.share)
            clips.append(resize_region(frames, region, clip.size))
        part = classifier.features(torch.stack(clips), layer).double().sum(dim=0).cpu()
        total = part if total is None else total + part
    assert total is not None
    mean = total / len(starts)
    if normalize:
        mean = mean / mean.norm().clamp_min(1e-12)
    values: npt.NDArray[np.float32] = mean.float().numpy()
    return values


def _origin(
    classifier: Classifier, model: str | os.PathLike[str] | Network, layer: str | None, overlap: float, normalize: bool
) -> dict[str, Any]:
    network = classifier.network
    return {
        "model": network.name if isinstance(model, Network) else Path(model).name,
        "sha256": network.config.metadata.get("sha256") if network.config else None,
        "layer": layer,
        "clip": classifier.clip.to_dict(),
        "overlap": overlap,
        "normalized": normalize,
    }

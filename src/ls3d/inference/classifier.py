"""The object that runs a recognition network on clips: device, precision, normalization, names of the classes."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from ls3d.errors import InputError
from ls3d.inference.device import Precision, autocast, resolve_device, resolve_precision
from ls3d.models import ClipFormat, Preprocessing, RecognitionNet, model_info

#: Frames per second of clips, for networks whose weights don't record it: every second frame at 30 per second.
_DEFAULT_FPS = 15.0

#: Pixels of the clips that a network receives at once: 8 clips of 16 frames of 112x112.
_BATCH_PIXELS = 8 * 16 * 112 * 112
#: Clips that it receives at once at most: more of very small ones take memory, but are not faster.
_LARGEST_BATCH = 64


class Classifier:
    """Runs a recognition network on clips of 8-bit RGB.

    The names of the classes, the format of clips and the normalization come from the metadata of the network's
    weights, otherwise from the registry.

    Args:
        network: is moved to the device and set to evaluation mode.
        device: ``"auto"`` (a GPU if there is one), ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ...
        precision: the half-precision types run under autocast; ``"auto"`` is bfloat16 on CPUs that compute in it,
            otherwise float32.

    Attributes:
        network: the network.
        device: where it is.
        classes: names of the classes; numbers where the weights record no names.
        clip: the format of the clips that the network was trained on.
        preprocessing: how clips are normalized.

    Raises:
        InputError: there is no such device, the network doesn't take clips of three channels alone, or its metadata
            are not those of a classifier.
    """

    def __init__(
        self, network: RecognitionNet, device: str | torch.device = "auto", precision: Precision = "float32"
    ) -> None:
        if network.traits.modalities != ("clip",) or network.in_channels != 3:
            raise InputError(f"{network.name} doesn't take clips of RGB frames alone")
        self.device = resolve_device(device)
        self.network = network.eval().to(self.device)
        self.precision = resolve_precision(precision, self.device)
        self.classes = class_names(network)
        self.clip = clip_format(network)
        self.preprocessing = preprocessing_of(network)

    @property
    def batch_size(self) -> int:
        """Number of clips to run at once within limited memory: 8 of 16 frames of 112x112, at most 64."""
        height, width = self.clip.size
        return max(1, min(_LARGEST_BATCH, _BATCH_PIXELS // (self.clip.frames * height * width)))

    def probabilities(self, clips: Tensor) -> Tensor:
        """Classify clips.

        Args:
            clips: ``(N, 3, T, h, w)`` uint8.

        Returns:
            ``(N, classes)`` float32 on the network's device.
        """
        inputs = normalize_clips(clips.to(self.device), self.preprocessing, self.clip.subtract_mean)
        with torch.inference_mode(), autocast(self.device, self.precision):
            logits: Tensor = self.network(inputs)
        return logits.float().softmax(dim=1)

    def probabilities_of_positions(self, clips: Tensor) -> Tensor:
        """Classify clips that are larger than the network's, by the mean probabilities of all positions.

        This is the fully convolutional test of CSN and I3D: the features are computed once, and the classifier is
        applied to every part of them that has the size of the features of an ordinary clip.

        Args:
            clips: ``(N, 3, T, h, w)`` uint8, of the size in ``clip`` or larger.

        Returns:
            ``(N, classes)`` float32 on the network's device; for clips of that size, those of ``probabilities``.

        Raises:
            InputError: the clips are smaller, or the network takes no other size (C3D).
        """
        inputs = normalize_clips(clips.to(self.device), self.preprocessing, self.clip.subtract_mean)
        if inputs.shape[3] < self.clip.size[0] or inputs.shape[4] < self.clip.size[1]:
            raise InputError(f"clips of {inputs.shape[3]}x{inputs.shape[4]} are smaller than those of the network")
        with torch.inference_mode(), autocast(self.device, self.precision):
            features = self.network.forward_features(inputs)
            height, width = self._feature_size
            parts = [
                self.network.forward_head(features[..., top : top + height, left : left + width]).float().softmax(1)
                for top in range(features.shape[-2] - height + 1)
                for left in range(features.shape[-1] - width + 1)
            ]
        return torch.stack(parts).mean(dim=0)

    @cached_property
    def _feature_size(self) -> tuple[int, int]:
        """Height and width of the features of an ordinary clip."""
        clip = torch.zeros(1, 3, self.clip.frames, *self.clip.size, device=self.device)
        features = self.network.forward_features(clip)
        return features.shape[-2], features.shape[-1]

    def probabilities_of_views(self, views: Tensor) -> Tensor:
        """Classify videos by the mean probabilities of several clips of each.

        Args:
            views: ``(N, V, 3, T, h, w)`` uint8.

        Returns:
            ``(N, classes)`` float32 on the network's device.
        """
        scores = self.probabilities(views.flatten(0, 1))
        return scores.reshape(*views.shape[:2], -1).mean(dim=1)

    def features(self, clips: Tensor, layer: str | None = None) -> Tensor:
        """Return the output of a layer for each clip, averaged over its positions if it has any.

        Args:
            clips: ``(N, 3, T, h, w)`` uint8.
            layer: a name from ``RecognitionNet.layer_names``; None for the inputs of the classifier.

        Returns:
            ``(N, C)`` float32 on the network's device.

        Raises:
            InputError: the network has no such layer.
        """
        inputs = normalize_clips(clips.to(self.device), self.preprocessing, self.clip.subtract_mean)
        with torch.inference_mode(), autocast(self.device, self.precision):
            if layer is None:
                output = self.network.forward_head(self.network.forward_features(inputs), pre_logits=True)
            else:
                output = self.network.forward_intermediates(inputs, layers=[layer])[layer]
        return output.float().flatten(2).mean(dim=2) if output.dim() > 2 else output.float()


def normalize_clips(clips: Tensor, preprocessing: Preprocessing, subtract_mean: bool = False) -> Tensor:
    """Convert clips from 8-bit RGB to the values that a network takes.

    Args:
        clips: ``(N, 3, T, h, w)`` uint8, or floating point on the same scale.
        preprocessing: how to normalize.
        subtract_mean: whether to subtract the mean of the frames of each clip instead of the preprocessing's mean.

    Returns:
        ``(N, 3, T, h, w)`` float32.
    """
    if preprocessing.channels == "BGR":
        clips = clips.flip(1)
    clips = clips.float()
    low, high = preprocessing.value_range
    scale = (high - low) / 255
    std = torch.tensor(preprocessing.std, device=clips.device).view(-1, 1, 1, 1)
    if subtract_mean:
        return (clips - clips.mean(dim=2, keepdim=True)) * (scale / std)
    mean = torch.tensor(preprocessing.mean, device=clips.device).view(-1, 1, 1, 1)
    return (clips * scale + (low - mean)) / std


def class_names(network: RecognitionNet) -> tuple[str, ...]:
    """Return the names of the classes from the network's metadata, or numbers.

    Raises:
        InputError: there is another number of names than of classes.
    """
    names = network.config.metadata.get("classes") if network.config else None
    if names is None:
        return tuple(str(number) for number in range(network.num_classes))
    if not isinstance(names, list) or len(names) != network.num_classes or not all(isinstance(n, str) for n in names):
        raise InputError(f"the metadata's classes are {names!r:.200}, expected {network.num_classes} names")
    return tuple(names)


def clip_format(network: RecognitionNet) -> ClipFormat:
    """Return the format of clips from the network's metadata, or that of the registry at 15 frames per second.

    Raises:
        InputError: it is not stated in either.
    """
    if network.config is not None and "clip" in network.config.metadata:
        return ClipFormat.from_dict(network.config.metadata["clip"])
    size = model_info(network.name).input_size if network.config is not None else None
    if size is None or len(size) != 4:
        raise InputError(f"it is unknown which clips {network.name} takes")
    return ClipFormat(size[1], _DEFAULT_FPS, (size[2], size[3]))


def preprocessing_of(network: RecognitionNet) -> Preprocessing:
    """Return the normalization from the network's metadata, or that of the registry.

    Raises:
        InputError: it is not stated in either.
    """
    if network.config is not None and "preprocessing" in network.config.metadata:
        return Preprocessing.from_dict(network.config.metadata["preprocessing"])
    known = model_info(network.name).preprocessing if network.config is not None else None
    if known is None:
        raise InputError(f"it is unknown how {network.name} takes its clips normalized")
    return known

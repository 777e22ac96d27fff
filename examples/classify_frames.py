"""Classification of frames in memory: the most probable class of every clip of a video.

    python examples/classify_frames.py IN WEIGHTS

WEIGHTS is a weights file, a folder, a repository on the Hugging Face Hub, or the name of a network whose weights are on
this computer. `ls3d classify` also takes frames at the rate of the training; this takes every frame.
"""

from __future__ import annotations

import sys
from collections import deque
from pathlib import Path

import torch
from torch import Tensor

from ls3d.errors import InputError
from ls3d.inference import Classifier
from ls3d.models import RecognitionNet, from_pretrained
from ls3d.video.arrays import read_video


def resized(frame: Tensor, size: tuple[int, int]) -> Tensor:
    """A frame ``(3, H, W)`` of uint8 in another size."""
    larger = torch.nn.functional.interpolate(frame[None].float(), size, mode="bilinear", antialias=True)
    return larger[0].round().clamp(0, 255).byte()


def main(source: Path, weights: str) -> None:
    """Print the class of every window of frames; windows overlap by half."""
    network = from_pretrained(weights)
    if not isinstance(network, RecognitionNet):
        raise InputError(f"{weights} is for {network.traits.task}, expected a classifier")
    classifier = Classifier(network)
    length = classifier.clip.frames
    window: deque[Tensor] = deque(maxlen=length)
    for number, frame in enumerate(read_video(source), 1):
        window.append(resized(torch.from_numpy(frame).permute(2, 0, 1), classifier.clip.size))
        if number >= length and (number - length) % (length // 2) == 0:
            (scores,) = classifier.probabilities(torch.stack(list(window), dim=1)[None])  # of (1, 3, T, h, w)
            best = int(scores.argmax())
            print(f"frames {number - length} to {number - 1}: {classifier.classes[best]}, {scores[best]:.0%}")


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), sys.argv[2])
    except (InputError, OSError) as error:
        sys.exit(str(error))

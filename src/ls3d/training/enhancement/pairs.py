"""Pairs of input and target, made from windows of clean frames.

Interpolation hides the frames between two (section 4.2 of the LS3D-Conv paper), super-resolution shrinks the window
(section 4.3), denoising adds white Gaussian noise (section 4.4). All of it happens on the device of the clean frames.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Protocol

import torch
from torch import Tensor

from ls3d.data.degradations import Degradation
from ls3d.inference import Enhancer
from ls3d.models import EnhancementNetwork, EnhancementTraits, load_enhancement_model
from ls3d.training.processes import SINGLE, Processes


class TrainingPairs(Protocol):
    """Makes the input and the target of one task from windows of clean frames ``(N, 3, window, H, W)`` in [0, 1].

    Attributes:
        window: frames in a window.
        weightless: the network without weights that any trained network has to beat.
    """

    window: int
    weightless: EnhancementNetwork

    def inputs(
        self, clean: Tensor, generator: torch.Generator, training: bool, processes: Processes = SINGLE
    ) -> tuple[Any, ...]:
        """The arguments of the network's ``forward``, in training or in validation.

        ``generator``, on the device of ``clean``, is the only randomness; it is the same in all ``processes``, each of
        which has its share of the batch in ``clean``.
        """
        ...

    def target(self, clean: Tensor, inputs: tuple[Any, ...], count: int) -> Tensor:
        """The ``count`` frames that a network should return for ``inputs``, ``(N, 3, count, H, W)``."""
        ...

    def enhance(self, enhancer: Enhancer, inputs: tuple[Any, ...]) -> Tensor:
        """The output of a network, ``(N, 3, count, H, W)``, run as in deployment."""
        ...

    def baseline(self, inputs: tuple[Any, ...], count: int) -> Tensor:
        """The output of ``weightless`` for the frames of ``target``, the same shape."""
        ...


class InterpolationPairs:
    """The input is two frames, the target what is between them.

    A network that makes frames at quarters is trained on all three at once. One that makes frames at any time is
    trained on one at a time: half of the steps on the frame between two neighbors of it, the other half on one of
    three between frames that are four apart. In validation, all make the three.

    Args:
        traits: those of the network.
    """

    window = 5
    _times = (Fraction(1, 4), Fraction(1, 2), Fraction(3, 4))

    def __init__(self, traits: EnhancementTraits) -> None:
        self.any_time = traits.times == "any"
        self.weightless = load_enhancement_model("blend")

    def inputs(
        self, clean: Tensor, generator: torch.Generator, training: bool, processes: Processes = SINGLE
    ) -> tuple[Any, ...]:
        """``(N, 3, 2, H, W)``, and the times of the target frames."""
        ends, times = [0, 4], [float(time) for time in self._times]
        if training and self.any_time:
            near, place = torch.rand(2, generator=generator, device=generator.device).tolist()
            ends, times = ([1, 3], [0.5]) if near < 0.5 else (ends, [times[int(3 * place)]])
        return clean[:, :, ends], times

    def target(self, clean: Tensor, inputs: tuple[Any, ...], count: int) -> Tensor:
        """``(N, 3, count, H, W)``; the middle of the window is in the middle of both intervals."""
        return clean[:, :, [round(4 * time) for time in inputs[1]]]

    def enhance(self, enhancer: Enhancer, inputs: tuple[Any, ...]) -> Tensor:
        """The frames at the times of ``inputs``."""
        frames, times = inputs
        return enhancer.interpolate(frames, [Fraction(time) for time in times])

    def baseline(self, inputs: tuple[Any, ...], count: int) -> Tensor:
        """The linear blend of the two frames."""
        output: Tensor = self.weightless(*inputs)
        return output


class _RestorationPairs:
    """What super-resolution and denoising have in common: the network's window and which of its frames it returns."""

    def __init__(self, traits: EnhancementTraits, weightless: str) -> None:
        self.middle = traits.frames_before
        self.window = traits.frames_before + 1 + traits.frames_after
        self.weightless = load_enhancement_model(weightless)

    def target(self, clean: Tensor, inputs: tuple[Any, ...], count: int) -> Tensor:
        """The window itself, or its middle frame ``(N, 3, 1, H, W)`` for a network that returns only that."""
        return clean if count == self.window else clean[:, :, self.middle : self.middle + 1]

    def enhance(self, enhancer: Enhancer, inputs: tuple[Any, ...]) -> Tensor:
        """The whole window, or its middle frame."""
        return enhancer.restore_window(*inputs)

    def baseline(self, inputs: tuple[Any, ...], count: int) -> Tensor:
        """The bicubic enlargement, or the noisy frames themselves."""
        output: Tensor = self.weightless(self.target(inputs[0], inputs, count))
        return output


class SuperResolutionPairs(_RestorationPairs):
    """The input is a shrunk window.

    Args:
        traits: those of the network.
        degradation: how the window is shrunk.
    """

    def __init__(self, traits: EnhancementTraits, degradation: Degradation) -> None:
        super().__init__(traits, "bicubic")
        self.degradation = degradation

    def inputs(
        self, clean: Tensor, generator: torch.Generator, training: bool, processes: Processes = SINGLE
    ) -> tuple[Any, ...]:
        """``(N, 3, T, H / scale, W / scale)``, rounded to 8 bit as in the published test sets."""
        shrunk = self.degradation.function(clean.flatten(0, 2), generator)
        return (shrunk.unflatten(0, clean.shape[:3]),)


class DenoisingPairs(_RestorationPairs):
    """The input is a window with white Gaussian noise, neither clipped nor rounded, and the noise level.

    Args:
        traits: those of the network; the noise level is left out if it takes none.
        sigma: range of the noise's standard deviation in units of 8-bit values; each sample has its own.
    """

    def __init__(self, traits: EnhancementTraits, sigma: tuple[float, float]) -> None:
        super().__init__(traits, "identity")
        self.sigma = sigma
        self.takes_sigma = traits.takes_sigma

    def inputs(
        self, clean: Tensor, generator: torch.Generator, training: bool, processes: Processes = SINGLE
    ) -> tuple[Any, ...]:
        """``(N, 3, T, H, W)``, and ``(N,)``: the noise level in units of [0, 1]."""
        low, high = (level / 255 for level in self.sigma)
        batch = len(clean) * processes.count
        draws = processes.share(torch.rand(batch, generator=generator, device=clean.device))
        sigma = low + (high - low) * draws
        noise = processes.share(torch.randn((batch, *clean.shape[1:]), generator=generator, device=clean.device))
        noisy = clean + sigma[:, None, None, None, None] * noise
        return (noisy, sigma) if self.takes_sigma else (noisy,)

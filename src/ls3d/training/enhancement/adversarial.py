"""The two adversarial losses of section 4.2 of the LS3D-Conv paper: on single frames (2D) and on sequences (3D).

The paper leaves their form to a supplement that is not public. This is a common choice: the hinge loss
(arXiv:1705.02894, equations (4) and (5)) with Adam, one step of the discriminators for each step of the network.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ls3d.models.enhancement.discriminators import discriminator_2d, discriminator_3d
from ls3d.training.enhancement.recipe import AdversarialSection
from ls3d.training.processes import SINGLE, Processes


class AdversarialLoss:
    """The discriminators, their optimizer and both sides of the loss.

    Not a submodule of the Lightning module: the moving average, the gradient clipping and the optimizer of the network
    must not include the discriminators.

    Args:
        options: the recipe's section; a discriminator with weight 0 is not built.
        processes: over which the gradients of the discriminators are averaged.
    """

    def __init__(self, options: AdversarialSection, processes: Processes = SINGLE) -> None:
        self.processes = processes
        self.weights = {"2d": options.weight_2d, "3d": options.weight_3d}
        builders = {"2d": discriminator_2d, "3d": discriminator_3d}
        self.discriminators = nn.ModuleDict(
            {name: build(options.width) for name, build in builders.items() if self.weights[name]}
        )
        self.optimizer = torch.optim.Adam(self.discriminators.parameters(), options.learning_rate, betas=(0.5, 0.99))

    def __deepcopy__(self, memo: dict[int, Any]) -> AdversarialLoss:
        """The same object: the moving average deep-copies the Lightning module, but needs no second one of these."""
        return self

    def to(self, device: torch.device) -> None:
        """Move the discriminators; call it before their first step, or before ``load_state_dict``."""
        self.discriminators.to(device)

    def train_discriminators(self, output: Tensor, target: Tensor) -> Tensor:
        """Make one optimizer step on the hinge loss: true frames above 1, generated frames below -1.

        Args:
            output: generated frames ``(N, 3, T, H, W)``; they get no gradient.
            target: true frames, the same shape.

        Returns:
            The mean of the discriminators' losses before the step.
        """
        self.optimizer.zero_grad()
        losses = [
            F.relu(1 - discriminator(target)).mean() + F.relu(1 + discriminator(output.detach())).mean()
            for discriminator in self.discriminators.values()
        ]
        loss = torch.stack(losses).mean()
        loss.backward()
        gradients = [parameter.grad for parameter in self.discriminators.parameters()]
        self.processes.average_([gradient for gradient in gradients if gradient is not None])
        self.optimizer.step()
        return loss.detach()

    def generator_loss(self, output: Tensor) -> Tensor:
        """The weighted sum of the network's losses; ``output`` as for ``train_discriminators``."""
        self.discriminators.requires_grad_(False)
        losses = [
            -self.weights[name] * discriminator(output).mean() for name, discriminator in self.discriminators.items()
        ]
        self.discriminators.requires_grad_(True)
        return torch.stack(losses).sum()

    def state_dict(self) -> dict[str, Any]:
        """The states of discriminators and optimizer."""
        return {"discriminators": self.discriminators.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load what ``state_dict`` returned."""
        self.discriminators.load_state_dict(state["discriminators"])
        self.optimizer.load_state_dict(copy.deepcopy(state["optimizer"]))

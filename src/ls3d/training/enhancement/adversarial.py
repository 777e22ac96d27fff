"""The two adversarial losses of section 4.2 of the LS3D-Conv paper: frames judged one by one (2D) and in sequence (3D).

The paper names them and leaves the rest to a supplement, so this is the usual way: the hinge loss
(arXiv:1705.02894, equations (4) and (5)) with Adam, one step of the discriminators for one of the network.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ls3d.models.enhancement.discriminators import discriminator_2d, discriminator_3d
from ls3d.training.recipe.schema import AdversarialSection


class Adversary:
    """The discriminators, their optimiser and both sides of the loss.

    It is no module of the training task on purpose: the moving average, the gradient clipping and the optimiser of
    the network leave it alone. ``state_dict`` holds everything that a resumed training needs.

    Args:
        options: the recipe's section; a discriminator whose weight is 0 isn't made.
    """

    def __init__(self, options: AdversarialSection) -> None:
        self.weights = {"2d": options.weight_2d, "3d": options.weight_3d}
        makers = {"2d": discriminator_2d, "3d": discriminator_3d}
        self.judges = nn.ModuleDict({name: make(options.width) for name, make in makers.items() if self.weights[name]})
        self.optimizer = torch.optim.Adam(self.judges.parameters(), options.learning_rate, betas=(0.5, 0.99))

    def __deepcopy__(self, memo: dict[int, Any]) -> Adversary:
        """Whoever averages the network's weights copies the task, and needs no second adversary."""
        return self

    def to(self, device: torch.device) -> None:
        """Move the discriminators; before any step of them, or ``load_state_dict`` after it."""
        self.judges.to(device)

    def learn(self, output: Tensor, target: Tensor) -> Tensor:
        """One step of the discriminators: true frames above 1, made ones below -1.

        Args:
            output: what the network made, ``(N, 3, T, H, W)``; its gradient is not touched.
            target: the true frames, the same shape.

        Returns:
            The mean of the discriminators' losses before the step.
        """
        self.optimizer.zero_grad()
        losses = [
            F.relu(1 - judge(target)).mean() + F.relu(1 + judge(output.detach())).mean()
            for judge in self.judges.values()
        ]
        loss = torch.stack(losses).mean()
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def loss(self, output: Tensor) -> Tensor:
        """What the network minimizes: the weighted sum of how little its frames convince; for ``output`` as above."""
        self.judges.requires_grad_(False)
        losses = [-self.weights[name] * judge(output).mean() for name, judge in self.judges.items()]
        self.judges.requires_grad_(True)
        return torch.stack(losses).sum()

    def state_dict(self) -> dict[str, Any]:
        """Discriminators and optimiser."""
        return {"judges": self.judges.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what ``state_dict`` returned."""
        self.judges.load_state_dict(state["judges"])
        self.optimizer.load_state_dict(copy.deepcopy(state["optimizer"]))

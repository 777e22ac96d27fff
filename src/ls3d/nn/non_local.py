"""The non-local block: attention among all positions of a clip (arXiv:1711.07971)."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ls3d.nn.dense import Conv3d

Mode = Literal["softmax", "dot_product"]
PoolPlace = Literal["before", "after", "none"]


class NonLocalBlock3d(nn.Module):
    """``x + BN(out(attention(theta(x), phi(x), g(x))))`` over all positions of ``(N, C, T, H, W)``.

    Equations (1) to (6) of the paper. The normalization's scale is initialized with zero, so that the block is the
    identity at first.

    Args:
        channels: C.
        inner_channels: output channels of theta, phi and g; half of ``channels`` by default.
        mode: ``"softmax"`` (embedded Gaussian) or ``"dot_product"`` (divided by the number of positions).
        scale: divide the argument of the softmax by the square root of ``inner_channels``; not used by
            ``"dot_product"``.
        pool: where phi and g are max-pooled by 1x2x2: ``"before"`` their convolutions (video-nonlocal-net,
            SlowFast), ``"after"`` them (mmaction2) or ``"none"``. The parameters are the same, the outputs differ.
        groups: divide the clip into this many equal parts in time, and attend only within each.
        bn_eps: epsilon of the normalization.

    Raises:
        ValueError: ``mode`` or ``pool`` is unknown.
    """

    def __init__(
        self,
        channels: int,
        inner_channels: int | None = None,
        *,
        mode: Mode = "softmax",
        scale: bool = True,
        pool: PoolPlace = "before",
        groups: int = 1,
        bn_eps: float = 1e-5,
    ) -> None:
        super().__init__()
        if mode not in ("softmax", "dot_product"):
            raise ValueError(f"mode is {mode!r}, expected 'softmax' or 'dot_product'")
        if pool not in ("before", "after", "none"):
            raise ValueError(f"pool is {pool!r}, expected 'before', 'after' or 'none'")
        inner = inner_channels or channels // 2
        self.mode = mode
        self.scale = scale
        self.pool_place = pool
        self.groups = groups
        self.theta = Conv3d(channels, inner, 1)
        self.phi = Conv3d(channels, inner, 1)
        self.g = Conv3d(channels, inner, 1)
        self.out = Conv3d(inner, channels, 1)
        self.bn = nn.BatchNorm3d(channels, eps=bn_eps)
        self.pool = nn.Identity() if pool == "none" else nn.MaxPool3d((1, 2, 2))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialize weights from a Gaussian of deviation 0.01 and biases with zero (section 4.1 of the paper)."""
        for layer in (self.theta, self.phi, self.g, self.out):
            nn.init.normal_(layer.weight, std=0.01)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        nn.init.zeros_(self.bn.weight)
        nn.init.zeros_(self.bn.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Input and output ``(N, C, T, H, W)``.

        Raises:
            ValueError: ``groups`` doesn't divide T.
        """
        folded = self._fold(x)
        keys = self.pool(folded) if self.pool_place == "before" else folded
        theta, phi, g = self.theta(folded), self.phi(keys), self.g(keys)
        if self.pool_place == "after":
            phi, g = self.pool(phi), self.pool(g)
        y = self._attend(*(t.flatten(2).transpose(1, 2) for t in (theta, phi, g)))
        y = torch.unflatten(y.transpose(1, 2), 2, theta.shape[2:])
        return x + self._unfold(self.bn(self.out(y)), x)

    def _attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Attention of ``(N, query positions, inner)`` to ``(N, key positions, inner)``, of the query's shape."""
        if self.mode == "softmax":
            query, key, value = (each.unsqueeze(1) for each in (query, key, value))  # one head, as ONNX's needs heads
            return F.scaled_dot_product_attention(query, key, value, scale=None if self.scale else 1.0).squeeze(1)
        # (q kᵀ) v = q (kᵀ v): without a softmax the matrix of positions x positions isn't needed.
        return query @ (key.transpose(1, 2) @ value) / key.shape[1]

    def _fold(self, x: Tensor) -> Tensor:
        """Divide time into ``groups`` parts and move them to the batch: ``(N * groups, C, T / groups, H, W)``."""
        if self.groups == 1:
            return x
        if x.shape[2] % self.groups:
            raise ValueError(f"a clip of {x.shape[2]} time steps can't be divided into {self.groups} groups")
        return torch.unflatten(x, 2, (self.groups, -1)).transpose(1, 2).flatten(0, 1)

    def _unfold(self, y: Tensor, like: Tensor) -> Tensor:
        if self.groups == 1:
            return y
        return torch.unflatten(y, 0, (like.shape[0], self.groups)).transpose(1, 2).flatten(2, 3)

    def extra_repr(self) -> str:
        """The options that the layers' own texts don't show."""
        return f"mode={self.mode}, scale={self.scale}, pool={self.pool_place}, groups={self.groups}"

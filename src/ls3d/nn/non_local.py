"""The non-local block: every position of a clip attends to every other (arXiv:1711.07971)."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

Mode = Literal["softmax", "dot_product"]
PoolPlace = Literal["before", "after", "none"]


class NonLocalBlock3d(nn.Module):
    """``x + BN(out(attention(theta(x), phi(x), g(x))))`` over all positions of ``(N, C, T, H, W)``.

    Equations (1) to (6) of the paper. The normalization's scale starts at zero: the block starts as the
    identity.

    Args:
        channels: C.
        inner_channels: width of theta, phi and g; half of ``channels`` unless told.
        mode: ``"softmax"`` (embedded Gaussian) or ``"dot_product"`` (divided by the number of positions).
        scale: divide the softmax's argument by the root of ``inner_channels``; ``"dot_product"`` ignores it.
        pool: where phi and g are max-pooled by 1x2x2: ``"before"`` their convolutions (video-nonlocal-net,
            SlowFast), ``"after"`` them (mmaction2) or ``"none"``. Same parameters, other outputs.
        groups: attend within that many equal spans of time instead of the whole clip.
        bn_eps: epsilon of the normalization.

    Raises:
        ValueError: an unknown ``mode`` or ``pool``.
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
            raise ValueError(f"mode is 'softmax' or 'dot_product', got {mode!r}")
        if pool not in ("before", "after", "none"):
            raise ValueError(f"pool is 'before', 'after' or 'none', got {pool!r}")
        inner = inner_channels or channels // 2
        self.mode, self.scale, self.pool_place, self.groups = mode, scale, pool, groups
        self.theta = nn.Conv3d(channels, inner, 1)
        self.phi = nn.Conv3d(channels, inner, 1)
        self.g = nn.Conv3d(channels, inner, 1)
        self.out = nn.Conv3d(inner, channels, 1)
        self.bn = nn.BatchNorm3d(channels, eps=bn_eps)
        self.pool = nn.Identity() if pool == "none" else nn.MaxPool3d((1, 2, 2))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Gaussian weights of deviation 0.01, zero biases, identity as a whole (section 4.1 of the paper)."""
        for layer in (self.theta, self.phi, self.g, self.out):
            nn.init.normal_(layer.weight, std=0.01)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        nn.init.zeros_(self.bn.weight)
        nn.init.zeros_(self.bn.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, C, T, H, W)`` to the same shape.

        Raises:
            ValueError: ``groups`` does not divide T.
        """
        folded = self._fold(x)
        keys = self.pool(folded) if self.pool_place == "before" else folded
        theta, phi, g = self.theta(folded), self.phi(keys), self.g(keys)
        if self.pool_place == "after":
            phi, g = self.pool(phi), self.pool(g)
        y = self._attend(*(t.flatten(2).transpose(1, 2) for t in (theta, phi, g)))
        y = y.transpose(1, 2).unflatten(2, theta.shape[2:])
        return x + self._unfold(self.bn(self.out(y)), x)

    def _attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """``(N, positions, inner)`` each to ``(N, query positions, inner)``."""
        if self.mode == "softmax":
            return F.scaled_dot_product_attention(query, key, value, scale=None if self.scale else 1.0)
        # (q kᵀ) v = q (kᵀ v): without a softmax the positions x positions matrix is never needed.
        return query @ (key.transpose(1, 2) @ value) / key.shape[1]

    def _fold(self, x: Tensor) -> Tensor:
        """Move ``groups`` spans of time into the batch."""
        if self.groups == 1:
            return x
        if x.shape[2] % self.groups:
            raise ValueError(f"a clip of {x.shape[2]} time steps does not split into {self.groups} groups")
        return x.unflatten(2, (self.groups, -1)).transpose(1, 2).flatten(0, 1)

    def _unfold(self, y: Tensor, like: Tensor) -> Tensor:
        if self.groups == 1:
            return y
        return y.unflatten(0, (like.shape[0], self.groups)).transpose(1, 2).flatten(2, 3)

    def extra_repr(self) -> str:
        """The choices that the layers do not show."""
        return f"mode={self.mode}, scale={self.scale}, pool={self.pool_place}, groups={self.groups}"

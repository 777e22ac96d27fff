"""Batch normalization over the samples of all processes, as in a training in one process."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

_BatchNorm = nn.modules.batchnorm._BatchNorm


def synchronize_norms(network: nn.Module, device: torch.device) -> None:
    """Replace the batch normalizations below ``network``; parameters and buffers stay the same.

    Args:
        network: is changed.
        device: on which it is trained. ``torch.nn.SyncBatchNorm`` does not support the CPU.
    """
    if device.type != "cpu":
        nn.SyncBatchNorm.convert_sync_batchnorm(network)
        return
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, _BatchNorm):
                setattr(module, name, SynchronizedBatchNorm.from_norm(child))


class SynchronizedBatchNorm(_BatchNorm):
    """Batch normalization of ``(N, C, ...)`` with the statistics of all processes, which have equally many samples."""

    @classmethod
    def from_norm(cls, norm: nn.modules.batchnorm._BatchNorm) -> SynchronizedBatchNorm:
        """The same normalization, sharing parameters and buffers."""
        made = cls(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats, device="meta")
        for name, parameter in norm.named_parameters():
            made.register_parameter(name, parameter)
        for name, buffer in norm.named_buffers():
            made.register_buffer(name, buffer)
        return made.train(norm.training)

    def _check_input_dim(self, input: Tensor) -> None:
        """Any number of dimensions."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalize with the statistics of the whole batch in training, with the running ones otherwise."""
        if not self.training:
            return super().forward(input)
        axes = [axis for axis in range(input.dim()) if axis != 1]
        shape = [1, -1] + [1] * (input.dim() - 2)
        values = input.float()
        mean = _mean_of_processes(values.mean(axes))
        centered = values - mean.view(shape)
        variance = _mean_of_processes(centered.square().mean(axes))
        self._track(mean.detach(), variance.detach(), input.numel() // input.shape[1] * dist.get_world_size())
        output = centered * (variance + self.eps).rsqrt().view(shape)
        if self.affine:
            output = output * self.weight.view(shape) + self.bias.view(shape)
        return output.to(input.dtype)

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Update the running statistics; the variance is that of ``count`` values, unbiased."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked += 1
        momentum = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(variance * (count / (count - 1)), momentum)


def _mean_of_processes(values: Tensor) -> Tensor:
    total: Tensor = _Sum.apply(values)  # type: ignore[no-untyped-call]
    return total / dist.get_world_size()


class _Sum(torch.autograd.Function):
    """The sum over all processes; so is its gradient."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone()
        dist.all_reduce(total)
        return total

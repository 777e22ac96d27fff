"""Fully sharded data parallelism (FSDP2): each process keeps a part of every parameter, gradient and moment.

A block of the network has its whole parameters only while it runs. Training states are gathered into one file, the same
as those of other trainings, so a training can resume with another number of processes, or without sharding.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.pytorch.strategies import ModelParallelStrategy
from torch import nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, FullyShardedDataParallel, OptimStateKeyType, fully_shard

from ls3d.training.processes import Processes
from ls3d.training.state import load_state

#: Blocks with fewer parameters are gathered together with what is around them.
_FEWEST_PARAMETERS = 500_000


class ShardedStrategy(ModelParallelStrategy):
    """Lets Lightning train a network whose module calls ``shard_parameters`` in ``configure_model``.

    Args:
        processes: that train it.
    """

    def __init__(self, processes: Processes) -> None:
        super().__init__(data_parallel_size=processes.count, tensor_parallel_size=1, save_distributed_checkpoint=False)

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> dict[str, Any]:
        """Read a training state, of which each process takes its part."""
        values = load_state(Path(checkpoint_path)).values
        assert self.lightning_module is not None
        options = StateDictOptions(full_state_dict=True, strict=self.lightning_module.strict_loading)
        set_model_state_dict(self.lightning_module, values["state_dict"], options=options)
        for optimizer, state in zip(self.optimizers, values["optimizer_states"], strict=True):
            named = FullyShardedDataParallel.rekey_optim_state_dict(
                state, OptimStateKeyType.PARAM_NAME, self.lightning_module
            )
            set_optimizer_state_dict(self.lightning_module, optimizer, named, options=options)
        return values


def shard_parameters(network: nn.Module, mesh: DeviceMesh) -> None:
    """Divide the parameters of a network among processes; those of a block are gathered when it runs.

    Args:
        network: is changed; nothing happens if its parameters are divided already.
        mesh: the processes, in one dimension.
    """
    if isinstance(network, FSDPModule):
        return
    # Elements of a sequence are called as modules; other layers may be used by way of their parameters.
    for module in reversed([*network.modules()]):
        if isinstance(module, nn.Sequential):
            for block in module.children():
                size = sum(parameter.numel() for parameter in block.parameters())
                if size >= _FEWEST_PARAMETERS and not any(isinstance(each, FSDPModule) for each in block.modules()):
                    fully_shard(block, mesh=mesh)
    fully_shard(network, mesh=mesh)


def whole_state(network: nn.Module) -> dict[str, Any]:
    """All parameters and buffers of a network, on the CPU of the first process; all processes must call this."""
    return get_model_state_dict(network, options=StateDictOptions(full_state_dict=True, cpu_offload=True))

"""Choosing the device that a network runs on."""

from __future__ import annotations

import torch

from ls3d.errors import InputError


def resolve_device(name: str | torch.device = "auto") -> torch.device:
    """A device by name; ``"auto"`` is a GPU if there is one, otherwise the CPU.

    Raises:
        InputError: this machine has no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device).item()  # fails on "meta", which holds no values
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(f"{name}: this machine has no such device", argument="device") from error
    return device

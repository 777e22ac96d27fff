"""Choosing the device that a network runs on, and its floating-point type."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Literal, get_args

import torch

from ls3d.errors import InputError

Precision = Literal["auto", "float32", "bfloat16", "float16"]

#: Instructions that multiply bfloat16, by torch's names. Other processors emulate them, which is slower than float32.
_BFLOAT16_INSTRUCTIONS = ("avx512_bf16", "amx_bf16")


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


def resolve_precision(precision: Precision, device: torch.device) -> Precision:
    """A floating-point type by name; ``"auto"`` is bfloat16 on CPUs with instructions for it, otherwise float32.

    Raises:
        InputError: there is no such type.
    """
    if precision not in get_args(Precision):
        raise InputError(f"{precision}: expected {', '.join(get_args(Precision))}", argument="precision")
    if precision != "auto":
        return precision
    return "bfloat16" if device.type == "cpu" and computes_in_bfloat16() else "float32"


def computes_in_bfloat16() -> bool:
    """Whether this processor has instructions for bfloat16: AVX512-BF16 or AMX."""
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in _BFLOAT16_INSTRUCTIONS)


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """The context in which a network runs in a floating-point type that ``resolve_precision`` returned."""
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, getattr(torch, precision))

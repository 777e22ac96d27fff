"""Networks as graphs, traced by ``torch.export``, with standard operations instead of those of ls3d."""

from __future__ import annotations

from typing import Literal

import torch
from torch.export import Dim, ExportedProgram, export

from ls3d.errors import InputError, first_line
from ls3d.export._motion import bilateral_motion
from ls3d.export._operator import as_deform_conv, as_grid_sample
from ls3d.export._prepare import Signature

#: What ``ls3d_conv3d`` becomes: one ``DeformConv``, or ``GridSample`` and a convolution.
OperatorForm = Literal["deform_conv", "grid_sample"]


def capture(signature: Signature) -> ExportedProgram:
    """Trace a network with ``torch.export``.

    Raises:
        InputError: the network's operations can't be traced.
    """
    dimensions = tuple(dict.fromkeys(axes, Dim.AUTO) for axes in signature.dynamic.values())
    try:
        return export(signature.module.eval(), tuple(signature.inputs.values()), dynamic_shapes=(dimensions,))
    except Exception as error:  # whatever the network's own code raises for tensors without values
        raise InputError(f"the network can't be traced by torch.export ({first_line(error)})") from error


def open_dimensions(program: ExportedProgram, signature: Signature) -> tuple[str, ...]:
    """Names of the dimensions that a traced network takes in other sizes, too."""
    values = {node.name: node.meta["val"] for node in program.graph.nodes if node.op == "placeholder"}
    shapes = [values[name].shape for name in program.graph_signature.user_inputs if isinstance(name, str)]
    return signature.open_dimensions(shapes)


def searches_for_motion(program: ExportedProgram) -> bool:
    """Whether a traced network takes the best of several motions, so that rounding can change what it takes."""
    graphs = (module.graph for module in program.graph_module.modules() if isinstance(module, torch.fx.GraphModule))
    search = torch.ops.ls3d.bilateral_motion.default
    return any(node.target == search for graph in graphs for node in graph.nodes)


def with_standard_operations(program: ExportedProgram, form: OperatorForm) -> ExportedProgram:
    """Replace the operators of ls3d by standard operations."""
    convolution = as_deform_conv if form == "deform_conv" else as_grid_sample
    decomposed: ExportedProgram = program.run_decompositions(
        {torch.ops.ls3d.conv3d.default: convolution, torch.ops.ls3d.bilateral_motion.default: bilateral_motion}
    )
    return decomposed

"""Networks for other runtimes: ONNX files, and packages of AOTInductor."""

from ls3d.export._aotinductor import export_aotinductor
from ls3d.export._comparison import ExportReport
from ls3d.export._onnx import Target, export_onnx

__all__ = ["ExportReport", "Target", "export_aotinductor", "export_onnx"]

"""Networks for other runtimes: ONNX files."""

from ls3d.export._onnx import ExportReport, Target, export_onnx

__all__ = ["ExportReport", "Target", "export_onnx"]

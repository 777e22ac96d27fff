"""Builds the CPU kernel: a shared library with a C interface, which contains neither Python nor torch.

So one binary works with all versions of Python and torch. The same source is compiled for each instruction set, and the
library selects one when it is loaded. If no compiler works, the installation still succeeds, with one warning, and the
operator falls back to its slow reference implementation.
"""

from __future__ import annotations

import platform
import sys
import warnings
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.errors import CCompilerError, ExecError, PlatformError

SOURCES = Path("src/ls3d/ops/backends/cpu/csrc")
FLAGS = ["-O3", "-std=gnu++17", "-fPIC", "-fvisibility=hidden", "-ffp-contract=fast", "-fno-math-errno"]
FLAGS += ["-fno-trapping-math", "-fno-exceptions", "-fno-rtti", "-Wno-psabi", "-g0"]
X86 = {
    "avx512": ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx2", "-mfma", "-mf16c"],
    "avx2": ["-mavx2", "-mfma", "-mf16c"],
}


class BuildKernel(build_ext):
    """Compiles the kernels for each instruction set, and links the objects with their dispatchers."""

    def get_ext_filename(self, fullname: str) -> str:
        return str(Path(*fullname.split("."))) + (".dll" if sys.platform == "win32" else ".so")

    def build_extension(self, ext: Extension) -> None:
        target = Path(self.get_ext_fullpath(ext.name))
        target.parent.mkdir(parents=True, exist_ok=True)
        failure: Exception | None = None
        for openmp in (["-fopenmp"], []):
            try:
                self._build(target, openmp)
            except (CCompilerError, ExecError, PlatformError, OSError) as error:
                failure = error
            else:
                return
        warnings.warn(
            f"the CPU kernel was not built, so ls3d falls back to its slow reference implementation: {failure}",
            stacklevel=1,
        )

    def _build(self, target: Path, openmp: list[str]) -> None:
        sets = X86 if platform.machine().lower() in ("x86_64", "amd64") else {}
        objects: list[str] = []
        for name, flags in {**sets, "portable": []}.items():
            for plan in ("BilinearPlan", "BicubicPlan"):
                defines = [f"-DLS3D_ISA={name}", f"-DLS3D_PLAN={plan}"]
                objects += self._compile("kernel.cpp", f"{name}-{plan}", [*defines, *flags, *openmp])
            exact = [f"-DLS3D_ISA={name}", "-ffp-contract=off", *flags, *openmp]
            objects += self._compile("motion.cpp", name, exact)
        for source in ("dispatch.cpp", "motion_dispatch.cpp"):
            objects += self._compile(source, "dispatch", [f"-DLS3D_HAS_{name.upper()}" for name in sets] + openmp)
        self.compiler.link_shared_object(objects, str(target), extra_postargs=openmp, target_lang="c++")

    def _compile(self, source: str, label: str, flags: list[str]) -> list[str]:
        folder = str(Path(self.build_temp) / label)
        return self.compiler.compile(
            [str(SOURCES / source)],
            output_dir=folder,
            depends=[str(path) for path in SOURCES.iterdir()],
            extra_postargs=[*FLAGS, *flags],
        )


class PlatformWheel(bdist_wheel):
    """Tags the wheel ``py3-none-<platform>``, because the library in it doesn't depend on Python."""

    def get_tag(self) -> tuple[str, str, str]:
        return ("py3", "none", super().get_tag()[2])


setup(
    ext_modules=[Extension("ls3d.ops.backends.cpu.libls3d", [], language="c++", optional=True)],
    cmdclass={"build_ext": BuildKernel, "bdist_wheel": PlatformWheel},
)

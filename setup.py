"""Builds the CPU kernel: a shared library with a C interface, which contains neither Python nor torch.

So one binary works with all versions of Python and torch. The same source is compiled for each instruction set, and the
library selects one when it is loaded. If no compiler works, the installation still succeeds, with one warning, and the
operator falls back to its slow reference implementation. What a compiler wrote when it failed is kept beside the
library, for `ls3d doctor`.
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.errors import CCompilerError, ExecError, PlatformError

SOURCES = Path("src/ls3d/ops/backends/cpu/csrc")
FLAGS = ["-O3", "-std=gnu++17", "-fvisibility=hidden", "-ffp-contract=fast", "-fno-math-errno"]
FLAGS += ["-fno-trapping-math", "-fno-exceptions", "-fno-rtti", "-Wno-psabi", "-g0"]
LINK_FLAGS: list[str] = []
# The source has vectors of GCC and clang, which Microsoft's compiler doesn't know, so MinGW is used on Windows. Its
# runtimes, OpenMP included, are linked statically: they are not on other computers.
ON_WINDOWS = sys.platform == "win32"
if ON_WINDOWS:
    LINK_FLAGS += ["-static"]
else:
    FLAGS += ["-fPIC"]
PROBLEM = "build_problem.txt"  # read by ls3d.ops.backends.cpu.library
X86 = {
    "avx512": ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx2", "-mfma", "-mf16c"],
    "avx2": ["-mavx2", "-mfma", "-mf16c"],
}


class BuildKernel(build_ext):
    """Compiles the kernels for each instruction set, and links the objects with their dispatchers."""

    problem = ""  # the first error of the compiler, if there was one

    def finalize_options(self) -> None:
        super().finalize_options()
        if ON_WINDOWS and self.compiler is None:
            self.compiler = "mingw32"

    def run(self) -> None:
        super().run()
        (kernel,) = self.extensions
        folders = {Path(self.build_lib, self.get_ext_filename(kernel.name)).parent}
        if self.inplace:  # an editable installation, too
            folders.add(Path(self.get_ext_fullpath(kernel.name)).parent)
        for folder in folders:
            (folder / PROBLEM).unlink(missing_ok=True)
            if self.problem:
                folder.mkdir(parents=True, exist_ok=True)
                (folder / PROBLEM).write_text(self.problem + "\n")

    def get_ext_filename(self, fullname: str) -> str:
        return str(Path(*fullname.split("."))) + (".dll" if sys.platform == "win32" else ".so")

    def build_extension(self, ext: Extension) -> None:
        target = Path(self.get_ext_fullpath(ext.name))
        target.parent.mkdir(parents=True, exist_ok=True)
        for openmp in (["-fopenmp"], []):
            with error_output() as output:
                try:
                    self._build(target, openmp)
                except (CCompilerError, ExecError, PlatformError, OSError) as error:
                    self.problem = self.problem or first_error(output) or str(error)
                else:
                    break
        else:
            warnings.warn(
                "the CPU kernel was not built, so ls3d falls back to its slow reference implementation: "
                + self.problem,
                stacklevel=1,
            )
            return
        if self.problem:
            warnings.warn(f"the CPU kernel was built without OpenMP, for one thread: {self.problem}", stacklevel=1)

    def _build(self, target: Path, openmp: list[str]) -> None:
        sets = X86 if platform.machine().lower() in ("x86_64", "amd64") else {}
        units: list[tuple[str, str, list[str]]] = []
        for name, flags in {**sets, "portable": []}.items():
            for plan in ("BilinearPlan", "BicubicPlan"):
                defines = [f"-DLS3D_ISA={name}", f"-DLS3D_PLAN={plan}"]
                units.append(("kernel.cpp", f"{name}-{plan}", [*defines, *flags, *openmp]))
            units.append(("motion.cpp", name, [f"-DLS3D_ISA={name}", "-ffp-contract=off", *flags, *openmp]))
        has = [f"-DLS3D_HAS_{name.upper()}" for name in sets]
        units += [(source, "dispatch", [*has, *openmp]) for source in ("dispatch.cpp", "motion_dispatch.cpp")]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            compiled = list(pool.map(lambda unit: self._compile(*unit), units))
        objects = [name for names in compiled for name in names]
        self.compiler.link_shared_object(objects, str(target), extra_postargs=[*openmp, *LINK_FLAGS], target_lang="c++")

    def _compile(self, source: str, label: str, flags: list[str]) -> list[str]:
        folder = str(Path(self.build_temp) / label)
        return self.compiler.compile(
            [str(SOURCES / source)],
            output_dir=folder,
            depends=[str(path) for path in SOURCES.iterdir()],
            extra_postargs=[*FLAGS, *flags],
        )


@contextmanager
def error_output() -> Iterator[Path]:
    """Copy what is written to standard error, by compilers, too, to a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "stderr")
        sys.stderr.flush()
        terminal = os.dup(2)
        with path.open("wb") as file:
            os.dup2(file.fileno(), 2)
        try:
            yield path
        finally:
            sys.stderr.flush()
            os.dup2(terminal, 2)
            os.close(terminal)
            with open(2, "wb", closefd=False) as shown:
                shown.write(path.read_bytes())


def first_error(output: Path) -> str:
    """The first line of a compiler's output that reports an error, or an empty string."""
    lines = output.read_text(errors="replace").splitlines()
    return next((line.strip() for line in lines if "error" in line.lower()), "")


class PlatformWheel(bdist_wheel):
    """Tags the wheel ``py3-none-<platform>``, because the library in it doesn't depend on Python."""

    def get_tag(self) -> tuple[str, str, str]:
        return ("py3", "none", super().get_tag()[2])


setup(
    ext_modules=[Extension("ls3d.ops.backends.cpu.libls3d", [], language="c++", optional=True)],
    cmdclass={"build_ext": BuildKernel, "bdist_wheel": PlatformWheel},
)

"""Build a wheel, and check that it works where there is neither a compiler nor the source tree.

    python scripts/check_wheel.py [WHEEL] [--torch FOLDER]

Needs ``build``, and runs ``auditwheel`` and ``twine`` where they are installed beside this Python. The wheel is
installed in a new environment that takes torch and the other dependencies from FOLDER, by default the site-packages of
this Python. ``--installed`` does the last check only, in the environment of this Python.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

#: One wheel is for every Python; Linux wheels have a policy in their platform tag once they are repaired.
TAG = re.compile(r"ls3d-[^-]+-py3-none-((manylinux|linux|macosx|win)\w+)\.whl")
LIBRARY = re.compile(r"ls3d/ops/backends/cpu/libls3d\.(so|dll)")

#: Run by a Python outside the source tree; prints what is used.
USES_KERNEL = """
import pathlib, sys, torch, ls3d
from ls3d.ops.backends.cpu import library
loaded, problem = library.load()
assert loaded is not None, problem
assert pathlib.Path(ls3d.__file__).is_relative_to(sys.prefix), f"{ls3d.__file__} is not in {sys.prefix}"
print("ls3d", ls3d.__version__, "in", ls3d.__path__[0])
print("Python", sys.version.split()[0], "torch", torch.__version__, "kernel", library.instruction_set())
print("problem:", library.build_problem() or "none")
"""


def build(folder: Path) -> Path:
    """Build a source package from the source tree, and a wheel from that, which shows that it is complete."""
    subprocess.run([sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT)], check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def check_contents(wheel: Path) -> None:
    """Check the tag, and that the kernel is inside and none of the tests.

    Raises:
        SystemExit: something is missing or too much.
    """
    if not TAG.fullmatch(wheel.name):
        raise SystemExit(f"{wheel.name}: expected the tag py3-none-PLATFORM")
    names = zipfile.ZipFile(wheel).namelist()
    if not any(LIBRARY.fullmatch(name) for name in names):
        raise SystemExit(f"{wheel.name} has no compiled kernel")
    if stray := [name for name in names if not re.match(r"ls3d(-[^/]+\.dist-info)?/", name)]:
        raise SystemExit(f"{wheel.name} has files outside the package: {', '.join(stray[:5])}")


def run_tool(name: str, *arguments: str) -> None:
    """Run a program that is installed beside this Python, if it is."""
    program = Path(sys.executable).with_name(name)
    if program.exists():
        subprocess.run([str(program), *arguments], check=True)
    else:
        print(f"{name} is not installed, so it doesn't check the wheel")


def check_installed(python: Path) -> None:
    """Check that an installed ls3d uses its fast kernel, without compiler and source tree.

    Args:
        python: of the environment.

    Raises:
        subprocess.CalledProcessError: it doesn't, or its self-test fails.
    """
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "CC", "CXX")}
    environment["PATH"] = str(python.parent)
    with tempfile.TemporaryDirectory() as folder:
        for arguments in (["-c", USES_KERNEL], ["-m", "ls3d", "doctor", "--seconds", "0"]):
            subprocess.run([str(python), *arguments], check=True, cwd=folder, env=environment)


def install(wheel: Path, folder: Path, dependencies: Path) -> Path:
    """Install a wheel in a new environment with the dependencies of another one.

    Returns:
        The Python of the environment.
    """
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    query = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    packages = Path(subprocess.run(query, check=True, capture_output=True, text=True).stdout.strip())
    (packages / "dependencies.pth").write_text(f"{dependencies}\n")
    options = ["--quiet", "--no-index", "--no-deps", "--ignore-installed"]
    subprocess.run([str(python), "-m", "pip", "install", *options, str(wheel)], check=True)
    return python


def main() -> None:
    """Read the arguments, and do the checks."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("wheel", type=Path, nargs="?", help="a wheel that is built already")
    parser.add_argument("--torch", type=Path, default=Path(sysconfig.get_path("purelib")), help="folder of packages")
    parser.add_argument("--installed", action="store_true", help="check the environment of this Python")
    arguments = parser.parse_args()
    if arguments.installed:
        check_installed(Path(sys.executable))
        return
    with tempfile.TemporaryDirectory() as folder:
        wheel = arguments.wheel or build(Path(folder, "wheel"))
        check_contents(wheel)
        if sys.platform == "linux":
            run_tool("auditwheel", "show", str(wheel))
        run_tool("twine", "check", "--strict", str(wheel))
        check_installed(install(wheel, Path(folder, "environment"), arguments.torch))


if __name__ == "__main__":
    main()

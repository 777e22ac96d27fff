"""Dockerfile, wheels and their configuration agree with the files and the documented commands."""

from __future__ import annotations

import fnmatch
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from helpers.scripts import load_script

ROOT = Path(__file__).parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
IGNORED = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
KERNEL = "ls3d/ops/backends/cpu/libls3d.so"


def instructions() -> list[tuple[str, str]]:
    """Name and text of each instruction of the Dockerfile, with continued lines joined."""
    joined = DOCKERFILE.replace("\\\n", " ")
    lines = [line for line in joined.splitlines() if line.strip() and not line.startswith("#")]
    return [(name, " ".join(rest.split())) for name, _, rest in (line.partition(" ") for line in lines)]


def copied() -> list[str]:
    """What the Dockerfile copies from the source tree."""
    texts = [text for name, text in instructions() if name == "COPY" and "--from" not in text]
    return [word for text in texts for word in text.split()[:-1]]


def test_the_image_copies_files_that_exist_and_are_sent() -> None:
    assert copied()
    for path in copied():
        assert (ROOT / path).exists(), path
        assert f"!{path}" in IGNORED
    assert {line[1:] for line in IGNORED if line.startswith("!")} == set(copied())


def test_the_image_has_what_the_build_reads() -> None:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project = pyproject["project"]
    needed = {project["readme"], *project["license-files"], "pyproject.toml", "setup.py", "src"}
    assert needed <= set(copied())


def test_no_compiled_file_of_this_computer_is_sent() -> None:
    assert any(fnmatch.fnmatch(f"src/{KERNEL}", pattern) for pattern in IGNORED if not pattern.startswith("!"))


def test_the_image_runs_ls3d_as_an_ordinary_user() -> None:
    last = dict(instructions())
    assert last["ENTRYPOINT"] == '["ls3d"]'
    assert last["USER"] not in ("root", "0")
    order = [name for name, _ in instructions()]
    assert order.index("USER") > max(number for number, name in enumerate(order) if name in ("RUN", "COPY"))
    assert DOCKERFILE.count("FROM ") == 2


def test_the_image_installs_as_documented() -> None:
    """Apart from the environment's folder, pip's cache and the editable installation."""
    commands = re.findall(r"/opt/ls3d/bin/pip install --no-cache-dir (.*)", DOCKERFILE)
    readme = (ROOT / "README.md").read_text()
    torch, own = commands
    assert f"pip install {torch}" in readme
    assert own == "-c constraints.txt ."
    assert "pip install -c constraints.txt -e ." in readme


def test_versions_of_python_in_the_image_are_supported() -> None:
    versions = set(re.findall(r"FROM python:([\d.]+)-slim", DOCKERFILE))
    assert len(versions) == 1
    assert tuple(map(int, versions.pop().split("."))) >= (3, 11)


class TestWheels:
    """The checks of ``scripts/check_wheel.py``."""

    def write(self, path: Path, names: list[str]) -> Path:
        with zipfile.ZipFile(path, "w") as file:
            for name in names:
                file.writestr(name, "")
        return path

    @pytest.mark.parametrize("platform", ["linux_x86_64", "manylinux_2_28_aarch64", "macosx_11_0_arm64", "win_amd64"])
    def test_one_wheel_for_every_python(self, tmp_path: Path, platform: str) -> None:
        wheel = self.write(tmp_path / f"ls3d-1.0-py3-none-{platform}.whl", [KERNEL, "ls3d-1.0.dist-info/METADATA"])
        load_script("check_wheel").check_contents(wheel)

    @pytest.mark.parametrize(
        ("name", "files", "message"),
        [
            ("ls3d-1.0-cp311-cp311-linux_x86_64.whl", [KERNEL], "expected the tag"),
            ("ls3d-1.0-py3-none-any.whl", [KERNEL], "expected the tag"),
            ("ls3d-1.0-py3-none-linux_x86_64.whl", ["ls3d/__init__.py"], "no compiled kernel"),
            ("ls3d-1.0-py3-none-linux_x86_64.whl", [KERNEL, "tests/conftest.py"], "outside the package"),
        ],
    )
    def test_wrong_wheels_are_refused(self, tmp_path: Path, name: str, files: list[str], message: str) -> None:
        with pytest.raises(SystemExit, match=message):
            load_script("check_wheel").check_contents(self.write(tmp_path / name, files))

    def test_platforms(self) -> None:
        table = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["cibuildwheel"]
        assert {name: table[name]["archs"] for name in ("linux", "macos", "windows")} == {
            "linux": ["x86_64", "aarch64"],
            "macos": ["arm64"],
            "windows": ["AMD64"],
        }

    @pytest.mark.slow
    @pytest.mark.skipif(shutil.which("c++") is None, reason="there is no compiler")
    def test_a_wheel_works_without_compiler_and_source_tree(self) -> None:
        pytest.importorskip("build")
        subprocess.run([sys.executable, str(ROOT / "scripts" / "check_wheel.py")], check=True)

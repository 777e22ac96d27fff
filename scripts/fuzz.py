"""Give damaged files to ls3d, and report every signal, hang, traceback and excess of memory.

    python scripts/fuzz.py pickles --minutes 10 [--seed 1] [--keep FOLDER]

A kind of file is defined by a module ``fuzz_*.py`` next to this one, in its dictionary ``KINDS``. Every mutant is read
in a forked process with limits: twice the file's size plus 256 MiB of memory, 20 seconds of processor time. It must be
accepted, or refused by ``InputError`` or ``OSError`` with one sentence without control characters. The exit status is
1 if a mutant did anything else; such mutants are kept.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

MEMORY = 256 << 20
CPU_SECONDS = 20
WALL_SECONDS = 300

_ACCEPTED, _REFUSED, _ODD_MESSAGE, _CRASHED = range(4)


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        suffix: of the files.
        seeds: makes intact files, as bytes.
        read: reads a file as ls3d does; imports everything that it needs before.
        mutate: makes a mutant of a seed; by default, bytes are changed, cut, repeated and moved.
        prepare: imports what ``read`` needs, once.
    """

    suffix: str
    seeds: Callable[[], list[bytes]]
    read: Callable[[Path], object]
    mutate: Callable[[bytes, random.Random], bytes] | None = None
    prepare: Callable[[], object] = lambda: None


def mutate_bytes(content: bytes, draw: random.Random) -> bytes:
    """Apply one to eight random changes."""
    data = bytearray(content)
    for _ in range(draw.choice((1, 1, 2, 4, 8))):
        if not data:
            return bytes(data)
        start = draw.randrange(len(data))
        length = min(draw.choice((1, 1, 2, 4, 8, 64, 1024)), len(data) - start)
        kind = draw.randrange(7)
        if kind == 0:
            data[start] ^= 1 << draw.randrange(8)
        elif kind == 1:
            data[start : start + length] = draw.randbytes(length)
        elif kind == 2:
            del data[start : start + length]
        elif kind == 3:
            data[start:start] = data[start : start + length] * draw.choice((1, 2, 100))
        elif kind == 4:
            data[start : start + length] = draw.choice((b"\x00", b"\xff", b"\x7f", b"\x80")) * length
        elif kind == 5:
            del data[start:]
        else:
            source = draw.randrange(len(data))
            data[start : start + length] = data[source : source + length]
    return bytes(data)


def kinds() -> dict[str, Kind]:
    """Collect the kinds of all modules ``fuzz_*.py`` in this folder."""
    found: dict[str, Kind] = {}
    sys.modules.setdefault("fuzz", sys.modules[__name__])
    for path in sorted(Path(__file__).parent.glob("fuzz_*.py")):
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[path.stem] = module
        spec.loader.exec_module(module)
        found |= module.KINDS
    return found


def main() -> int:
    """Run the fuzzer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = kinds()
    parser.add_argument("kind", choices=sorted(known))
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=Path("fuzz-failures"), help="folder for mutants that failed")
    options = parser.parse_args()
    kind = known[options.kind]
    kind.prepare()
    seeds = kind.seeds()
    counts: Counter[str] = Counter()
    end = time.monotonic() + 60 * options.minutes
    number = 0
    while time.monotonic() < end:
        draw = random.Random(f"{options.seed} {number}")
        mutant = (kind.mutate or mutate_bytes)(draw.choice(seeds), draw)
        outcome, text = run(kind, mutant)
        counts[outcome] += 1
        if outcome not in ("accepted", "refused"):
            options.keep.mkdir(parents=True, exist_ok=True)
            (options.keep / f"{options.kind}-{options.seed}-{number}{kind.suffix}").write_bytes(mutant)
            print(f"mutant {number}: {outcome}\n{text[-2000:]}", flush=True)
        number += 1
    failures = number - counts["accepted"] - counts["refused"]
    print(f"{options.kind}: {number} mutants, " + ", ".join(f"{count} {name}" for name, count in counts.most_common()))
    return int(failures > 0)


def run(kind: Kind, mutant: bytes) -> tuple[str, str]:
    """Read a mutant in a forked process; return how it ended, and what it wrote."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / f"mutant{kind.suffix}"
        path.write_bytes(mutant)
        log = Path(name) / "log"
        child = os.fork()
        if child == 0:
            os._exit(_child(kind, path, log))
        deadline = time.monotonic() + WALL_SECONDS
        while True:
            found, raw = os.waitpid(child, os.WNOHANG)
            if found:
                status = os.waitstatus_to_exitcode(raw)
                break
            if time.monotonic() > deadline:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                return "hung", ""
            time.sleep(0.002)
        text = log.read_text(errors="backslashreplace") if log.exists() else ""
    if status < 0:
        return f"killed by {signal.Signals(-status).name}", text
    names = {_ACCEPTED: "accepted", _REFUSED: "refused", _ODD_MESSAGE: "odd message", _CRASHED: "traceback"}
    return names.get(status, f"status {status}"), text


def _child(kind: Kind, path: Path, log: Path) -> int:
    """Read a file within limits; return how that ended."""
    from ls3d.errors import InputError

    output = os.open(log, os.O_WRONLY | os.O_CREAT)
    os.dup2(output, 1)
    os.dup2(output, 2)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + 2 * path.stat().st_size + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        kind.read(path)
    except (InputError, OSError) as error:
        message = str(error)
        os.write(2, message.encode("utf-8", "backslashreplace"))
        return _REFUSED if message and message.isprintable() and len(message) < 2000 else _ODD_MESSAGE
    except BaseException:
        os.write(2, traceback.format_exc().encode("utf-8", "backslashreplace"))
        return _CRASHED
    return _ACCEPTED


if __name__ == "__main__":
    sys.exit(main())

"""Decoders that are left in the middle of a video don't block a thread that reads what FFmpeg logs."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

from helpers.videos import Clip

LEAVE_AND_LOG = """
import itertools, sys, threading, time
from ls3d.video import VideoFile
from ls3d.video._pyav_internals import chroma_location

path = sys.argv[1]
picture = next(iter(VideoFile(path).frames())).picture
stop = threading.Event()

def leave() -> None:
    while not stop.is_set():
        list(itertools.islice(VideoFile(path).frames(), 2))

threads = [threading.Thread(target=leave, daemon=True) for _ in range(2)]
for thread in threads:
    thread.start()
end = time.monotonic() + 3
while time.monotonic() < end:
    chroma_location(picture)
stop.set()
for thread in threads:
    thread.join()
print("finished")
"""


def test_a_decoder_is_freed_while_another_thread_logs(tmp_path: Path) -> None:
    """The frame threads of a decoder log the damage, for which PyAV needs Python's lock, while it is being freed."""
    source = Clip(120, size=(96, 128), codec="libx264").write(tmp_path / "in.mp4")
    content = bytearray(source.read_bytes())
    generator = random.Random(1)
    for place in range(len(content) // 3, len(content) - 2000, 97):
        content[place] = generator.randrange(256)
    source.write_bytes(content)
    command = [sys.executable, "-c", LEAVE_AND_LOG, str(source)]
    assert subprocess.run(command, capture_output=True, text=True, timeout=100).stdout.strip() == "finished"

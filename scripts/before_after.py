"""Render ``docs/assets/before_after.webp``, the picture of the README: a clip in slow motion, without and with ls3d.

Both sides show a second of ``examples/crossing.mp4`` at a quarter of its speed: on the left, each frame stays for
four; on the right, ``ls3d interpolate --factor 4`` has made the three frames between.

    python scripts/before_after.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from ls3d import enhance
from ls3d.video import VideoFile, to_rgb

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "examples" / "crossing.mp4"
TARGET = ROOT / "docs" / "assets" / "before_after.webp"

FACTOR = 4
FIRST = 6  # of the source
FRAMES = 30  # of the source
RATE = 20  # frames per second of the picture
QUALITY = 60
GAP = 16  # pixels between both sides: a block of the codec, so that its edges stay straight


def read_frames(path: Path) -> list[Image.Image]:
    """All frames of a video."""
    video = VideoFile(path)
    pictures = (to_rgb(frame.picture, video.info.color).clamp(0, 1) for frame in video.frames())
    return [Image.fromarray((rgb * 255).round().byte().permute(1, 2, 0).numpy()) for rgb in pictures]


def side_by_side(before: Image.Image, after: Image.Image) -> Image.Image:
    """Two pictures next to each other, with their titles."""
    width, height = before.size
    canvas = Image.new("RGB", (2 * width + GAP, height), "white")
    font = ImageFont.load_default(size=13)
    for x, picture, title in ((0, before, "source"), (width + GAP, after, "ls3d interpolate")):
        canvas.paste(picture, (x, 0))
        draw = ImageDraw.Draw(canvas)
        draw.rectangle((x, height - 20, x + 12 + draw.textlength(title, font), height), fill=(0, 0, 0))
        draw.text((x + 6, height - 18), title, "white", font)
    return canvas


def main() -> None:
    """Interpolate the clip and write the picture."""
    with tempfile.TemporaryDirectory() as folder:
        smooth = Path(folder, "smooth.mp4")
        enhance.interpolate(SOURCE, smooth, factor=FACTOR)
        before, after = read_frames(SOURCE), read_frames(smooth)
    numbers = range(FIRST * FACTOR, (FIRST + FRAMES) * FACTOR)
    first, *others = (side_by_side(before[number // FACTOR], after[number]) for number in numbers)
    first.save(TARGET, save_all=True, append_images=others, duration=1000 // RATE, loop=0, quality=QUALITY, method=6)
    print(f"{TARGET}: {TARGET.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()

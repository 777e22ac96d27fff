"""One self-contained HTML page: the table, a bar for every clip, pictures with a slider, error maps."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Sequence
from html import escape
from importlib import resources
from string import Template

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ls3d.data.footage import Footage
from ls3d.evaluation.fidelity.scored_frames import Sample, samples
from ls3d.evaluation.report import ClipScore, Report
from ls3d.evaluation.table import label, ranking, remarks, show_value
from ls3d.files import atomic_write
from ls3d.inference import Enhancer
from ls3d.metrics import METRICS, to_8bit
from ls3d.video.images import encode_png

#: Clips that are shown in pictures, from the worst to the best.
_PICTURES = 6
#: Height and width of the cut-outs.
_CUT = (270, 360)
#: An error of so many 8-bit values is white.
_FULL_ERROR = 64


def write_page(report: Report, path: str | os.PathLike[str], enhancer: Enhancer, clips: Sequence[Footage]) -> None:
    """Write the page of a finished evaluation, atomically.

    Args:
        report: the result.
        path: the file to write.
        enhancer: the model, which makes the frames that are shown once more.
        clips: the clips of the data set.
    """
    template = Template((resources.files("ls3d.evaluation") / "page.html").read_text(encoding="utf-8"))
    shown = [_pictures(enhancer, report, clip) for clip in _choose(report, clips)]
    text = template.substitute(
        title=escape(f"{report.model} on {report.protocol.title}"),
        remarks="\n".join(f"<p>{escape(line)}</p>" for line in remarks(report)),
        methods=_methods(report),
        clips=_clips(report),
        pictures="\n".join(shown),
        full_error=_FULL_ERROR,
        conditions=escape(json.dumps(report.to_dict() | {"clips": len(report.clips)}, indent=2)),
    )
    with atomic_write(path) as part:
        part.write_text(text, encoding="utf-8")


def _cells(report: Report, scores: dict[str, float]) -> str:
    values = (show_value(METRICS[name], scores.get(key)) for key, name in report.protocol.metrics.items())
    return "".join(f'<td class="number">{value}</td>' for value in values)


def _headings(report: Report) -> str:
    return "".join(f'<th class="number">{escape(label(column))}</th>' for column in report.protocol.metrics)


def _methods(report: Report) -> str:
    rows = [
        f"<tr class={'ours' if ours else 'theirs'}><td>{escape(method)}</td>{_cells(report, scores)}</tr>"
        for method, scores, ours in ranking(report)
    ]
    return _table(f"<th>method</th>{_headings(report)}", rows)


def _clips(report: Report) -> str:
    column = next(iter(report.protocol.metrics))
    values = [clip.scores[column] for clip in report.clips.values()]
    finite = [value for value in values if np.isfinite(value)] or [1.0]
    longest = max(finite) or 1.0
    rows = []
    for clip_name, clip in report.clips.items():
        share = max(0.0, min(clip.scores[column] / longest, 1.0))
        bar = f'<td class="bar"><div style="width:{100 * share:.1f}%"></div></td>'
        rows.append(f"<tr><td>{escape(clip_name)}</td>{bar}{_cells(report, clip.scores)}</tr>")
    return _table(f"<th>clip</th><th>{escape(label(column))}</th>{_headings(report)}", rows)


def _table(headings: str, rows: list[str]) -> str:
    return f"<table><thead><tr>{headings}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _choose(report: Report, clips: Sequence[Footage]) -> list[Footage]:
    """Clips from the worst to the best, evenly spread over the ranking."""
    column, name = next(iter(report.protocol.metrics.items()))
    sign = 1 if METRICS[name].higher_is_better else -1
    ranked = sorted(
        (clip for clip in clips if clip.name in report.clips),
        key=lambda clip: sign * report.clips[clip.name].scores[column],
    )
    places = np.linspace(0, len(ranked) - 1, min(_PICTURES, len(ranked))).round().astype(int)
    return [ranked[place] for place in places]


@torch.inference_mode()
def _pictures(enhancer: Enhancer, report: Report, clip: Footage) -> str:
    score = report.clips[clip.name]
    sample = next(samples(enhancer, report.protocol, clip, only=score.worst))
    return _figures(report, clip.name, score, sample)


def _figures(report: Report, name: str, score: ClipScore, sample: Sample) -> str:
    given = sample.given[None]
    if given.shape[-2:] != sample.truth.shape[-2:]:
        given = F.interpolate(given, sample.truth.shape[-2:], mode="nearest")
    error = (sample.output.clamp(0, 1) - sample.truth).abs().mean(dim=0) * 255
    cut = _worst_place(error)
    given_png, output_png, truth_png = (
        _png(to_8bit(image[(..., *cut)]).permute(1, 2, 0).numpy()) for image in (given[0], sample.output, sample.truth)
    )
    error_png = _png(_heat(error[cut].numpy()))
    column, metric = next(iter(report.protocol.metrics.items()))
    value = f"{label(column)} {show_value(METRICS[metric], score.scores[column])} {METRICS[metric].unit}"
    return f"""<h3>{escape(name)}: {value} over the clip, here frame {sample.index}</h3>
<div class="pictures">
<figure><div class="slider">
<img src="{truth_png}" alt="the true frame">
<img src="{output_png}" alt="the model's frame">
<input type="range" min="0" max="100" value="50" aria-label="how much of the model's frame is shown"></div>
<figcaption>{escape(report.model)} | truth</figcaption></figure>
<figure><img src="{error_png}" alt="error map"><figcaption>error</figcaption></figure>
<figure><img src="{given_png}" alt="what the model was given"><figcaption>given</figcaption></figure>
</div>"""


def _worst_place(error: Tensor) -> tuple[slice, slice]:
    """The window of the cut-out's size with the largest mean error."""
    height, width = (min(cut, side) for cut, side in zip(_CUT, error.shape, strict=True))
    means = F.avg_pool2d(error[None], (height, width), stride=4)[0]
    y, x = divmod(int(means.argmax()), means.shape[1])
    return slice(4 * y, 4 * y + height), slice(4 * x, 4 * x + width)


def _heat(error: np.ndarray) -> np.ndarray:
    """Black, red, yellow, white: ``(H, W)`` in 8-bit values to ``(H, W, 3)`` uint8."""
    level = np.clip(error / _FULL_ERROR, 0, 1)[..., None] * 3 - np.arange(3)
    return (np.clip(level, 0, 1) * 255).round().astype(np.uint8)


def _png(pixels: np.ndarray) -> str:
    return "data:image/png;base64," + base64.b64encode(encode_png(pixels)).decode()

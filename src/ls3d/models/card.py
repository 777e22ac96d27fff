"""Model cards: the README of a repository on the Hugging Face Hub, made from the metadata of a weights file.

The header is YAML, of which JSON is a subset, with the fields that the Hub indexes:
https://huggingface.co/docs/hub/model-cards.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ls3d.models.measured import measured_scores
from ls3d.models.network import Task
from ls3d.models.registry import ModelInfo, model_info

#: Identifiers of the licenses that the Hub knows and that weights are likely to have. Others are named in the card.
_LICENSES = {
    "apache-2.0",
    "mit",
    "bsd-2-clause",
    "bsd-3-clause",
    "cc0-1.0",
    "cc-by-4.0",
    "cc-by-sa-4.0",
    "cc-by-nc-4.0",
    "cc-by-nd-4.0",
    "cc-by-nc-sa-4.0",
    "cc-by-nc-nd-4.0",
    "gpl-2.0",
    "gpl-3.0",
    "lgpl-3.0",
    "agpl-3.0",
    "mpl-2.0",
}

#: The Hub's categories of tasks, where it has one.
_PIPELINE_TAGS: dict[Task, str] = {
    "recognition": "video-classification",
    "audio-visual": "video-classification",
    "multimodal": "video-classification",
    "audio": "audio-classification",
}

#: Python that applies a network ``model``, and the command that does the same, by task.
_USAGE: dict[Task, tuple[str, str]] = {
    "interpolation": (
        'from ls3d.enhance import interpolate\n\ninterpolate("in.mp4", "out.mp4", model=model)',
        "ls3d interpolate in.mp4 out.mp4 --model {source}",
    ),
    "super-resolution": (
        'from ls3d.enhance import upscale\n\nupscale("in.mp4", "out.mp4", model=model)',
        "ls3d upscale in.mp4 out.mp4 --model {source}",
    ),
    "denoising": (
        'from ls3d.enhance import denoise\n\ndenoise("in.mp4", "out.mp4", model=model)',
        "ls3d denoise in.mp4 out.mp4 --model {source}",
    ),
    "recognition": (
        "from ls3d.inference import Classifier\n\nclassifier = Classifier(model)  # .clip is the format of its clips",
        "ls3d classify in.mp4 --model {source}",
    ),
}

_OWN_SECTIONS = {"architecture", "arguments", "license", "training_data", "metrics", "recipe", "classes"}


def model_card(config: Mapping[str, Any], source: str) -> str:
    """Make the card of a weights file.

    Args:
        config: the metadata of the file.
        source: what ``from_pretrained`` is to be called with.

    Returns:
        The README in Markdown, with a YAML header.
    """
    info = model_info(str(config["architecture"]))
    scores = list(_scores(config, info))
    sections = [
        ("Usage", _usage(info, source)),
        ("License", _text(config.get("license")) or "The weights don't state a license."),
        ("Training data", _training_data(config)),
        ("Scores", "\n".join(scores) if scores else "None are recorded."),
        ("Details", _details(config, info)),
    ]
    body = "\n\n".join(f"## {title}\n\n{text}" for title, text in sections)
    return f"{_header(config, info)}\n# {info.name}\n\n{info.description}\n\n{body}\n"


def license_identifier(license: str) -> str | None:
    """Return the Hub's identifier of a license, which is its first words up to a semicolon; None if it has none."""
    identifier = license.partition(";")[0].strip().lower().replace(" ", "-")
    return identifier if identifier in _LICENSES else None


def _header(config: Mapping[str, Any], info: ModelInfo) -> str:
    tags = ["video", "ls3d", "3d-convolution", info.task]
    if info.paper.startswith("arXiv:"):
        tags.append(f"arxiv:{info.paper.removeprefix('arXiv:').partition(',')[0]}")
    fields: dict[str, object] = {"tags": tags}
    if info.task in _PIPELINE_TAGS:
        fields["pipeline_tag"] = _PIPELINE_TAGS[info.task]
    if "license" in config:
        stated = str(config["license"])
        identifier = license_identifier(stated)
        fields["license"] = identifier or "other"
        if identifier is None:
            fields["license_name"] = re.sub(r"[^a-z0-9.]+", "-", stated.lower()).strip("-")[:80] or "unnamed"
    lines = [f"{key}: {json.dumps(value)}" for key, value in fields.items()]
    return "\n".join(["---", "library_name: ls3d", *lines, "---"])


def _usage(info: ModelInfo, source: str) -> str:
    python, command = _USAGE.get(info.task, ("", ""))
    imported, _, call = python.partition("\n\n")
    imports = "\n".join(filter(None, (imported, "from ls3d.models import from_pretrained")))
    code = f"{imports}\n\nmodel = from_pretrained({source!r})\n{call}".rstrip()
    lines = ["```python", code, "```"]
    if command:
        lines += ["", "```sh", command.format(source=source), "```"]
    return "\n".join(lines)


def _training_data(config: Mapping[str, Any]) -> str:
    data = config.get("training_data")
    if isinstance(data, list) and data:
        return "\n".join(f"- {_text(item)}" for item in data)
    return _text(data) or "Not recorded."


def _scores(config: Mapping[str, Any], info: ModelInfo) -> Iterator[str]:
    metrics = config.get("metrics")
    if isinstance(metrics, Mapping) and metrics:
        yield "At the end of the training:\n"
        yield from (f"- {_text(name)}: {_text(value)}" for name, value in metrics.items())
    measured = [score for score in measured_scores(info.name) if score.sha256 in (None, config.get("sha256"))]
    if measured:
        yield "\nOf these weights, measured by `ls3d evaluate`:\n"
        for score in measured:
            part = "" if score.complete else ", a part of the data set"
            yield f"- {score.protocol}: PSNR {score.psnr:.2f} dB ({score.clips} clips{part})"
    if info.accuracy or info.published:
        yield "\nPublished for this architecture, with other weights:\n"
    if info.accuracy:
        top5 = "" if info.accuracy.top5 is None else f", top-5 {info.accuracy.top5} %"
        yield f"- {info.accuracy.data}: top-1 {info.accuracy.top1} %{top5} ({info.accuracy.source})"
    for published in info.published:
        yield f"- {published.data}: PSNR {published.psnr} dB, SSIM {published.ssim} ({published.source})"


def _details(config: Mapping[str, Any], info: ModelInfo) -> str:
    lines = [f"- architecture: `{info.name}`, for {info.task}", f"- arguments: `{_text(config['arguments'])}`"]
    if info.paper:
        lines.append(f"- paper: {info.paper}")
    classes = config.get("classes")
    if isinstance(classes, list):
        lines.append(f"- classes: {len(classes)}, named in `config.json`")
    lines += [f"- {key}: `{_text(value)}`" for key, value in config.items() if key not in _OWN_SECTIONS]
    if "recipe" in config:
        lines += ["", "Recipe of the training:", "", "```json", json.dumps(config["recipe"], indent=2), "```"]
    return "\n".join(lines)


def _text(value: object) -> str:
    """A value as one line of Markdown."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value)
    return " ".join(text.split())

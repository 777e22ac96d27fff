"""The page: Gradio lays it out, and the script in ``static`` talks to the REST interface.

No function of Python is called from the page, so Gradio neither receives nor stores files.
"""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType
from typing import Any

from fastapi import FastAPI

from ls3d.progress import format_duration
from ls3d.web.options import ServeOptions

_STATIC = Path(__file__).parent / "static"

# Radio buttons: label and value, which is read as form fields by the script.
_SMOOTHER = [
    ("Off", ""),
    ("2×", "factor=2"),
    ("4×", "factor=4"),
    ("60 fps", "fps=60"),
    ("Slow motion", "factor=4&slow_motion=true"),
]
_LARGER = [("Off", ""), ("2×", "scale=2"), ("4×", "scale=4")]
_CLEANER = [("Off", ""), ("Automatic", "sigma=auto"), ("Light", "sigma=10"), ("Strong", "sigma=25")]
_NETWORK = [("Fast", "fast"), ("Best", "best"), ("Sharp", "sharp")]


def add_page(app: FastAPI, options: ServeOptions) -> FastAPI:
    """Mount the page on an application, at ``/``."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    import gradio as gr

    gr.mount_gradio_app(
        app,
        _layout(gr, options),
        path="/",
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        mcp_server=False,
        show_error=False,
        theme=_theme(gr),
        css=_static("page.css"),
        head=f"<script>{_static('page.js')}</script>",
    )
    return app


def _theme(gr: ModuleType) -> Any:
    """The colors and fonts of the page."""
    return gr.themes.Soft(
        primary_hue="teal",
        neutral_hue="slate",
        radius_size="md",
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    ).set(
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_dark="*primary_700",
        checkbox_label_border_color="*neutral_300",
        checkbox_label_border_color_dark="*neutral_600",
        checkbox_label_border_width="1px",
        checkbox_label_shadow="none",
        checkbox_label_background_fill_selected="*primary_700",
        checkbox_label_background_fill_selected_dark="*primary_700",
        block_label_background_fill="transparent",
        block_title_background_fill="transparent",
        block_title_text_color="*body_text_color",
        block_title_text_color_dark="*body_text_color",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
        color_accent="*primary_600",
    )


def _layout(gr: ModuleType, options: ServeOptions) -> Any:
    """The parts of the page, as ``gradio.Blocks``."""
    with gr.Blocks(title="ls3d", analytics_enabled=False) as blocks:
        _html(gr, _static("header.html").replace("LIMITS", _limits(options)), "drop")
        with gr.Tabs():
            with gr.Tab("Enhance", id="enhance"):
                with gr.Row(elem_id="steps"):
                    _radio(gr, "Smoother", _SMOOTHER, "factor=2")
                    _radio(gr, "Larger", _LARGER, "")
                    _radio(gr, "Cleaner", _CLEANER, "")
                _html(gr, _static("enhance.html").replace("SECONDS", f"{options.limits.preview:g}"), "enhance")
            with gr.Tab("Recognize", id="recognize"):
                _html(gr, _static("recognize.html"), "recognize")
            with gr.Tab("Look inside", id="look"):
                _radio(gr, "Network", _NETWORK, "fast")
                _html(gr, _static("look.html"), "look")
    return blocks


def _radio(gr: ModuleType, label: str, choices: list[tuple[str, str]], value: str) -> None:
    """Add radio buttons, which the script finds by their label in lower case."""
    gr.Radio(choices, value=value, label=label, elem_id=label.lower(), interactive=True)


def _html(gr: ModuleType, content: str, function: str) -> None:
    """Add a part of the page for which a function of the script is called."""
    gr.HTML(content, js_on_load=f"ls3d.{function}(element)", apply_default_css=False)


def _static(name: str) -> str:
    return (_STATIC / name).read_text(encoding="utf-8")


def _limits(options: ServeOptions) -> str:
    """What the server accepts, for people."""
    limits = options.limits
    size = f"{limits.max_size / 1e6:,.0f} MB"
    return f"up to {size}, {format_duration(limits.max_length)} long, {limits.max_pixels / 1e6:.1f} megapixels"

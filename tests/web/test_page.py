"""The page in Chromium: the flow of its three tabs on a rendered clip, and what the videos and files hold.

Skipped by name where Playwright or Chromium is missing.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.videos import Clip, decode
from helpers.web_server import Server, start_server, stop_server

sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or ""
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
]
PATIENCE = 120_000  # milliseconds, on a busy machine
SIZES = {"desktop": (1280, 900), "phone": (390, 844)}

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="Chromium is not installed")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return Clip(8, audio=["eng"]).write(tmp_path / "holiday.mp4")


class Problems(list[str]):
    """What the console, scripts and requests complain about, and requests to other servers."""

    def watch(self, page: Any, address: str) -> None:
        own = (address, f"blob:{address}", "data:")
        page.on("console", lambda message: self._note(message.type in ("error", "warning"), message.text))
        page.on("pageerror", lambda error: self.append(str(error)))
        page.on("response", lambda answer: self._note(answer.status >= 400, f"{answer.status} {answer.url}"))
        page.on("request", lambda request: self._note(not request.url.startswith(own), request.url))

    def _note(self, wrong: bool, text: str) -> None:
        if wrong:
            self.append(text)


def open_page(browser: Any, server: Server, problems: Problems, size: tuple[int, int], **options: Any) -> Any:
    width, height = size
    page = browser.new_context(viewport={"width": width, "height": height}, **options).new_page()
    page.set_default_timeout(PATIENCE)
    problems.watch(page, server.address)
    page.goto(server.address)
    page.wait_for_selector("#drop")
    return page


def fits(page: Any) -> bool:
    """Whether nothing is wider than the window."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


def saved(page: Any, target: Path) -> Path:
    with page.expect_download() as download:
        page.click(".download")
    assert download.value.suggested_filename.startswith("holiday_")
    download.value.save_as(target)
    return target


def check_enhancement(page: Any, clip: Path, folder: Path) -> None:
    """Upload, preview, slider, play in step, whole, download."""
    page.set_input_files("#file", clip)
    page.wait_for_selector(".player:not([hidden])")
    page.wait_for_function("document.querySelector('.before').readyState > 1")
    assert "Preview: 8 frames became 16" in page.inner_text(".player .caption")
    assert fits(page)
    page.focus(".split")
    before = page.evaluate("getComputedStyle(document.querySelector('.before')).clipPath")
    for _ in range(20):
        page.keyboard.press("ArrowRight")
    assert page.input_value(".split") == "60"
    assert page.evaluate("getComputedStyle(document.querySelector('.before')).clipPath") != before
    page.wait_for_function("!document.querySelector('.after').paused")
    page.wait_for_function(
        """() => { const [a, b] = ["after", "before"].map((name) => document.querySelector(`.${name}`));
        return a.currentTime > 0.05 && Math.abs(a.currentTime - b.currentTime) < 0.05; }"""
    )
    page.click("[data-do=play]")
    page.wait_for_selector("[data-do=play][aria-label=Play]")
    page.get_by_label("Slow motion").check()
    page.get_by_label("2×").nth(1).check()
    page.click("[data-do=whole]")
    page.wait_for_selector(".player .caption:has-text('Whole video: 8 frames became 32')")
    frames = decode(saved(page, folder / "whole.mp4"))
    assert len(frames) == 32
    assert {(frame.width, frame.height) for frame in frames} == {(128, 96)}


def check_sampling(page: Any) -> None:
    """Pick a frame, click a pixel of the new one, and choose another one by the keyboard."""
    page.get_by_role("tab", name="Look inside").click()
    page.wait_for_selector(".inside:not([hidden])")
    assert "Pixel 32, 24" in page.inner_text(".inside .caption")
    box = page.locator(".made canvas").bounding_box()
    page.locator(".made canvas").click(position={"x": box["width"] * 0.258, "y": box["height"] * 0.51})
    page.wait_for_selector(".inside .caption:has-text('Pixel 16, 24')")
    page.focus(".made canvas")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.wait_for_selector(".inside .caption:has-text('Pixel 17, 24')")  # the marks are drawn afterwards
    page.wait_for_timeout(1000)
    for canvas in page.locator(".inside figure:not(.made) canvas").all():
        marked = canvas.evaluate(
            """canvas => { const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            let count = 0;
            for (let i = 0; i < data.length; i += 4)
                count += data[i] === 251 && data[i + 1] === 191 && data[i + 2] === 36;
            return count; }"""
        )
        assert marked > 50
    assert fits(page)


def test_enhance_and_look_inside(browser: Any, server: Server, clip: Path, tmp_path: Path) -> None:
    problems = Problems()
    page = open_page(browser, server, problems, SIZES["desktop"])
    check_enhancement(page, clip, tmp_path)
    check_sampling(page)
    assert server.files()
    page.close(run_before_unload=True)
    assert problems == []


def test_errors_are_shown(browser: Any, server: Server, tmp_path: Path) -> None:
    problems = Problems()
    page = open_page(browser, server, problems, SIZES["phone"])
    (tmp_path / "page.mp4").write_text("<html><script>alert(1)</script></html>")
    page.set_input_files("#file", tmp_path / "page.mp4")
    page.wait_for_selector(".error:has-text('The upload is not a video that can be decoded')")
    assert fits(page)
    assert problems == []
    page.close()


def test_a_video_may_be_chosen_before_the_choices_are_there(browser: Any, server: Server, tmp_path: Path) -> None:
    page = open_page(browser, server, Problems(), SIZES["desktop"])
    page.wait_for_selector("#smoother input:checked")
    page.evaluate(
        """() => { const steps = document.querySelector("#steps"), parent = steps.parentNode;
        steps.remove();
        setTimeout(() => parent.prepend(steps), 1000); }"""
    )
    (tmp_path / "page.mp4").write_text("no video")
    page.set_input_files("#file", tmp_path / "page.mp4")
    page.wait_for_selector(".error:has-text('The upload is not a video that can be decoded')")
    page.close()


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_tabs_on_a_phone(browser: Any, server: Server, clip: Path, tmp_path: Path, scheme: str) -> None:
    problems = Problems()
    options = {"has_touch": True, "is_mobile": True, "color_scheme": scheme}
    page = open_page(browser, server, problems, SIZES["phone"], **options)
    check_enhancement(page, clip, tmp_path)
    check_sampling(page)
    assert problems == []
    page.close()


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
def test_recognition(browser: Any, server: Server, clip: Path, size: str) -> None:
    from ls3d.models.downloads import downloaded_weights

    problems = Problems()
    page = open_page(browser, server, problems, SIZES[size])
    page.get_by_role("tab", name="Recognize").click()
    page.set_input_files("#file", clip)
    if downloaded_weights("i3d_inception") is None:
        page.wait_for_selector(".error:has-text('ls3d weights get i3d_inception')")
        return
    page.wait_for_selector(".found:not([hidden])")
    assert len(page.locator(".top.whole li").all()) == 5
    assert page.locator(".timeline button").count() == 1
    page.locator(".timeline button").click()
    assert fits(page)
    assert problems == []
    page.close()


@pytest.mark.slow
def test_cancel_and_the_token(browser: Any, tmp_path: Path) -> None:
    (tmp_path / "temporary").mkdir()
    server = start_server(tmp_path / "temporary", "--token", "s3cret")
    problems = Problems()
    try:
        assert server.address.endswith("?token=s3cret")
        server.address = server.address.partition("?")[0]
        page = browser.new_page()
        page.goto(server.address)
        page.fill("input[name=token]", "s3cret")
        page.click("button")
        page.wait_for_selector("#drop")
        problems.watch(page, server.address)
        page.set_input_files("#file", Clip(250, size=(96, 128)).write(tmp_path / "long.mp4"))
        page.wait_for_selector(".state:has-text('Frame')", timeout=PATIENCE)
        page.click("[data-do=cancel]")
        page.wait_for_function("document.querySelector('.work').hidden")
        page.wait_for_timeout(1000)
        assert not server.files()
        assert problems == []
        page.close()
    finally:
        stop_server(server)

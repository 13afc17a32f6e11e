"""The page in a real browser: it fits a phone, it is quiet, and it asks for nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.report import Findings, write
from tests.report import sample

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.mark.skipif(BROWSER is None, reason="no chromium here: apt-get install chromium")
@pytest.mark.parametrize(("findings", "drawings"), [(sample.news, 4), (sample.cascade, 5)])
def test_the_page_fits_phone_and_desk_and_asks_for_nothing(
    tmp_path: Path, findings: Callable[[], Findings], drawings: int
) -> None:
    from playwright.sync_api import sync_playwright

    html, _ = write(findings(), tmp_path)
    with sync_playwright() as p, p.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"]) as browser:
        for width in (360, 768, 1280):
            with browser.new_context(viewport={"width": width, "height": 800}) as context:
                asked: list[str] = []
                said: list[str] = []
                tab = context.new_page()
                tab.on("request", lambda r, asked=asked: asked.append(r.url))
                tab.on("console", lambda m, said=said: said.append(m.text))
                tab.goto(html.as_uri())
                assert tab.evaluate("document.documentElement.scrollWidth") == width
                # one of the two drawings of each chart is shown, never both
                assert tab.locator(".wide svg:visible, .narrow svg:visible").count() == drawings
                assert asked == [html.as_uri()]
                assert said == []

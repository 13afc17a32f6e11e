"""A real browser for the tests, and the page served to it from a thread that can be stopped and started again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from playwright.sync_api import Browser, ConsoleMessage, Dialog, Page, expect, sync_playwright

from agent.review.app import create_app
from agent.web import bound, quiet
from tests.review.scenes import Scene

expect.set_options(timeout=20_000)  # a busy machine takes its time; what is there is seen at once
CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's chromium; the test is skipped where it is not installed."""
    if not CHROMIUM.exists():
        pytest.skip(f"no browser at {CHROMIUM}: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


class Served:
    """A server of one scene's page for one person."""

    def __init__(self, made: Scene, person: str = "ada") -> None:
        self.made = made
        self.person = person
        self.port = 0
        self.start()

    def start(self) -> None:
        self.sock = bound("127.0.0.1", self.port)
        self.sock.listen(128)  # before the browser asks
        self.port = self.sock.getsockname()[1]
        self.server = uvicorn.Server(quiet(create_app(*self.made.parts, self.person)))
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.sock]}, daemon=True)
        self.thread.start()

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(timeout=20)
        self.sock.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"


class Reviewer:
    """A person at the page: presses keys and reads what is there. Remembers what the browser complained of."""

    def __init__(self, page: Page, served: Served) -> None:
        self.page = page
        self.served = served
        self.made = served.made
        self.errors: list[str] = []
        self.asked: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", self._hear)
        page.on("dialog", self._refuse)
        page.on("request", lambda request: self.asked.append(request.url))
        page.goto(served.url)
        expect(page.locator("#left")).not_to_have_text("–")

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(message.text)

    def _refuse(self, dialog: Dialog) -> None:
        self.errors.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def type(self, text: str) -> None:
        self.page.keyboard.type(text)

    def sees(self, selector: str, text: Any) -> None:
        expect(self.page.locator(selector)).to_contain_text(text)

    def reads(self, number: int) -> None:
        """The item on the screen is the article with this number."""
        self.sees("#text", f"Article number {number}:")

    def left(self, count: int) -> None:
        expect(self.page.locator("#left")).to_have_text(str(count))

    def has_given(self, labels: dict[str, Any]) -> None:
        """The store holds just these labels; waits for what is on its way."""
        self.until(lambda: self.made.given() == labels)
        assert self.made.given() == labels

    def until(self, holds: Callable[[], bool]) -> None:
        """Wait for what the page has sent to be stored; what is not there in half a minute the caller sees."""
        deadline = time.monotonic() + 30
        while not holds() and time.monotonic() < deadline:
            self.page.wait_for_timeout(20)

    @property
    def focused(self) -> str:
        return str(self.page.evaluate("document.activeElement.id || document.activeElement.tagName"))

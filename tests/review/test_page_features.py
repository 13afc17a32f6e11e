"""In a real browser: flags, what was done before, the filter, and the guideline's words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.review.browsers import PHONE, chromium
from tests.review.scenes import news
from tests.review.test_review_browser import Open, review

__all__ = ["review"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


# Flags --------------------------------------------------------------------------------------------------------------


def test_a_text_is_flagged_with_a_note_by_keyboard_and_undo_brings_it_back(review: Open, tmp_path: Path) -> None:
    made = news(tmp_path, 3)
    start = made.state()
    ada = review(made)
    ada.reads(0)
    ada.press("x")
    assert ada.focused == "note"
    ada.type("1 or 2? s & u are <b>keys</b>")
    ada.press("Control+Enter")
    ada.reads(1)
    ada.sees("#last", "flagged")
    ada.sees("#skipped", "1")
    ada.press("u")
    ada.reads(0)
    ada.sees("#last", "Undone: flagged.")
    assert made.state() == start
    assert [r.note for r in made.store.reviews("news") if r.note] == ["1 or 2? s & u are <b>keys</b>"]


def test_an_empty_note_flags_nothing_and_escape_leaves_the_dialog(review: Open, tmp_path: Path) -> None:
    made = news(tmp_path, 2)
    ada = review(made)
    ada.press("x", "Space", "Control+Enter")
    expect(ada.page.locator("#flag-save")).to_be_disabled()
    ada.press("Escape")
    expect(ada.page.locator("#flagging")).to_be_hidden()
    ada.press("5")
    ada.reads(1)
    ada.has_given({"t000": "tech"})
    assert [r.action for r in made.store.reviews("news")] == ["label"]


def test_a_note_is_shown_as_text_when_the_flagged_text_comes_back(review: Open, tmp_path: Path) -> None:
    ada = review(news(tmp_path, 1), viewport=PHONE, has_touch=True)
    ada.page.locator("#flag").click()
    ada.page.locator("#note").fill("<img src=x onerror=alert(1)> \u202e two topics")
    ada.page.locator("#flag-save").click()
    ada.page.locator("#again").click()
    ada.sees("#flags", "ada flagged it: <img src=x onerror=alert(1)>")
    expect(ada.page.locator("#flags .hidden-mark")).to_have_text("RLO")

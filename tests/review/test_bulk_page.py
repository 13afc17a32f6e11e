"""In a real browser: all that a filter finds is accepted at once, after a check."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from agent.records import Source
from tests.review.browsers import DESKTOP, PHONE, Reviewer, chromium
from tests.review.scenes import Scene, Waiting, scene
from tests.review.test_bulk import lenient
from tests.review.test_review_browser import Open, review

__all__ = ["review"]
SIZE = 24


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


def mixed(folder: Path) -> Scene:
    """So many texts that the machine is sure are sport, and six that it takes for tech."""
    sport = [Waiting(f"Article number {n}: a match.", "sport", confidence=0.95) for n in range(SIZE)]
    tech = [Waiting(f"Article number {SIZE + n}: a phone.", "tech", confidence=0.4) for n in range(6)]
    return lenient(scene(folder, [*sport, *tech]))


def filter_sport(ada: Reviewer) -> None:
    ada.press("/", "Tab")
    ada.type("sport")
    ada.press("Tab", "Tab")
    ada.type("90")
    ada.press("Enter")
    ada.sees("#filtered", "suggested sport, 90 %–100 % sure")
    ada.sees("#filtered-count", f"{SIZE} match")


def in_check(ada: Reviewer) -> int:
    """Wait until what was drawn is before the person; how many are left."""
    ada.sees("#filtered", f"from {SIZE}: suggested sport")
    ada.sees("#filtered-count", re.compile(r"^[1-9]\d* left$"))
    expect(ada.page.locator("#bulk")).to_be_hidden()
    expect(ada.page.locator("#text")).not_to_have_text("")
    return int(ada.page.locator("#filtered-count").inner_text().split()[0])


def check_all(ada: Reviewer, wrong: int = 0) -> None:
    """Label what was drawn, the first so many otherwise than by the machine."""
    while not ada.page.locator("#bulk").is_visible():
        before = ada.page.locator("#text").text_content()
        ada.press("1" if wrong > 0 else "Enter")
        wrong -= 1
        ada.page.wait_for_timeout(20)
        expect(ada.page.locator("#text:visible, #bulk, #finished").first).to_be_visible()
        if ada.page.locator("#text").is_visible() and not ada.page.locator("#bulk").is_visible():
            expect(ada.page.locator("#text")).not_to_have_text(before or "")


@pytest.mark.parametrize("window", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_by_keyboard_alone_from_the_filter_to_undo(review: Open, tmp_path: Path, window: dict[str, int]) -> None:
    made = mixed(tmp_path)
    ada = review(made, viewport=window)
    filter_sport(ada)
    ada.press("a")
    ada.sees("#bulk", f"{SIZE} texts that match can be accepted as the machine labelled them.")
    ada.sees("#bulk", "fewer than 25 % of all are")
    assert ada.focused == "bulk-title"
    ada.press("Enter")
    drawn = in_check(ada)
    check_all(ada)
    ada.sees("#bulk", f"0 of {drawn} wrong: at most")
    ada.sees("#bulk-do", f"Accept the other {SIZE - drawn}")
    assert ada.page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    ada.press("Enter")
    ada.sees("#last", f"Accepted at once: {SIZE - drawn} texts")
    expect(ada.page.locator("#filtered")).to_be_hidden()
    ada.left(6)
    ada.sees("#text", "a phone")
    assert len(made.given()) == drawn
    assert sum(x.source is Source.ORACLE for x in made.store.current("news").values()) == SIZE - drawn + 6
    ada.press("b")
    ada.sees("#done-list", "accepted at once")
    ada.sees("#done-list", f"0 of {drawn} wrong")
    ada.press("Escape", "u")
    ada.sees("#last", f"{SIZE - drawn} texts that were accepted at once wait again")
    ada.left(SIZE - drawn + 6)
    assert len(made.waiting()) == SIZE - drawn + 6


def test_where_too_much_is_wrong_it_says_so_and_nothing_is_accepted(review: Open, tmp_path: Path) -> None:
    made = mixed(tmp_path)
    ada = review(made)
    filter_sport(ada)
    ada.page.locator("#accept-all").click()
    ada.page.locator("#bulk-do").click()
    in_check(ada)
    check_all(ada, wrong=99)
    ada.sees("#bulk-title", "The check is not passed")
    ada.sees("#bulk", "nothing is accepted")
    expect(ada.page.locator("#bulk-do")).to_be_hidden()
    ada.press("Escape")
    ada.sees("#finished", "Nothing more to check here")
    ada.press("c")
    expect(ada.page.locator("#filtered")).to_be_hidden()
    ada.sees("#text", "Article number")
    assert {r.action for r in made.store.reviews("news")} == {"label"}


def test_one_error_asks_for_more_and_a_check_goes_on_where_it_was_left(review: Open, tmp_path: Path) -> None:
    ada = review(mixed(tmp_path), viewport=PHONE, has_touch=True)
    filter_sport(ada)
    ada.press("a")
    ada.sees("#bulk-do", "Check")
    ada.press("Enter")
    drawn = in_check(ada)
    ada.press("1")
    ada.sees("#done", "1")
    ada.sees("#filtered-count", f"{drawn} left")
    ada.press("c")
    ada.left(SIZE + 6 - 1)
    ada.press("/", "Tab")
    ada.type("sport")
    ada.press("Tab", "Tab")
    ada.type("90")
    ada.press("Enter")
    ada.sees("#filtered-count", f"{SIZE - 1} match")
    ada.press("a")
    ada.sees("#bulk", "You began to check this")
    ada.press("Enter")
    in_check(ada)
    check_all(ada)
    ada.sees("#bulk-title", "Not sure yet")
    ada.sees("#bulk", "1 of")
    ada.press("Enter")
    in_check(ada)
    check_all(ada)
    ada.sees("#bulk-title", "The check is passed")


def test_without_a_filter_and_with_nothing_that_fits_nothing_can_be_accepted(review: Open, tmp_path: Path) -> None:
    made = scene(
        tmp_path, [Waiting("Article number 0: blind", "sport", blind=True), Waiting("Article number 1: none")]
    )
    ada = review(made, expects_errors=True)
    ada.press("a")
    expect(ada.page.locator("#bulk")).to_be_hidden()
    ada.press("/")
    ada.type("number")
    ada.press("Enter")
    ada.sees("#filtered-count", "2 match")
    ada.press("a")
    ada.sees("#bulk-problem", "Nothing that matches can be accepted at once")
    expect(ada.page.locator("#bulk-do")).to_be_hidden()


def test_every_control_of_it_has_a_name(review: Open, tmp_path: Path) -> None:
    ada = review(mixed(tmp_path))
    filter_sport(ada)
    expect(ada.page.get_by_role("button", name="Accept all")).to_have_attribute("aria-keyshortcuts", "a")
    ada.press("a")
    dialog = ada.page.get_by_role("dialog", name="Accept all that match")
    expect(dialog.get_by_role("button", name="Check")).to_be_enabled()
    expect(dialog.get_by_role("button", name="Close")).to_be_visible()
    expect(dialog.get_by_role("status")).to_contain_text("First check")

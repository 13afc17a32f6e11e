"""In a real browser, by keyboard alone, on a desktop and on a phone: fifty texts, and what two people disagree on."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from agent.records import TextId
from agent.review.desk import Desk
from tests.review.browsers import DESKTOP, PHONE, chromium
from tests.review.scenes import SECTIONS, Scene, news
from tests.review.test_review_browser import Open, review

__all__ = ["review"]
WINDOWS = pytest.mark.parametrize("window", [DESKTOP, PHONE], ids=["desktop", "phone"])
NAMES = list(SECTIONS)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@WINDOWS
def test_fifty_texts_with_skips_undos_a_filter_and_one_seen_again(
    review: Open, tmp_path: Path, window: dict[str, int]
) -> None:
    made = news(tmp_path, 54)
    ada, rng, given = review(made, viewport=window), random.Random(5), dict[str, str]()
    for number in range(50):
        ada.reads(number)
        if number % 10 == 3:  # the wrong key, and once more
            ada.press("1")
            ada.reads(number + 1)
            ada.press("u")
            ada.reads(number)
        if number % 16 == 7:
            ada.press("s")
            continue
        key = rng.randrange(5)
        ada.press("Enter" if NAMES[key] == "sport" else str(key + 1))
        given[f"t{number:03d}"] = NAMES[key]
    ada.reads(50)
    ada.press("/")
    ada.type("number 53")
    ada.press("Enter")
    ada.reads(53)
    ada.press("2", "c")
    given["t053"] = "entertainment"
    ada.reads(50)
    for number in (50, 51):
        ada.reads(number)
        ada.press("5")
        given[f"t{number:03d}"] = "tech"
    ada.reads(52)
    ada.press("b")
    ada.sees("#done-list", "Article number 51")
    ada.press("Enter")
    ada.reads(51)
    ada.sees("#reason", "You gave it tech before")
    ada.press("3")
    given["t051"] = "politics"
    ada.reads(52)
    ada.has_given(given)
    assert len(given) == 50
    ada.sees("#done", "50")
    ada.sees("#skipped", "3")
    expect(ada.page.locator("#standing")).to_contain_text("as the machine")
    assert ada.page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")


@WINDOWS
def test_a_lead_decides_what_two_people_disagree_on(review: Open, tmp_path: Path, window: dict[str, int]) -> None:
    made = news(tmp_path, 4)
    people = made.job.people.model_copy(update={"votes": 2})
    made = Scene(made.store, made.job.model_copy(update={"people": people}), made.task)
    made.store.set_votes("news", 2)
    for name, value in (("bob", "politics"), ("eve", "tech")):
        Desk(*made.parts, name).label(TextId("t002"), value, 1)
    ada = review(made, viewport=window)  # one person alone leads
    ada.reads(2)
    ada.sees("#badge", "Disagreement")
    ada.sees("#reason", "bob: politics; eve: tech")
    expect(ada.page.locator("#said")).to_have_text("Your label")
    expect(ada.page.locator("#accept")).to_be_hidden()
    ada.press("Enter", "3")
    ada.reads(0)
    ada.has_given({"t002": "politics"})
    assert made.store.waiting("news", TextId("t002")) is None
    (decided,) = [r for r in made.store.reviews("news") if r.action == "decide"]
    assert (decided.person, decided.text_id) == ("ada", "t002")
    ada.press("u")
    ada.reads(2)
    ada.sees("#badge", "Disagreement")
    ada.sees(".label.before", "politics")
    ada.press("s")
    ada.reads(0)
    ada.sees("#skipped", "1")

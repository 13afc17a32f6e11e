"""A number on a scale, given on the review page by keyboard, by hand and on a phone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.review.browsers import DESKTOP, PHONE, Reviewer, Served, chromium
from tests.review.scenes import Scene, Waiting, scene

FIVE = {"scale": {"low": 1, "high": 5, "step": 1}, "labels": {"1": "not urgent at all", "5": "lives depend on it"}}
HUNDRED = {"scale": {"low": 0, "high": 100, "step": 5}, "labels": {}}
SMOOTH = {"scale": {"low": -1, "high": 1}, "labels": {}}
Open = Callable[..., Reviewer]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture
def review(browser: Browser, tmp_path: Path) -> Iterator[Open]:
    opened: list[Reviewer] = []
    contexts = []

    def open_page(task: dict[str, Any], *waiting: Waiting, **options: Any) -> Reviewer:
        made: Scene = scene(tmp_path, waiting, kind="regression", **task)
        contexts.append(browser.new_context(**({"viewport": DESKTOP} | options)))
        opened.append(Reviewer(contexts[-1].new_page(), Served(made)))
        opened[-1].page.set_default_timeout(10_000)
        return opened[-1]

    yield open_page
    for reviewer in opened:
        assert reviewer.errors == []
    for context in contexts:
        context.close()


def stands(reviewer: Reviewer, number: str) -> None:
    expect(reviewer.page.locator("#number")).to_have_value(number)


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE])
def test_digits_put_a_grade_and_enter_saves_it(review: Open, viewport: Any) -> None:
    texts = [Waiting("The roof came down.", 4.0), Waiting("Please send a form.", 2.0), Waiting("Help.", 3.0)]
    ada = review(FIVE, *texts, viewport=viewport)
    stands(ada, "4")
    ada.sees("#accept-words", "Accept 4")
    ada.press("Enter")
    ada.left(2)
    ada.press("7", "5")
    stands(ada, "5")
    ada.sees("#accept-words", "Save 5")
    ada.sees("#meanings .on", "lives depend on it")
    assert ada.page.locator("#slider").input_value() == "5"
    ada.press("1", "Enter")
    ada.left(1)
    ada.press("ArrowRight", "ArrowRight", "ArrowRight", "ArrowLeft", "Enter")
    ada.has_given({"t000": 4.0, "t001": 1.0, "t002": 4.0})


def test_a_blind_text_begins_without_a_number_and_enter_asks_for_one(review: Open) -> None:
    ada = review(FIVE, Waiting("Help.", 3.0, blind=True))
    stands(ada, "")
    ada.sees("#accept-words", "Save")
    assert ada.page.locator("#grades .suggested, #grades .on").count() == 0
    ada.press("Enter")
    ada.sees("#problem", "Choose a number from 1 to 5 first.")
    ada.press("2")
    expect(ada.page.locator("#problem")).to_be_hidden()
    ada.press("Enter")
    ada.has_given({"t000": 2.0})


def test_undo_brings_the_number_back(review: Open) -> None:
    ada = review(FIVE, Waiting("Help.", 3.0), Waiting("Thanks.", 1.0))
    ada.press("5", "Enter")
    ada.left(1)
    ada.press("u")
    ada.sees("#text", "Help.")
    stands(ada, "5")
    ada.press("4", "Enter", "Enter")
    ada.has_given({"t000": 4.0, "t001": 1.0})


def test_of_a_wide_scale_a_number_is_typed_and_snapped(review: Open) -> None:
    ada = review(HUNDRED, Waiting("One.", 50.0), Waiting("Two.", 50.0), Waiting("Three.", 50.0))
    ada.press("8")
    assert ada.focused == "number"
    ada.press("7", "Enter")
    ada.left(2)
    ada.press("9", "9", "9", "Enter")
    ada.sees("#problem", "A number from 0 to 100 is needed.")
    ada.press("Escape", "ArrowRight", "Enter")
    ada.left(1)
    ada.press("s")
    ada.has_given({"t000": 85.0, "t001": 0.0})


def test_a_scale_without_a_step_takes_any_number(review: Open) -> None:
    ada = review(SMOOTH, Waiting("One.", 0.25), Waiting("Two.", 0.5))
    stands(ada, "0.25")
    ada.press("-")
    ada.type("0.125")
    ada.press("Enter")
    ada.left(1)
    ada.page.locator("#slider").focus()
    ada.press("Home", "Enter")
    ada.has_given({"t000": -0.125, "t001": -1.0})


def test_on_a_phone_a_grade_is_tapped(review: Open) -> None:
    ada = review(FIVE, Waiting("The roof came down on the stairs. " * 40, 4.0), viewport=PHONE, has_touch=True)
    grade = ada.page.locator("#grades .grade", has_text="2")
    box = grade.bounding_box()
    assert box is not None
    assert box["height"] >= 44
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= PHONE["width"]
    assert box["y"] + box["height"] <= PHONE["height"], "it is in reach"
    grade.tap()
    ada.page.locator("#accept").tap()
    ada.has_given({"t000": 2.0})
    assert ada.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]

"""The answer to a question, selected in its context on the review page, by keyboard and by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from agent.pairing import join
from tests.review.browsers import DESKTOP, PHONE, Reviewer, Served, chromium
from tests.review.scenes import Scene, Waiting, scene
from tests.review.test_spans_page import drag, marked, painted

CONTEXTS = (
    "\U0001f600 Ada Lovelace met Charles Babbage in London, where the engine stood.",
    "Nobody was there.",
    "The \x00\x00engine of Élodie\u202e stands in São Paulo ␞ today",
)
LONG = f"{'It rained all day. ' * 400} In the end Grace Hopper came to Turin."
QUESTIONS = ("Who met Ada Lovelace?", "Who was there?", "Where is the engine of Élodie?")
SAID = ((2, 14, "Ada Lovelace"),)


def made_in(folder: Path, *, no_answer: bool = True, context: str = CONTEXTS[0]) -> Scene:
    items = [
        Waiting(join(QUESTIONS[0], context), SAID if context == CONTEXTS[0] else None, "s0"),
        Waiting(join(QUESTIONS[1], CONTEXTS[1]), () if no_answer else None, "s1"),
        Waiting(join(QUESTIONS[2], CONTEXTS[2]), None, "s2", blind=True),
    ]
    return scene(folder, items, kind="extractive_qa", no_answer=no_answer)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture
def no_answer() -> bool:
    return True


@pytest.fixture
def context() -> str:
    return CONTEXTS[0]


@pytest.fixture
def ada(browser: Browser, tmp_path: Path, no_answer: bool, context: str) -> Iterator[Reviewer]:
    window = browser.new_context(viewport=DESKTOP)
    reviewer = Reviewer(window.new_page(), Served(made_in(tmp_path, no_answer=no_answer, context=context)))
    reviewer.page.set_default_timeout(10_000)
    yield reviewer
    assert reviewer.errors == []
    window.close()


def at(quote: str, context: str) -> tuple[tuple[int, int, str], ...]:
    start = context.index(quote)
    return ((start, start + len(quote), quote),)


def test_the_question_stands_above_and_what_the_machine_says_is_taken_by_enter(ada: Reviewer) -> None:
    ada.sees("#said", "Ada Lovelace")
    assert ada.page.locator(".part-name").all_inner_texts() == ["question", "context"]
    assert marked(ada.page) == ["Ada Lovelace answer ×"]
    assert painted(ada.page, "span-0") == ["Ada Lovelace"], "in the context, and not in the question"
    ada.press("Enter")
    ada.sees("#text", "Nobody was there")
    ada.sees("#said", "no answer")
    ada.press("Enter")  # the machine said it too
    ada.has_given({"s0": SAID, "s1": ()})


def test_by_keyboard_alone_from_the_answer_on_and_back_again(ada: Reviewer) -> None:
    ada.press("ArrowRight", "ArrowRight")
    assert marked(ada.page) == ["Charles answer ×"], "what is selected is the answer, and there is one at most"
    ada.press("Shift+ArrowRight")
    assert painted(ada.page, "span-0") == ["Charles Babbage"]
    ada.press("Enter")
    ada.sees("#last", "Charles Babbage")
    ada.has_given({"s0": at("Charles Babbage", CONTEXTS[0])})
    ada.press("u")
    ada.sees("#text", "Ada Lovelace")
    assert marked(ada.page) == ["Charles Babbage answer ×"], "what was given is here again"
    ada.press("Shift+ArrowRight", "Backspace")
    ada.sees("#no-spans", "Nothing is selected")


def test_by_hand_whole_words_of_the_context_are_taken_and_of_the_question_none(ada: Reviewer) -> None:
    drag(ada.page, "Who met")
    assert marked(ada.page) == ["Ada Lovelace answer ×"]
    drag(ada.page, "Charles Babbage")
    drag(ada.page, "London")
    assert marked(ada.page) == ["London answer ×"]
    ada.page.locator("#accept").click()
    ada.has_given({"s0": at("London", CONTEXTS[0])})


def test_one_key_or_one_click_says_that_there_is_no_answer_and_undo_takes_it_back(ada: Reviewer) -> None:
    ada.press("n")
    ada.sees("#last", "no answer")
    ada.has_given({"s0": ()})
    ada.press("u")
    ada.sees("#text", "Ada Lovelace")
    ada.has_given({})
    ada.page.locator("#none").click()
    ada.has_given({"s0": ()})


def test_without_an_answer_enter_asks_first(ada: Reviewer) -> None:
    ada.press("Enter", "Enter")
    ada.sees("#badge", "Blind")
    ada.press("Enter")
    ada.sees("#accept", "Really none? Save")
    drag(ada.page, "São Paulo")
    ada.press("Enter")
    ada.sees("#finished", "Nothing left to review")
    ada.has_given({"s0": SAID, "s1": (), "s2": at("São Paulo", CONTEXTS[2])})


@pytest.mark.parametrize("no_answer", [False])
def test_where_every_question_has_an_answer_one_has_to_be_selected(ada: Reviewer) -> None:
    expect(ada.page.locator("#none")).to_have_count(0)
    ada.press("Backspace", "Enter", "Enter")
    ada.sees("#problem", "Select the answer first")
    ada.press("n")
    ada.sees("#problem", "Every question of this job has an answer")
    ada.has_given({})


@pytest.mark.parametrize("context", [LONG])
def test_an_answer_in_what_was_folded_away_is_found_where_it_stands(ada: Reviewer) -> None:
    ada.press("f")
    ada.sees("#text", "Grace Hopper")
    ada.page.locator(".part-text").last.evaluate("(e) => e.scrollIntoView({ block: 'end' })")
    drag(ada.page, QUESTIONS[0][4:11])
    ada.page.evaluate(
        """() => {
          const node = [...document.querySelectorAll(".part-text")].at(-1).lastChild;
          const at = node.data.indexOf("Grace Hopper");
          document.getSelection().setBaseAndExtent(node, at, node, at + 12);
        }"""
    )
    expect(ada.page.locator("#spans .span")).to_have_count(1)
    ada.press("Enter")
    ada.has_given({"s0": at("Grace Hopper", LONG)})


@pytest.mark.parametrize(("size", "scheme"), [(DESKTOP, "light"), (DESKTOP, "dark"), (PHONE, "light")])
def test_it_fits_the_screen(browser: Browser, tmp_path: Path, size: dict[str, int], scheme: Any) -> None:
    window = browser.new_context(viewport=size, color_scheme=scheme)
    reviewer = Reviewer(window.new_page(), Served(made_in(tmp_path)))
    expect(reviewer.page.locator("#spans .span")).to_have_count(1)
    reviewer.press("ArrowRight")
    assert reviewer.page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    reviewer.page.screenshot(path=tmp_path / "answer.png")
    window.close()

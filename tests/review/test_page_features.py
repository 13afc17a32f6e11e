"""In a real browser: flags, what was done before, the filter, and the guideline's words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from agent.records import TextId
from agent.review.desk import Desk
from tests.review.browsers import PHONE, chromium
from tests.review.scenes import Waiting, news, scene
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


# What was done before -----------------------------------------------------------------------------------------------


def test_any_item_is_shown_again_with_what_was_given_and_labelled_anew(review: Open, tmp_path: Path) -> None:
    made = news(tmp_path, 6)
    ada = review(made)
    ada.press("5", "2", "1")
    ada.reads(3)
    ada.press("b")
    expect(ada.page.locator("#done-list .opening")).to_have_text(
        [f"Article number {n}: the match was sold." for n in (2, 1, 0)]
    )
    ada.press("Tab", "Tab", "Tab", "Tab", "Enter")  # the third: each has a button that takes it back
    ada.reads(0)
    ada.sees(".label.before", "tech")
    ada.sees("#reason", "You gave it tech before")
    ada.press("3")
    ada.reads(3)
    ada.has_given({"t000": "politics", "t001": "entertainment", "t002": "business"})
    ada.left(3)
    ada.sees("#done", "3")
    ada.press("u")
    ada.has_given({"t000": "tech", "t001": "entertainment", "t002": "business"})
    ada.reads(3)


def test_what_is_shown_again_may_stay_as_it_was(review: Open, tmp_path: Path) -> None:
    ada = review(news(tmp_path, 3))
    ada.press("5")
    ada.reads(1)
    ada.press("b")
    ada.sees("#done-list", "tech")
    ada.press("Enter")
    ada.reads(0)
    ada.sees("#skip", "Keep as it was")
    expect(ada.page.locator("#flag")).to_be_hidden()
    ada.press("x", "s")
    ada.reads(1)
    ada.sees("#skip", "Skip")
    ada.has_given({"t000": "tech"})
    ada.left(2)


def test_one_act_of_several_is_taken_back_and_its_text_comes_next(review: Open, tmp_path: Path) -> None:
    ada = review(news(tmp_path, 5))
    ada.press("5", "2", "s")
    ada.reads(3)
    ada.page.locator("#open-done").click()
    ada.page.get_by_role("button", name="Take back tech").click()
    expect(ada.page.locator("#done-list li")).to_have_count(2)
    ada.has_given({"t001": "entertainment"})
    ada.press("Escape")
    ada.reads(0)
    ada.press("1")
    ada.reads(3)
    ada.has_given({"t000": "business", "t001": "entertainment"})


def test_older_acts_come_when_asked_for_on_a_phone(review: Open, tmp_path: Path) -> None:
    made = news(tmp_path, 60)
    ada = Desk(*made.parts, "ada", lead=True)
    for n in range(55):
        ada.label(TextId(f"t{n:03d}"), "tech", 1)
    page = review(made, viewport=PHONE).page
    page.locator("#open-done").click()
    expect(page.locator("#done-list li")).to_have_count(50)
    page.locator("#done-more").click()
    expect(page.locator("#done-list li")).to_have_count(55)
    expect(page.locator("#done-more")).to_be_hidden()
    assert page.evaluate("document.scrollingElement.scrollWidth <= 390")


def test_where_nothing_was_done_the_panel_says_so(review: Open, tmp_path: Path) -> None:
    ada = review(news(tmp_path, 1))
    ada.press("b")
    ada.sees("#done-nothing", "Nothing yet")
    ada.press("b", "5")
    ada.has_given({"t000": "tech"})
    ada.press("b")
    ada.sees("#done-list", "Article number 0")


# The filter ---------------------------------------------------------------------------------------------------------


def test_the_page_says_what_filter_is_on_and_how_many_match_and_a_key_clears_it(review: Open, tmp_path: Path) -> None:
    ada = review(news(tmp_path, 30))
    ada.reads(0)
    ada.press("/")
    assert ada.focused == "find-words"
    ada.type("NUMBER 2")
    ada.press("Enter")
    ada.reads(2)
    ada.sees("#filtered", "NUMBER 2")
    ada.sees("#filtered-count", "11 match")
    ada.press("5")
    ada.reads(20)
    ada.press("c")
    ada.reads(0)
    expect(ada.page.locator("#filtered")).to_be_hidden()
    ada.has_given({"t002": "tech"})


def test_what_a_filter_leaves_out_is_let_go_to_others(review: Open, tmp_path: Path) -> None:
    made = news(tmp_path, 6)
    ada = review(made)
    bob = Desk(*made.parts, "bob")
    assert bob.items(50, again=False) == []
    ada.press("/")
    ada.type("number 3")
    ada.press("Enter")
    ada.reads(3)
    ada.sees("#filtered-count", "1 match")
    assert [item["id"] for item in bob.items(50, again=False)] == ["t000", "t001", "t002", "t004", "t005"]
    ada.press("c")
    expect(ada.page.locator("#filtered")).to_be_hidden()
    ada.reads(3)


def test_a_filter_that_nothing_fits_says_so_and_is_left_by_a_key(review: Open, tmp_path: Path) -> None:
    ada = review(news(tmp_path, 3))
    ada.press("/")
    ada.type("<b>nowhere</b>")
    ada.press("Enter")
    ada.sees("#finished", "Nothing more matches")
    ada.sees("#filtered-words q", "<b>nowhere</b>")
    ada.sees("#filtered-count", "0 match")
    ada.press("c")
    ada.reads(0)


def test_the_filter_by_hand_on_a_phone(review: Open, tmp_path: Path) -> None:
    items = [Waiting(f"Article number {n}: a text.", ["sport", "tech"][n % 2], confidence=n / 10) for n in range(8)]
    ada = review(scene(tmp_path, items), viewport=PHONE, has_touch=True)
    page = ada.page
    page.locator("#open-find").tap()
    page.get_by_label("The machine suggests").select_option("tech")
    page.get_by_label("from %").fill("40")
    page.get_by_label("to %").fill("200")
    page.locator("#find").tap()
    ada.sees("#find-problem", "From 0 to 100 %")
    page.get_by_label("to %").fill("60")
    page.locator("#find").tap()
    ada.reads(5)
    ada.sees("#filtered", "suggested tech, 40 %–60 % sure")
    ada.sees("#filtered-count", "1 match")
    assert page.evaluate("document.scrollingElement.scrollWidth <= 390")
    page.locator("#open-find").tap()
    expect(page.get_by_label("from %")).to_have_value("40")
    page.locator("#find-clear").tap()
    ada.reads(0)


def test_where_a_slash_filters_labels_another_key_filters_texts(review: Open, tmp_path: Path) -> None:
    names = {f"label {n:02d}": "" for n in range(30)}
    ada = review(scene(tmp_path, [Waiting("One.", "label 01"), Waiting("Two.", "label 02")], labels=names))
    ada.press("/")
    assert ada.focused == "filter"
    ada.press("Escape", "F")
    ada.type("two")
    ada.press("Enter")
    ada.sees("#text", "Two.")


# The guideline's words ----------------------------------------------------------------------------------------------

RULES = "Use `match` for **games of two**, and `c++` or **.net** for tech. `a|b` and `(` are no patterns."
MARKED = """() => [...(CSS.highlights.get("guideline") ?? [])].map((range) => range.toString())"""


def test_the_guidelines_words_are_marked_in_the_text_until_a_key_turns_it_off(review: Open, tmp_path: Path) -> None:
    text = "A MATCH, a rematch, games  of\ntwo; C++, .NET, a b (<b>match</b>"
    ada = review(scene(tmp_path, [Waiting(text), Waiting("nothing of it"), Waiting("a match")], guidelines=RULES))
    assert ada.page.evaluate(MARKED) == ["MATCH", "games  of\ntwo", "C++", ".NET", "(", "match"]
    assert ada.page.locator("#text").text_content() == text, "nothing is put into it"
    ada.press("5")
    ada.sees("#text", "nothing")
    assert ada.page.evaluate(MARKED) == []
    ada.press("5")
    ada.sees("#text", "a match")
    assert ada.page.evaluate(MARKED) == ["match"]
    ada.press("h")
    assert ada.page.evaluate(MARKED) == []
    ada.press("h")
    assert ada.page.evaluate(MARKED) == ["match"]


def test_without_guidelines_nothing_is_marked(review: Open, tmp_path: Path) -> None:
    ada = review(news(tmp_path, 1))
    ada.press("h")
    assert ada.page.evaluate(MARKED) == []

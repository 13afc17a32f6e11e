"""Pieces of a text, marked on the review page by keyboard and by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.review.browsers import DESKTOP, PHONE, Reviewer, Served, chromium
from tests.review.scenes import Scene, Waiting, scene

LABELS = {"person": "a human being", "place": "where something is", "thing": "what is made"}
TEXTS = (
    "\U0001f600 Ada Lovelace met Charles Babbage in London.",
    "Nobody was there.",
    "The \x00\x00engine of Élodie\u202e stands in São Paulo",
)
SAID = ((2, 14, "person", "Ada Lovelace"), (19, 34, "place", "Charles Babbage"))


def made_in(folder: Path) -> Scene:
    items = [Waiting(TEXTS[0], SAID, "s0"), Waiting(TEXTS[1], (), "s1"), Waiting(TEXTS[2], None, "s2", blind=True)]
    return scene(folder, items, kind="spans", labels=LABELS)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture
def ada(browser: Browser, tmp_path: Path) -> Iterator[Reviewer]:
    context = browser.new_context(viewport=DESKTOP)
    reviewer = Reviewer(context.new_page(), Served(made_in(tmp_path)))
    reviewer.page.set_default_timeout(10_000)
    yield reviewer
    assert reviewer.errors == []
    context.close()


def marked(page: Page) -> list[str]:
    return [row.inner_text().replace("\n", " ") for row in page.locator("#spans .span").all()]


def painted(page: Page, name: str) -> list[str]:
    """What is painted in the text, by the name of its paint."""
    return list(page.evaluate("(name) => [...(CSS.highlights.get(name) ?? [])].map(String)", name))


def drag(page: Page, words: str) -> None:
    """Select the words with the mouse, not quite to their ends."""
    box = page.evaluate(
        """(words) => {
          const nodes = document.createTreeWalker(document.getElementById("text"), NodeFilter.SHOW_TEXT);
          for (let node = nodes.nextNode(); node; node = nodes.nextNode()) {
            const at = node.data.indexOf(words);
            if (at < 0) continue;
            const range = document.createRange();
            range.setStart(node, at + 1);
            range.setEnd(node, at + words.length - 1);
            const {left, right, top, height} = range.getBoundingClientRect();
            return [left, right, top + height / 2];
          }
        }""",
        words,
    )
    page.mouse.move(box[0], box[2])
    page.mouse.down()
    page.mouse.move(box[1], box[2], steps=4)
    page.mouse.up()


def test_what_the_machine_marked_is_shown_and_taken_by_enter(ada: Reviewer) -> None:
    ada.sees("#said", "Ada Lovelace (person), Charles Babbage (place)")
    assert marked(ada.page) == ["Ada Lovelace person ×", "Charles Babbage place ×"]
    assert painted(ada.page, "span-0") == ["Ada Lovelace"]
    assert painted(ada.page, "span-1") == ["Charles Babbage"]
    ada.press("Enter")
    ada.sees("#text", "Nobody was there")
    ada.press("Enter")  # that there is nothing is what the machine said too
    ada.has_given({"s0": SAID, "s1": ()})


def test_by_keyboard_alone(ada: Reviewer) -> None:
    for _ in range(4):
        ada.press("ArrowRight")  # the smile, Ada, Lovelace, met
    assert painted(ada.page, "span-cursor") == ["met"]
    ada.press("ArrowRight", "Shift+ArrowRight")
    assert painted(ada.page, "span-cursor") == ["Charles Babbage"]
    ada.press("1")
    assert marked(ada.page) == ["Ada Lovelace person ×", "Charles Babbage person ×"]
    ada.press("ArrowLeft", "ArrowLeft", "2")  # the stop, then London
    assert marked(ada.page)[2] == "London place ×"
    ada.press("ArrowRight", "ArrowRight", "Backspace")  # Ada has no label any more
    ada.press("Enter")
    ada.sees("#last", "Charles Babbage (person), London (place)")
    ada.has_given({"s0": ((19, 34, "person", "Charles Babbage"), (38, 44, "place", "London"))})
    ada.press("u")
    ada.sees("#text", "Ada Lovelace")
    assert marked(ada.page) == ["Charles Babbage person ×", "London place ×"], "what was given is here again"


def test_by_hand_whole_words_are_taken_and_what_overlaps_makes_room(ada: Reviewer) -> None:
    drag(ada.page, "Lovelace met")
    ada.page.locator(".label[data-name=thing]").click()
    assert marked(ada.page) == ["Lovelace met thing ×", "Charles Babbage place ×"]
    ada.page.locator(".span", has_text="Charles").click()
    assert marked(ada.page) == ["Lovelace met thing ×"]
    ada.page.locator("#accept").click()
    ada.has_given({"s0": ((6, 18, "thing", "Lovelace met"),)})


def test_nothing_to_mark_is_asked_about_where_the_machine_did_not_say_so(ada: Reviewer) -> None:
    ada.press("Enter", "Enter")
    ada.sees("#badge", "Blind")
    ada.sees("#no-spans", "Nothing is marked")
    ada.press("1")
    ada.sees("#problem", "Select a piece of the text first")
    ada.press("Enter")
    ada.sees("#accept", "Really none? Save")
    ada.press("Enter")
    ada.sees("#finished", "Nothing left to review")
    ada.has_given({"s0": SAID, "s1": (), "s2": ()})


def test_hidden_characters_and_accents_are_counted_as_the_text_has_them(ada: Reviewer) -> None:
    ada.press("Enter", "Enter")
    ada.sees("#text", "engine")
    drag(ada.page, "Élodie")
    ada.press("1")
    drag(ada.page, "São Paulo")
    ada.press("2")
    ada.press("Enter")
    text = TEXTS[2]
    spans = [(text.index(q), text.index(q) + len(q), n, q) for q, n in (("Élodie", "person"), ("São Paulo", "place"))]
    ada.has_given({"s0": SAID, "s1": (), "s2": tuple(spans)})


@pytest.mark.parametrize(("size", "scheme"), [(DESKTOP, "light"), (DESKTOP, "dark"), (PHONE, "light")])
def test_it_fits_the_screen(browser: Browser, tmp_path: Path, size: dict[str, int], scheme: Any) -> None:
    context = browser.new_context(viewport=size, color_scheme=scheme)
    reviewer = Reviewer(context.new_page(), Served(made_in(tmp_path)))
    expect(reviewer.page.locator("#spans .span")).to_have_count(2)
    reviewer.press("ArrowRight")
    width = reviewer.page.evaluate("document.documentElement.scrollWidth")
    assert width <= size["width"]
    reviewer.page.screenshot(path=tmp_path / "spans.png")
    context.close()

"""Texts on the review page: kept, mended or written anew, by keyboard and by hand; what they hold does nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.review.browsers import DESKTOP, PHONE, Reviewer, Served, chromium
from tests.review.scenes import Scene, Waiting, scene

TEXTS = ("The cat sat on the mat.", "It rains.", "Nobody was there.", "The engine stands still.")
SAID = "Die Katze saß auf der Matte."
HOSTILE = "<img src=x onerror=alert(1)> \u202eneslaf\r\nzwei\x00 </textarea><script>alert(2)</script>"


def made_in(folder: Path) -> Scene:
    items = [
        Waiting(TEXTS[0], SAID, "w0"),
        Waiting(TEXTS[1], HOSTILE, "w1"),
        Waiting(TEXTS[2], "Niemand war da.", "w2", blind=True),
        Waiting(TEXTS[3], None, "w3"),
    ]
    return scene(folder, items, kind="generation", labels={}, guidelines="Translate into German.\n\nKeep names.")


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


def box(ada: Reviewer) -> str:
    return ada.page.locator("#entry").input_value()


def test_what_the_machine_wrote_is_kept_with_a_key_or_mended_with_control_enter(ada: Reviewer) -> None:
    ada.sees("#text", TEXTS[0])
    ada.sees("#said", "wrote this")
    assert box(ada) == SAID
    ada.sees("#accept", "Keep as it is")
    ada.press("k")
    ada.sees("#text", TEXTS[1])
    ada.has_given({"w0": SAID})
    ada.press("u")
    ada.sees("#text", TEXTS[0])
    ada.press("e", "Control+a")
    ada.type("Eine Katze saß da.")
    ada.sees("#kept", "changed by you")
    ada.sees("#accept", "Save")
    ada.press("Control+Enter")
    ada.sees("#text", TEXTS[1])
    ada.sees("#last", "Eine Katze saß da.")
    ada.has_given({"w0": "Eine Katze saß da."})
    ada.press("u")
    ada.sees("#text", TEXTS[0])
    assert box(ada) == "Eine Katze saß da.", "what was given is here again"
    ada.press("e", "End")
    ada.type("!")
    ada.press("Escape", "k")
    ada.has_given({"w0": SAID})


def test_a_blind_box_is_empty_and_nothing_empty_is_saved(ada: Reviewer) -> None:
    ada.press("k", "s")
    ada.sees("#badge", "Blind")
    assert box(ada) == ""
    ada.press("k")
    ada.sees("#problem", "write your own")
    ada.press("Enter")
    ada.sees("#problem", "Nothing is written yet")
    ada.press("e")
    ada.type("Keiner war dort.")
    ada.press("Control+Enter")
    ada.sees("#text", TEXTS[3])
    ada.sees("#said", "The machine gave no answer")
    ada.press("e")
    ada.type("Der Motor steht\n still.")
    ada.page.locator("#accept").click()
    ada.has_given({"w0": SAID, "w2": "Keiner war dort.", "w3": "Der Motor steht\n still."})


def test_hostile_text_is_text_and_stays_as_it_was_where_nobody_touches_it(ada: Reviewer) -> None:
    ada.press("k")
    ada.sees("#text", TEXTS[1])
    expect(ada.page.locator("#hidden-words .hidden-mark")).to_have_count(2)
    assert ada.page.locator("#answer img, #answer script").count() == 0
    ada.sees("#accept", "Keep as it is")
    ada.press("Enter")
    ada.sees("#badge", "Blind")
    ada.has_given({"w0": SAID, "w1": HOSTILE})
    ada.press("b")
    ada.sees("#done-list", "<img src=x")
    assert ada.page.locator("#done-list img").count() == 0


@pytest.mark.parametrize(("size", "scheme"), [(DESKTOP, "light"), (DESKTOP, "dark"), (PHONE, "light")])
def test_it_fits_the_screen(browser: Browser, tmp_path: Path, size: dict[str, int], scheme: Any) -> None:
    context = browser.new_context(viewport=size, color_scheme=scheme)
    reviewer = Reviewer(context.new_page(), Served(made_in(tmp_path)))
    expect(reviewer.page.locator("#entry")).to_have_value(SAID)
    width = reviewer.page.evaluate("document.documentElement.scrollWidth")
    assert width <= size["width"]
    bottom = reviewer.page.locator("#accept").bounding_box()
    assert bottom is not None
    assert bottom["y"] + bottom["height"] <= size["height"], "the way to save is in sight"
    reviewer.page.screenshot(path=tmp_path / "writing.png")
    context.close()

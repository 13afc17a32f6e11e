"""Hostile texts in a real browser: nothing of theirs runs, nothing breaks the page, and each is labelled by a key."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, expect

from tests.review.browsers import DESKTOP, PHONE, Reviewer, Served, chromium
from tests.review.hostile_scenes import TEN, all_texts
from tests.review.scenes import Scene

Open = Callable[..., Reviewer]
SIZES: dict[str, dict[str, Any]] = {
    "desktop": {"viewport": DESKTOP},
    "phone": {"viewport": PHONE, "has_touch": True, "is_mobile": True},
}

LISTEN = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => {
  window.violations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`);
});
"""

# Everything about the page that a text could have broken, in one go. A text on the screen is what its characters say,
# and a mark in place of characters that nobody can see says which and how many; JSON, since it may hold half a pair.
LOOK = """() => {
  const said = (node) => {
    if (node === null) return "";
    if (node.nodeType === 3) return node.data;
    if (!node.classList?.contains("hidden-mark")) return [...node.childNodes].map(said).join("");
    const code = parseInt(/U\\+([0-9A-F]+)$/.exec(node.title)[1], 16);
    return String.fromCodePoint(code).repeat(Number(/×(\\d+)$/.exec(node.textContent)?.[1] ?? 1));
  };
  const words = (selector) => said(document.querySelector(selector));
  const wide = document.documentElement.clientWidth;
  const broken = [];
  if (document.documentElement.scrollWidth > wide) broken.push(`${document.documentElement.scrollWidth} px wide`);
  for (const control of document.querySelectorAll("#accept:not([hidden]), #skip, #undo, #help, .label")) {
    const box = control.getBoundingClientRect();
    const name = control.id;
    if (!control.checkVisibility({ opacityProperty: true, visibilityProperty: true })) broken.push(`${name} unseen`);
    if (box.left < 0 || box.right > wide) broken.push(`${name} from ${box.left} to ${box.right} px`);
    if (control.matches(".label")) continue; // they scroll in a box of their own
    if (box.top < 0 || box.bottom > innerHeight) broken.push(`${name} from ${box.top} to ${box.bottom} px down`);
    const hit = document.elementFromPoint((box.left + box.right) / 2, (box.top + box.bottom) / 2);
    if (!control.contains(hit)) broken.push(`${name} is covered by ${hit?.outerHTML.slice(0, 200)}`);
  }
  const labels = document.querySelector("#labels")?.getBoundingClientRect();
  if (labels && labels.height < 40) broken.push(`labels are ${labels.height} px high`);
  const strange = "script:not([src]):not(#settings), style, iframe, object, embed, base, form:not([method]), " +
    "img:not(.mark), svg, math, template, meta:not([name]):not([charset]), link:not([href^='/static/'])";
  for (const found of document.querySelectorAll(strange)) broken.push(found.outerHTML.slice(0, 200));
  const strings = document.createTreeWalker(document.querySelector("#desk"), NodeFilter.SHOW_TEXT);
  while (strings.nextNode()) {
    if (/[\u0000-\u0008\u202d\u202e]/.test(strings.currentNode.data)) broken.push(`raw: ${strings.currentNode.data}`);
  }
  if (document.compatMode !== "CSS1Compat") broken.push(document.compatMode);
  return JSON.stringify({
    text: words("#text"),
    reason: words("#reason"),
    picked: words("#picked"),
    by: words("#said .by"),
    accept: words("#accept-words"),
    suggested: words(".label.suggested .name"),
    about: words(".label.suggested .about"),
    chances: [...document.querySelectorAll(".chance")].map(said),
    last: words("#last"),
    left: words("#left"),
    ran: window.ran ?? null,
    polluted: ({}).ran ?? null,
    violations: window.violations,
    broken,
  });
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture
def review(browser: Browser) -> Iterator[Open]:
    """Opens a scene's page; at the end nothing of a text may have run, failed or asked for anything elsewhere."""
    opened: list[tuple[Reviewer, BrowserContext]] = []

    def open_page(made: Scene, person: str = "ada", size: str = "desktop") -> Reviewer:
        context = browser.new_context(**SIZES[size])
        context.add_init_script(LISTEN)
        reviewer = Reviewer(context.new_page(), Served(made, person))
        reviewer.page.set_default_timeout(10_000)
        opened.append((reviewer, context))
        return reviewer

    yield open_page
    for reviewer, context in opened:
        calm(reviewer)
        context.close()
        reviewer.served.stop()


def look(ada: Reviewer) -> dict[str, Any]:
    return json.loads(ada.page.evaluate(LOOK))  # type: ignore[no-any-return]


def calm(ada: Reviewer) -> dict[str, Any]:
    """What is on the page, of which nothing ran and nothing is broken."""
    seen = look(ada)
    assert not seen["broken"], "\n".join(seen["broken"])
    assert (seen["ran"], seen["polluted"], seen["violations"]) == (None, None, [])
    assert ada.errors == []
    assert [url for url in ada.asked if not url.startswith(ada.served.url)] == []
    assert ada.page.url == ada.served.url
    assert len(ada.page.context.pages) == 1
    return seen


def shown(ada: Reviewer, text: str) -> dict[str, Any]:
    """What is on the page once this text is."""
    for _ in range(200):
        seen = look(ada)
        if seen["text"] == text:
            return calm(ada)
        ada.page.wait_for_timeout(20)
    raise AssertionError(f"{seen['text'][:200]!a} is shown, not {text[:200]!a}")


def seen_of(text: str) -> str:
    """What the page shows of a text: beyond some five hundred hidden characters, only that there are more."""
    hidden = r"([\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202d\u202e])\1*"
    ends = [found.end() for found in re.finditer(hidden, text)]
    if len(ends) <= 501:
        return text
    return text[: ends[500]] + re.sub(hidden, "\ufffd", text[ends[500] :])


def unfold(ada: Reviewer) -> None:
    """To the last character."""
    button = ada.page.locator("#unfold")
    while button.is_visible() and button.inner_text() != "Show less":
        before = button.inner_text()
        ada.press("f")
        expect(button).not_to_have_text(before)


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
def test_every_hostile_text_is_shown_as_it_is_and_labelled_by_a_key(review: Open, tmp_path: Path, size: str) -> None:
    made = all_texts(tmp_path)
    ada = review(made, size=size)
    items = {str(row.text_id): row for row in made.store.queue("news")}
    given = {}
    for number, (text_id, row) in enumerate(items.items()):
        seen = shown(ada, seen_of(row.text[:6000]))
        suggestion = row.suggestion
        assert suggestion is not None
        assert seen["suggested"] == suggestion.value
        assert seen["accept"] == f"Accept {suggestion.value}"
        assert seen["by"] == suggestion.by
        assert seen["about"] == made.job.task.labels[suggestion.value]
        assert seen["chances"] == ["50 %"]
        if len(row.text) > 6000 and len(row.text) < 100_000:
            unfold(ada)
            assert shown(ada, row.text)["text"] == row.text
        key = number % 11
        ada.press("Enter" if key == 10 else "1234567890"[key])
        given[text_id] = suggestion.value if key == 10 else TEN[key]
    ada.sees("#finished", "Nothing left")
    ada.has_given(given)

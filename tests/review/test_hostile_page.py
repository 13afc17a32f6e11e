"""Hostile texts in a real browser: nothing of theirs runs, nothing breaks the page, and each is labelled by a key."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, expect

from agent.records import TextId
from agent.review.desk import Desk
from tests.review.browsers import DESKTOP, PHONE, Reviewer, Served, chromium
from tests.review.hostile_scenes import TEN, all_texts, as_labels, guided
from tests.review.hostile_texts import FAMILIES, HOSTILE
from tests.review.scenes import Scene, Waiting, scene

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
  const over = document.querySelector(".empty") !== null; // nothing is left: the labels are gone
  const controls = over ? "#help, #finished-undo" : "#help, #accept:not([hidden]), #skip, #undo, .label";
  for (const control of document.querySelectorAll(controls)) {
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
  if (labels && labels.height < 40 && !over) broken.push(`labels are ${labels.height} px high`);
  const strange = "script:not([src]):not(#settings), style, iframe, object, embed, base, form:not([method]), " +
    "img:not(.mark), svg, math, template, meta:not([name]):not([charset]), link:not([href^='/static/'])";
  for (const found of document.querySelectorAll(strange)) broken.push(found.outerHTML.slice(0, 200));
  const strings = document.createTreeWalker(document.querySelector("#desk"), NodeFilter.SHOW_TEXT);
  while (strings.nextNode()) {
    if (strings.currentNode.parentNode.closest(".prose")) continue; // the job's own words
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
    assert [error for error in ada.errors if "409 (Conflict)" not in error] == []  # what another person was first at
    assert [url for url in ada.asked if not url.startswith(ada.served.url)] == []
    assert ada.page.url == ada.served.url
    assert len(ada.page.context.pages) == 1
    return seen


def shown(ada: Reviewer, text: str, **more: str) -> dict[str, Any]:
    """What is on the page once this text is, and whatever else is asked for."""
    wanted = {"text": text} | more
    for _ in range(300):
        seen = look(ada)
        if all(seen[name] == words for name, words in wanted.items()):
            return calm(ada)
        ada.page.wait_for_timeout(20)
    raise AssertionError("\n".join(f"{name}: {seen[name][:200]!a}, not {wanted[name][:200]!a}" for name in wanted))


def seen_of(text: str) -> str:
    """What the page shows of a text: beyond some five hundred hidden characters, only that there are more."""
    hidden = r"([\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202d\u202e])\1*"
    ends = [found.end() for found in re.finditer(hidden, text)]
    if len(ends) <= 501:
        return text
    return text[: ends[500]] + re.sub(hidden, "\ufffd", text[ends[500] :])


def unfold(ada: Reviewer, steps: int = 9) -> None:
    """To the last character, or as many steps towards it."""
    button = ada.page.locator("#unfold")
    for _ in range(steps):
        before = button.inner_text() if button.is_visible() else "Show less"
        if before == "Show less":
            return
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


def test_a_megabyte_in_one_line_unfolds_step_by_step(review: Open, tmp_path: Path) -> None:
    line = max(FAMILIES["long"], key=len)
    ada = review(scene(tmp_path, [Waiting(line, "sport"), Waiting("next", "sport")]))
    shown(ada, line[:6000])
    unfold(ada, steps=5)
    shown(ada, line[:106_000])
    ada.press("5")
    shown(ada, "next")
    ada.has_given({"t000": "tech"})


@pytest.mark.slow
@pytest.mark.parametrize("several", [False, True])
def test_every_hostile_name_of_a_label_is_shown_and_given_by_a_key(
    review: Open, tmp_path: Path, several: bool
) -> None:
    made = as_labels(tmp_path, several=several)
    ada = review(made, size="phone" if several else "desktop")
    given: dict[str, Any] = {}
    for number, name in enumerate(made.task.names):
        seen = shown(ada, f"Text number {number}.")
        assert seen["suggested"] == seen["about"] == name
        assert seen["chances"] == ["50 %"]
        assert seen["accept"] == ("Save 1 label" if several else f"Accept {name}")
        key = "Enter" if several or number % 2 else "1"  # the likeliest of many stands first
        ada.press(key)
        given[f"Text number {number}."] = (name,) if several else name
    ada.sees("#finished", "Nothing left")
    ada.has_given(given)
    for number in reversed(range(len(given) - 5, len(given))):
        ada.press("u")
        shown(ada, f"Text number {number}.", last=f"Undone: {made.task.names[number]}.")


def test_hostile_names_are_found_by_typing_them(review: Open, tmp_path: Path) -> None:
    names = [*TEN, *FAMILIES["words of the language"][:12]]
    items = [Waiting(f"Text number {number}.") for number in range(len(names))]
    made = scene(tmp_path, items, labels=list(dict.fromkeys(names)))
    ada = review(made)
    for number, name in enumerate(made.task.names):
        shown(ada, f"Text number {number}.")
        ada.page.locator("#filter").fill(name)
        places = [option.get_attribute("data-name") for option in ada.page.get_by_role("option").all()]
        calm(ada)
        for _ in range(places.index(ada.page.evaluate("(name) => name", name))):
            ada.press("ArrowDown")
        ada.press("Enter")
    shown(ada, f"Text number {number + 1}.")
    ada.has_given({f"t{number:03d}": name for number, name in enumerate(made.task.names)})


def test_hostile_guidelines_a_person_and_a_job_leave_the_page_as_it_is(review: Open, tmp_path: Path) -> None:
    made = scene(tmp_path, [Waiting("A text.", "sport"), Waiting("next", "sport")])
    whole = "\n\n".join(text for text in HOSTILE if text.strip() and not re.search("[\ud800-\udfff]", text))
    made = Scene(made.store, guided(made.job, whole[:200_000]), made.task)
    for size in SIZES:
        ada = review(made, person="</bdi>" + '<img src=x onerror="window.ran=1">' + FAMILIES["long"][0], size=size)
        shown(ada, "A text.")
        expect(ada.page.locator(".person bdi")).to_contain_text("</bdi><img src=x")
        ada.press("g", "g", "?")
        expect(ada.page.get_by_role("dialog", name="Keys")).to_be_visible()
        assert ada.page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        ada.press("Escape")
        calm(ada)
    ada.press("5")
    shown(ada, "next")
    ada.has_given({"t000": "tech"})


PEOPLE = (FAMILIES["handlers"][0], FAMILIES["marks"][4], FAMILIES["long"][0])


@pytest.mark.parametrize(("person", "size"), list(zip(PEOPLE, ["desktop", "phone", "phone"], strict=True)))
def test_a_hostile_name_of_a_person_fits_beside_the_jobs(
    review: Open, tmp_path: Path, person: str, size: str
) -> None:
    ada = review(scene(tmp_path, [Waiting("A text.", "sport")]), person=person, size=size)
    shown(ada, "A text.")
    assert ada.page.locator(".person bdi").evaluate("(e) => e.textContent") == person


@pytest.mark.parametrize("size", SIZES)
def test_what_others_did_meanwhile_is_said_in_hostile_words_and_runs_nothing(
    review: Open, tmp_path: Path, size: str
) -> None:
    texts = [FAMILIES[name][0] for name in ("script", "directions", "controls", "marks")]
    texts += [FAMILIES["marks"][5], FAMILIES["emoji"][6], FAMILIES["long"][0]]
    made = scene(tmp_path, [Waiting(text, TEN[1]) for text in [*texts, "the last"]], labels=list(TEN))
    ada = review(made, size=size)
    shown(ada, texts[0])
    for number, text in enumerate(texts):
        Desk(*made.parts, text).label(TextId(f"t{number:03d}"), TEN[number], 1)
    for text in texts:
        shown(ada, text)
        ada.press("0")
    shown(ada, "the last")
    expect(ada.page.locator("#notices li")).to_have_count(len(texts))
    calm(ada)
    for _ in texts:
        ada.page.get_by_role("button", name="Dismiss").first.click()
    ada.press("1")
    ada.sees("#finished", "Nothing left")


def test_a_hostile_answer_of_another_kind_of_task_stays_in_its_field(review: Open, tmp_path: Path) -> None:
    texts = [text for family in FAMILIES.values() for text in family[:2]]
    items = [Waiting(text, [text[:40]], f"s{number}") for number, text in enumerate(texts)]
    made = scene(tmp_path, items, kind="tests.review.scenes:Spans", labels={})
    ada = review(made)
    for text in texts:
        shown(ada, text[:6000])
        assert json.loads(ada.page.locator("#entry").input_value()) == [text[:40]]
        ada.press("Control+Enter")
    ada.sees("#finished", "Nothing left")
    ada.has_given({f"s{number}": [text[:40]] for number, text in enumerate(texts)})

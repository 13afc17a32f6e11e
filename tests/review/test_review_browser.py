"""The review page in a real browser, by keyboard, by hand and on a phone."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from agent.records import TextId
from agent.review.desk import Desk
from tests.review.browsers import DESKTOP, PHONE, Reviewer, Served, chromium
from tests.review.scenes import Scene, Waiting, news, pairs, scene, spans, timed

Open = Callable[..., Reviewer]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture
def review(browser: Browser) -> Iterator[Open]:
    """Opens a scene's page; at the end no script may have failed and nothing may have left the machine."""
    opened: list[Reviewer] = []
    contexts = []

    def open_page(made: Scene, *, expects_errors: bool = False, **options: Any) -> Reviewer:
        contexts.append(browser.new_context(**({"viewport": DESKTOP} | options)))
        reviewer = Reviewer(contexts[-1].new_page(), Served(made))
        if not expects_errors:
            opened.append(reviewer)
        reviewer.page.set_default_timeout(10_000)
        return reviewer

    yield open_page
    for reviewer in opened:
        assert reviewer.errors == []
        assert all(url.startswith(reviewer.served.url) for url in reviewer.asked)
    for context in contexts:
        for page in context.pages:
            page.close(run_before_unload=False)
        context.close()


def labels(size: int) -> list[str]:
    words = ["card", "transfer", "top up", "exchange", "refund", "pin", "fee", "cash"]
    return [f"{words[n % 8]} {['pending', 'declined', 'limit', 'lost'][n // 8 % 4]} {n:02d}" for n in range(size)]


# Two texts --------------------------------------------------------------------------------------------------------


def test_a_pair_is_two_blocks_under_the_names_of_its_columns(review: Open, tmp_path: Path) -> None:
    hostile = "An animal moves. <img src=x onerror='window.ran = 1'>\u202e <b>bold</b>"
    made = pairs(tmp_path, ("Two dogs run.", hostile), ("It rains.", "It is wet."), ("a " * 9000, "b " * 4000))
    ada = review(made)
    blocks = ada.page.locator("#text .part")
    expect(blocks).to_have_count(2)
    expect(blocks.nth(0).locator(".part-name")).to_have_text("premise")
    expect(blocks.nth(0).locator(".part-text")).to_have_text("Two dogs run.")
    expect(blocks.nth(1).locator(".part-name")).to_have_text("hypothesis")
    expect(blocks.nth(1).locator(".part-text")).to_contain_text("<img src=x onerror='window.ran = 1'>")
    expect(blocks.nth(1).locator(".hidden-mark")).to_have_text("RLO")
    assert ada.page.locator("#text img, #text b").count() == 0
    assert ada.page.evaluate("window.ran") is None
    above, below = (blocks.nth(i).bounding_box() for i in (0, 1))
    assert above is not None
    assert below is not None
    assert above["y"] + above["height"] <= below["y"], "one below the other"
    ada.press("1")
    ada.sees("#text", "It is wet.")
    ada.sees("#last", "Two dogs run.")
    ada.press("Enter")
    ada.has_given({"t000": "entailment", "t001": "neutral"})
    # both of a long pair are cut, and unfold to their ends
    expect(blocks.nth(1).locator(".part-text")).to_contain_text("b b b")
    expect(ada.page.locator("#unfold")).to_contain_text("all 26,000")
    ada.press("f")
    expect(ada.page.locator("#unfold")).to_have_text("Show less")
    lengths = [len(blocks.nth(i).locator(".part-text").text_content() or "") for i in (0, 1)]
    assert lengths == [18_000, 8_000]
    ada.press("u", "u")
    expect(blocks.nth(0).locator(".part-text")).to_have_text("Two dogs run.")


# One label --------------------------------------------------------------------------------------------------------


def test_several_texts_are_labelled_by_keyboard_alone(review: Open, tmp_path: Path) -> None:
    ada = review(news(tmp_path, 12))
    ada.reads(0)
    for number, key in enumerate("2513"):
        ada.reads(number)
        ada.press(key)
    ada.press("Enter")  # accepts the suggestion
    ada.reads(5)
    ada.has_given({"t000": "entertainment", "t001": "tech", "t002": "business", "t003": "politics", "t004": "sport"})
    ada.left(7)
    ada.sees("#done", "5")
    ada.sees("#pace", "left")


def test_keys_pressed_faster_than_the_server_answers_all_count(review: Open, tmp_path: Path) -> None:
    ada = review(news(tmp_path, 40))
    ada.reads(0)
    ada.page.evaluate(
        """() => {
          const key = {key: "5", bubbles: true};
          for (let n = 0; n < 4; n++) document.body.dispatchEvent(new KeyboardEvent("keydown", key));
        }"""
    )
    ada.has_given({f"t{n:03d}": "tech" for n in range(4)})
    for number in range(4, 40):
        ada.reads(number)
        ada.press("5")
    ada.sees("#finished", "Nothing left to review")
    ada.has_given({f"t{n:03d}": "tech" for n in range(40)})


def test_a_key_that_is_held_down_labels_one_text(review: Open, tmp_path: Path) -> None:
    ada = review(news(tmp_path, 4))
    ada.reads(0)
    for _ in range(5):
        ada.page.keyboard.down("2")  # after the first one these are repeats
    ada.page.keyboard.up("2")
    ada.reads(1)
    ada.has_given({"t000": "entertainment"})


def test_undo_goes_back_step_by_step_and_over_a_reload(review: Open, tmp_path: Path) -> None:
    made = news(tmp_path, 6)
    start = made.state()
    ada = review(made)
    ada.press("2", "s", "5")
    ada.reads(3)
    ada.press("u")
    ada.reads(2)
    ada.sees(".label.before", "tech")
    ada.sees("#last", "Undone: tech.")
    ada.has_given({"t000": "entertainment"})
    ada.sees("#skipped", "1")  # as the server counts: nothing is on its way any more
    ada.page.reload()
    ada.reads(2)
    ada.press("Control+z")
    ada.reads(1)
    ada.sees("#last", "Undone: skipped.")
    ada.press("u")
    ada.reads(0)
    ada.press("u")
    ada.sees("#last", "Nothing to undo.")
    assert made.state() == start


def test_quick_undos_take_back_exactly_as_many_steps(review: Open, tmp_path: Path) -> None:
    ada = review(news(tmp_path, 8))
    ada.press("1", "2", "3", "4", "u", "u", "u")
    ada.reads(1)
    ada.has_given({"t000": "business"})
    ada.press("5")
    ada.has_given({"t000": "business", "t001": "tech"})


@pytest.mark.parametrize("seed", range(6))
def test_any_quick_run_of_keys_ends_as_if_pressed_slowly(review: Open, tmp_path: Path, seed: int) -> None:
    names = {"1": "business", "2": "entertainment", "Enter": "sport"}
    keys = random.Random(seed).choices(["1", "2", "Enter", "s", "u"], [3, 3, 2, 2, 4], k=24)
    ahead = [f"t{n:03d}" for n in range(8)]
    acts: list[tuple[str, str]] = []
    for key in keys:
        if key == "u":
            ahead[:0] = [acts.pop()[0]] if acts else []
        elif ahead:
            acts.append((ahead.pop(0), key))
    ada = review(news(tmp_path, 8))
    ada.reads(0)
    ada.press(*keys)
    ada.left(len(ahead))
    ada.has_given({text_id: names[key] for text_id, key in acts if key != "s"})
    if ahead:
        ada.reads(int(ahead[0][1:]))


def test_skipped_texts_come_back_at_the_end(review: Open, tmp_path: Path) -> None:
    ada = review(news(tmp_path, 3))
    ada.press("s", "1", "s")
    ada.sees("#finished", "2 skipped texts are still open")
    ada.press("r")
    ada.reads(0)
    ada.press("2")
    ada.reads(2)
    ada.press("s")
    ada.sees("#finished", "1 skipped text is still open")
    ada.has_given({"t000": "entertainment", "t001": "business"})


def test_new_texts_of_a_running_job_appear_by_themselves(review: Open, tmp_path: Path) -> None:
    made = news(tmp_path, 1)
    ada = review(made)
    ada.press("1")
    ada.sees("#finished", "Nothing left to review")
    Desk(*made.parts, "ada").undo(made.store.reviews("news")[0].id)  # as another window would
    ada.reads(0)


def test_a_person_with_a_mouse_gets_along_too(review: Open, tmp_path: Path) -> None:
    ada = review(news(tmp_path, 5))
    ada.page.get_by_role("button", name="politics").click()
    ada.reads(1)
    ada.page.get_by_role("button", name="Accept sport").click()
    ada.reads(2)
    ada.page.get_by_role("button", name="Undo").click()
    ada.reads(1)
    ada.page.get_by_role("button", name="Skip").click()
    ada.reads(2)
    ada.has_given({"t000": "politics"})


def test_every_control_is_reached_and_worked_with_tab_arrows_and_enter(review: Open, tmp_path: Path) -> None:
    ada = review(news(tmp_path, 3, guidelines="Mind the gap."))
    ada.press("ArrowDown", "ArrowDown", "ArrowDown")
    assert ada.focused == "label-2"
    outline = ada.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    ada.press("Enter")
    ada.reads(1)
    ada.has_given({"t000": "politics"})
    seen = []
    for _ in range(12):
        ada.press("Tab")
        seen.append(ada.focused)
    in_order = ["label-0", "label-1", "label-2", "label-3", "label-4", "accept", "skip", "undo"]
    assert [name for name in seen if name in in_order][:8] == in_order


def test_help_opens_with_a_question_mark_and_takes_no_labels(review: Open, tmp_path: Path) -> None:
    ada = review(news(tmp_path, 2))
    ada.press("?")
    expect(ada.page.get_by_role("dialog", name="Keys")).to_be_visible()
    ada.press("2", "s", "u")
    ada.press("Escape")
    expect(ada.page.get_by_role("dialog")).to_have_count(0)
    ada.reads(0)
    ada.has_given({})


def test_why_it_is_here_and_what_the_machine_said_are_shown(review: Open, tmp_path: Path) -> None:
    ada = review(news(tmp_path, 2, guidelines="The **main** topic."))
    ada.sees("#reason", "Confidence 0.50 is below 0.80.")
    ada.sees("#said", "local/small says sport")
    ada.sees(".label.suggested", "55 %")
    ada.sees(".guide", "The main topic.")
    ada.press("g")
    expect(ada.page.locator(".guide .prose")).to_be_hidden()


def test_an_empty_queue_says_so(review: Open, tmp_path: Path) -> None:
    ada = review(scene(tmp_path, []))
    ada.sees("#finished", "Nothing waits for review")


def test_a_long_text_is_folded_and_unfolds_to_the_last_character(review: Open, tmp_path: Path) -> None:
    text = "\n".join(f"line {n}" for n in range(3000)) + " the end"
    ada = review(scene(tmp_path, [Waiting(text, "sport"), Waiting("short", "sport")]))
    expect(ada.page.locator("#accept")).to_be_in_viewport()
    assert ada.page.locator("#text").bounding_box()["height"] < 600  # type: ignore[index]
    ada.press("f")
    ada.sees("#unfold", "Show more")
    ada.press("f")
    ada.sees("#text", "line 2999 the end")
    ada.press("f")
    ada.sees("#unfold", f"Show more of {len(text):,} characters")
    ada.press("1")
    ada.sees("#text", "short")
    expect(ada.page.locator("#unfold")).to_be_hidden()


# Blind ------------------------------------------------------------------------------------------------------------


def test_a_blind_item_shows_no_suggestion_and_enter_accepts_nothing(review: Open, tmp_path: Path) -> None:
    item = Waiting("A text.", "politics", probabilities={"politics": 0.9, "tech": 0.1}, blind=True)
    bodies: list[str] = []
    made = scene(tmp_path, [item])
    ada = review(made)
    ada.page.on("response", lambda reply: bodies.append(reply.text() if "/api/" in reply.url else ""))
    ada.page.reload()
    ada.sees("#badge", "Blind")
    expect(ada.page.locator(".suggested, .chance, .bar, #accept:visible")).to_have_count(0)
    ada.press("Enter")
    ada.sees("#text", "A text.")
    ada.press("5")
    ada.has_given({"t000": "tech"})
    assert any("A text." in body for body in bodies)
    assert not any("politics" in body or "0.9" in body for body in bodies)
    assert made.store.reviews("news")[-1].blind


# Many labels ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [77, 150])
def test_one_of_many_labels_is_found_by_typing(review: Open, tmp_path: Path, size: int) -> None:
    names = labels(size)
    items = [Waiting(f"Question {n}", names[3], blind=n == 1) for n in range(4)]
    ada = review(scene(tmp_path, items, labels=names))
    ada.press("/")
    ada.type("refu lost")
    expect(ada.page.get_by_role("option").first).to_contain_text("refund lost 28")
    ada.press("ArrowDown")
    active = ada.page.locator("#filter").get_attribute("aria-activedescendant")
    chosen = ada.page.locator(f"#{active} .name").inner_text()
    ada.press("Enter")
    ada.sees("#text", "Question 1")
    ada.has_given({"t000": chosen})
    ada.type("zzz")
    ada.sees("#nothing", "No label matches")
    ada.press("Enter")
    ada.sees("#text", "Question 1")
    ada.press("Escape")
    expect(ada.page.get_by_role("option")).to_have_count(size)
    ada.press("Escape", "s")
    ada.sees("#text", "Question 2")
    ada.press("2")
    ada.sees("#text", "Question 3")
    ada.has_given({"t000": chosen, "t002": names[1]})


def test_the_likeliest_of_many_labels_stand_first_unless_blind(review: Open, tmp_path: Path) -> None:
    names = labels(77)
    likely = {names[70]: 0.5, names[40]: 0.3, names[5]: 0.2}
    items = [Waiting("a", names[70], probabilities=likely, blind=blind) for blind in (False, True)]
    ada = review(scene(tmp_path, items, labels=names))
    first = [ada.page.locator(f"#label-{n} .name").inner_text() for n in range(4)]
    assert first == [names[70], names[40], names[5], names[0]]
    ada.press("2")
    expect(ada.page.locator("#label-0 .name")).to_have_text(names[0])
    ada.has_given({"t000": names[40]})


def heads(reviewer: Reviewer) -> list[str]:
    return [head.strip() for head in reviewer.page.locator("#labels .group").all_inner_texts()]


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE])
def test_labels_that_are_paths_stand_below_their_groups(review: Open, tmp_path: Path, viewport: Any) -> None:
    names = {"sport/football": "kicked", "news": "", "sport/tennis": "", "art/film": ""}
    made = scene(tmp_path, [Waiting("It was two to one.", "news"), Waiting("Game, set, match.", None)], labels=names)
    reviewer = review(made, viewport=viewport)
    assert heads(reviewer) == ["sport", "", "art"]
    assert reviewer.page.locator("#labels .label .name").all_inner_texts() == ["football", "tennis", "news", "film"]
    reviewer.sees("#said", "news")
    reviewer.press("2")
    reviewer.left(1)
    reviewer.sees("#last", "sport/tennis")
    reviewer.page.get_by_role("button", name="sport/football").click()
    reviewer.has_given({"t000": "sport/tennis", "t001": "sport/football"})


def test_many_paths_are_found_by_typing_and_stand_in_groups_else(review: Open, tmp_path: Path) -> None:
    names = [f"area {n % 3}/topic {n:02d}" for n in range(15)]
    odds = {"area 1/topic 04": 0.6, "area 2/topic 05": 0.3}
    made = scene(tmp_path, [Waiting("What is it?", "area 1/topic 04", "", odds)], labels=names)
    reviewer = review(made)
    assert heads(reviewer) == ["area 0", "area 1", "area 2"]
    first = reviewer.page.locator("#labels > *").first
    expect(first).to_contain_text("area 1/topic 04")
    reviewer.press("/")
    reviewer.type("area 2 topic 11")
    assert heads(reviewer) == []
    reviewer.press("ArrowDown", "Enter")
    reviewer.has_given({"t000": "area 2/topic 11"})


def test_undo_of_a_label_found_by_typing_needs_no_other_field(review: Open, tmp_path: Path) -> None:
    ada = review(scene(tmp_path, [Waiting("first"), Waiting("second")], labels=labels(20)))
    ada.press("/")
    ada.type("pin")
    ada.press("Enter")
    ada.sees("#text", "second")
    assert ada.focused == "filter"
    ada.press("Control+z")
    ada.sees("#text", "first")
    ada.has_given({})


# Several labels ---------------------------------------------------------------------------------------------------


def test_several_labels_are_put_on_and_off_and_saved_with_enter(review: Open, tmp_path: Path) -> None:
    items = [Waiting(f"Article {n}", ("sport", "tech"), blind=n == 1) for n in range(4)]
    ada = review(scene(tmp_path, items, kind="multilabel"))
    ada.press("5", "1")  # the suggestion is on: tech goes off, business on
    ada.sees("#accept", "Save 2 labels")
    ada.press("Enter")
    ada.sees("#text", "Article 1")
    expect(ada.page.locator(".on")).to_have_count(0)  # blind: nothing is on
    ada.press("Enter")
    ada.sees("#accept", "Really none?")
    ada.press("Enter")
    ada.sees("#text", "Article 2")
    ada.has_given({"t000": ("business", "sport"), "t001": ()})
    ada.press("u", "u")
    ada.sees("#text", "Article 0")
    expect(ada.page.locator(".on .name")).to_have_text(["business", "sport"])
    ada.press("3", "Enter")
    ada.has_given({"t000": ("business", "politics", "sport")})


def test_several_of_many_labels_are_picked_from_the_filter(review: Open, tmp_path: Path) -> None:
    names = labels(40)
    ada = review(scene(tmp_path, [Waiting("a"), Waiting("b")], kind="multilabel", labels=names))
    ada.press("/")
    for number in (20, 9):
        ada.type(names[number])
        ada.press("Enter")
    ada.press("Enter")
    ada.sees("#text", "b")
    ada.has_given({"t000": (names[9], names[20])})


# Other kinds of task ----------------------------------------------------------------------------------------------


def test_a_json_label_is_checked_by_the_task_and_kept_until_it_is_right(review: Open, tmp_path: Path) -> None:
    ada = review(spans(tmp_path), expects_errors=True)  # the browser reports the refused request
    expect(ada.page.locator("#entry")).to_have_value('["Ada", "London"]')
    ada.press("e")
    ada.page.locator("#entry").fill('["Paris"]')
    ada.press("Control+Enter")
    ada.sees("#problem", "'Paris' is not in the text")
    expect(ada.page.locator("#entry")).to_have_value('["Paris"]')
    ada.page.locator("#entry").fill('["Grace"]')
    ada.press("Control+Enter")
    ada.sees("#text", "Nobody was there.")
    ada.press("Enter")
    ada.sees("#finished", "Nothing left")
    ada.has_given({"s0": ["Grace"], "s1": []})
    ada.press("u", "u")
    expect(ada.page.locator("#entry")).to_have_value('["Grace"]')


# Trouble ----------------------------------------------------------------------------------------------------------


def test_when_the_server_is_gone_nothing_is_lost_and_it_is_sent_when_it_is_back(review: Open, tmp_path: Path) -> None:
    ada = review(news(tmp_path, 8), expects_errors=True)
    ada.reads(0)
    ada.served.stop()
    ada.press("1", "2", "3")
    ada.reads(3)
    ada.sees("#trouble", "The server does not answer. 3 answers are kept on this page")
    ada.press("u")  # the third was never sent
    ada.reads(2)
    ada.press("5")
    ada.served.start()  # with another token
    ada.page.get_by_role("button", name="Try again now").click()
    ada.has_given({"t000": "business", "t001": "entertainment", "t002": "tech"})
    expect(ada.page.locator("#trouble")).to_be_hidden()
    ada.left(5)


def test_an_undo_that_the_server_cannot_do_now_undoes_nothing_and_holds_nothing_up(
    review: Open, tmp_path: Path
) -> None:
    ada = review(news(tmp_path, 4), expects_errors=True)
    ada.served.stop()
    ada.press("1", "u")
    ada.sees("#problem", "Nothing was undone")
    ada.press("5")
    ada.reads(2)
    ada.served.start()
    ada.page.get_by_role("button", name="Try again now").click()
    ada.has_given({"t000": "business", "t001": "tech"})


def test_with_nothing_left_to_show_while_the_server_is_gone_it_says_that_it_waits(
    review: Open, tmp_path: Path
) -> None:
    ada = review(news(tmp_path, 2), expects_errors=True)
    ada.served.stop()
    ada.press("1", "2")
    ada.sees("#finished", "Waiting for the server")
    ada.served.start()
    ada.page.get_by_role("button", name="Try again now").click()
    ada.sees("#finished", "Nothing left to review")
    ada.has_given({"t000": "business", "t001": "entertainment"})


def test_answers_are_not_sent_to_a_server_of_another_person(review: Open, tmp_path: Path) -> None:
    ada = review(news(tmp_path, 4), expects_errors=True)
    ada.served.stop()
    ada.press("1")
    ada.served.person = "grace"
    ada.served.start()
    ada.page.get_by_role("button", name="Try again now").click()
    ada.sees("#trouble", "Another job or person is served here now")
    assert ada.made.given() == {}


def test_texts_of_another_job_are_not_shown_among_this_ones_labels(review: Open, tmp_path: Path) -> None:
    ada = review(news(tmp_path, 1), expects_errors=True)
    ada.press("1")
    ada.sees("#finished", "Nothing left")
    ada.served.stop()
    (tmp_path / "other").mkdir()
    ada.served.made = news(tmp_path / "other", 3, name="other")
    ada.served.start()
    ada.sees("#trouble", "Another job or person is served here now")
    expect(ada.page.locator("#text")).to_be_hidden()


def test_what_another_person_labelled_meanwhile_is_said_and_ones_own_answer_named(
    review: Open, tmp_path: Path
) -> None:
    made = news(tmp_path, 3)
    ada = review(made, expects_errors=True)
    ada.reads(0)
    Desk(*made.parts, "grace").label(TextId("t000"), "tech", 1)
    ada.press("1")
    ada.reads(1)
    ada.sees("#notices", "was labelled tech by grace meanwhile. Yours, not saved: business.")
    ada.left(2)
    ada.page.get_by_role("button", name="Dismiss").click()
    expect(ada.page.locator("#notices li")).to_have_count(0)


def test_an_answer_that_the_server_refuses_brings_the_item_back_with_the_reason(
    review: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = news(tmp_path, 3)
    ada = review(made, expects_errors=True)

    def refuse(*_: object) -> None:
        raise ValueError("the label set has changed")

    with monkeypatch.context() as patch:
        patch.setattr(type(made.task), "read", refuse)
        ada.press("1")
        ada.sees("#problem", "Not saved: the label set has changed")
    ada.reads(0)
    ada.press("1")
    ada.has_given({"t000": "business"})
    expect(ada.page.locator("#problem")).to_be_hidden()


def test_leaving_with_unsaved_answers_is_asked_about(review: Open, tmp_path: Path) -> None:
    ada = review(news(tmp_path, 3), expects_errors=True)
    ada.served.stop()
    ada.press("1")
    ada.sees("#trouble", "1 answer is kept")
    with ada.page.expect_event("dialog") as asked:
        ada.page.close(run_before_unload=True)
    assert asked.value.type == "beforeunload"


# Hostile texts ----------------------------------------------------------------------------------------------------

HOSTILE = [
    "<script>document.title = 'run'</script>",
    "<img src=x onerror=\"document.title='run'\"><svg onload=\"document.title='run'\">",
    "</div></main><iframe srcdoc=\"<script>parent.document.title='run'</script>\"></iframe>",
    "{{ 7 * 7 }} ${alert(1)} javascript:alert(1)",
    "\u202egnp.exe\u202c \u2066\u2067 mixed \u05d0\u05d1\u05d2 with \u0000\u0007\u001b[31m controls",
    "\ud800 half a pair, \ufeff a mark, e\u0301\u0301\u0301 accents, \U0001f469\u200d\U0001f680",
]


def test_hostile_texts_labels_and_reasons_run_nothing_and_break_nothing(review: Open, tmp_path: Path) -> None:
    nasty = HOSTILE[1]
    names = ["plain", nasty, "\u202eevil"]
    items = [Waiting(text, nasty, reason=text, why={"<b>k</b>": text}) for text in HOSTILE]
    ada = review(scene(tmp_path, items, labels=dict.fromkeys(names, HOSTILE[0]), guidelines=HOSTILE[1]))
    for text in HOSTILE:
        opening = re.sub(r"[\x00-\x1f\u202d\u202e]", "", text)[:12].strip()
        ada.sees("#text", opening if "\ud800" not in opening else "half a pair")
        assert ada.page.locator("#text script, #text img, #text svg, #text iframe, .label img").count() == 0
        assert "run" not in ada.page.title()
        ada.press("2")
    ada.sees("#finished", "Nothing left")
    ada.has_given({f"t{n:03d}": nasty for n in range(len(HOSTILE))})


def test_hidden_characters_are_shown_and_overrides_of_direction_have_no_effect(review: Open, tmp_path: Path) -> None:
    ada = review(scene(tmp_path, [Waiting("pay \u202e001 to\x00\x00 Ada", "sport")]))
    expect(ada.page.locator("#text .hidden-mark")).to_have_text(["RLO", "NUL×2"])
    assert "\u202e" not in ada.page.locator("#text").inner_text()


def test_a_text_of_a_megabyte_in_one_line_does_not_stop_the_page(review: Open, tmp_path: Path) -> None:
    noise = "".join(random.Random(1).choices("ab \0", k=1_000_000))
    ada = review(scene(tmp_path, [Waiting(noise, "sport"), Waiting("next", "sport")]))
    ada.press("f")
    ada.sees("#unfold", "Show more: 974,000 of 1,000,000 characters are left")
    ada.press("4")
    ada.sees("#text", "next")


# Phone ------------------------------------------------------------------------------------------------------------


def test_on_a_phone_labels_are_large_and_always_in_reach(review: Open, tmp_path: Path) -> None:
    long = "\n".join(f"A line of the article, number {n}." for n in range(60))
    items = [Waiting(long, "sport", probabilities={"sport": 0.6, "tech": 0.4}), Waiting("next", "sport")]
    ada = review(scene(tmp_path, items), viewport=PHONE, has_touch=True, is_mobile=True)
    for name in ("business", "tech", "Accept sport", "Skip", "Undo"):
        button = ada.page.get_by_role("button", name=name)
        expect(button).to_be_in_viewport()
        assert button.bounding_box()["height"] >= 40  # type: ignore[index]
    assert ada.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    ada.page.get_by_role("button", name="tech").tap()
    ada.sees("#text", "next")
    ada.has_given({"t000": "tech"})


def test_on_a_phone_one_of_many_labels_is_found_too(review: Open, tmp_path: Path) -> None:
    names = labels(77)
    ada = review(
        scene(tmp_path, [Waiting("a"), Waiting("b")], labels=names), viewport=PHONE, has_touch=True, is_mobile=True
    )
    ada.page.get_by_role("combobox").tap()
    ada.type("fee lim")
    ada.page.get_by_role("option").first.tap()
    ada.sees("#text", "b")
    ada.has_given({"t000": "fee limit 22"})
    assert ada.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


# Reading by machine -----------------------------------------------------------------------------------------------


def test_every_control_has_a_name_and_every_state_is_announced(review: Open, tmp_path: Path) -> None:
    items = [Waiting("a", ("sport",), probabilities={"sport": 0.6}), Waiting("b", ("sport",))]
    ada = review(scene(tmp_path, items, kind="multilabel"))
    nameless = ada.page.evaluate(
        "[...document.querySelectorAll('button, input, textarea, dialog')].filter((e) => e.checkVisibility()"
        " && !(e.getAttribute('aria-label') || e.textContent.trim() || e.labels?.length)).map((e) => e.outerHTML)"
    )
    assert nameless == []
    expect(ada.page.get_by_role("button", name="sport")).to_have_attribute("aria-pressed", "true")
    ada.press("1", "Enter")
    ada.sees("#spoken", "business, sport.")
    expect(ada.page.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "50")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_words_have_enough_contrast(review: Open, tmp_path: Path, scheme: Any) -> None:
    made = scene(
        tmp_path,
        [Waiting("A text.", ("sport",), probabilities={"sport": 0.6, "tech": 0.2}), Waiting("b", blind=True)],
        kind="multilabel",
        guidelines="Some **words**.",
    )
    ada = review(made, color_scheme=scheme)
    ada.press("1")
    poor = ada.page.evaluate(CONTRAST)
    assert poor == []
    ada.press("Enter")
    ada.sees("#badge", "Blind")
    assert ada.page.evaluate(CONTRAST) == []


# WCAG 2.2, 1.4.3: the ratio of text and what is painted below it, at least 4.5
CONTRAST = """() => {
  const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const over = (colours) => {
    canvas.clearRect(0, 0, 1, 1);
    for (const colour of colours) { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); }
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = (rgb) => {
    const [r, g, b] = rgb.map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const poor = [];
  for (const e of document.querySelectorAll("body *")) {
    if (!e.checkVisibility() || e.closest(".leap, .sr-only, noscript")) continue;
    if (![...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim())) continue;
    const below = [];
    for (let up = e; up; up = up.parentElement) below.unshift(getComputedStyle(up).backgroundColor);
    const back = over(below);
    const front = over([...below, getComputedStyle(e).color]);
    const [a, b] = [light(back), light(front)].sort();
    const ratio = (b + 0.05) / (a + 0.05);
    if (ratio < 4.5) poor.push(`${e.className}: ${e.textContent.slice(0, 30)} ${ratio.toFixed(1)}`);
  }
  return poor;
}"""


# People's minutes ---------------------------------------------------------------------------------------------------


def test_the_page_says_when_the_minutes_are_used_up_and_what_to_change(review: Open, tmp_path: Path) -> None:
    ada = review(timed(tmp_path, 1, size=12))
    ada.sees("#minutes", "0 of 1 minutes used")
    Desk(*ada.made.parts, "bob").skip(TextId("t011"), 59.99)
    ada.press("5")
    ada.sees("#minutes", "1 of 1 minutes used")
    ada.reads(1)  # was on the screen by then: it can still be answered
    ada.press("s")
    ada.sees("#finished-title", "The minutes are used up")
    ada.sees("#finished-words", "All your answers are saved. Raise budget.minutes in the job file")
    ada.sees("#skipped", "1")  # as the server counts: nothing is on its way any more; what bob put off is his
    ada.page.reload()
    ada.sees("#finished-title", "The minutes are used up")
    expect(ada.page.locator("#again")).to_be_hidden()
    ada.press("u")
    ada.reads(1)  # a slip can still be mended
    ada.press("5")
    ada.has_given({"t000": "tech", "t001": "tech"})


def test_a_page_without_a_limit_of_minutes_does_not_speak_of_them(review: Open, tmp_path: Path) -> None:
    ada = review(news(tmp_path, 2))
    ada.reads(0)
    expect(ada.page.locator("#minutes")).to_be_hidden()

"""The page over HTTP: who may ask, what is answered, and what never leaves the server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.errors import JobFileError, StoreError
from agent.review.app import BODY_LIMIT_BYTES, create_app
from agent.review.guard import HEADERS, Door
from tests.review.clients import HOME, Page
from tests.review.scenes import SECTIONS, Scene, Waiting, draw, job_of, news, scene, spans

pytestmark = pytest.mark.usefixtures("each_kind_of_store")


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Scene]:
    found = news(tmp_path, 3)
    yield found
    found.store.close()


@pytest.fixture
def page(made: Scene) -> Page:
    return Page(made)


# What it is for ------------------------------------------------------------------------------------------------


def test_an_item_is_shown_labelled_and_gone(made: Scene, page: Page) -> None:
    assert page.ids() == ["t000", "t001", "t002"]
    reply = page.act("/api/label", id="t000", value="tech", seconds=3.2)
    assert reply.status_code == 200
    assert reply.json()["figures"]["left"] == 2
    assert made.given() == {"t000": "tech"}
    assert page.ids() == ["t001", "t002"]


def test_skip_and_undo(page: Page) -> None:
    figures = page.act("/api/skip", id="t000", seconds=1).json()["figures"]
    assert (figures["left"], figures["skipped"]) == (2, 1)
    assert page.ids(again=1) == ["t001", "t002", "t000"]
    reply = page.act("/api/undo", newest=figures["newest"]).json()
    assert (reply["item"]["id"], reply["was"], reply["figures"]["skipped"]) == ("t000", None, 0)


def test_a_label_that_is_not_in_the_job_is_refused_in_words(made: Scene, page: Page) -> None:
    reply = page.act("/api/label", id="t000", value="sprot", seconds=1)
    assert reply.status_code == 422
    assert "did you mean 'sport'" in reply.json()["error"]
    assert made.given() == {}


def test_an_item_that_another_person_labelled_is_refused_with_what_is_left(made: Scene, page: Page) -> None:
    Page(made, "grace").act("/api/label", id="t000", value="tech", seconds=1)
    reply = page.act("/api/label", id="t000", value="sport", seconds=1)
    assert reply.status_code == 409
    assert "labelled tech by grace" in reply.json()["error"]
    assert reply.json()["figures"]["left"] == 2


def test_the_rest_of_a_long_text_is_sent_when_asked_for(tmp_path: Path) -> None:
    text = "long " * 200_000
    page = Page(scene(tmp_path, [Waiting(text, "sport")]))
    assert len(page.get("/api/items").json()["items"][0]["text"]) < 10_000
    assert page.get("/api/text", params={"id": '"t000"'}).json()["text"] == text


def test_texts_and_ids_of_any_characters_come_through(tmp_path: Path) -> None:
    odd = 'nul \0 half \ud800 rtl \u202e </script> "quote" \u2028'
    made = scene(tmp_path, [Waiting(odd, "sport", id=odd)])
    page = Page(made)
    item = page.get("/api/items").json()["items"][0]
    assert (item["id"], item["text"]) == (odd, odd)
    assert page.act("/api/label", id=odd, value="tech", seconds=1).status_code == 200
    assert made.given() == {odd: "tech"}


def test_a_store_that_is_busy_is_said_and_may_be_tried_again(made: Scene, page: Page, monkeypatch: Any) -> None:
    def busy(*_: object, **__: object) -> None:
        raise StoreError("store review.db: another process is writing to it; wait for it, or end it")

    monkeypatch.setattr(made.store, "review", busy)
    reply = page.act("/api/label", id="t000", value="tech", seconds=1)
    assert reply.status_code == 503
    assert "another process is writing" in reply.json()["error"]


def test_a_bug_in_a_task_is_told_apart_from_a_wrong_label(made: Scene, page: Page, monkeypatch: Any) -> None:
    monkeypatch.setattr(type(made.task), "read", lambda *_: 1 / 0)
    reply = page.act("/api/label", id="t000", value="tech", seconds=1)
    assert reply.status_code == 500
    assert "ZeroDivisionError" in reply.json()["error"]


def test_a_guideline_file_that_is_missing_is_said_before_the_page_is_served(tmp_path: Path) -> None:
    made = news(tmp_path, 1)
    with pytest.raises(JobFileError, match=r"cannot read gone\.md"):
        create_app(made.store, job_of(tmp_path, guidelines="gone.md"), made.task, "ada")


# Blind items ---------------------------------------------------------------------------------------------------


def everything_sent(made: Scene) -> str:
    """All that a page can get out of the server while it works through the queue, without what differs by chance."""
    page = Page(made)
    parts = [page.get("/").text, page.get("/api/items").text, page.get("/api/text", params={"id": '"t000"'}).text]
    parts.append(page.act("/api/label", id="t000", value="nonsense", seconds=1).text)
    for path, body in (("/api/skip", {}), ("/api/label", {"value": "tech"})):
        reply = page.act(path, None, id="t000", seconds=1, **body)
        parts += [reply.text, page.get("/api/items?again=1").text]
        parts.append(page.act("/api/undo", newest=reply.json()["figures"]["newest"]).text)
    page.act("/api/label", id="t000", value="tech", seconds=1)
    parts.append(Page(made, "grace").act("/api/label", id="t000", value="sport", seconds=1).text)
    return re.sub(page.token, "TOKEN", "\n".join(parts))


def test_not_one_byte_of_a_blind_item_depends_on_what_the_machine_said(tmp_path: Path) -> None:
    sent = []
    for name, confidence in (("business", 0.91), ("politics", 0.33)):
        (tmp_path / name).mkdir()
        item = Waiting(
            "A text.",
            name,
            probabilities={name: confidence, "tech": 1 - confidence},
            confidence=confidence,
            reason=f"audit of {name} at {confidence}",
            blind=True,
            slice="random" if name == "business" else "unsure",
            why={"margin": confidence, "guess": name},
        )
        sent.append(everything_sent(scene(tmp_path / name, [item])))
    assert sent[0] == sent[1]
    assert "local/small" not in sent[0]


@pytest.mark.parametrize("accepted", [True, False])
def test_nor_of_an_item_that_an_audit_drew(tmp_path: Path, accepted: bool) -> None:
    sent = []
    for name, confidence in (("business", 0.91), ("politics", 0.33)):
        (tmp_path / name).mkdir()
        item = Waiting(
            "A text.",
            name,
            probabilities={name: confidence, "tech": 1 - confidence},
            confidence=confidence,
            reason=f"unsure: {name} at {confidence}",
            slice="random" if name == "business" else "unsure",
            why={"margin": confidence, "guess": name},
        )
        made = scene(tmp_path / name, [item])
        draw(made, "t000", accepted=accepted)
        sent.append(everything_sent(made))
    assert sent[0] == sent[1]
    assert "local/small" not in sent[0]


def test_an_open_item_beside_it_does_carry_the_suggestion(page: Page) -> None:
    assert page.get("/api/items").json()["items"][0]["suggestion"]["value"] == "sport"


# Who may ask ---------------------------------------------------------------------------------------------------


OTHERS = [
    "evil.example",
    "evil.example:8765",
    "127.0.0.1.evil.example:8765",
    "",
    "127.0.0.1:x",
    "ada@127.0.0.1",
    "localhost,evil.example",
    "[::2]:8765",
]


@pytest.mark.parametrize("host", OTHERS)
@pytest.mark.parametrize("path", ["/", "/api/items", "/static/review.js"])
def test_a_name_that_was_rebound_to_this_machine_gets_nothing(page: Page, host: str, path: str) -> None:
    reply = page.get(path, headers={"Host": host})
    assert reply.status_code == 400
    assert "sport" not in reply.text


@pytest.mark.parametrize("host", ["127.0.0.1:8765", "localhost:8765", "LOCALHOST", "[::1]:9", "127.0.0.1"])
def test_the_names_of_this_machine_are_answered(page: Page, host: str) -> None:
    assert page.get("/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "http://127.0.0.1:9999"},
        {"Origin": "http://localhost:8765"},
        {"X-Labelwright-Token": ""},
        {"X-Labelwright-Token": "guessed"},
        {"X-Labelwright-Token": "ümlaut".encode()},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
    ],
)
@pytest.mark.parametrize("path", ["/api/label", "/api/skip", "/api/undo"])
def test_a_post_from_anywhere_but_the_page_changes_nothing(
    made: Scene, page: Page, headers: dict[str, Any], path: str
) -> None:
    before = made.state()
    reply = page.act(path, headers, id="t000", value="tech", seconds=1)
    assert reply.status_code in (403, 415)
    assert made.state() == before


def test_a_post_without_an_origin_is_refused(made: Scene, page: Page) -> None:
    reply = page.post("/api/skip", json={"id": "t000"}, headers={"X-Labelwright-Token": page.token})
    assert reply.status_code == 403
    assert made.store.reviews("news") == []


def test_nothing_changes_by_a_get(made: Scene, page: Page) -> None:
    assert page.get("/api/skip", params={"id": "t000"}).status_code == 405
    assert made.store.reviews("news") == []


def test_each_server_has_a_token_of_its_own(made: Scene) -> None:
    assert Page(made).token != Page(made).token


@pytest.mark.parametrize("path", ["/", "/static/review.js", "/static/review.css", "/api/items", "/nowhere"])
def test_every_response_carries_the_policy(page: Page, path: str) -> None:
    reply = page.get(path)
    assert {name: reply.headers[name] for name in HEADERS} == HEADERS


def test_refusals_carry_the_policy_too(page: Page) -> None:
    too_large = page.act("/api/label", id="x" * BODY_LIMIT_BYTES)
    for reply in (page.get("/", headers={"Host": "evil"}), page.act("/api/undo", {"Origin": "x"}), too_large):
        assert reply.status_code >= 400
        assert reply.headers["content-security-policy"] == HEADERS["Content-Security-Policy"]


def test_the_policy_allows_no_inline_script_style_or_frame() -> None:
    policy = HEADERS["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy


def test_the_page_has_no_inline_script_style_or_handler(page: Page) -> None:
    html = page.get("/").text
    assert not re.search(r"\son\w+\s*=|style=|<style|javascript:|https?://", html)
    assert re.findall(r"<script(?![^>]*src=)[^>]*>", html) == ['<script type="application/json" id="settings">']


def test_a_body_over_the_limit_is_refused_and_one_below_is_not(made: Scene, page: Page) -> None:
    assert page.act("/api/label", id="x" * BODY_LIMIT_BYTES).status_code == 413
    assert page.act("/api/label", id="x" * 1000, value="tech", seconds=1).status_code == 409


NONSENSE = [
    b"",
    b"{",
    b"[]",
    b"3",
    b"\xff",
    b"[" * 100_000,
    b'{"id": 3}',
    b'{"id": "t000", "seconds": NaN, "value": "tech"}',
    b'{"id": "t000", "seconds": "1", "value": "tech"}',
]


@pytest.mark.parametrize("body", NONSENSE)
def test_a_body_that_makes_no_sense_is_a_sentence_not_a_crash(made: Scene, page: Page, body: bytes) -> None:
    headers = {"Origin": HOME, "X-Labelwright-Token": page.token, "Content-Type": "application/json"}
    reply = page.post("/api/label", content=body, headers=headers)
    assert reply.status_code == 400
    assert reply.json()["error"]
    assert made.store.reviews("news") == []


@pytest.mark.parametrize(
    "path", ["/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py", "/static//etc/passwd"]
)
def test_no_file_outside_of_the_static_folder_is_served(page: Page, path: str) -> None:
    reply = page.get(path)
    assert reply.status_code in (404, 405)
    assert "import" not in reply.text


# A server that other machines can reach ---------------------------------------------------------------------------


def test_where_several_review_everything_asks_for_a_token(made: Scene) -> None:
    page = Page(made, person=None)
    for path in ("/", "/api/items", "/api/session", "/static/review.js", "/?key=wrong"):
        reply = page.get(path)
        assert reply.status_code == 401
        assert "news" not in reply.text
    assert page.act("/api/skip", id="t000").status_code == 401


def test_the_token_in_the_address_becomes_a_cookie_and_leaves_the_address(made: Scene) -> None:
    token = made.store.add_reviewer("news", "ada")
    page = Page(made, person=None)
    reply = page.get(f"/?key={token}")
    assert (reply.status_code, reply.headers["location"]) == (303, "/")
    cookie = reply.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert page.get("/api/items").status_code == 200


def test_a_server_for_any_name_asks_for_tokens() -> None:
    with pytest.raises(ValueError, match="asks for tokens"):
        Door(hosts=None)


# The page itself ------------------------------------------------------------------------------------------------


def test_names_of_labels_job_and_person_are_escaped(tmp_path: Path) -> None:
    nasty = "</script><svg onload=alert(1)>"
    made = scene(tmp_path, [Waiting("a")], labels={nasty: nasty, "b": ""})
    html = Page(made, person="<b>ada</b>").get("/").text
    assert "<svg" not in html
    assert "<b>ada" not in html
    assert html.count("</script>") == 2


def test_guidelines_are_read_as_markdown_and_their_html_stays_text(tmp_path: Path) -> None:
    words = "# Rules\n\nThe **main** topic.\n\n<script>alert(1)</script>\n\n[go](javascript:alert(1)) ![x](http://evil/x.png)"
    html = Page(news(tmp_path, 1, guidelines=words)).get("/").text
    assert "<h1>Rules</h1>" in html
    assert "<strong>main</strong>" in html
    assert "<script>alert" not in html
    assert 'href="javascript' not in html
    assert '<img src="http' not in html


def test_without_guidelines_there_is_no_empty_box(page: Page) -> None:
    assert 'class="guide"' not in page.get("/").text


def test_ten_labels_are_buttons_and_eleven_get_a_filter(tmp_path: Path) -> None:
    for size, filtered in ((10, False), (11, True)):
        folder = tmp_path / str(size)
        folder.mkdir()
        made = scene(folder, [Waiting("a")], labels=[f"label {n}" for n in range(size)])
        assert ('id="filter"' in Page(made).get("/").text) is filtered


def test_a_task_of_another_kind_gets_a_field(tmp_path: Path) -> None:
    page = Page(spans(tmp_path))
    assert '<textarea id="entry"' in page.get("/").text
    reply = page.act("/api/label", id="s0", value="[", seconds=1)
    assert (reply.status_code, reply.json()["error"][:22]) == (422, "Not saved: not JSON: E")


def test_labels_are_in_the_jobs_order_with_their_descriptions(page: Page) -> None:
    found = re.findall(r'"about": "([^"]*)", "name": "([^"]*)"', page.get("/").text)
    assert [(name, about) for about, name in found] == list(SECTIONS.items())


def test_items_are_limited_whatever_is_asked(page: Page) -> None:
    for limit in ("-1", "0", "x", "99999999", ""):
        assert len(page.get("/api/items", params={"limit": limit}).json()["items"]) in (1, 3)


def test_an_unknown_text_is_said(page: Page) -> None:
    assert page.get("/api/text", params={"id": '"gone"'}).status_code == 409
    assert page.get("/api/text", params={"id": "not json"}).status_code == 400

"""Hostile texts and hostile sites over HTTP: texts come through whole, and nobody but the page changes anything."""

from __future__ import annotations

import json
from collections.abc import Iterator
from html.parser import HTMLParser
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from starlette.routing import Route

from agent.errors import JobFileError, StoreError
from agent.records import TextId
from agent.review.app import BODY_LIMIT_BYTES, prose
from agent.review.card import OPENING
from agent.review.guard import HEADERS
from agent.tasks.hierarchy import ordered
from tests.review.clients import HOME, Page
from tests.review.hostile_scenes import all_texts, as_labels, guided, named
from tests.review.hostile_texts import HOSTILE, as_name, as_person
from tests.review.scenes import Scene, Waiting, news, scene

# Texts ----------------------------------------------------------------------------------------------------------


def test_there_are_as_many_hostile_texts_as_promised() -> None:
    assert len(set(HOSTILE)) == len(HOSTILE) >= 120


def test_every_hostile_text_comes_through_equal_and_is_saved_under_its_own_id(tmp_path: Path) -> None:
    made = all_texts(tmp_path)
    page = Page(made)
    items = page.get("/api/items?limit=500&again=1").json()["items"]
    assert [item["text"] for item in items] == [text[:OPENING] for text in HOSTILE]
    given, newest = {}, []
    for item, text in zip(items, HOSTILE, strict=True):
        whole = page.get("/api/text", params={"id": json.dumps(item["id"])})
        assert whole.json() == {"text": text}
        assert whole.content.isascii()  # which no reading as another encoding can change
        value = given[item["id"]] = item["suggestion"]["value"]
        reply = page.act("/api/label", id=item["id"], value=value, seconds=1)
        newest.append(reply.json()["figures"]["newest"])
    assert made.given() == given
    for text_id in reversed(given):
        undone = page.act("/api/undo", newest=newest.pop()).json()
        assert (undone["item"]["id"], undone["was"]) == (text_id, given[text_id])
    assert made.given() == {}


def test_every_hostile_name_of_a_label_is_shown_and_saved_as_it_is(tmp_path: Path) -> None:
    made = as_labels(tmp_path)
    page = Page(made)
    assert [label["name"] for label in settings_of(page.get("/").text)["labels"]] == list(ordered(made.task.names))
    for item in page.get("/api/items?limit=500&again=1").json()["items"]:
        assert page.act("/api/label", id=item["id"], value=item["suggestion"]["value"], seconds=1).status_code == 200
    assert tuple(made.given().values()) == made.task.names


def test_an_answer_that_is_a_hostile_text_is_refused_in_words_and_saves_nothing(tmp_path: Path) -> None:
    made = news(tmp_path, 1)
    page, before = Page(made), made.state()
    for text in HOSTILE:
        reply = page.act("/api/label", id="t000", value=text[: BODY_LIMIT_BYTES // 8], seconds=1)
        assert (reply.status_code, reply.headers["content-type"]) == (422, "application/json")
        assert "Not saved: unknown label" in reply.json()["error"]
        assert page.act("/api/label", id=text[: BODY_LIMIT_BYTES // 8], value="sport", seconds=1).status_code == 409
    assert made.state() == before


# The page's HTML --------------------------------------------------------------------------------------------------


class Skeleton(HTMLParser):
    """What a page is made of without its words, as a parser reads it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.parts: list[object] = []
        self.settings = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.parts.append((tag, attrs))

    def handle_endtag(self, tag: str) -> None:
        self.parts.append(f"/{tag}")

    def handle_data(self, data: str) -> None:
        if self.cdata_elem == "script":
            self.settings += data

    def handle_comment(self, data: str) -> None:
        self.parts.append(f"comment {data}")

    handle_decl = unknown_decl = handle_pi = handle_comment


def settings_of(html: str) -> Any:
    return json.loads(Skeleton(html).settings)


def test_no_hostile_name_of_a_person_or_a_job_changes_what_the_page_is_made_of(tmp_path: Path) -> None:
    made = news(tmp_path, 1)
    plain = Skeleton(Page(made).get("/").text).parts
    people = [text for text in HOSTILE if as_person(text)]
    assert len(people) > 100
    for text in people:
        html = Page(named(made, text), person=text).get("/").text
        assert Skeleton(html).parts == plain
        assert "window.ran=1</script>" not in html


def test_nor_does_a_hostile_label_or_what_is_said_of_it(tmp_path: Path) -> None:
    made = scene(tmp_path, [Waiting("a")])
    plain = Skeleton(Page(made).get("/").text).parts
    for number, text in enumerate(text for text in HOSTILE if as_name(text)):
        folder = tmp_path / str(number)
        folder.mkdir()
        task = made.job.task.model_copy(update={"labels": {text: text, "b": text}})
        job = made.job.model_copy(update={"task": task})
        html = Page(Scene(made.store, job, type(made.task)(task))).get("/").text  # type: ignore[call-arg]
        assert Skeleton(html).parts == plain
        assert settings_of(html)["labels"] == [{"name": text, "about": text}, {"name": "b", "about": text}]


HARMLESS = {
    "p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "a", "em", "strong", "code", "pre", "hr", "br",
    "blockquote", "table", "thead", "tbody", "tr", "th", "td",
}  # fmt: skip
ATTRIBUTES = {"a": {"href", "title"}, "ol": {"start"}, "code": {"class"}}


@pytest.mark.parametrize("whole", [False, True])
def test_hostile_guidelines_become_prose_and_nothing_else(whole: bool) -> None:
    for text in ["\n\n".join(HOSTILE)] if whole else HOSTILE:
        for part in Skeleton(f"<div>{prose(text)}</div>").parts[1:-1]:
            if isinstance(part, str):
                assert part.removeprefix("/") in HARMLESS
                continue
            tag, attributes = part  # type: ignore[misc]
            assert tag in HARMLESS
            assert {name for name, _ in attributes} <= ATTRIBUTES.get(tag, set())
            link = dict(attributes).get("href", "")
            assert not link.strip().lower().startswith(("javascript", "vbscript", "data", "file"))


def test_hostile_guidelines_leave_the_page_around_them_as_it_is(tmp_path: Path) -> None:
    made = news(tmp_path, 1, guidelines="plain")
    plain = Skeleton(Page(made).get("/").text).parts
    for text in HOSTILE:
        if not text.strip() or any("\ud800" <= c <= "\udfff" for c in text):
            continue  # a job file takes none
        job = guided(made.job, text)
        try:
            html = Page(Scene(made.store, job, made.task)).get("/").text
        except JobFileError:
            assert text == "../../etc/passwd"
            continue
        parts = Skeleton(html).parts
        start = plain.index(("div", [("class", "prose")])) + 1
        assert parts[:start] == plain[:start]
        after = plain[start + 2 :]  # without the paragraph
        assert parts[-len(after) :] == after


# Cross-site -------------------------------------------------------------------------------------------------------


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Scene]:
    found = news(tmp_path, 3)
    Page(found).act("/api/label", id="t002", value="tech", seconds=1)  # so that there is something to undo
    yield found
    found.store.close()


@pytest.fixture
def page(made: Scene) -> Page:
    return Page(made)


def all_of(made: Scene) -> object:
    return made.state(), made.store.reviews("news"), made.store.labels("news"), made.store.withdrawn("news")


def bodies(made: Scene) -> dict[str, dict[str, Any]]:
    """For every route that takes a POST, one that would change something."""
    return {
        "/api/label": {"id": "t000", "value": "tech", "seconds": 1},
        "/api/skip": {"id": "t001", "seconds": 1},
        "/api/undo": {"newest": made.store.last_act("news", "ada").id},  # type: ignore[union-attr]
    }


def posts(page: Page) -> list[str]:
    routes = [route for route in page.app.routes if isinstance(route, Route)]  # type: ignore[attr-defined]
    return [route.path for route in routes if "POST" in (route.methods or ())]


BULK = {
    "/api/bulk": {"only": {"label": "sport"}},
    "/api/bulk/more": {"bulk": 1},
    "/api/bulk/accept": {"bulk": 1},
}  # in the order of what one would do


def test_the_matrix_knows_every_route_that_changes_something(made: Scene, page: Page) -> None:
    # to let go keeps nothing: it is refused like the others
    assert sorted(posts(page)) == sorted([*BULK, *bodies(made), "/api/let-go"])


def test_accepting_many_at_once_is_for_the_page_alone(made: Scene, page: Page) -> None:
    before = all_of(made)
    for name, headers in wrong(page.token):
        for path, body in BULK.items():
            assert 400 <= page.post(path, content=json.dumps(body), headers=headers).status_code < 500, name
    assert (all_of(made), made.store.bulks("news")) == (before, [])
    assert page.act("/api/bulk", **BULK["/api/bulk"]).status_code == 200
    assert len(made.store.bulks("news")) == 1


def test_letting_go_is_for_the_page_alone(made: Scene, page: Page) -> None:
    for name, headers in wrong(page.token):
        assert 400 <= page.post("/api/let-go", content="{}", headers=headers).status_code < 500, name
    assert page.act("/api/let-go").status_code == 200


ORIGINS = ("null", "http://evil.invalid", "https://127.0.0.1:8765.evil.invalid", "http://127.0.0.1", "file://",
           "http://127.0.0.1:8766", "http://localhost:8765", "http://[::1]:8765", "http://127.0.0.1:8765, null",
           "HTTP://EVIL.INVALID", "http://ada@127.0.0.1:8765", "", "127.0.0.1:8765")  # fmt: skip
HOSTS = ("evil.invalid", "evil.invalid:8765", "127.0.0.1.evil.invalid", "0.0.0.0:8765", "127.0.0.2:8765", "")
TYPES = ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonp",
         "text/json", "text/plain; application/json", "", "application/json, text/plain")  # fmt: skip
OURS = {"Origin": HOME, "Content-Type": "application/json"}


def wrong(token: str) -> Iterator[tuple[str, dict[str, str]]]:
    """A name and the headers of every request that only another site would send."""
    ours = OURS | {"X-Labelwright-Token": token}
    for name in ours:
        yield f"no {name}", {k: v for k, v in ours.items() if k != name}
    for origin in ORIGINS:
        yield f"Origin {origin!r}", ours | {"Origin": origin}
    for host in HOSTS:
        yield f"Host {host!r}", ours | {"Host": host}
        yield f"Host and Origin {host!r}", ours | {"Host": host, "Origin": f"http://{host}"}
    for kind in TYPES:
        yield f"Content-Type {kind!r}", ours | {"Content-Type": kind}
    for guess in ("", "x", token[:-1], token + "x", token.swapcase(), f"{token},{token}", "__proto__"):
        yield f"token {guess!r}", ours | {"X-Labelwright-Token": guess}
    yield "only what a form can send", {"Content-Type": "text/plain", "Origin": "http://evil.invalid"}
    yield "nothing at all", {}


@pytest.mark.parametrize("path", ["/api/label", "/api/skip", "/api/undo"])
def test_every_cross_site_change_is_refused_and_changes_nothing(made: Scene, page: Page, path: str) -> None:
    before, body = all_of(made), bodies(made)[path]
    for name, headers in wrong(page.token):
        for sent in (json.dumps(body), "&".join(f"{k}={v}" for k, v in body.items())):
            reply = page.post(path, content=sent, headers=headers)
            assert 400 <= reply.status_code < 500, name
            assert {k: reply.headers[k] for k in HEADERS} == HEADERS, name
            assert "access-control-allow-origin" not in reply.headers, name
    assert all_of(made) == before
    assert page.act(path, **body).status_code == 200  # the very same from the page itself
    assert all_of(made) != before


METHODS = ("GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND")
PATHS = ("/api/label", "/api/skip", "/api/undo")


@pytest.mark.parametrize(("method", "path"), list(product(METHODS, PATHS)))
def test_no_other_method_changes_anything(made: Scene, page: Page, method: str, path: str) -> None:
    before, body = all_of(made), bodies(made)[path]
    ours = OURS | {"X-Labelwright-Token": page.token}
    tricks: list[dict[str, str]] = [ours, {}, {"X-HTTP-Method-Override": "POST"}, {"Origin": "http://evil.invalid"}]
    for headers in tricks:
        reply = page.request(method, path, content=json.dumps(body), headers=headers, params=body)
        assert 400 <= reply.status_code < 500
        assert {k: reply.headers[k] for k in HEADERS} == HEADERS
        assert not any(name.startswith("access-control") for name in reply.headers)
    assert all_of(made) == before


@pytest.mark.parametrize(
    "path", ["/", "/api/session", "/api/items", "/api/text", "/api/picture", "/static/review.js", "/nowhere"]
)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_what_is_only_read_takes_nothing_even_from_the_page(made: Scene, page: Page, method: str, path: str) -> None:
    before = all_of(made)
    ours = OURS | {"X-Labelwright-Token": page.token}
    assert page.request(method, path, content="{}", headers=ours).status_code in (404, 405)
    assert page.request(method, path, content="{}").status_code == 403
    assert all_of(made) == before


def test_a_form_of_the_pages_own_fields_is_no_json(made: Scene, page: Page) -> None:
    """`enctype=text/plain` can make a body that reads as JSON."""
    before = all_of(made)
    sent = '{"id": "t000", "value": "tech", "seconds": 1, "x": "="}'
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        reply = page.post("/api/label", content=sent, headers={"Origin": HOME, "Content-Type": kind})
        assert reply.status_code == 415
    assert all_of(made) == before


def test_with_a_key_a_foreign_site_gets_no_further_with_the_cookie_of_the_browser(made: Scene) -> None:
    token = made.store.add_reviewer("news", "ada")
    page = Page(made, None, hosts=None)
    assert page.get(f"/?key={token}").status_code == 303
    page.token = page.get("/api/session").json()["token"]
    before, body = all_of(made), bodies(made)["/api/label"]
    (cookie,) = page.cookies.items()
    for name, headers in wrong(page.token):
        if "Host and Origin" in name:  # a name of its own for this server, for which a browser keeps no cookie
            page.cookies.clear()
        reply = page.post("/api/label", content=json.dumps(body), headers=headers)
        assert 400 <= reply.status_code < 500, name
        page.cookies.clear()
        page.cookies.set(*cookie)
    assert all_of(made) == before
    assert page.act("/api/label", **body).status_code == 200


# What every answer carries --------------------------------------------------------------------------------------


def test_every_answer_of_every_kind_carries_every_header(
    made: Scene, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = OURS | {"X-Labelwright-Token": page.token}
    etag = page.get("/static/review.js").headers["etag"]
    seen = [
        page.get("/"),
        page.head("/"),
        page.get("/static/review.css"),
        page.get("/static/mark.svg", headers={"Range": "bytes=0-9"}),
        page.get("/static/review.js", headers={"If-None-Match": etag}),
        page.get("/static"),
        page.get("/static/"),
        page.get("/static/nothing.js"),
        page.get("/api/items"),
        page.get("/api/items/"),
        page.get("/api/text?id=nonsense"),
        page.get("/api/text?id=%22gone%22"),
        page.get("/nowhere"),
        page.get("/", headers={"Host": "evil.invalid"}),
        page.get("/api/label"),
        page.options("/api/label"),
        page.post("/api/label"),
        page.post("/api/label", content=b"{", headers=ours),
        page.post("/api/label", content=b"x" * (BODY_LIMIT_BYTES + 1), headers=ours),
        page.act("/api/label", id="t000", value="sprot", seconds=1),
        page.act("/api/label", id="t000", value="sport", seconds=1),
        Page(made, None).get("/"),
        Page(made, None).get(f"/?key={made.store.add_reviewer('news', 'grace')}"),
    ]

    def busy(*_: object, **__: object) -> None:
        raise StoreError("store review.db: another process is writing to it")

    def bug(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(made.store, "queued", busy)
        seen.append(page.get("/api/items"))
    with monkeypatch.context() as patch:
        patch.setattr(made.store, "queued", bug)
        seen.append(page.get("/api/items"))
    statuses = {reply.status_code for reply in seen}
    assert statuses >= {200, 206, 303, 304, 400, 401, 403, 404, 405, 409, 413, 422, 500, 503}
    for reply in seen:
        missing = {name for name, value in HEADERS.items() if reply.headers.get(name) != value}
        assert not missing, (reply.status_code, str(reply.url))
        assert "server" not in reply.headers


def test_an_id_of_no_text_is_not_shown_as_a_page(page: Page) -> None:
    """A refusal quotes what was sent; it is JSON, so that a browser that opens it runs nothing."""
    reply = page.get("/api/text", params={"id": json.dumps(TextId("<script>window.ran=1</script>"))})
    assert reply.headers["content-type"] == "application/json"

"""Blind items byte by byte, as they leave a real server: of what the machine said not one word is among them.

That no byte depends on it is said in `test_review_page`; here everything a server can be made to send is looked
through, headers and errors too, for words and figures that stand nowhere but in the machine's answer.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Response

from agent.records import MicroDollars, TextId
from tests.review.browsers import Reviewer, Served, chromium
from tests.review.scenes import Scene, Waiting, draw, scene

PROBABLE, SURE, MARGIN = 0.6180339887, 0.7071067811, 0.5772156649
WORDS = {
    "label": "Zanzibar",
    "other": "Yokohama",
    "oracle": "Xanthippe",
    "reason": "Wolkenkuckucksheim",
    "strategy": "Vercingetorix",
    "guess": "Uagadugu",
    "trouble": "Timbuktu",
    "slice": "Saskatchewan",
}
"""What the machine said and why a text was picked; none of it is a word of the page."""

FIGURES = [str(number)[2:8] for number in (PROBABLE, SURE, MARGIN)] + ["62 %", "71 %"]
BADGES = ["Unsure", "New ground", "Typical", "Doubtful"]
WAYS = ("by its route", "drawn by an audit", "accepted, then drawn by an audit")


def blind(way: str, number: int) -> Waiting:
    return Waiting(
        f"Blind text {number}.",
        WORDS["label"],
        probabilities={WORDS["label"]: PROBABLE, WORDS["other"]: 1 - PROBABLE},
        confidence=SURE,
        reason=f"{'failed' if number else WORDS['reason']}: {WORDS['reason']} {SURE}",
        blind=way == "by its route",
        slice=WORDS["slice"] if number else "unsure",
        why={"margin": MARGIN, "strategy": WORDS["strategy"], "rank": 7, "of": 700, "guess": WORDS["guess"]},
        by=f"{WORDS['oracle']}/large",
    )


def made_of(folder: Path, way: str, kind: str) -> Scene:
    """Two blind texts. The label that the machine gave is none that the page lists for a person: a task without a
    list, or a label that the job had when it was asked."""
    task: dict[str, Any] = {"kind": "tests.review.scenes:Spans", "labels": {}} if kind == "json" else {}
    made = scene(folder, [blind(way, number) for number in range(2)], **task)
    if way != "by its route":
        draw(made, "t000", "t001", accepted=way.startswith("accepted"))
    for number in range(2):  # with troubles, which are told of an open text that failed
        wanted = MicroDollars(61_803)
        attempt = made.store.reserve("news", "local", "key", TextId(f"t{number:03d}"), wanted, owner="run")
        made.store.mark_ambiguous(attempt, WORDS["trouble"])
    return made


@pytest.fixture
def served() -> Iterator[list[Served]]:
    found: list[Served] = []
    yield found
    for server in found:
        server.stop()
        server.made.store.close()


class Tap:
    """Sends requests over a plain socket and keeps every byte that comes back."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.host = f"127.0.0.1:{served.port}"
        self.heard: list[bytes] = []
        self.token = self.get("/api/session")["token"]

    def send(self, method: str, path: str, body: object = None, **headers: str) -> bytes:
        """The whole answer: status, headers and body."""
        sent = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        lines = [
            f"{method} {path} HTTP/1.1",
            f"Host: {self.host}",
            "Connection: close",
            f"Content-Length: {len(sent)}",
        ]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        with socket.create_connection(("127.0.0.1", self.served.port), timeout=20) as line:
            line.sendall("\r\n".join([*lines, "", ""]).encode() + sent)
            got = b"".join(iter(lambda: line.recv(65536), b""))
        assert got.startswith(b"HTTP/1.1 ")
        self.heard.append(got)
        return got

    def get(self, path: str) -> Any:
        return self._json(self.send("GET", path))

    def act(self, path: str, body: object) -> Any:
        ours = {"Content_Type": "application/json", "X_Labelwright_Token": self.token}
        return self._json(self.send("POST", path, body, Origin=f"http://{self.host}", **ours))

    def _json(self, got: bytes) -> Any:
        return json.loads(got.partition(b"\r\n\r\n")[2])


def nothing_of_the_machine(heard: list[bytes]) -> None:
    sent = b"\n".join(heard)
    for words in (*WORDS.values(), *FIGURES, "rank 7", "061803"):
        for spelt in {words, words.lower(), words.upper(), json.dumps(words)[1:-1]}:
            at = sent.find(spelt.encode())
            assert at < 0, sent[max(at - 200, 0) : at + 200]


def everything(tap: Tap, value: object) -> None:
    """Whatever a page, or somebody who only reads, can make the server send of these two texts."""
    whole = tap.send("GET", "/")
    files = set(re.findall(rb"/static/[\w.]+", whole)) | {b"/static/card.js", b"/static/labels.js"}
    for path in sorted(file.decode() for file in files):
        tap.send("GET", path)
    reads = ["/api/session", "/api/items", "/api/items?limit=1", "/api/items?again=1&limit=500", "/api/text",
             "/api/text?id=%22t000%22", "/api/text?id=%22gone%22", "/api/text?id=nonsense", "/api/label",
             "/api/picture?id=%22t000%22", "/api/items/", "/nowhere", "/static/nothing"]  # fmt: skip
    for path in reads:
        for method in ("GET", "HEAD", "OPTIONS", "POST"):
            tap.send(method, path)
    for answer in (value, "no label of it", "", None, 3, [], {"a": 1}, WORDS["label"].lower()[:4]):
        tap.act("/api/label", {"id": "t001", "value": answer, "seconds": 1})
        last = tap.get("/api/items")["figures"]["newest"]
        tap.act("/api/undo", {"newest": last})
    for body in (b"{", b"[]", b"{}", b"x" * 1000, {"id": 3}, {"id": "gone"}, {"id": "t000", "seconds": "x"}):
        tap.act("/api/skip", body)
    for path, body in (("/api/skip", {}), ("/api/label", {"value": value})):
        done = tap.act(path, {"id": "t000", "seconds": 1} | body)
        tap.get("/api/items?again=1")
        tap.get("/api/text?id=%22t000%22")
        tap.act("/api/undo", {"newest": 99999})
        undone = tap.act("/api/undo", {"newest": done["figures"]["newest"]})
        assert undone["item"]["blind"]
        assert undone["item"]["suggestion"] is None
    tap.act("/api/label", {"id": "t000", "value": value, "seconds": 1})


@pytest.mark.parametrize("kind", ["json", "choice"])
@pytest.mark.parametrize("way", WAYS)
def test_no_byte_sent_of_a_blind_item_is_of_what_the_machine_said(
    tmp_path: Path, served: list[Served], way: str, kind: str
) -> None:
    made = made_of(tmp_path, way, kind)
    assert [(row.blind, row.suggestion) for row in made.store.queue("news")] == [(True, None)] * 2
    served += [Served(made), Served(made, "grace")]
    value = '["Blind"]' if kind == "json" else "tech"
    ada, grace = map(Tap, served)
    everything(ada, value)
    other = '["text"]' if kind == "json" else "sport"
    refused = grace.act("/api/label", {"id": "t000", "value": other, "seconds": 1})
    assert "was labelled" in refused["error"]
    grace.get("/api/items?again=1")
    heard = ada.heard + grace.heard
    assert sum(b"Blind text 0." in part for part in heard) > 5
    nothing_of_the_machine(heard)
    for badge in BADGES:
        assert not any(f'"{badge}"'.encode() in part for part in heard)


def test_beside_an_open_text_too_of_which_all_of_it_is_sent(tmp_path: Path, served: list[Served]) -> None:
    open_one = Waiting("Open text.", "sport", reason="failed: as it may be", why={"rank": 9, "of": 90}, by="local/m")
    made = scene(tmp_path, [blind("by its route", 0), open_one])
    served.append(Served(made))
    tap = Tap(served[0])
    tap.get("/api/items?again=1")
    assert any(b"local/m" in part for part in tap.heard)
    nothing_of_the_machine(tap.heard)


def test_these_very_words_are_sent_of_a_text_that_is_not_blind(tmp_path: Path, served: list[Served]) -> None:
    """Else nothing would be shown by their absence."""
    items = [blind("in no way", number) for number in range(2)]
    served.append(Served(scene(tmp_path, items, kind="tests.review.scenes:Spans", labels={})))
    tap = Tap(served[0])
    tap.get("/api/items")
    sent = tap.heard[-1]
    for name in ("label", "oracle", "reason", "strategy", "guess", "slice"):
        assert WORDS[name].encode() in sent, name
    assert str(SURE).encode() in sent


@pytest.mark.parametrize("way", WAYS[:2])
def test_nor_does_a_browser_get_any_of_it_by_walking_through(tmp_path: Path, served: list[Served], way: str) -> None:
    served.append(Served(made_of(tmp_path, way, "choice")))
    heard: list[bytes] = []
    with chromium() as browser:
        context = browser.new_context()
        page = context.new_page()
        replies: list[Response] = []
        page.on("response", lambda reply: replies.append(reply))  # noqa: PLW0108 - it takes no built-in
        ada = Reviewer(page, served[0])
        ada.sees("#text", "Blind text 0.")
        heard.append(page.content().encode())
        ada.press("s", "5", "u")
        ada.sees("#text", "Blind text 1.")
        heard.append(page.content().encode())
        ada.press("1")
        ada.sees("#finished", "1 skipped text")
        ada.press("r")
        ada.sees("#text", "Blind text 0.")
        ada.press("Enter", "1")
        ada.sees("#finished", "Nothing left")
        heard.append(page.content().encode())
        heard += [repr(reply.all_headers()).encode() + reply.body() for reply in replies]
        context.close()
    assert any(b"Blind text 1." in part for part in heard)
    nothing_of_the_machine(heard)

"""Whole jobs on the hostile texts, with an oracle that does what a text tells it: what is kept, what is shown."""

from __future__ import annotations

import asyncio
import csv
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from starlette.testclient import TestClient

from agent.endpoints import Seat, connect
from agent.hearing import FLIPS, Heard, hear
from agent.job import Job
from agent.loop import run
from agent.oracle import looks_hostile
from agent.records import Route, Source, Text, TextId
from agent.review.app import create_app
from agent.store import Store
from agent.tasks import build
from agent.workbench import Workbench
from tests.hostile import LABELS, Hostile, hostile
from tests.servers.model import Form, ScriptedModel, Token, chance, pieces
from tests.servers.scripted import Faults, ScriptedServer

FREE = Faults(ignored=frozenset({"structured_outputs", "response_format"}))
"""A server that holds answers to no schema."""


class Obeying(ScriptedModel):
    """Says what the text wants, in many forms; and with `sees_marks` the truth where its words are marked."""

    def __init__(self, texts: Sequence[Hostile], *, sees_marks: bool = False) -> None:
        super().__init__({})
        object.__setattr__(self, "known", {letters(h.text): h for h in texts})
        object.__setattr__(self, "sees_marks", sees_marks)
        object.__setattr__(self, "asked", Counter())

    def says(self, text: str, form: Form) -> tuple[str, list[Token]]:
        found: Hostile | None = self.known.get(letters(text))  # type: ignore[attr-defined]
        if found is None:
            return super().says(text, form)
        self.asked[found.id] += 1  # type: ignore[attr-defined]
        is_marked = not re.search(r"\s", text)
        said = found.label if is_marked and self.sees_marks else found.wants  # type: ignore[attr-defined]
        if form.kind == "free" and not self.sees_marks:  # type: ignore[attr-defined]
            said = self.in_some_form(found, said)
        return said, [(p, -0.01, [(p, -0.01)]) for p in pieces(said)]

    @staticmethod
    def in_some_form(found: Hostile, said: str) -> str:
        forms = (
            said,
            json.dumps({"label": said}),
            f"Sure! The label is {said}.",
            f"{said}, {found.label}",
            said.upper(),
        )
        return forms[int(chance("form", found.id) * len(forms))] if found.wants_a_label else said


def letters(text: str) -> str:
    """What a fence and a mark leave of a text."""
    return re.sub(r"[\W_]|lt|u003c|3C", "", text)


@pytest.fixture
def serving() -> Iterator[Callable[..., ScriptedServer]]:
    started: list[ScriptedServer] = []

    def start(model: Obeying, faults: Faults = FREE) -> ScriptedServer:
        started.append(ScriptedServer({}, model=model, faults=faults).start())
        return started[-1]

    yield start
    for server in started:
        server.stop()


def job(folder: Path, task: str, texts: Sequence[Hostile], url: str, **form: Any) -> Job:
    with (folder / "pool.csv").open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        out.writerows([("id", "text"), *((h.id, h.text) for h in texts)])
    settings = {
        "name": task,
        "task": {"labels": LABELS[task]},
        "data": {"pool": "pool.csv", "id": "id"},
        "student": {"refresh": False, "max_tokens": 16},
        "oracle": {"base_url": url, "model": "scripted", "price": {"input": 1, "output": 2}, "format": form},
        "people": {"threshold": 0.5, "audit": 0.0},
        "selection": {"batch": len(texts), "cold_start": len(texts)},
        "budget": {"dollars": 1},
        "stop": {"agreement": None, "max_rounds": 1},
        "distil": {"enabled": False},
    }
    path = folder / "job.yaml"
    path.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    return Job.load(path)


# No answer outside the labels is a label --------------------------------------------------------------------------


@pytest.mark.parametrize("task", LABELS)
def test_whatever_a_text_has_the_oracle_say_only_the_jobs_labels_are_stored_exported_and_shown(
    tmp_path: Path, serving: Callable[..., ScriptedServer], task: str
) -> None:
    texts, model = hostile(task), Obeying(hostile(task))
    small = job(tmp_path, task, texts, serving(model).url)
    run(small)
    outside = {h.id for h in texts if not h.wants_a_label}
    with Store.open(small.store_url) as store:
        given = {str(x.text_id): x.value for x in store.labels(small.name, source=Source.ORACLE)}
        waits = {str(row.text_id): row.reason for row in store.queue(small.name)}
        cards = _items(store, small)
    assert set(given) | set(waits) == {h.id for h in texts}
    assert set(given.values()) <= set(LABELS[task])
    assert outside
    assert outside <= set(waits)
    assert not outside & set(given)
    assert all(waits[i].startswith("failed") for i in outside)
    assert set(_exported(tmp_path / "out")) <= {"", *LABELS[task]}
    page = next((tmp_path / "out").rglob("report.html")).read_text(encoding="utf-8")
    assert task == "news" or "window.hacked" in page  # of the few that are shown, as text
    assert _Active.of(page) == []
    assert {c["suggestion"]["value"] for c in cards if c["suggestion"]} <= set(LABELS[task])


def _exported(folder: Path) -> list[str]:
    with next(folder.rglob("labels.csv")).open(encoding="utf-8", newline="") as file:
        return [row["label"] for row in csv.DictReader(file)]


def _items(store: Store, small: Job) -> list[dict[str, Any]]:
    """The queue as the review page gets it: JSON that no browser takes for a page, under a policy without scripts."""
    web = TestClient(create_app(store, small, build(small.task), "ada"), base_url="http://127.0.0.1:8765")
    reply = web.get("/api/items?limit=50&again=0")
    assert reply.headers["content-type"].startswith("application/json")
    assert "unsafe-inline" not in web.get("/").headers["content-security-policy"]
    return list(reply.json()["items"])


class _Active(HTMLParser):
    """What of a page a browser would run, of what the texts brought."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "iframe", "img", "object", "embed"):
            self.found.append(tag)
        self.found += [f"{k}={v}" for k, v in attrs if k.startswith("on") or "javascript:" in (v or "")]

    @classmethod
    def of(cls, page: str) -> list[str]:
        parser = cls()
        parser.feed(page)
        return parser.found


# Answers that flip ------------------------------------------------------------------------------------------------


def some(count: int = 40) -> list[Hostile]:
    """Sentiment texts that want a label, some of which do not look it."""
    return [h for h in hostile("sentiment") if h.wants_a_label][::3][:count]


@pytest.mark.parametrize("spotlight", ["off", "mark"])
def test_an_answer_that_flips_with_the_words_marked_goes_to_a_person_and_is_never_a_label(
    tmp_path: Path, serving: Callable[..., ScriptedServer], spotlight: str
) -> None:
    texts = some()
    model = Obeying(texts, sees_marks=True)
    server = serving(model, Faults())
    small = job(tmp_path, "sentiment", texts, server.url, hostile_check=True, spotlight=spotlight)
    outcome = run(small)
    suspected = {h.id for h in texts if looks_hostile(h.text, tuple(LABELS["sentiment"]))}
    assert 0 < len(suspected) < len(texts)
    with Store.open(small.store_url) as store:
        labels = {str(x.text_id) for x in store.labels(small.name)}
        routes = {str(i): r for i, r in store.routes(small.name).items()}
        cards = {c["id"]: c for c in _items(store, small)}
        spent = store.spending(small.name).spent
    assert labels == {h.id for h in texts} - suspected
    for text_id in suspected:
        assert (routes[text_id].route, routes[text_id].reason) == (Route.PERSON, FLIPS)
    assert model.asked == {h.id: 2 if h.id in suspected else 1 for h in texts}  # type: ignore[attr-defined]
    assert spent == pytest.approx(sum(row["charged"] for row in server.asked), abs=2)
    shown = cards[next(i for i in cards if i in suspected)]
    assert shown["suggestion"] is None
    assert shown["reason"].startswith("It may hold instructions to the machine")
    assert "flips when its words are marked" in shown["reason"]
    assert outcome.waiting >= len(suspected)


def test_an_answer_that_stays_the_same_is_a_label_as_sure_as_without_the_check(
    tmp_path: Path, serving: Callable[..., ScriptedServer]
) -> None:
    texts = some(12)
    small = job(tmp_path, "sentiment", texts, serving(Obeying(texts), Faults()).url, hostile_check=True)
    run(small)
    with Store.open(small.store_url) as store:
        labels = {str(x.text_id): x for x in store.labels(small.name, source=Source.ORACLE)}
    assert set(labels) == {h.id for h in texts}
    assert all(labels[h.id].value == h.wants for h in texts)
    assert all((x.confidence or 0) > 0.95 for x in labels.values())


After = Callable[[Workbench, Seat], None]


async def heard_of(bench: Workbench, texts: Sequence[Hostile], after: After) -> dict[TextId, Heard]:
    """What is heard of the texts where something happens after each asking."""
    seat = await connect(bench, bench.job.oracle[0])
    bench.on_halt(seat.asker.halt)
    real = seat.asker.ask

    async def ask(*given: Any) -> Any:
        found = await real(*given)
        after(bench, seat)
        return found

    seat.asker.ask = ask  # type: ignore[method-assign]
    try:
        return await hear(bench, seat, [Text(TextId(h.id), h.text) for h in texts])
    finally:
        await seat.asker.close()


def test_stopped_before_the_second_question_it_is_asked_by_the_next_run_and_nothing_is_bought_twice(
    tmp_path: Path, serving: Callable[..., ScriptedServer]
) -> None:
    texts = [h for h in some() if looks_hostile(h.text, tuple(LABELS["sentiment"]))][:6]
    model = Obeying(texts, sees_marks=True)
    small = job(tmp_path, "sentiment", texts, serving(model, Faults()).url, hostile_check=True)

    def halted(bench: Workbench, _: Seat) -> None:
        bench.halt()

    def heard(after: After) -> dict[TextId, Heard]:
        with Workbench(small) as bench:
            bench.own()
            return asyncio.run(heard_of(bench, texts, after))

    assert heard(halted) == {}
    found = heard(lambda _bench, _seat: None)
    assert {h.why for h in found.values()} == {FLIPS}
    assert set(model.asked.values()) == {2}  # type: ignore[attr-defined]


def test_where_the_money_does_not_pay_for_the_second_question_nothing_is_accepted_unchecked(
    tmp_path: Path, serving: Callable[..., ScriptedServer]
) -> None:
    texts = [h for h in some() if looks_hostile(h.text, tuple(LABELS["sentiment"]))][:6]
    model = Obeying(texts, sees_marks=True)
    small = job(tmp_path, "sentiment", texts, serving(model, Faults()).url, hostile_check=True)

    def exhausted(_: Workbench, seat: Seat) -> None:
        seat.asker.state.exhausted = True  # as after a reservation that no longer fitted

    with Workbench(small) as bench:
        bench.own()
        assert asyncio.run(heard_of(bench, texts, exhausted)) == {}
    assert set(model.asked.values()) == {1}  # type: ignore[attr-defined]

"""`labelwright suspects` on a whole small job: accepted labels that look wrong go to people, nothing else changes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent import auditing, judging, steps, suspects
from agent.job import Job
from agent.loop import run
from agent.opinions import beside_triage
from agent.records import Label, Route, Source, TextId
from agent.report import page
from agent.rest import rest_of
from agent.review.card import card
from agent.store import LABEL_ERROR, RouteRow, Store
from agent.workbench import Workbench
from tests.servers.scripted import ScriptedServer
from tests.whole.jobs import answer_queue, labelwright, truth, write_job

Serve = Callable[..., ScriptedServer]
Say = Callable[..., tuple[int, str]]


def write(folder: Path, serve_gold: Serve, **changes: Any) -> Path:
    """A job whose oracle is wrong about one text in five, and often sure of it."""
    server = serve_gold(dict(truth()), errors=0.2)
    fixed = {
        "oracle__base_url": server.url,
        "distil__enabled": False,
        "people__threshold": 0.6,
        "people__audit": 0.05,
    }
    return write_job(folder, **(fixed | {"stop__max_rounds": 4} | changes))


@pytest.fixture
def small(tmp_path: Path, serve_gold: Serve) -> Path:
    """The job file of a job that has run: 80 labels."""
    path = write(tmp_path, serve_gold)
    run(Job.load(path))
    return path


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Say:
    return lambda *words: labelwright(monkeypatch, capsys, *words)


def routes_of(path: Path) -> dict[TextId, RouteRow]:
    with Store.open(Job.load(path).store_url) as store:
        return store.routes("small")


def shown(path: Path) -> set[TextId]:
    return {i for i, r in routes_of(path).items() if r.looks_wrong}


def judge(path: Path, only: set[TextId], *, wrongly: bool = False) -> None:
    """Ada says what the texts are; `wrongly` that the machine is right whatever it said."""
    with Store.open(Job.load(path).store_url) as store:
        for row in [r for r in store.queue("small") if r.text_id in only]:
            assert row.suggestion is not None
            value = row.suggestion.value if wrongly else truth()[row.text]
            label = Label(row.text_id, value, Source.PERSON, by="ada")
            store.review("small", row.text_id, "ada", "label", label, 2.0)


def test_labels_that_look_wrong_are_shown_to_people_with_the_reason_and_count_until_then(
    small: Path, say: Say
) -> None:
    job = Job.load(small)
    with Store.open(job.store_url) as store:
        before, current = store.routes("small"), store.current("small")
        waited = store.queue_size("small")
    code, said = say("suspects", small)
    assert code == 0
    assert "which people were not shown" in said
    assert routes_of(small) == before, "it only looked"
    with Workbench(job) as bench:
        trusted = steps.accepted(bench)
    code, said = say("suspects", small, "--send", "4", "--json")
    found = json.loads(said)
    assert (code, found["sent"], found["shown"], found["waiting"]) == (0, 4, 4, 4)
    chosen = shown(small)
    assert len(chosen) == 4
    with Store.open(job.store_url) as store:
        assert store.current("small") == current
        assert store.queue_size("small") == waited + 4
        rows = [r for r in store.queue("small") if r.text_id in chosen]
        wrong = sum(current[i].value != truth()[store.text("small", i)] for i in chosen)
        usual = {i for i, r in before.items() if r.is_accepted}
        base = sum(current[i].value != truth()[store.text("small", i)] for i in usual) / len(usual)
    assert wrong / 4 > 2 * base, "they are wrong far more often than accepted labels are"
    assert {i: r for i, r in routes_of(small).items() if i not in chosen} == {
        i: r for i, r in before.items() if i not in chosen
    }
    with Workbench(job) as bench:
        assert steps.accepted(bench) == trusted, "each counts until a person says otherwise"
        for row in rows:
            told = card(row, bench.task)
            assert told["suggestion"] is not None
            assert told["reason"].startswith("This label was accepted, and looks wrong: ")
    assert any("the student is" in r.reason and '% sure of "' in r.reason for r in rows)


def test_what_people_say_is_told_and_nobody_is_asked_twice(small: Path, say: Say) -> None:
    say("suspects", small, "--send", "3")
    first = shown(small)
    kept, turned = set(sorted(first)[:1]), set(sorted(first)[1:])
    with Store.open(Job.load(small).store_url) as store:
        wrong = sum(store.current("small")[i].value != truth()[store.text("small", i)] for i in turned)
    judge(small, kept, wrongly=True)
    judge(small, turned)
    code, said = say("suspects", small)
    assert code == 0
    assert f"3 in all: {wrong} wrong, {3 - wrong} right, 0 wait" in said
    say("suspects", small, "--send", "1000")
    assert first < shown(small)
    with Store.open(Job.load(small).store_url) as store:
        assert not first & {r.text_id for r in store.queue("small")}, "who was asked is not asked again"
    assert say("report", small)[0] == 0
    report = json.loads((small.parent / "out" / "report" / "report.json").read_text("utf-8"))
    assert report["suspects"] == {"texts": len(shown(small)), "right": 3 - wrong, "wrong": wrong}
    html = (small.parent / "out" / "report" / "report.html").read_text("utf-8")
    assert "looked wrong and were shown to people for that" in html
    code, said = say("suspects", small, "--send", "5", "--json")
    assert json.loads(said)["sent"] == 0, "there are no more"


def test_an_audit_and_blind_texts_are_left_alone(small: Path, say: Say) -> None:
    job = Job.load(small)
    assert say("audit", small, "--size", "30")[0] == 0
    blind = {i for i, r in routes_of(small).items() if r.blind}
    with Store.open(job.store_url) as store:
        drawn, items = store.audited("small"), store.audit_answers("small", store.audits("small")[0].id)
    say("suspects", small, "--send", "1000")
    chosen = shown(small)
    assert chosen
    assert not chosen & (drawn | blind)
    with Store.open(job.store_url) as store:
        assert store.audit_answers("small", store.audits("small")[0].id) == items
    with Workbench(job) as bench:  # another one draws from all labels, and shows also these blind
        auditing.begin(bench, auditing.Wish(size=500), again=True)
        rows = {r.text_id: r for r in bench.store.queue("small")}
    assert all(rows[i].blind and rows[i].suggestion is None and rows[i].reason == "audit" for i in chosen)


def test_what_was_chosen_tells_nothing_of_labels_in_general(small: Path, say: Say) -> None:
    """Neither the report's estimate for the oracle, nor the bar, nor the chances in the exported labels."""
    job = Job.load(small)
    answer_queue(job)

    def told() -> tuple[Any, ...]:
        say("report", small)
        report = json.loads((small.parent / "out" / "report" / "report.json").read_text("utf-8"))
        with Workbench(job) as bench:
            found, of_student = judging.judgement(bench), rest_of(bench).bar.labels
        anchoring = report["agreement"]["anchoring"]
        assert anchoring is not None
        return report["calibration"], anchoring, found.bar, found.model, found.calibration, of_student

    before, routes = told(), routes_of(small)
    say("suspects", small, "--send", "1000")
    chosen = shown(small)
    judge(small, chosen)
    assert told() == before
    assert {routes_of(small)[i].probability for i in chosen} == {routes[i].probability for i in chosen}
    assert chosen <= beside_triage((), routes_of(small))
    say("export", small, "--formats", "jsonl")
    rows = [json.loads(x) for x in (small.parent / "out" / "labels" / "labels.jsonl").read_text().splitlines()]
    assert {r["review_probability"] for r in rows if r["text_id"] in chosen} == {None}


def test_a_run_shows_no_more_than_its_share_and_none_by_default(tmp_path: Path, serve_gold: Serve) -> None:
    plain, path = write(tmp_path / "plain", serve_gold), write(tmp_path / "some", serve_gold, people__suspects=0.05)
    assert Job.load(plain).people.suspects == 0
    assert Job.load(plain).fingerprint() == Job.load(path).fingerprint()
    run(Job.load(plain))
    outcome = run(Job.load(path))
    assert not shown(plain)
    before = routes_of(plain)
    accepted = sum(r.is_accepted for r in before.values())
    assert 1 <= len(shown(path)) <= 0.05 * accepted
    assert {i: r for i, r in routes_of(path).items() if not r.looks_wrong}.items() <= before.items()
    assert outcome.delivered is not None
    assert "looked wrong" in page(outcome.delivered.findings)
    first = shown(path)
    run(Job.load(path))
    assert shown(path) == first, "the same run again shows no more, and takes none back"
    with Store.open(Job.load(path).store_url) as store:
        assert first <= {r.text_id for r in store.queue("small")}


def test_who_labelled_a_text_meanwhile_is_heard(small: Path) -> None:
    with Workbench(Job.load(small)) as bench:
        found = suspects.find(bench)
        text_id = found[0].label.text_id
        label = Label(text_id, "fruit", Source.PERSON, by="ada")
        bench.store.review("small", text_id, "ada", "label", label, 2.0)
        assert suspects.send(bench, found[:2]) == 1
    assert text_id not in shown(small)
    assert routes_of(small)[text_id].route is Route.ACCEPTED


@pytest.mark.parametrize("changes", [{"student": "none"}, {"task__kind": "multilabel"}])
def test_where_nothing_can_be_told_that_is_said(
    tmp_path: Path, serve_gold: Serve, say: Say, changes: dict[str, Any]
) -> None:
    path = write_job(tmp_path, oracle__base_url=serve_gold(dict(truth())).url, distil__enabled=False)
    run(Job.load(path))
    settings = yaml.safe_load(path.read_text())
    if "student" in changes:
        settings["student"], settings["selection"] = "none", {}
        settings["stop"] = {"max_rounds": 3}
    else:
        settings["task"]["kind"] = "multilabel"
        settings["name"] = "other"
    path.write_text(yaml.safe_dump(settings))
    code, said = say("suspects", path)
    assert code == 2
    assert "labelwright audit" in said or "has not been run" in said or "no job" in said
    path.write_text(yaml.safe_dump(settings | {"people": {"suspects": 0.1}}))
    code, said = say("check", path)
    assert code == 2
    assert "people.suspects" in said


def test_a_job_without_labels_has_no_suspects(tmp_path: Path, serve_gold: Serve, say: Say) -> None:
    path = write(tmp_path, serve_gold, people__threshold=1.0, stop__max_rounds=1)
    code, said = say("suspects", path)
    assert code == 2, said
    run(Job.load(path))
    code, said = say("suspects", path, "--send", "3", "--json")
    assert code == 0
    assert json.loads(said)["sent"] == 0


def test_the_reason_is_what_the_store_knows_it_by() -> None:
    row = RouteRow(TextId("a"), 1, Route.PERSON, f"{LABEL_ERROR}: texts like it have other labels")
    assert row.looks_wrong
    assert row.is_accepted
    assert not RouteRow(TextId("a"), 1, Route.PERSON, "unsure").is_accepted

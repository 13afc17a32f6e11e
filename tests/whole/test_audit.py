"""`labelwright audit` on a whole small job: drawn, judged by people, and told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from agent import auditing, judging
from agent.job import Job
from agent.loop import run
from agent.records import Label, Route, Source
from agent.store import Store
from agent.workbench import Workbench
from tests.servers.scripted import ScriptedServer
from tests.whole.jobs import labelwright, truth, write_job

Serve = Callable[..., ScriptedServer]
Say = Callable[..., tuple[int, str]]


@pytest.fixture
def small(tmp_path: Path, serve_gold: Serve) -> Path:
    """The job file of a job that has run: 60 labels, some of them wrong."""
    server = serve_gold(dict(truth()), errors=0.15)
    path = write_job(tmp_path, oracle__base_url=server.url, distil__enabled=False)
    run(Job.load(path))
    return path


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Say:
    return lambda *words: labelwright(monkeypatch, capsys, *words)


def judge(path: Path, most: int = 1000) -> int:
    """Ada labels what audits drew, as it is; returns how many texts that were."""
    job, done = Job.load(path), 0
    with Store.open(job.store_url) as store:
        for row in [r for r in store.queue(job.name) if r.reason == "audit" and store.audits(job.name, of=r.text_id)]:
            assert row.blind
            assert row.suggestion is None
            if done < most:
                label = Label(row.text_id, truth()[row.text], Source.PERSON, by="ada")
                store.review(job.name, row.text_id, "ada", "label", label, 2.0)
                done += 1
    return done


def test_an_audit_from_the_draw_to_the_certificate(small: Path, say: Say) -> None:
    job = Job.load(small)
    assert "no audit was drawn yet" in say("audit", small)[1]
    with Store.open(job.store_url) as store:
        routes, labels, current = store.routes("small"), store.labels("small"), store.current("small")
    code, said = say("audit", small, "--size", "20")
    assert code == 0
    assert "20 of 60 labels that machines gave" in said
    assert f"labelwright review {small}" in said
    with Store.open(job.store_url) as store:
        assert (store.routes("small"), store.labels("small"), store.current("small")) == (routes, labels, current)
    assert "audit 20 texts left to judge blind" in say("status", small)[1]
    assert judge(small, 5) == 5
    assert "so far, and not final" in say("audit", small)[1]
    assert judge(small) == 15
    code, said = say("audit", small)
    assert code == 0
    assert "from 20 blind items, estimator stratified Horvitz-Thompson: of the 60 labels" in said
    assert "an interval of ±5 points takes" in said
    assert "local/scripted" in said
    assert "fruit" in said
    assert "left to judge" not in say("status", small)[1]
    (found,) = json.loads(say("audit", small, "--json")[1])
    with Store.open(job.store_url) as store:
        answers = store.audit_answers("small", found["id"])
        right = {x.item.text_id: x.drawn == truth()[store.text("small", x.item.text_id)] for x in answers}
    counts = [right[x.item.text_id] / x.item.probability for x in answers]
    assert found["share"]["value"] == pytest.approx(sum(counts) / 60)
    assert 0 < sum(right.values()) < 20
    assert say("report", small)[0] == 0
    report = json.loads((small.parent / "out" / "report" / "report.json").read_text("utf-8"))
    assert report["audits"] == [found]
    assert say("export", small, "--formats", "csv")[0] == 0
    card = (small.parent / "out" / "labels" / "README.md").read_text("utf-8")
    assert "How right the labels are: audit 1: accuracy" in card


def test_the_same_job_draws_the_same_texts_and_another_audit_others(small: Path, say: Say) -> None:
    job = Job.load(small)
    for again in ([], ["--again"], ["--again"]):
        assert say("audit", small, "--size", "20", *again)[0] == 0
    with Store.open(job.store_url) as store:
        first, second, third = (
            {x.item.text_id for x in store.audit_answers("small", a.id)} for a in store.audits("small")
        )
    assert first != second != third
    assert len(first | second | third) > 30


def test_a_test_is_drawn_in_order_and_ends(small: Path, say: Say) -> None:
    code, said = say("audit", small, "--below", "0.6", "--json")
    assert code == 0
    assert json.loads(said)["items"] == 60
    assert judge(small) == 60
    (found,) = json.loads(say("audit", small, "--json")[1])
    assert (found["test"]["verdict"], found["share"]) == ("accept", None)
    assert "error is under 60" in say("audit", small)[1]


def test_a_margin_says_how_many_that_takes(small: Path, say: Say) -> None:
    code, said = say("audit", small, "--margin", "0.2")
    assert code == 0
    assert "as an interval of ±20 points is expected to take" in said


def test_more_than_there_are_are_all(small: Path, say: Say) -> None:
    said = say("audit", small, "--size", "500")[1]
    assert "all 60 of 60 labels that machines gave: 500 were asked for, and there are no more" in said


def test_what_people_labelled_is_left_out_and_told(small: Path, say: Say) -> None:
    job = Job.load(small)
    with Store.open(job.store_url) as store:
        for i in list(store.current("small"))[:7]:
            store.add_labels("small", [Label(i, "tool", Source.PERSON, "ada")])
    said = say("audit", small, "--size", "100")[1]
    assert "all 53 of 53 labels" in said
    assert "7 that people labelled" in said


def test_an_audit_that_waits_is_finished_first(small: Path, say: Say) -> None:
    say("audit", small, "--size", "10")
    code, said = say("audit", small, "--size", "10")
    assert code == 2
    assert "still waits for a person, with 10 texts" in said
    assert "--again" in said
    judge(small)
    assert say("audit", small, "--size", "10")[0] == 0


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--size", "5", "--margin", "0.1"], "give one of them"),
        (["--margin", "0.1", "--below", "0.1"], "give one of them"),
        (["--margin", "2"], "--margin 2: give a share above 0 and below 0.5"),
        (["--below", "1"], "--below 1: give a share above 0 and below 1"),
        (["--below", "0.1", "--alpha", "0"], "--alpha 0: give a share"),
        (["--alpha", "0.1"], "give --below with it"),
        (["--again"], "say of what size"),
        (["--size", "0"], "--size"),
    ],
)
def test_what_cannot_be_meant_is_said(small: Path, say: Say, words: list[str], why: str) -> None:
    code, said = say("audit", small, *words)
    assert code == 2
    assert why in said
    with Store.open(Job.load(small).store_url) as store:
        assert store.audits("small") == []


def test_a_job_that_never_ran_or_has_no_label_has_nothing_to_audit(tmp_path: Path, say: Say) -> None:
    path = write_job(tmp_path, oracle__base_url="http://127.0.0.1:1/v1")
    for words in ([], ["--size", "5"]):
        code, said = say("audit", path, *words)
        assert code == 2
        assert "`labelwright run` makes it" in said
    with Workbench(Job.load(path)) as bench:
        assert bench.store.audits("small") == []
    code, said = say("audit", path, "--size", "5")
    assert code == 2
    assert "has no label that a machine gave" in said


def test_a_job_goes_on_as_if_no_audit_had_drawn_anything(tmp_path: Path, serve_gold: Serve, say: Say) -> None:
    """Rounds after a draw accept what they would have accepted: what waits for the audit is decided by its route."""
    routes = []
    for name in ("audited", "plain"):
        server = serve_gold(dict(truth()), errors=0.15)
        path = write_job(tmp_path / name, oracle__base_url=server.url, distil__enabled=False, stop__max_rounds=2)
        run(Job.load(path))
        if name == "audited":
            assert say("audit", path, "--size", "40")[0] == 0
        path.write_text(
            yaml.safe_dump(yaml.safe_load(path.read_text()) | {"stop": {"agreement": None, "max_rounds": 4}})
        )
        run(Job.load(path))
        with Store.open(Job.load(path).store_url) as store:
            routes.append({i: (r.route, r.reason, r.blind) for i, r in store.routes("small").items()})
    assert routes[0] == routes[1]
    assert any(route is Route.ACCEPTED for route, _, _ in routes[0].values())


def test_what_a_person_labels_while_an_audit_is_drawn_is_not_in_it(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was not judged blind: the draw is made again, from what is left."""
    plan, labelled = auditing._Plan.of, list[str]()

    def slow(bench: Workbench, wish: auditing.Wish, number: int) -> auditing._Plan:
        found = plan(bench, wish, number)
        if not labelled:
            text_id = found.items[0].text_id
            bench.store.add_labels("small", [Label(text_id, "tool", Source.PERSON, "ada")])
            labelled.append(text_id)
        return found

    monkeypatch.setattr(auditing._Plan, "of", slow)
    with Workbench(Job.load(small)) as bench:
        drawn = auditing.begin(bench, auditing.Wish(size=60))
        assert (drawn.population, drawn.people, drawn.items) == (59, 1, 59)
        assert labelled[0] not in bench.store.audited("small")


def test_verdicts_on_what_an_audit_drew_are_blind_ones_for_judging_the_oracle(
    small: Path, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    say("audit", small, "--size", "12")
    with Workbench(Job.load(small)) as bench:
        drawn = bench.store.audited("small")
    judge(small)
    monkeypatch.setattr(judging, "ENOUGH_BLIND", 5)
    with Workbench(Job.load(small)) as bench:
        seen = next(i for i in bench.store.current("small") if i not in drawn)
        bench.store.review("small", seen, "ada", "label", Label(seen, "tool", Source.PERSON, "ada"))
        routes = bench.store.routes("small")
        assert set(judging._people(bench)) - {i for i, r in routes.items() if r.blind} == {
            i for i in drawn if not routes[i].blind
        }

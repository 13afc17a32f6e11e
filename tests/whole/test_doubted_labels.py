"""What a job does with its doubts: wrong labels come to people first, and people's answers move what is accepted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from agent.doubt import CONTENT_FREE
from agent.errors import JobFileError
from agent.job import Job
from agent.judging import judgement
from agent.loop import run
from agent.records import Source
from agent.watch import Silent
from agent.workbench import Workbench
from tests.servers.scripted import Faults, ScriptedServer
from tests.whole.jobs import answer_queue, truth, write_job

Serve = Callable[..., ScriptedServer]
EVERYTHING_TO_PEOPLE = {"people__threshold": 1.0, "people__audit": 0, "distil__enabled": False}


class Noting(Silent):
    def __init__(self, notes: list[str]) -> None:
        self.notes = notes

    def note(self, message: str) -> None:
        self.notes.append(message)


def job(folder: Path, server: ScriptedServer, **changes: object) -> Job:
    return Job.load(write_job(folder, oracle__base_url=server.url, **(EVERYTHING_TO_PEOPLE | changes)))


def test_people_see_the_wrong_labels_first_and_what_speaks_against_them(tmp_path: Path, serve_gold: Serve) -> None:
    small = job(tmp_path, serve_gold(dict(truth()), errors=0.2), stop__max_rounds=4)
    run(small)
    gold = truth()
    with Workbench(small) as bench:
        queue = bench.store.queue("small")
    wrong = [q.suggestion is not None and q.suggestion.value != gold[q.text] for q in queue]
    first = len(queue) // 4
    assert sum(wrong[:first]) >= 0.7 * sum(wrong) > 4
    assert any("texts like it have other labels" in q.reason for q in queue[:first])
    assert all(q.suggestion is not None and q.suggestion.signs for q in queue)


def test_people_teach_a_job_which_labels_to_accept(tmp_path: Path, serve_gold: Serve) -> None:
    server = serve_gold(dict(truth()), errors=0.2)
    small = job(tmp_path, server, stop__max_rounds=4)
    run(small)
    with Workbench(small) as bench:
        before = judgement(bench)
    assert not before.by_signs
    assert before.bar.value == 1.0
    answer_queue(small)
    more = job(tmp_path, server, stop__max_rounds=6, people__target_error=0.1)
    run(more)
    gold = truth()
    with Workbench(more) as bench:
        judge = judgement(bench)
        texts = {p.text_id: p.text for p in bench.picks().values()}
        routes = bench.store.routes("small")
        given = {x.text_id: x for x in bench.store.labels("small", source=Source.ORACLE)}
        later = [i for i, p in bench.picks().items() if p.round >= 4]
    assert judge.by_signs
    accepted = [i for i in later if routes[i].reason == "sure"]
    assert len(accepted) >= 10
    assert sum(given[i].value != gold[texts[i]] for i in accepted) <= 0.1 * len(accepted)


def test_labels_without_any_confidence_are_accepted_once_people_have_taught_what_to_look_at(
    tmp_path: Path, serve_gold: Serve
) -> None:
    server = serve_gold(dict(truth()), errors=0.2, faults=Faults(no_logprobs=True))
    small = job(tmp_path, server, stop__max_rounds=4)
    run(small)
    with Workbench(small) as bench:
        assert not [r for r in bench.store.routes("small").values() if r.reason == "sure"]
    answer_queue(small)
    notes: list[str] = []
    run(job(tmp_path, server, stop__max_rounds=6, people__target_error=0.1), Noting(notes))
    assert any("accepted from" in n and "by all signs together" in n for n in notes)
    with Workbench(small) as bench:
        accepted = [i for i, r in bench.store.routes("small").items() if r.reason == "sure"]
        assert all(label.confidence is None for label in bench.store.labels("small", source=Source.ORACLE))
    assert accepted


def test_a_preference_that_shows_on_empty_texts_is_divided_out(tmp_path: Path, serve_gold: Serve) -> None:
    """The server names its first class for a text that it does not know, as a model does that likes one."""
    server = serve_gold(dict(truth()))
    small = job(tmp_path, server, oracle__prior="content_free")
    notes: list[str] = []
    run(small, Noting(notes))
    asked = [row["text"] for row in server.asked]
    assert [t for t in asked if t in CONTENT_FREE] == list(CONTENT_FREE)
    assert any("to a text without content" in n and "divided out" in n for n in notes)
    run(small)
    assert len(server.asked) == len(asked)


def test_a_prior_needs_one_label_a_text(tmp_path: Path, serve_gold: Serve) -> None:
    several = {"task": {"kind": "multilabel", "labels": ["fruit", "tool"]}, "data__seed": None, "data__gold": None}
    small = job(tmp_path, serve_gold(dict(truth())), oracle__prior="batch", **several)
    with pytest.raises(JobFileError, match=r"job\.yaml:\d+: `oracle.prior`: is for one label a text"):
        run(small)

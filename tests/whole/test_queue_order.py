"""What people are shown first in a whole small job: what is worth most a second of theirs."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from agent import triage as triaging
from agent import valuing
from agent.doubt import SIGNS
from agent.job import Job
from agent.judging import MANY, judgement
from agent.loop import run
from agent.records import Label, Route, Source, TextId
from agent.store import Store
from agent.store.queue import blind_priority
from agent.valuing import Worth, worth_of
from agent.workbench import Workbench
from tests.servers.scripted import ScriptedServer
from tests.whole.jobs import truth, write_job

Serve = Callable[..., ScriptedServer]
TAIL = " It was a quiet day, and nothing else of note happened there." * 30
OFTEN = 40


def long_and_short(folder: Path, serve_gold: Serve) -> tuple[Job, Mapping[str, str]]:
    """A job of which every other text is two thousand characters long; and what each text is."""
    gold = {**truth(), **{text + TAIL: label for text, label in truth().items()}}
    fixed = {"distil__enabled": False, "people__threshold": 0.8, "data__gold": None}
    path = write_job(folder, oracle__base_url=serve_gold(gold, errors=0.2).url, **fixed)  # type: ignore[arg-type]
    with (folder / "pool.csv").open(encoding="utf-8", newline="") as file:
        head, *rows = csv.reader(file)
    with (folder / "pool.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([head, *([t + TAIL * (i % 2)] for i, (t,) in enumerate(rows))])
    return Job.load(path), gold


def test_of_labels_as_doubtful_the_one_that_takes_less_time_comes_first_and_blind_ones_anywhere(
    tmp_path: Path, serve_gold: Serve
) -> None:
    job, gold = long_and_short(tmp_path, serve_gold)
    run(job)
    with Workbench(job) as bench:
        routes, picks = bench.store.routes(job.name), bench.picks()
        waiting = {i: r for i, r in routes.items() if r.route is Route.PERSON and r.label_id}
        labels = [x for i, x in bench.store.current(job.name).items() if i in waiting and not waiting[i].blind]
        wrong = dict(zip([x.text_id for x in labels], 1 - judgement(bench).by_all_signs(labels), strict=True))
        blind = [i for i, r in waiting.items() if r.blind]
        assert {waiting[i].priority for i in blind} == {blind_priority(i) for i in blind}
        short = {i for i in wrong if len(picks[i].text) < 200}
        assert 3 < len(short) < len(wrong) - 3
        place = {i: waiting[i].priority for i in wrong}
        for i in short:
            for j in wrong.keys() - short:
                if picks[i].round == picks[j].round and wrong[i] > wrong[j]:
                    assert (place[i] or 0) > (place[j] or 0), "as doubtful, and five times as quick"
        before = worth_of(bench, labels)
        lengths = np.array([len(picks[x.text_id].text) for x in labels])
        assert before.seconds[lengths > 200].min() > 5 * before.seconds[lengths < 200].max()
        shown = bench.store.queue(job.name, include_skipped=True, limit=OFTEN)
        assert len(shown) >= 20
        for row in shown:  # ada takes a minute whatever the length
            label = Label(row.text_id, gold[row.text], Source.PERSON, by="ada")
            bench.store.review(job.name, row.text_id, "ada", "label", label, 60.0)
        after = worth_of(bench, labels)
        assert after.seconds.max() < 2 * after.seconds.min(), "how long people take is learnt from what they took"
        times = bench.store.review_times(job.name, 1000)
        assert sorted(times) == sorted((len(row.text), 60.0) for row in shown)
        assert len(bench.store.review_times(job.name, 5)) == 5


def test_how_many_texts_are_in_the_same_doubt_is_told_by_a_sample(
    tmp_path: Path, serve_gold: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, _ = long_and_short(tmp_path, serve_gold)
    seen: list[int] = []

    def in_doubt(own: np.ndarray, said: np.ndarray, others: np.ndarray, chances: np.ndarray) -> np.ndarray:
        seen.append(len(others))
        return np.arange(1.0, len(own) + 1)

    monkeypatch.setattr(valuing, "SAMPLE", 10)
    monkeypatch.setattr(valuing.valued, "in_doubt", in_doubt)
    monkeypatch.setattr(valuing.valued, "usually_in_doubt", lambda others, chances: 0.5)
    run(job)
    with Store.open(job.store_url) as store:
        reasons = [r.reason for r in store.routes(job.name).values() if r.route is Route.PERSON and not r.blind]
    assert set(seen) == {10}
    assert any(MANY in reason for reason in reasons)
    assert all(MANY not in reason for reason in reasons if reason.startswith("failed"))


def test_a_label_without_any_sign_has_no_place_by_signs_and_a_blind_one_no_reason_by_them(
    tmp_path: Path, serve_gold: Serve
) -> None:
    job = Job.load(write_job(tmp_path, oracle__base_url=serve_gold(dict(truth())).url))
    signs = {SIGNS[0]: -1.0}
    labels = [
        Label(TextId(str(k)), "fruit", Source.ORACLE, "local", signs=s) for k, s in enumerate([signs, {}, signs])
    ]
    worth = Worth(np.array([1.0, 1.0, 2.0]), np.array([10.0, 10.0, 10.0]), 10.0)
    with Workbench(job) as bench:
        bench.own()
        judge = judgement(bench)
        one, unsigned, worthier = judge.places(labels, worth)
        assert unsigned is None
        assert one is not None
        assert worthier is not None
        assert 0 < one < worthier < 1
        shown, blind = (triaging.Decision(Route.PERSON, "unsure", blind=b) for b in (False, True))
        assert judge.reason(shown, labels[0], many=True) == f"unsure: {MANY}"
        assert judge.reason(blind, labels[0], many=True) == "unsure"

"""How questions are put, in whole jobs: whatever the format, labels are the job's own and nothing is bought twice."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from agent.endpoints import connect, questions_of
from agent.errors import JobFileError
from agent.hearing import Heard, hear
from agent.job import Job
from agent.loop import run
from agent.records import Label, Source, Text, TextId
from agent.store import FrameRow, Store
from agent.workbench import Workbench
from tests.servers.scripted import Faults, ScriptedServer
from tests.whole.jobs import DESCRIPTIONS, truth, write_job

Serve = Callable[..., ScriptedServer]
QUICK = {"distil__enabled": False, "stop__max_rounds": 2}
MORE = DESCRIPTIONS | {"planet": "far away", "song": "heard", "river": "wet"}  # so that a shortlist leaves some out


def job(folder: Path, server: ScriptedServer, form: dict[str, Any], **changes: object) -> Job:
    changes = QUICK | {"task__labels": dict(MORE), "oracle__format": form} | changes
    return Job.load(write_job(folder, oracle__base_url=server.url, **changes))


FORMS: list[dict[str, Any]] = [
    {"answer": "code"},
    {"descriptions": False},
    {"examples": "none"},
    {"examples": "nearest", "nearest": 2},
    {"reason": True},
    {"reason": True, "answer": "code", "orders": 2},
    {"orders": 3},
    {"shortlist": 2},
    {"shortlist": 2, "answer": "code", "orders": 2, "examples": "nearest"},
]


@pytest.mark.parametrize(
    ("form", "answers"), list(zip(FORMS, cycle(["choice", "json_schema"]), strict=False)), ids=json.dumps
)
def test_an_oracle_that_is_right_gives_right_labels_in_any_format(
    tmp_path: Path, serve_gold: Serve, form: dict[str, Any], answers: str
) -> None:
    gold = truth()
    small = job(tmp_path, serve_gold(dict(gold)), form, oracle__answers=answers, stop__max_rounds=1)
    outcome = run(small)
    with Store.open(small.store_url) as store:
        labels = store.labels(small.name, source=Source.ORACLE)
        words = store.texts(small.name, [label.text_id for label in labels])
    assert outcome.labels == len(labels) == 20
    assert all(label.value == gold[words[label.text_id]] for label in labels)
    assert all(set(label.probabilities or ()) == set(MORE) for label in labels)


def test_a_text_in_doubt_is_asked_in_the_other_orders_and_costs_what_they_cost(
    tmp_path: Path, serve_gold: Serve
) -> None:
    server = serve_gold(dict(truth()))
    small = job(tmp_path, server, {"orders": 3}, people__threshold=0.8)
    run(small)
    times = Counter(row["text"] for row in server.asked if row["text"] in truth())
    charged: Counter[str] = Counter()
    for row in server.asked:
        charged[row["text"]] += row["charged"]
    with Store.open(small.store_url) as store:
        labels = store.labels(small.name, source=Source.ORACLE)
        words = store.texts(small.name, [label.text_id for label in labels])
    assert set(times.values()) == {1, 3}
    for label in labels:
        text = words[label.text_id]
        assert times[text] == (3 if (label.confidence or 0) < 0.8 else 1)
        assert label.cost == pytest.approx(charged[text], abs=3)  # each is rounded up to a micro-dollar


def test_without_probabilities_orders_that_agree_are_the_confidence(tmp_path: Path, serve_gold: Serve) -> None:
    server = serve_gold(dict(truth()), faults=Faults(no_logprobs=True))
    small = job(tmp_path, server, {"orders": 3}, stop__max_rounds=1)
    run(small)
    with Store.open(small.store_url) as store:
        labels = store.labels(small.name, source=Source.ORACLE)
    assert {round(label.confidence or 0, 6) for label in labels} == {round((3 + 1 / len(MORE)) / 4, 6)}


async def heard_of(bench: Workbench, texts: list[Text]) -> dict[TextId, Heard]:
    seat = await connect(bench, bench.job.oracle[0])
    try:
        return await hear(bench, seat, texts)
    finally:
        await seat.asker.close()


def test_a_shortlist_that_lacks_the_class_is_asked_again_with_all_and_is_no_failure(
    tmp_path: Path, serve_gold: Serve
) -> None:
    gold = truth()
    server = serve_gold(dict(gold))
    small = job(tmp_path, server, {"shortlist": 2})
    with Workbench(small) as bench:
        bench.own()
        texts = list(bench.pool.texts())[:8]
        lists = [("river", gold[t.text]) if i % 2 else ("river", "song") for i, t in enumerate(texts)]
        kept = {t.id: FrameRow(names) for t, names in zip(texts, lists, strict=True)}
        bench.store.keep_frames(small.name, kept)
        heard = asyncio.run(heard_of(bench, texts))
    times = Counter(row["text"] for row in server.asked if row["text"] in gold)
    assert [times[t.text] for t in texts] == [2, 1] * 4
    assert [heard[t.id].value for t in texts] == [gold[t.text] for t in texts]


@pytest.mark.parametrize("form", [{"orders": 2}, {"shortlist": 2}], ids=json.dumps)
def test_a_text_that_was_asked_half_waits_for_the_next_run_and_costs_no_more(
    tmp_path: Path, serve_gold: Serve, form: dict[str, Any]
) -> None:
    gold = truth()
    server = serve_gold(dict(gold))
    small = job(tmp_path, server, form, people__threshold=1.0)
    with Workbench(small) as bench:
        bench.own()
        texts = list(bench.pool.texts())[:6]
        bench.store.keep_frames(small.name, {t.id: FrameRow(("river", "song")) for t in texts})

        async def stopped_after_the_first_question() -> dict[TextId, Heard]:
            seat = await connect(bench, small.oracle[0])
            bench.on_halt(seat.asker.halt)
            real = seat.asker.ask

            async def ask(*given: Any) -> Any:
                found = await real(*given)
                bench.halt()
                return found

            seat.asker.ask = ask  # type: ignore[method-assign]
            try:
                return await hear(bench, seat, texts)
            finally:
                await seat.asker.close()

        assert asyncio.run(stopped_after_the_first_question()) == {}
    with Workbench(small) as bench:
        bench.own()
        heard = asyncio.run(heard_of(bench, texts))
    assert [heard[t.id].value for t in texts] == [gold[t.text] for t in texts]
    times = Counter(row["text"] for row in server.asked if row["text"] in gold)
    assert [times[t.text] for t in texts] == [2] * 6


@pytest.mark.parametrize("form", [{"shortlist": 2}, {"examples": "nearest", "nearest": 3}], ids=json.dumps)
def test_what_was_asked_is_not_bought_again_after_people_changed_what_is_known(
    tmp_path: Path, serve_gold: Serve, form: dict[str, Any]
) -> None:
    gold = truth()
    server = serve_gold(dict(gold))
    small = job(tmp_path, server, form)
    run(small)
    with Workbench(small) as bench:
        bench.own()
        picks = bench.store.picks(small.name)
        for pick in picks[:10]:
            label = Label(pick.text_id, "river", Source.PERSON, by="ada")
            bench.store.review(small.name, pick.text_id, "ada", "label", label, 2.0)
        asked = len(server.asked)

        heard = asyncio.run(heard_of(bench, [Text(p.text_id, p.text, p.row) for p in picks]))
        assert all(heard[p.text_id].value == gold[p.text] for p in picks)
    assert len(server.asked) == asked


def test_the_nearest_examples_are_those_that_people_labelled_and_the_nearest_comes_last(
    tmp_path: Path, serve_gold: Serve
) -> None:
    small = job(tmp_path, serve_gold(dict(truth())), {"examples": "nearest", "nearest": 2})
    run(small)
    with Workbench(small) as bench:
        bench.own()
        known = bench.store.picks(small.name)[0]
        label = Label(known.text_id, "river", Source.PERSON, by="ada")
        bench.store.review(small.name, known.text_id, "ada", "label", label, 2.0)

        async def messages() -> list[str]:
            seat = await connect(bench, small.oracle[0])
            await seat.asker.close()
            like_it = Text(TextId("new"), known.text + " Twice.")
            put = seat.puts(bench, [like_it], keep=False)[like_it.id]
            return [m.content for m in seat.questions(like_it, put).messages]

        *_, example, answer, question = asyncio.run(messages())
    assert known.text in example
    assert answer == "river"
    assert "Twice." in question


def test_a_format_that_the_task_cannot_be_put_in_is_told_with_its_line(tmp_path: Path, serve_gold: Serve) -> None:
    path = write_job(tmp_path, oracle__base_url=serve_gold({}).url, oracle__format={"shortlist": 2})
    path.write_text(path.read_text().replace("kind: classification", "kind: multilabel"))
    with (
        Workbench(Job.load(path)) as bench,
        pytest.raises(JobFileError, match=r"job.yaml:\d+: `oracle.format`"),
    ):
        questions_of(bench, bench.job.oracle[0], "choice")

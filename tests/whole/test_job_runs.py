"""A whole job on a scripted oracle: what it costs, what it keeps, how it goes on, and what people change."""

from __future__ import annotations

import csv
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from agent import delivery
from agent.asking import Asking
from agent.errors import DataError
from agent.job import Job
from agent.ledger import Purse
from agent.loop import HALTED, run
from agent.records import Label, Source
from agent.store import Store
from agent.watch import Silent
from agent.workbench import Workbench
from tests.servers.scripted import Faults, ScriptedServer
from tests.whole.jobs import answer_queue, settings, truth, write_job

Serve = Callable[..., ScriptedServer]
QUICK = {"distil__enabled": False}


def job(folder: Path, server: ScriptedServer, **changes: object) -> Job:
    return Job.load(write_job(folder, oracle__base_url=server.url, **(QUICK | changes)))


def test_a_job_labels_and_says_what_it_did(tmp_path: Path, serve_gold: Serve) -> None:
    server = serve_gold(dict(truth()), errors=0.1)
    outcome = run(job(tmp_path, server))
    assert outcome.reason == "max_rounds"
    assert outcome.labels == 60
    assert outcome.waiting > 0
    assert outcome.delivered is not None
    for path in outcome.delivered.paths.values():
        assert path.exists()
    charged = [row for row in server.asked if row["status"] == 200]
    assert outcome.spending.usage.prompt_tokens == sum(row["prompt_tokens"] for row in charged)
    assert outcome.spending.usage.completion_tokens == sum(row["completion_tokens"] for row in charged)


def test_a_finished_job_run_again_asks_nothing_and_exports_the_same_bytes(tmp_path: Path, serve_gold: Serve) -> None:
    server = serve_gold(dict(truth()))
    small = job(tmp_path, server)
    first = run(small)
    asked = len(server.asked)
    labels = tmp_path / "out" / "labels"
    before = {p.name: p.read_bytes() for p in labels.iterdir() if p.is_file()}
    second = run(small)
    assert len(server.asked) == asked
    assert {p.name: p.read_bytes() for p in labels.iterdir() if p.is_file()} == before
    assert second.spending == first.spending


def test_the_cap_stops_the_job_and_a_higher_one_lets_it_go_on(tmp_path: Path, serve_gold: Serve) -> None:
    server = serve_gold(dict(truth()))
    unbound = {"stop__max_rounds": None, "stop__agreement": None}
    poor = run(job(tmp_path, server, budget__dollars=0.008, **unbound))
    assert poor.reason == "budget"
    assert poor.spending.spent <= poor.spending.cap
    assert 0 < poor.labels < 120
    rich = run(job(tmp_path, server, **unbound))
    assert rich.reason == "pool"
    assert rich.labels == 120
    texts = [row["text"] for row in server.asked if row["status"] == 200]
    assert len(texts) == len(set(texts))


def test_ctrl_c_ends_cleanly_and_the_same_command_goes_on(tmp_path: Path, serve_gold: Serve) -> None:
    server = serve_gold(dict(truth()))

    class Impatient(Silent):
        pressed = False

        def asking(self, oracle: str, state: Asking, purse: Purse) -> None:
            if state.done >= 5 and not self.pressed:
                self.pressed = True
                os.kill(os.getpid(), signal.SIGINT)

    small = job(tmp_path, server, oracle__max_concurrency=2)
    stopped = run(small, Impatient())
    assert stopped.reason == HALTED
    assert stopped.spending.reserved == 0
    done = run(small)
    assert done.reason == "max_rounds"
    texts = [row["text"] for row in server.asked if row["status"] == 200]
    assert len(texts) == len(set(texts))


def test_a_persons_label_beats_the_machines_and_teaches_the_next_round(tmp_path: Path, serve_gold: Serve) -> None:
    small = job(tmp_path, serve_gold(dict(truth()), errors=0.3))
    run(small)
    with Workbench(small) as bench:
        queue = bench.store.queue("small")
        for row in queue:
            right = truth()[row.text]
            label = Label(row.text_id, right, Source.PERSON, by="ada")
            bench.store.review("small", row.text_id, "ada", "label", label, 2.0)
    outcome = run(small)
    assert outcome.waiting == 0
    with Store.open(small.store_url) as store:
        current = store.current("small")
        assert all(current[row.text_id].source is Source.PERSON for row in queue)
        assert len(store.labels("small")) == 60 + len(queue)
    rows = [json.loads(line) for line in (tmp_path / "out/labels/labels.jsonl").read_text().splitlines()]
    assert sum(row["source"] == "person" for row in rows) == len(queue)


def test_answers_that_fail_are_no_labels_and_wait_for_a_person(tmp_path: Path, serve_gold: Serve) -> None:
    server = serve_gold(dict(truth()), faults=Faults(share_503=0.3))
    small = job(tmp_path, server, oracle__attempts=1, budget__dollars=5)
    outcome = run(small)
    assert outcome.spending.ambiguous_count > 0
    with Store.open(small.store_url) as store:
        routes = store.routes("small")
        failed = [i for i, r in routes.items() if r.reason.startswith("failed")]
        assert failed
        assert not set(failed) & set(store.current("small"))


def test_a_gold_text_counts_once_and_never_where_it_teaches(tmp_path: Path, serve_gold: Serve) -> None:
    small = job(tmp_path, serve_gold(dict(truth())), **QUICK)
    gold = small.path("gold.csv")
    with Workbench(small) as bench:
        seed, first = bench.seed[0], bench.gold[0]
        before = len(bench.gold)
    with gold.open("a", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([[t.text, v] for t, v in [first] * 30 + [seed]])
    with Workbench(small) as bench:
        assert len(bench.gold) == before
    other = next(name for name in small.task.labels if name != first[1])
    with gold.open("a", encoding="utf-8", newline="") as file:
        csv.writer(file).writerow([first[0].text, other])
    with Workbench(small) as bench, pytest.raises(DataError, match="another label than a row above did"):
        _ = bench.gold


def test_a_report_made_later_tells_of_the_model_that_is_there(tmp_path: Path, serve_gold: Serve) -> None:
    names = list(settings()["task"]["labels"])
    wrong = {text: names[names.index(label) - 1] for text, label in truth().items()}
    small = job(
        tmp_path, serve_gold(wrong), people__threshold=1.0, people__audit=1.0, data__seed=None, stop__max_rounds=2
    )
    run(small)
    answer_queue(small)
    with Workbench(small) as bench:
        folder = delivery.distil_again(bench)
        paths = delivery.write_report(bench)
        now = delivery.model_quality(bench)
    assert now is not None
    (told,) = [m for m in json.loads(paths["figures"].read_text())["models"] if m["name"] == "distilled"]
    assert told["accuracy"]["value"] == pytest.approx(now.value)
    assert f"| accuracy | {now.value:.3f} |" in (folder / "README.md").read_text()


def test_without_token_probabilities_every_answer_goes_to_a_person(tmp_path: Path, serve_gold: Serve) -> None:
    server = serve_gold(dict(truth()), faults=Faults(no_logprobs=True))
    outcome = run(job(tmp_path, server, stop__max_rounds=1))
    assert outcome.waiting == outcome.labels == 20


@pytest.mark.parametrize(
    "ignored", [frozenset({"structured_outputs"}), frozenset({"structured_outputs", "response_format"})]
)
def test_an_endpoint_that_ignores_the_schema_is_found_out(
    tmp_path: Path, serve_gold: Serve, ignored: frozenset[str]
) -> None:
    server = serve_gold(dict(truth()), faults=Faults(ignored=ignored))
    outcome = run(job(tmp_path, server, stop__max_rounds=1))
    assert outcome.labels == 20


def test_copies_of_a_text_are_paid_once_and_all_labelled(tmp_path: Path, serve_gold: Serve) -> None:
    server = serve_gold(dict(truth()))
    small = job(tmp_path, server, stop__max_rounds=None)
    pool = tmp_path / "pool.csv"
    pool.write_text(pool.read_text() + "".join(pool.read_text().splitlines(keepends=True)[1:]))
    run(small)
    rows = [json.loads(line) for line in (tmp_path / "out/labels/labels.jsonl").read_text().splitlines()]
    assert len(rows) == 240
    assert len([r for r in server.asked if r["status"] == 200 and r["text"] in truth()]) == 120


def test_a_stronger_oracle_gets_what_the_first_was_not_sure_of(tmp_path: Path, serve_gold: Serve) -> None:
    weak, strong = serve_gold(dict(truth()), errors=0.3), serve_gold(dict(truth()))
    path = write_job(tmp_path, **QUICK, stop__max_rounds=1)
    price = {"input": 1.0, "output": 1.0}
    oracles = [
        {"name": "weak", "base_url": weak.url, "model": "scripted", "price": price},
        {"name": "strong", "base_url": strong.url, "model": "scripted", "price": price},
    ]
    import yaml

    data = yaml.safe_load(path.read_text()) | {"oracle": oracles}
    path.write_text(yaml.safe_dump(data))
    run(Job.load(path))
    with Store.open(Job.load(path).store_url) as store:
        by = {label.by for label in store.current("small").values()}
        asked_strong = [r for r in strong.asked if r["text"] in truth()]
    assert by == {"weak/scripted", "strong/scripted"}
    assert 0 < len(asked_strong) < 20

"""Whole jobs that stop because it is good enough or not worth more, and that hold choosing against chance."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.job import Job
from agent.loop import Outcome, run
from agent.store import Store
from tests.servers.scripted import ScriptedServer
from tests.whole.jobs import answer_queue, truth, write_job

Serve = Callable[..., ScriptedServer]
SMALL = {"distil__enabled": False, "selection__batch": 10, "selection__cold_start": 10}


def job(folder: Path, server: ScriptedServer, **changes: Any) -> Job:
    return Job.load(write_job(folder, oracle__base_url=server.url, **(SMALL | changes)))


def report(outcome: Outcome) -> dict[str, Any]:
    assert outcome.delivered is not None
    read: dict[str, Any] = json.loads(outcome.delivered.paths["figures"].read_text())
    return read


def rounds(small: Job) -> list[dict[str, Any]]:
    with Store.open(small.store_url) as store:
        return [dict(r.figures) for r in store.rounds(small.name)]


def test_a_job_stops_once_its_target_is_surely_reached_on_gold(tmp_path: Path, serve_gold: Serve) -> None:
    small = job(tmp_path, serve_gold(dict(truth())), stop__target_accuracy=0.6, stop__max_rounds=9)
    outcome = run(small)
    assert outcome.reason == "target_accuracy"
    assert "stop.target_accuracy is 0.6" in outcome.message
    assert report(outcome)["stop"] == outcome.message
    assert rounds(small)[-1]["look"]["measured_on"] == "gold"


def test_without_gold_the_target_is_held_against_what_people_say_of_the_random_slice(
    tmp_path: Path, serve_gold: Serve
) -> None:
    changes: dict[str, Any] = {
        "data__gold": None, "stop__target_accuracy": 0.5, "selection__random_share": 0.8, "people__audit": 1.0,
    }  # fmt: skip
    server = serve_gold(dict(truth()))
    small = job(tmp_path, server, stop__max_rounds=3, **changes)
    assert run(small).reason == "max_rounds"
    answer_queue(small)
    outcome = run(job(tmp_path, server, stop__max_rounds=9, **changes))
    assert outcome.reason == "target_accuracy"
    assert "the audit sample" in outcome.message
    look = rounds(small)[-1]["look"]
    assert look["measured_on"] == "people"
    assert look["size"] >= 20


def test_texts_that_failed_count_in_the_look_as_people_labelled_them(tmp_path: Path, serve_gold: Serve) -> None:
    """The student is no better on what the oracle could not label: leaving that out would flatter it."""
    changes: dict[str, Any] = {"data__gold": None, "selection__random_share": 0.8, "people__threshold": 1.0}
    told = {text: label if i % 3 else "NONE OF THEM" for i, (text, label) in enumerate(truth().items())}
    server = serve_gold(told)
    small = job(tmp_path, server, stop__max_rounds=3, **changes)
    run(small)
    answer_queue(small)
    run(job(tmp_path, server, stop__max_rounds=4, stop__target_accuracy=0.99, **changes))
    last = rounds(small)[-1]
    assert last["look"]["size"] == pytest.approx(24), "the whole random slice of three rounds of ten"


def test_where_nobody_ever_sees_what_is_accepted_no_target_is_called_reached(
    tmp_path: Path, serve_gold: Serve
) -> None:
    changes: dict[str, Any] = {
        "data__gold": None, "stop__target_accuracy": 0.1, "selection__random_share": 0.8, "people__audit": 0.0,
        "people__threshold": 0.6,
    }  # fmt: skip
    server = serve_gold(dict(truth()))
    small = job(tmp_path, server, stop__max_rounds=3, **changes)
    run(small)
    answer_queue(small)
    assert run(job(tmp_path, server, stop__max_rounds=4, **changes)).reason == "max_rounds"
    assert "look" not in rounds(small)[-1]


def test_a_job_stops_where_the_next_dollar_buys_too_little(tmp_path: Path, serve_gold: Serve) -> None:
    few = {"selection__batch": 5, "selection__cold_start": 5, "stop__max_rounds": 12}
    outcome = run(job(tmp_path, serve_gold(dict(truth())), stop__gain_per_dollar=1e9, **few))
    assert outcome.reason == "gain_per_dollar"
    assert "stop.gain_per_dollar is 1e+09" in outcome.message
    said = report(outcome)
    assert len(said["rounds"]) >= 4
    assert [p["dollars"] for p in said["outlook"]["prospects"]] == [said["money"]["spent"], 100_000_000]


@pytest.mark.parametrize("gold", ["gold.csv", None])
def test_choosing_is_held_against_chance_on_the_same_texts_and_dollars(
    tmp_path: Path, serve_gold: Serve, gold: str | None
) -> None:
    server = serve_gold(dict(truth()), errors=0.1)
    said = report(run(job(tmp_path, server, data__gold=gold, selection__random_share=0.6, stop__max_rounds=5)))
    gain, dollars = said["gain"], said["gain_dollars"]
    assert gain["paired"]
    assert gain["labels"] == gain["random_labels"]
    assert gain["measured_on"] == ("gold" if gold else "random slice")
    assert gain["lo"] <= gain["difference"] <= gain["hi"]
    assert dollars["dollars"] > 0
    assert dollars["n"] == gain["n"] == (40 if gold else 30)
    assert "Both were judged by the same" in (tmp_path / "out/report/report.html").read_text()


def test_labels_say_why_their_texts_were_picked(tmp_path: Path, serve_gold: Serve) -> None:
    outcome = run(job(tmp_path, serve_gold(dict(truth()))))
    rows = [json.loads(line) for line in (tmp_path / "out/labels/labels.jsonl").read_text().splitlines()]
    asked = [r for r in rows if r["source"] == "oracle"]
    chosen = [json.loads(r["why"]) for r in asked if r["slice"] != "random"]
    assert {w["strategy"] for w in chosen} <= {"margin", "typical", "zero_shot", "adaptive"}
    assert all(len(r["because"]) > 20 for r in asked)
    picked = report(outcome)["picked"]
    assert sum(s["picked"] for s in picked["slices"]) == 30
    assert all(e["because"] for e in picked["examples"])


@pytest.mark.parametrize("strategy", ["random", "margin", "power"])
def test_unbiased_learning_says_what_its_weights_are_worth(tmp_path: Path, serve_gold: Serve, strategy: str) -> None:
    unbiased = {"selection__unbiased": True, "selection__strategy": strategy}
    small = job(tmp_path, serve_gold(dict(truth())), **unbiased)
    outcome = run(small)
    weights = rounds(small)[-1]["weights"]
    assert 1 <= weights["effective"] <= 30
    if strategy == "random":
        assert weights == {"clipped": 0, "effective": 30.0}
    assert "selection.unbiased" in (tmp_path / "out/report/report.html").read_text()
    assert outcome.labels == 30

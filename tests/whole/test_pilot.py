"""`labelwright pilot`: ways of asking compared on known labels, inside a stated sum; the best goes into the job."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.formats import Tried, candidates, changes, given_up, quadratic, ranked
from agent.job import FormatSettings, Job, TaskSettings
from agent.records import Belief
from agent.store import Store
from agent.tasks import build
from tests.servers.scripted import Faults, ScriptedServer
from tests.whole.jobs import labelwright, truth, write_job

Serve = Callable[..., ScriptedServer]
QUICK = {"distil__enabled": False, "stop__max_rounds": 1}


def tried(name: str, scores: list[float], cost: float = 1.0, **more: Any) -> Tried:
    n = len(scores)
    form = FormatSettings()
    return Tried(name, form, np.array(scores), np.array(scores) > 0.5, np.full(n, 0.9), np.full(n, cost), **more)


# the decision -----------------------------------------------------------------------------------------------


def test_the_best_score_wins_and_of_those_as_good_the_cheapest() -> None:
    one, other, dear = tried("one", [0.9] * 20, 2.0), tried("two", [0.898] * 20, 1.0), tried("dear", [0.9] * 20, 9.0)
    worse = tried("worse", [0.5] * 20, 0.1)
    assert [t.name for t in ranked([one, other, dear, worse])] == ["two", "one", "dear", "worse"]


def test_a_format_that_was_dropped_never_wins_by_the_few_texts_that_it_saw() -> None:
    assert (
        ranked([tried("lucky", [1.0] * 20, dropped="surely worse"), tried("steady", [0.8] * 100)])[0].name == "steady"
    )


def test_a_format_that_is_surely_worse_by_the_same_texts_is_given_up() -> None:
    rng = np.random.default_rng(0)
    hard = rng.random(60)
    best = tried("best", (hard + 0.1).tolist())
    alike = tried("alike", (hard + 0.1 + np.tile([0.2, -0.2], 30)).tolist())
    assert given_up([best, tried("worse", hard.tolist()[:20]), alike], rng) == {"worse": "surely worse"}
    assert not given_up([best], rng)


def test_a_dearer_format_is_given_up_once_it_cannot_be_better_by_enough() -> None:
    rng = np.random.default_rng(0)
    score = rng.random(60)
    other = score + np.tile([0.05, -0.05], 30)
    cheap = tried("cheap", score.tolist())
    assert given_up([cheap, tried("dear", other.tolist(), 2.0)], rng) == {"dear": "dearer than cheap and no better"}
    assert not given_up([cheap, tried("a little dearer", other.tolist(), 1.2)], rng)
    assert "better" not in given_up([cheap, tried("better", (other + 0.02).tolist(), 2.0)], rng), "worth the money"
    assert not given_up([tried("cheap", [1.0] * 60), tried("dear", [1.0] * 60, 9.0)], rng), "no error was seen yet"


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0.1, 10)), min_size=1, max_size=6))
def test_one_format_is_always_left(formats: list[tuple[float, float]]) -> None:
    some = [tried(str(i), [score] * 40, cost) for i, (score, cost) in enumerate(formats)]
    assert len(given_up(some, np.random.default_rng(0))) < len(some)


@given(st.lists(st.floats(0.01, 1), min_size=3, max_size=3), st.sampled_from("abc"))
def test_the_score_is_best_for_who_says_what_is_true(weights: list[float], truth_is: str) -> None:
    task = build(TaskSettings(labels={"a": "", "b": "", "c": ""}))
    p = {n: w / sum(weights) for n, w in zip("abc", weights, strict=True)}
    said = max(p, key=p.__getitem__)
    score = quadratic(task, truth_is, said, Belief(p[said], p))
    assert 0 <= score <= 1
    assert score <= quadratic(task, truth_is, truth_is, Belief(1.0, {n: float(n == truth_is) for n in "abc"})) == 1
    assert quadratic(task, truth_is, None, Belief(math.nan)) == 0


@pytest.mark.parametrize("labels", [3, 40])
@pytest.mark.parametrize("seed", [True, False])
def test_every_candidate_is_another_format_and_the_jobs_own_is_one_of_them(labels: int, seed: bool) -> None:
    task = build(TaskSettings(labels={f"l{i}": "" for i in range(labels)}))
    now = FormatSettings(orders=3)
    found = candidates(task, now, seed=seed, described=False)
    assert next(iter(found.items())) == ("as the job has it", now)
    assert len({json.dumps(changes(f), sort_keys=True) for f in found.values()}) == len(found)
    assert any(f.shortlist for f in found.values()) == (labels > 12)
    assert seed or all(f.examples == "none" for name, f in found.items() if f is not now)


# the command ------------------------------------------------------------------------------------------------


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    return lambda *words: labelwright(monkeypatch, capsys, "pilot", *words)


Command = Callable[..., tuple[int, str]]


def test_where_all_are_right_the_cheapest_is_put_into_the_job_and_the_answers_are_kept(
    tmp_path: Path, serve_gold: Serve, command: Command
) -> None:
    server = serve_gold(dict(truth()))
    path = write_job(tmp_path, oracle__base_url=server.url, people__threshold=0.0, **QUICK)
    code, said = command(path, "--dollars", 0.5, "--texts", 40, "--json")
    found = json.loads(said)
    assert code == 0
    assert (found["best"], found["format"], found["written"]) == ("label names", {"examples": "none"}, True)
    assert Job.load(path).oracle[0].format == FormatSettings(examples="none")
    assert {f["texts"] for f in found["formats"]} == {40}
    with Store.open(Job.load(path).store_url) as store:
        spent = store.spending("small").spent
    assert found["spent_dollars"] <= 0.5
    assert found["spent_dollars"] == pytest.approx(spent / 1e6, abs=1e-4)  # but for the probe
    asked = len(server.asked)
    code, said = command(path, "--dollars", 0.5, "--texts", 40)
    assert code == 0
    assert "says so already: nothing was changed" in said
    assert len(server.asked) == asked


def test_the_sum_that_was_given_ends_it(tmp_path: Path, serve_gold: Serve, command: Command) -> None:
    server = serve_gold(dict(truth()))
    path = write_job(tmp_path, oracle__base_url=server.url, **QUICK)
    before = path.read_text()
    code, said = command(path, "--dollars", 0.2, "--texts", 40, "--no-write")
    assert code == 0
    assert "nothing was written; the best is: format:" in said
    assert path.read_text() == before
    with Store.open(Job.load(path).store_url) as store:
        assert store.spending("small").spent <= 200_000


def test_a_sum_that_pays_for_no_comparison_is_said_to_be_too_small(
    tmp_path: Path, serve_gold: Serve, command: Command
) -> None:
    server = serve_gold(dict(truth()))
    code, said = command(write_job(tmp_path, oracle__base_url=server.url, **QUICK), "--dollars", 0.0001)
    assert code == 2
    assert "give it more with --dollars" in said
    assert all("capital of France" in row["text"] for row in server.asked)


def test_without_known_labels_there_is_nothing_to_compare_by(
    tmp_path: Path, serve_gold: Serve, command: Command
) -> None:
    server = serve_gold(dict(truth()))
    path = write_job(tmp_path, oracle__base_url=server.url, data__gold=None, **QUICK)
    code, said = command(path, "--dollars", 1)
    assert code == 2
    assert "name a file of labelled texts as `data.gold`" in said
    assert not server.asked


def test_an_endpoint_that_fails_now_and_then_is_no_format_that_is_worse(
    tmp_path: Path, serve_gold: Serve, command: Command
) -> None:
    server = serve_gold(dict(truth()), faults=Faults(share_503=0.2))
    path = write_job(tmp_path, oracle__base_url=server.url, **QUICK)
    code, said = command(path, "--dollars", 0.9, "--texts", 20, "--no-write", "--json")
    assert code == 0
    texts = Counter(f["texts"] for f in json.loads(said)["formats"])
    assert texts == {20: len(json.loads(said)["formats"])}

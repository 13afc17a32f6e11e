"""Whole jobs with two oracles, cheap and dear: what goes on, what is put off, and what is asked in the end."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent import steps
from agent.job import Job
from agent.loop import Outcome, run
from agent.records import Label, Route, Source, TextId
from agent.store import Store
from agent.watch import Silent
from agent.workbench import Workbench
from tests.marks import storm
from tests.servers.scripted import Prices, ScriptedServer
from tests.whole.jobs import answer_queue, truth, write_job

Serve = Callable[..., ScriptedServer]
DEAR = 40
SETTINGS: dict[str, Any] = {
    "distil__enabled": False, "data__gold": None, "stop__max_rounds": None, "stop__max_labels": 40,
    "people__audit": 0.2, "people__threshold": 0.9,
}  # fmt: skip
AMPLE, SHORT = {"budget__dollars": 5}, {"budget__dollars": 0.15}


class Two:
    """A cheap oracle that errs and a dear one that hardly does, and the texts that each answered about, in order."""

    def __init__(self, serve_gold: Serve, errors: float = 0.02) -> None:
        prices = Prices(str(DEAR), str(DEAR))
        self.weak = serve_gold(dict(truth()), errors=0.3, prices=Prices("1", "1"))
        self.strong = serve_gold(dict(truth()), errors=errors, seed=5, prices=prices)

    def job(self, folder: Path, **changes: Any) -> Job:
        path = write_job(folder, **(SETTINGS | changes))
        oracles = [
            {"name": name, "base_url": server.url, "model": "scripted", "price": {"input": price, "output": price},
             "max_concurrency": 1}
            for name, server, price in (("weak", self.weak, 1), ("strong", self.strong, DEAR))
        ]  # fmt: skip
        path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"oracle": oracles}))
        return Job.load(path)

    def asked(self, name: str) -> list[str]:
        server = self.weak if name == "weak" else self.strong
        return [row["text"] for row in server.asked if row["status"] == 200 and row["text"] in truth()]

    def first_at(self, name: str) -> float:
        server = self.weak if name == "weak" else self.strong
        return min(row["at"] for row in server.asked if row["text"] in truth())


@pytest.fixture
def two(serve_gold: Serve) -> Two:
    return Two(serve_gold)


class Meanwhile(Silent):
    """Does something once, after the first round."""

    def __init__(self, act: Callable[[], None] = lambda: None) -> None:
        self.notes: list[str] = []
        self._act = act

    def measured(self, figures: Mapping[str, Any]) -> None:
        act, self._act = self._act, lambda: None
        act()

    def note(self, message: str) -> None:
        self.notes.append(message)


def put_off(small: Job) -> dict[str, float]:
    """Text to the confidence of the label that waits for the dear oracle."""
    with Store.open(small.store_url) as store:
        queue, routes = store.queue(small.name), store.routes(small.name)
        waiting = [q for q in queue if routes[q.text_id].route is Route.STRONGER]
        return {q.text: q.suggestion.confidence or 0.0 for q in waiting if q.suggestion}


def ways(outcome: Outcome) -> dict[str, Any]:
    """The frontier as report.json has it."""
    assert outcome.delivered is not None
    found: dict[str, Any] = json.loads(outcome.delivered.paths["figures"].read_text())["frontier"]
    return found


def labels(small: Job) -> dict[str, tuple[str, str]]:
    """Text to its label and who gave it."""
    with Store.open(small.store_url) as store:
        current = store.current(small.name)
        return {t: (current[i].value, current[i].by) for i, t in store.texts(small.name, current).items()}


def test_with_ample_money_all_that_gains_goes_on_in_its_round(tmp_path: Path, two: Two) -> None:
    small, watch = two.job(tmp_path, **AMPLE), Meanwhile()
    outcome = run(small, watch)
    assert outcome.reason == "max_labels"
    assert put_off(small) == {}
    assert not any("or a person" in note for note in watch.notes)
    given = labels(small)
    assert {t for t, (_, by) in given.items() if by == "strong/scripted"} == set(two.asked("strong"))
    assert two.first_at("strong") < max(row["at"] for row in two.weak.asked), "not only in the end"
    with Store.open(small.store_url) as store:
        sure = {x.text_id: x.confidence or 0.0 for x in store.labels("small") if x.by == "weak/scripted"}
        texts = store.texts("small", sure)
    assert set(two.asked("strong")) == {texts[i] for i, p in sure.items() if p < 0.9}


def test_with_short_money_new_texts_come_first_and_the_rest_pays_for_what_was_put_off(
    tmp_path: Path, two: Two
) -> None:
    small, settled, seen = two.job(tmp_path, **SHORT), [], []

    def settle_one() -> None:
        """A person takes the text that the dear oracle would be asked about first."""
        seen.append(waiting := put_off(small))
        text = min(waiting, key=lambda t: waiting[t])
        settled.append(text)
        with Workbench(small) as bench:
            row = next(q for q in bench.store.queue("small") if q.text == text)
            label = Label(row.text_id, truth()[text], Source.PERSON, by="ada")
            bench.store.review("small", row.text_id, "ada", "label", label, 2.0)

    watch = Meanwhile(settle_one)
    outcome = run(small, watch)
    assert outcome.reason == "max_labels"
    assert len(seen[0]) > 4, "they waited for a person, too"
    assert any("texts wait for strong or a person: it is expected to be right on 90%" in n for n in watch.notes)
    assert two.first_at("strong") > max(row["at"] for row in two.weak.asked), "new texts came first"
    asked, rest = two.asked("strong"), put_off(small)
    assert 0 < len(asked) < len(asked) + len(rest)
    assert settled[0] not in asked
    assert labels(small)[settled[0]] == (truth()[settled[0]], "ada")
    with Store.open(small.store_url) as store:
        sure = {x.text_id: x.confidence or 0.0 for x in store.labels("small") if x.by == "weak/scripted"}
        doubt = {text: sure[TextId(i)] for i, text in store.texts("small", sure).items()}
    assert [doubt[t] for t in asked] == sorted(doubt[t] for t in asked), "what gains most comes first"
    assert max(doubt[t] for t in asked) <= min(rest.values())
    assert any("the rest of the budget does not pay" in n for n in watch.notes)
    assert outcome.spending.spent <= outcome.spending.cap

    again = run(small)
    assert two.asked("strong") == asked
    assert again.spending == outcome.spending
    run(two.job(tmp_path, **AMPLE))
    assert put_off(small) == {}
    assert Counter(two.asked("strong")) == Counter({*asked, *rest}), "each once"


def test_a_job_may_have_everything_asked_at_once(tmp_path: Path, two: Two) -> None:
    small = two.job(tmp_path, people__escalate="always", **SHORT, stop__max_labels=40)
    outcome = run(small)
    assert outcome.reason == "max_labels"
    assert two.first_at("strong") < max(row["at"] for row in two.weak.asked)
    assert len(two.asked("weak")) == 40, "that the dear one cannot be paid any more does not stop the cheap one"
    assert put_off(small)


def test_a_dear_oracle_that_people_contradict_is_asked_no_more(tmp_path: Path, serve_gold: Serve) -> None:
    two = Two(serve_gold, errors=0.95)
    unheard = ways(run(two.job(tmp_path, **AMPLE, people__audit=1.0)))
    assert unheard["why_not"] is not None
    assert all(way["accuracy"] is None and way["price"] > 0 for way in unheard["ways"])
    before = len(two.asked("strong"))
    answer_queue(two.job(tmp_path, **AMPLE, people__audit=1.0))
    small = two.job(tmp_path, **AMPLE, people__audit=1.0, stop__max_labels=60)
    watch = Meanwhile()
    weak, strong, *_ = ways(run(small, watch))["ways"]
    assert len(two.asked("strong")) - before <= 2
    assert (weak["accuracy"]["measured_on"], strong["accuracy"]["measured_on"]) == ("people", "people")
    assert (weak["hard"], strong["hard"]) == (False, True)
    assert strong["accuracy"]["value"] < 0.3 < weak["accuracy"]["value"]
    assert before > 10
    assert put_off(small), "they are left to people"
    assert any("or a person: it is expected to be right on" in n for n in watch.notes)


def test_every_oracle_is_measured_on_the_gold_texts_where_the_job_says_so(tmp_path: Path, two: Two) -> None:
    one = two.job(tmp_path, data__gold="gold.csv", data__ask_gold="every", stop__max_labels=20, **AMPLE)
    outcome = run(one)
    found = ways(outcome)
    assert found["same_texts"]
    weak, strong, together, people = found["ways"]
    for name, way in (("weak", weak), ("strong", strong)):
        server = two.weak if name == "weak" else two.strong
        gold = [row for row in server.asked if row["text"] in truth() and row["text"] in gold_texts(tmp_path)]
        assert len(gold) == way["texts"] == 40
        assert way["price"] == pytest.approx(1000 * sum(row["charged"] for row in gold) / 40)
        wrong = sum(server.model.is_wrong_about(row["text"]) for row in gold)
        assert way["accuracy"]["value"] == pytest.approx(1 - wrong / 40)
    assert weak["price"] < together["price"] < strong["price"]
    assert weak["accuracy"]["value"] < together["accuracy"]["value"]
    assert people["accuracy"]["value"] >= together["accuracy"]["value"]
    sent = [at["sent"] for at in found["curve"]]
    assert sent == sorted(sent)
    assert (sent[0], sent[-1]) == (0, 1)
    asked = len(two.asked("strong"))
    assert ways(run(one)) == found, "known from the rounds, and not asked again"
    assert len(two.asked("strong")) == asked


def gold_texts(folder: Path) -> set[str]:
    with (folder / "gold.csv").open(encoding="utf-8") as file:
        return {row["text"] for row in csv.DictReader(file)}


class Killed(BaseException):
    """What stands for a run's sudden end."""


@pytest.mark.parametrize("budget", [SHORT, *storm(AMPLE)])
def test_a_run_that_dies_anywhere_goes_on_and_buys_nothing_twice(
    tmp_path: Path, serve_gold: Serve, budget: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It dies before and after each step of the cascade in turn, and is run again each time."""
    whole, parts = Two(serve_gold), Two(serve_gold)
    undisturbed = whole.job(tmp_path / "whole", **budget)
    run(undisturbed)
    small, died = parts.job(tmp_path / "parts", **budget), 0
    ask, triage = steps.ask, steps.triage
    steps_taken = 0

    def dies(at: int) -> None:
        nonlocal steps_taken
        steps_taken += 1
        if steps_taken == at:
            raise Killed

    for at in (2, 3, 4, 5, 6):  # of asks and triages, each with a moment before it and one after it

        async def asks(*given: Any, at: int = at) -> Any:
            dies(at)
            heard = await ask(*given)
            dies(at)
            return heard

        def triages(*given: Any, at: int = at, **named: Any) -> Any:
            found = triage(*given, **named)
            dies(at)
            return found

        steps_taken = 0
        monkeypatch.setattr(steps, "ask", asks)
        monkeypatch.setattr(steps, "triage", triages)
        try:
            run(small)
        except* Killed:
            died += 1
    monkeypatch.setattr(steps, "ask", ask)
    monkeypatch.setattr(steps, "triage", triage)
    outcome = run(small)
    assert died >= 3
    for name in ("weak", "strong"):
        assert Counter(parts.asked(name)) == Counter(set(parts.asked(name))), "bought once"
        assert set(parts.asked(name)) == set(whole.asked(name))
    assert labels(small) == labels(undisturbed)
    assert put_off(small).keys() == put_off(undisturbed).keys()
    assert outcome.spending.reserved == 0

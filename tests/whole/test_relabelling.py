"""Whole jobs that ask again about labels which look wrong: whom, when it pays, and that nothing is lost by it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent import relabelling, steps
from agent.job import Job
from agent.loop import Outcome, run
from agent.records import Label, Route, Source, TextId
from agent.report import page
from agent.store import AGAIN, Store
from agent.watch import Silent
from agent.workbench import Workbench
from tests.marks import storm
from tests.servers.model import Form, ScriptedModel, Token, chance
from tests.servers.scripted import Prices, ScriptedServer
from tests.whole.jobs import labelwright, truth, write_job

Serve = Callable[..., ScriptedServer]
DEAR = 4
SETTINGS: dict[str, Any] = {
    "distil__enabled": False, "data__gold": None, "stop__max_rounds": None, "stop__max_labels": 70,
    "people__audit": 0.0, "people__threshold": 0.6, "budget__dollars": 1, "selection__random_share": 0.0,
    "student__unlabelled": "off",
}  # fmt: skip
ONE = {"input": 1, "output": 1}


class Notes(Silent):
    """Keeps what a person is told, and acts once after a round."""

    def __init__(self, act: Callable[[], None] = lambda: None, after: int = 2) -> None:
        self.notes: list[str] = []
        self._act, self._after = act, after

    def measured(self, figures: Mapping[str, Any]) -> None:
        self._after -= 1
        if self._after == 0:
            self._act()

    def note(self, message: str) -> None:
        self.notes.append(message)


class Two:
    """A cheap oracle that errs, often surely, and a dearer one that hardly does."""

    def __init__(self, serve_gold: Serve) -> None:
        prices = Prices(str(DEAR), str(DEAR))
        self.weak = serve_gold(dict(truth()), errors=0.25, prices=Prices("1", "1"))
        self.strong = serve_gold(dict(truth()), errors=0.02, seed=5, prices=prices)

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
        return asked(self.weak if name == "weak" else self.strong)


@pytest.fixture
def two(serve_gold: Serve) -> Two:
    return Two(serve_gold)


def asked(server: ScriptedServer) -> list[str]:
    """Texts that it was asked about, in order; text by text where it was asked in several ways."""
    return [row["text"] for row in server.asked if row["status"] == 200 and row["text"] in truth()]


class Fickle(ScriptedModel):
    """Wrong about some texts in one order of the labels only."""

    def says(self, text: str, form: Form) -> tuple[str, list[Token]]:
        turned = form.labels[:1] != ("fruit",)
        is_fickle = self.is_wrong_about(text) and chance("fickle", text) < 0.7
        told = ScriptedModel(self.gold, 0.0, self.seed) if turned and is_fickle else ScriptedModel(
            self.gold, self.errors, self.seed
        )  # fmt: skip
        return told.says(text, form)


def counted(small: Job) -> dict[str, tuple[Any, str]]:
    """Text to the label that counts and who gave it."""
    with Workbench(small) as bench:
        return {t.text: (x.value, x.by) for t, x in bench.lessons() if x.source is not Source.SEED}


def right(small: Job) -> int:
    return sum(truth()[text] == value for text, (value, _) in counted(small).items())


def again(small: Job) -> list[str]:
    """Texts whose label was asked again, in that order."""
    with Store.open(small.store_url) as store:
        ids = store.asked_again(small.name)
        texts = store.texts(small.name, ids)
    return [texts[i] for i in ids]


def told_again(outcome: Outcome) -> dict[str, Any]:
    assert outcome.delivered is not None
    found: dict[str, Any] = json.loads(outcome.delivered.paths["figures"].read_text())["again"]
    return found


# Whether it pays ----------------------------------------------------------------------------------------------------


def test_where_the_money_is_ample_labels_that_look_wrong_are_asked_of_the_next_oracle(
    tmp_path: Path, serve_gold: Serve
) -> None:
    plain, two = Two(serve_gold), Two(serve_gold)
    without, watch = plain.job(tmp_path / "without", data__gold=None), Notes()
    run(without)
    small = two.job(tmp_path / "with", selection__relabel=0.5)
    outcome = run(small, watch)
    texts = again(small)
    assert len(texts) >= 4
    assert len(counted(small)) == len(counted(without)) == 70
    assert right(small) > right(without)
    before = {x.text_id: x for x in oracle_labels(small) if x.by == "weak/scripted"}
    with Store.open(small.store_url) as store:
        words = store.texts(small.name, before)
        routes = store.routes(small.name)
    were = {words[i]: x for i, x in before.items()}
    assert all((were[t].confidence or 0) >= 0.6 for t in texts), "they had been accepted"
    wrong = sum(were[t].value != truth()[t] for t in texts) / len(texts)
    assert wrong > 0.5, "they were far likelier wrong than others"
    assert set(texts) <= set(two.asked("strong"))
    assert Counter(two.asked("strong")) == Counter(set(two.asked("strong"))), "each once"
    assert all(routes[i].reason != AGAIN for i in before), "every one of them was answered"
    assert sum("asked about again, for $" in note for note in watch.notes) >= 2, "one sentence a round"
    said = told_again(outcome)
    assert said["texts"] == len(texts)
    assert said["changed"] == sum(counted(small)[t][0] != were[t].value for t in texts) > 0
    charged = {row["text"]: row["charged"] for row in two.strong.asked if row["status"] == 200}
    assert said["cost"] == sum(charged[t] for t in texts)
    assert outcome.delivered is not None
    assert "labels looked wrong and were asked again" in page(outcome.delivered.findings)


def oracle_labels(small: Job) -> Sequence[Label]:
    with Store.open(small.store_url) as store:
        return store.labels(small.name, source=Source.ORACLE)


def test_a_round_asks_again_for_no_more_than_its_share_and_picks_as_many_texts_fewer(
    tmp_path: Path, two: Two
) -> None:
    small = two.job(tmp_path, selection__relabel=0.5)
    run(small)
    with Store.open(small.store_url) as store:
        picked = Counter(p.round for p in store.picks(small.name))
    before, fewer = 0, []
    for number, texts in sorted(picked.items()):
        questions = min(20, 70 - before)
        fewer.append(questions - texts)
        before += texts
        assert number > 0 or not fewer[-1], "nothing is known yet"
        assert fewer[-1] <= 0.5 * questions
    paid = DEAR * len(
        again(small)
    )  # a question to the dear one counts by its price, as four new texts or a little more
    assert 4 * DEAR < paid <= sum(fewer) <= 1.2 * paid + len(fewer)


def test_the_only_oracle_is_asked_in_another_order_and_the_likeliest_label_counts(
    tmp_path: Path, serve_gold: Serve
) -> None:
    model = Fickle(dict(truth()), 0.25)
    server = serve_gold(dict(truth()), model=model, prices=Prices("1", "1"))
    changes = SETTINGS | {"oracle__base_url": server.url, "oracle__price": ONE, "selection__relabel": 0.5}
    small = Job.load(write_job(tmp_path, **changes))
    outcome = run(small)
    texts = again(small)
    assert len(texts) >= 4
    times = Counter(asked(server))
    assert {t for t, n in times.items() if n > 1} == set(texts)
    assert max(times.values()) == 2
    given: dict[TextId, list[Label]] = {}
    for label in oracle_labels(small):
        given.setdefault(label.text_id, []).append(label)
    with Store.open(small.store_url) as store:
        words, routes = store.texts(small.name, given), store.routes(small.name)
    differing = {i for i, own in given.items() if len({x.value for x in own}) > 1}
    assert differing
    for i in differing:
        mean = Counter[str]()
        for label in given[i]:
            mean.update(dict(label.probabilities or {}))
        likeliest = {name for name, p in mean.items() if p == pytest.approx(max(mean.values()))}
        assert counted(small)[words[i]][0] in likeliest
        assert routes[i].route is Route.PERSON, "two answers that differ are no sure label"
    for i in {i for i, own in given.items() if len(own) > 1} - differing:
        assert routes[i].is_accepted, "what both answers say stays accepted"
    assert told_again(outcome)["texts"] == len(texts)


# What it must not do ------------------------------------------------------------------------------------------------


def test_without_it_the_same_requests_are_sent_as_ever(tmp_path: Path, serve_gold: Serve) -> None:
    plain, two = Two(serve_gold), Two(serve_gold)
    run(plain.job(tmp_path / "plain"))
    outcome = run(two.job(tmp_path / "nought", selection__relabel=0))
    for name in ("weak", "strong"):
        assert plain.asked(name) == two.asked(name)
    assert outcome.delivered is not None
    assert outcome.delivered.findings.again is None
    assert "asked again" not in page(outcome.delivered.findings)


class Died(BaseException):
    """What stands for a run's sudden end."""


@pytest.mark.parametrize("where", [*storm("chosen", "settled"), "asked"])
def test_a_run_that_dies_while_it_asks_again_goes_on_and_buys_nothing_twice(
    tmp_path: Path, serve_gold: Serve, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, parts = Two(serve_gold), Two(serve_gold)
    undisturbed = whole.job(tmp_path / "whole", selection__relabel=0.5)
    run(undisturbed)
    small = parts.job(tmp_path / "parts", selection__relabel=0.5)
    left = 1

    def dies(*_: object) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise Died

    choose, ask, settle = relabelling.choose, steps.ask_again, relabelling.settle

    def chooses(*given: Any) -> Any:
        found = choose(*given)
        if where == "chosen" and found:
            dies()
        return found

    async def asks(*given: Any) -> Any:
        heard = await ask(*given)
        if where == "asked":
            dies()
        return heard

    def settles(*given: Any) -> Any:
        found = settle(*given)
        if where == "settled":
            dies()
        return found

    monkeypatch.setattr(relabelling, "choose", chooses)
    monkeypatch.setattr(steps, "ask_again", asks)
    monkeypatch.setattr(relabelling, "settle", settles)
    with pytest.raises(BaseException) as raised:  # noqa: PT011 - a group of one, or the one
        run(small)
    assert raised.group_contains(Died) if isinstance(raised.value, BaseExceptionGroup) else raised.type is Died
    first = again(small)
    assert first, "what is asked again is kept before anything is sent"
    with Store.open(small.store_url) as store:
        open_ones = [i for i, r in store.routes(small.name).items() if r.reason == AGAIN]
        assert all(store.routes(small.name)[i].is_accepted for i in open_ones)
    assert bool(open_ones) == (where != "settled")
    outcome = run(small)
    for name in ("weak", "strong"):
        assert Counter(parts.asked(name)) == Counter(set(parts.asked(name))), "bought once"
    assert again(small)[: len(first)] == first
    assert len(counted(small)) == len(counted(undisturbed))
    assert outcome.spending.reserved == 0
    if where != "settled":
        assert again(small) == again(undisturbed)
        assert counted(small) == counted(undisturbed)


def test_what_was_chosen_and_not_asked_stays_accepted_where_a_person_stops_the_run(
    tmp_path: Path, two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = two.job(tmp_path, selection__relabel=0.5)
    ask = steps.ask_again

    async def halts(bench: Workbench, *given: Any) -> Any:
        bench.halt()
        return await ask(bench, *given)

    monkeypatch.setattr(steps, "ask_again", halts)
    outcome = run(small)
    assert outcome.reason == "halted"
    first, before = again(small), counted(small)
    assert first
    with Store.open(small.store_url) as store:
        routes = store.routes(small.name)
        waiting = [i for i in store.asked_again(small.name) if routes[i].reason == AGAIN]
        assert [routes[i].route for i in waiting] == [Route.ACCEPTED] * len(waiting)
    assert len(waiting) == len(first)
    monkeypatch.setattr(steps, "ask_again", ask)
    run(small)
    assert before.keys() <= counted(small).keys()
    assert set(first) <= set(two.asked("strong"))
    assert Counter(two.asked("strong")) == Counter(set(two.asked("strong")))


def test_what_a_person_has_settled_is_never_asked_again(
    tmp_path: Path, two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person takes what was chosen, before it is asked."""
    small, settled, choose = two.job(tmp_path, selection__relabel=0.5), [], relabelling.choose

    def chooses(bench: Workbench, *given: Any) -> int:
        found = choose(bench, *given)
        for one in relabelling.waiting(bench):
            text = bench.store.text(small.name, one.label.text_id)
            label = Label(one.label.text_id, truth()[text], Source.PERSON, by="ada")
            bench.store.review(small.name, one.label.text_id, "ada", "label", label, 2.0)
            settled.append(text)
        return found

    monkeypatch.setattr(relabelling, "choose", chooses)
    run(small)
    assert len(settled) > 2
    assert len(set(settled)) == len(settled)
    assert set(settled).isdisjoint(two.asked("strong"))
    assert all(counted(small)[t] == (truth()[t], "ada") for t in settled)


# Settings -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"student": "none"}, "`selection.relabel`: it needs a student, and the job has none"),
        ({"task__kind": "multilabel"}, "`selection.relabel`: it is for tasks with one class a text"),
        ({"selection__relabel": 1.5}, "selection.relabel"),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_sent(
    tmp_path: Path,
    changes: Mapping[str, Any],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = {"selection__relabel": 0.3, "oracle__base_url": "http://127.0.0.1:9/v1"} | changes
    if "student" in changes:
        given |= {"selection__cold_start": None}
    code, words = labelwright(monkeypatch, capsys, "check", write_job(tmp_path, **given))
    assert code == 2
    assert said in words

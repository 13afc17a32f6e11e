"""Findings out of a real store."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from agent.errors import StoreError
from agent.records import Answer, MicroDollars, Text, TextId, Usage
from agent.report import Evidence, gather, last_final, page, write
from agent.report.findings import Cell, Findings, Tally
from agent.store import AuditItem, Store, StoredAnswer, Wanted
from tests.report import a_job


@pytest.fixture
def found(done: Store) -> Findings:
    return gather(done, a_job.JOB, a_job.task())


def test_money_is_told_by_what_became_of_it(found: Findings) -> None:
    assert found.money.cap == 10_000
    assert found.money.spent == 7 * 100 + 70 + 200
    assert found.money.ambiguous == 200
    assert found.money.invalid == 70
    assert (found.money.settled_count, found.money.ambiguous_count, found.money.invalid_count) == (8, 1, 1)
    assert found.money.elsewhere == 0


def test_rounds_cost_what_their_texts_cost(found: Findings) -> None:
    first, second = found.rounds
    assert (first.settled, first.ambiguous) == (400, 0)
    assert (second.settled, second.ambiguous) == (370, 200)
    assert (first.random_spent, second.random_spent) == (400, 400)
    assert (first.labels_spent, second.labels_spent) == (400, 970)
    assert sum(r.settled + r.ambiguous for r in found.rounds) == found.money.spent


def test_what_was_spent_to_measure_is_no_label(done: Store) -> None:
    a_job.buy(done, "gold text", "card", 500)
    found = gather(done, a_job.JOB, a_job.task())
    assert (found.money.elsewhere, found.money.elsewhere_count) == (500, 1)
    assert found.rounds[-1].labels_spent == 970
    assert found.money.spent == 1470


def test_classes_are_counted_by_who_decided(found: Findings) -> None:
    assert found.tallies == (
        Tally("card", accepted=2),  # one of them is audited, and counts meanwhile
        Tally("cash", person=2, waiting=1),
        Tally("loan", person=2),
    )


def test_what_waits_says_why_and_hides_the_blind_ones_suggestion(found: Findings) -> None:
    waiting = {w.id: w for w in found.waiting}
    assert found.waiting_count == 3
    assert waiting["t4"].reason == "the oracle was not sure enough"
    assert (waiting["t4"].suggestion, waiting["t4"].confidence) == ("cash", 0.5)
    assert (waiting["t5"].blind, waiting["t5"].suggestion, waiting["t5"].confidence) == (True, None, None)
    assert waiting["bad"].reason == "failed: unknown label 'savings'"


def test_failures_come_with_their_cost_the_dearest_first(found: Findings) -> None:
    assert [(f.id, f.cost, f.reasons) for f in found.failed] == [("bad", 70, ("unknown label 'savings'",))]
    assert (found.failed_count, found.failed_cost) == (1, 70)
    assert found.failed_reasons == (("unknown label 'savings'", 1),)


def test_every_attempt_that_gave_no_label_is_told_by_its_reason(found: Findings) -> None:
    told = [(r.state, r.reason, r.count, r.cost) for r in found.money.reasons]
    assert told == [("ambiguous", "timed out", 1, 200), ("invalid", "unknown label 'savings'", 1, 70)]


def test_what_people_saw_only_because_an_audit_drew_it_does_not_tell_of_the_oracle(done: Store) -> None:
    before = gather(done, a_job.JOB, a_job.task())
    label = next(x for x in done.labels(a_job.JOB) if x.text_id == "t0")
    assert label.id is not None
    design = {"population": 7, "people": 4, "seeds": 0, "sizes": [7], "expected": [0.8]}
    item = AuditItem(TextId("t0"), label.id, 0, 0.5, 0, 1 / 7, 0.95, True)
    done.add_audit(a_job.JOB, design, [item])
    waits = gather(done, a_job.JOB, a_job.task())
    (blind,) = (w for w in waits.waiting if w.id == "t0")
    assert (blind.suggestion, blind.confidence, blind.blind) == (None, None, True)
    assert "t0" not in {e.id for e in waits.picked.examples}
    a_job.answer(done, "t0", "cash")
    after = gather(done, a_job.JOB, a_job.task())
    assert after.models[0] == before.models[0]
    assert after.confusion == before.confusion
    (audit,) = after.audits
    assert audit.share is not None
    assert (audit.share.value, audit.judged) == (0.0, 1)
    assert "Accuracy 0.0" in page(after)


def test_the_oracle_is_held_against_people_where_there_is_no_gold(found: Findings) -> None:
    assert found.confusion is not None
    assert found.confusion.measured_on == "people"
    assert found.confusion.cells == (Cell("cash", "cash", 1), Cell("cash", "loan", 1), Cell("loan", "card", 1),
                                     Cell("loan", "loan", 1))  # fmt: skip
    oracle = found.models[0].accuracy
    assert oracle is not None
    # the audited answer stands for ten: (10 + 1) of (10 + 1 + 1 + 1)
    assert oracle.value == pytest.approx(11 / 13)
    assert oracle.measured_on == "people"


def test_gold_is_better_evidence_than_people(done: Store) -> None:
    gold = [(Text(TextId("t0"), "my card is gone"), "card"), (Text(TextId("t2"), "loan or card?"), "cash")]
    found = gather(done, a_job.JOB, a_job.task(), Evidence(gold=gold))
    oracle = found.models[0].accuracy
    assert oracle is not None
    assert (oracle.value, oracle.n, oracle.measured_on) == (0.5, 2, "gold")
    assert found.confusion is not None
    assert found.confusion.cells == (Cell("card", "card", 1), Cell("cash", "card", 1))


def test_answers_about_gold_texts_outside_the_pool_are_found_in_the_rounds(done: Store) -> None:
    done.finish_round(a_job.JOB, 2, {"gold_answers": {"g1": "card", "g2": "loan"}})
    gold = [(Text(TextId("g1"), "x"), "card"), (Text(TextId("g2"), "y"), "loan")]
    found = gather(done, a_job.JOB, a_job.task(), Evidence(gold=gold))
    assert found.models[0].accuracy is not None
    assert found.models[0].accuracy.value == 1.0
    assert found.models[0].accuracy.n == 2


def test_final_figures_of_the_run_come_first_and_rounds_stand_in_for_missing_ones(done: Store) -> None:
    final = {
        "oracle": {"accuracy": 0.9, "lo": 0.85, "hi": 0.94, "n": 300, "measured_on": "gold", "macro_f1": 0.88},
        "distilled": {"accuracy": float("nan"), "lo": None},
    }
    found = gather(done, a_job.JOB, a_job.task(), Evidence(final=final))
    oracle, random, selected, distilled = found.models
    assert oracle.accuracy is not None
    assert (oracle.accuracy.value, oracle.figures) == (0.9, {"macro_f1": 0.88})
    assert random.accuracy is not None
    assert random.accuracy.value == 0.6
    assert selected.accuracy is not None
    assert selected.accuracy.value == 0.8
    assert distilled.accuracy is None


def test_a_report_made_later_still_knows_the_final_figures(done: Store, tmp_path: Path) -> None:
    assert last_final(tmp_path) == {}
    final = {
        "distilled": {"accuracy": 0.9, "lo": 0.85, "hi": 0.94, "n": 300, "measured_on": "gold", "macro_f1": 0.88}
    }
    final["student_random"] = {"accuracy": 0.5, "labels": 40, "metric": None}
    first = gather(done, a_job.JOB, a_job.task(), Evidence(final=final))
    write(first, tmp_path)
    again = gather(done, a_job.JOB, a_job.task(), Evidence(final=last_final(tmp_path)))
    assert again.models == first.models
    assert [m.labels for m in again.models] == [None, 40, 7, None]
    (tmp_path / "report.json").write_text("[1, 2")
    assert last_final(tmp_path) == {}


def test_the_gain_over_chance_is_the_loops_own_comparison(found: Findings) -> None:
    assert found.gain is not None
    assert (found.gain.labels, found.gain.verdict) == (3, "better")
    assert found.gain.difference == pytest.approx(0.15)
    assert found.stop == "pool"


def test_tokens_prices_people_and_hashes(found: Findings) -> None:
    (oracle,) = found.oracles
    assert (oracle.name, oracle.model, oracle.answers) == ("local", "small", 8)
    assert oracle.price == {"input": 2.0, "cached_input": 0.5, "output": 4.0}
    assert oracle.usage.prompt_tokens == 8 * 40
    assert found.saved.cached_tokens == 8 * 10
    assert found.saved.cached_cost == 8 * 10 * 1.5
    assert (found.reviews.labelled, found.reviews.people, found.reviews.seconds) == (4, 1, 16.0)
    assert found.prompt_hashes == ("prompt-1",)
    assert found.settings["seed"] == 3
    assert found.versions["python"]


def test_answers_that_another_job_bought_are_what_the_cache_saved(store: Store) -> None:
    store.open_job("before", {}, "x", MicroDollars(1_000))
    bought = a_job.buy(store, "t0", "card", 130, job="before")
    a_job.begin(store)
    a_job.pick(store, 0, {"t0": "my card is gone"}, "random", 1.0)
    a_job.give(store, "t0", "card", 0.9, bought)
    found = gather(store, a_job.JOB, a_job.task())
    assert (found.saved.answers, found.saved.answers_cost) == (1, 130)
    assert (found.bought, found.money.spent) == (1, 0)


def halve(confidences: Sequence[float], right: Sequence[bool]) -> object:
    return lambda given: [c / 2 for c in given]


def test_confidence_is_shown_calibrated_where_a_calibrator_is_given(store: Store) -> None:
    a_job.begin(store)
    texts = {f"t{i}": f"text {i}" for i in range(12)}
    a_job.pick(store, 0, texts, "random", 1.0)
    for i, text in enumerate(texts):
        a_job.route(store, text, a_job.give(store, text, "card", 0.8), "unsure", 0.8, 1.0)
        a_job.answer(store, text, "card" if i % 2 else "cash")
    evidence = Evidence(calibrator=halve)  # type: ignore[arg-type]
    found = gather(store, a_job.JOB, a_job.task(), evidence).calibration
    assert found is not None
    assert found.measured_on == "people"
    assert found.before.ece == pytest.approx(0.3)
    assert found.after is not None
    assert found.after.ece == pytest.approx(0.1)
    plain = gather(store, a_job.JOB, a_job.task()).calibration
    assert plain is not None
    assert plain.after is None


def test_a_job_that_never_asked_gives_empty_findings_and_a_page(store: Store) -> None:
    a_job.begin(store)
    found = gather(store, a_job.JOB, a_job.task())
    assert (found.bought, found.rounds, found.confusion, found.stop) == (0, (), None, None)
    assert "No label has been bought yet" in page(found)


def test_a_task_without_classes_says_so(done: Store) -> None:

    class Spans:
        kind, widget, names = "spans", "json", ()
        show = staticmethod(str)
        agreement = staticmethod(lambda a, b: float(a == b))

    html = page(gather(done, a_job.JOB, Spans()))  # type: ignore[arg-type]
    assert "The labels of this kind of task are not classes" in html


def test_every_text_of_several_classes_counts_for_each(store: Store) -> None:
    a_job.begin(store)
    a_job.pick(store, 0, {"t0": "card and cash"}, "random", 1.0)
    a_job.route(store, "t0", a_job.give(store, "t0", ["card", "cash"], 0.9), "accepted", 0.9, 0.1)
    found = gather(store, a_job.JOB, a_job.task("multilabel"))
    assert [(t.name, t.accepted) for t in found.tallies] == [("card", 1), ("cash", 1), ("loan", 0)]


def test_an_unknown_job_is_named(store: Store) -> None:
    with pytest.raises(StoreError, match="no job 'other'"):
        gather(store, "other", a_job.task())


def test_figures_that_are_not_numbers_are_left_out(store: Store) -> None:
    a_job.begin(store)
    odd = {"labels": None, "accuracy": "high", "picked": None, "kappa": None, "seconds": "soon", "stop": None}
    store.finish_round(a_job.JOB, 0, odd)
    (only,) = gather(store, a_job.JOB, a_job.task()).rounds
    assert (only.labels, only.selected, only.kappa, only.seconds) == (0, None, None, None)


def test_what_was_saved_is_told_apart_by_how(done: Store) -> None:
    done.open_job("before", {}, "x", MicroDollars(1_000))
    bought = a_job.buy(done, "t1", "cash", 130, job="before")
    done.reuse(a_job.JOB, [(TextId("t1"), bought)])
    batch = done.add_batch(a_job.JOB, "local", {})
    wanted = [Wanted("local", "key b", TextId("t2"), MicroDollars(200))]
    (attempt,) = done.reserve_many(a_job.JOB, wanted, owner="run", batch_id=batch)
    assert attempt is not None
    usage = Usage(40, 2, 10)
    answer = StoredAnswer("key b", "http://here/v1", Answer("card", "small", usage), "prompt-1")
    done.settle(attempt, MicroDollars(37), usage, answer)  # half of 30 * 2 + 10 * 0.5 + 2 * 4 dollars a million
    saved = gather(done, a_job.JOB, a_job.task()).saved
    assert (saved.answers, saved.answers_cost) == (1, 130)
    assert (saved.batched, saved.batched_cost) == (1, 73 - 37)
    html = page(gather(done, a_job.JOB, a_job.task()))
    assert "answers that another job of this store had bought" in html
    assert "answers came in batches, which saved" in html


def test_a_charge_above_the_worst_case_is_said_aloud(done: Store) -> None:
    a_job.buy(done, "t3", "loan", 450)
    found = gather(done, a_job.JOB, a_job.task())
    assert found.money.overcharged == 250
    assert "more than the worst case of its questions" in page(found)


def test_a_label_costs_all_that_was_spent(found: Findings) -> None:
    assert found.money.per_label == pytest.approx(970 / 7)


def test_many_reasons_are_cut_and_the_rest_is_one_line(store: Store) -> None:
    a_job.begin(store, cap=1_000_000)
    for n in range(30):
        attempt = store.reserve(a_job.JOB, "local", f"k{n}", TextId(f"t{n}"), MicroDollars(10), owner="run")
        store.mark_ambiguous(attempt, f"reason {n:02d}")
    reasons = gather(store, a_job.JOB, a_job.task()).money.reasons
    assert len(reasons) == 12
    assert (reasons[-1].reason, reasons[-1].count, reasons[-1].cost) == ("19 other reasons", 19, 190)
    assert sum(r.count for r in reasons) == 30


def test_the_page_says_how_many_of_the_peoples_minutes_are_used(done: Store) -> None:
    settings = a_job.SETTINGS | {"budget": {"dollars": "0.01", "minutes": 0.25}}
    done.open_job(a_job.JOB, settings, "print", MicroDollars(10_000))
    found = gather(done, a_job.JOB, a_job.task())
    assert (found.reviews.seconds, found.reviews.minutes) == (16.0, 0.25)
    assert "nothing more is offered for review until" in page(found)

"""Law 1, in the store: the cap is guarded by the statement itself, and every attempt ends once."""

from __future__ import annotations

import pytest

from agent.errors import BudgetExceeded, StoreError
from agent.records import MicroDollars, TextId, Usage
from agent.store import AttemptState, Store
from tests.store.making import ANSWER, USAGE, bought, reserve, stored


def purse(store: Store) -> tuple[int, int]:
    job = store.job("job")
    return job.spent, job.reserved


def test_reserve_refuses_past_the_cap_and_changes_nothing(store: Store) -> None:
    reserve(store, 600)
    with pytest.raises(BudgetExceeded) as caught:
        reserve(store, 401)
    error = caught.value
    assert (error.spent, error.reserved, error.wanted, error.cap) == (0, 600, 401, 1_000)
    assert purse(store) == (0, 600)
    assert len(store.attempts("job")) == 1


def test_reserve_takes_the_last_micro_dollar(store: Store) -> None:
    reserve(store, 1_000)
    assert purse(store) == (0, 1_000)


def test_a_reservation_for_an_unknown_job_is_refused(store: Store) -> None:
    with pytest.raises(StoreError, match="no job 'other'"):
        store.reserve("other", "local", "key", TextId("a"), MicroDollars(1), owner="me")


def test_settling_pays_the_charge_and_keeps_the_raw_answer(store: Store) -> None:
    answer_id = store.settle(reserve(store, 100), MicroDollars(40), USAGE, stored())
    assert purse(store) == (40, 0)
    assert store.answer_for("key", "http://here/v1") == (answer_id, ANSWER)
    assert store.costs([answer_id]) == {answer_id: 40}
    (attempt,) = store.attempts("job")
    assert (attempt.state, attempt.charged, attempt.usage, attempt.answer_id) == ("settled", 40, USAGE, answer_id)
    assert attempt.ended_at is not None
    assert attempt.ended_at >= attempt.created_at


def test_an_answer_that_cannot_be_kept_is_not_paid_either(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    attempt = reserve(store, 100)

    def fail(*_: object) -> int:
        raise OSError("the disk went away")

    monkeypatch.setattr("agent.store.attempts.insert_answers", fail)
    with pytest.raises(OSError, match="went away"):
        store.settle(attempt, MicroDollars(40), USAGE, stored())
    assert purse(store) == (0, 100)


def test_releasing_gives_everything_back(store: Store) -> None:
    store.release(reserve(store, 100), "connection refused")
    assert purse(store) == (0, 0)
    assert store.attempts("job")[0].reason == "connection refused"


def test_ambiguous_counts_as_spent_at_the_worst_case(store: Store) -> None:
    store.mark_ambiguous(reserve(store, 100), "timed out after sending")
    assert purse(store) == (100, 0)
    assert store.spending("job").ambiguous == 100


@pytest.mark.parametrize("first", ["settle", "release", "ambiguous"])
@pytest.mark.parametrize("second", ["settle", "release", "ambiguous"])
def test_an_attempt_ends_exactly_once(store: Store, first: str, second: str) -> None:
    attempt = reserve(store, 100)
    end(store, attempt, first)
    before = purse(store), store.attempts("job"), store.spending("job")
    with pytest.raises(StoreError, match=f"attempt {attempt} is .* already, so it cannot become"):
        end(store, attempt, second)
    assert (purse(store), store.attempts("job"), store.spending("job")) == before


def end(store: Store, attempt: int, how: str) -> None:
    if how == "settle":
        store.settle(attempt, MicroDollars(40), USAGE, stored())
    elif how == "release":
        store.release(attempt, "refused")
    else:
        store.mark_ambiguous(attempt, "reset")


def test_ending_an_unknown_attempt_is_refused(store: Store) -> None:
    with pytest.raises(StoreError, match="attempt 77 is not known"):
        store.release(77, "refused")


def test_a_provider_that_charges_more_than_its_worst_case_is_recorded_as_it_is(store: Store) -> None:
    store.settle(reserve(store, 900), MicroDollars(1_500), Usage(9_000, 0), stored())
    assert purse(store) == (1_500, 0)
    assert store.attempts("job")[0].reason == "charged 600 micro-dollars more than its worst case"
    assert store.spending("job").overcharged == 600
    with pytest.raises(BudgetExceeded):
        reserve(store, 1)


@pytest.mark.parametrize("amount", [-1, -1_000])
def test_amounts_below_zero_are_bugs(store: Store, amount: int) -> None:
    with pytest.raises(ValueError, match="below zero"):
        reserve(store, amount)
    with pytest.raises(ValueError, match="below zero"):
        store.settle(reserve(store, 1), MicroDollars(amount), None, stored())


def test_a_lowered_cap_stops_spending_and_forgets_nothing(store: Store) -> None:
    bought(store, charged=10)
    store.open_job("job", {}, "print", MicroDollars(5))
    assert purse(store) == (10, 0)
    with pytest.raises(BudgetExceeded):
        reserve(store, 0)


def test_what_a_dead_run_left_open_becomes_ambiguous_once(store: Store) -> None:
    store.open_job("other", {}, "print", MicroDollars(1_000))
    elsewhere = store.reserve("other", "local", "key", TextId("a"), MicroDollars(7), owner="dead run")
    for worst in (100, 50):
        store.reserve("job", "local", "key", TextId("a"), MicroDollars(worst), owner="dead run")
    mine = reserve(store, 30)
    assert store.abandon_reservations("job", "this run") == 2
    assert store.abandon_reservations("job", "this run") == 0
    assert purse(store) == (150, 30)
    assert [a.id for a in store.attempts("job") if a.state is AttemptState.RESERVED] == [mine]
    assert store.attempts("other")[0].id == elsewhere
    assert store.attempts("other")[0].state is AttemptState.RESERVED


def test_spending_adds_up_by_oracle(store: Store) -> None:
    store.settle(reserve(store, 100), MicroDollars(40), Usage(10, 2, 4), stored("k1"))
    store.settle(reserve(store, 100), MicroDollars(30), Usage(20, 3), stored("k2"))
    store.settle(reserve(store, 100, oracle="strong"), MicroDollars(100), None, stored("k3"))
    store.mark_ambiguous(reserve(store, 9, oracle="strong"), "reset")
    store.release(reserve(store, 50, oracle="strong"), "429")
    reserve(store, 5)
    all_of_it = store.spending("job")
    assert (all_of_it.cap, all_of_it.spent, all_of_it.reserved, all_of_it.ambiguous) == (1_000, 179, 5, 9)
    assert (all_of_it.settled_count, all_of_it.released_count, all_of_it.ambiguous_count) == (3, 1, 1)
    assert all_of_it.usage == Usage(30, 5, 4)
    local, strong = all_of_it.by_oracle["local"], all_of_it.by_oracle["strong"]
    assert (local.spent, local.reserved, local.usage) == (70, 5, Usage(30, 5, 4))
    assert (strong.spent, strong.ambiguous, strong.released_count) == (109, 9, 1)
    assert sum(o.spent for o in all_of_it.by_oracle.values()) == all_of_it.spent


def test_failures_are_reasons_by_text_oldest_first(store: Store) -> None:
    store.release(reserve(store, 1, text="a"), "429")
    invalid = bought(store, "k1", text="a")
    store.mark_invalid(invalid, "not a label: 'maybe'")
    store.mark_invalid(invalid, "not a label: 'maybe'")
    store.mark_ambiguous(reserve(store, 1, text="a"), "timed out")
    bought(store, "k2", text="b")
    store.release(reserve(store, 1, text="c"), "refused")
    assert store.failures("job") == {"a": ["429", "not a label: 'maybe'", "timed out"], "c": ["refused"]}


def test_a_valid_answer_is_found_before_an_invalid_one_and_a_newer_before_an_older(store: Store) -> None:
    first, second, third = (bought(store) for _ in range(3))
    assert store.answer_for("key", "http://here/v1") == (third, ANSWER)
    store.mark_invalid(third, "no label")
    assert store.answer_for("key", "http://here/v1") == (second, ANSWER)
    store.mark_invalid(second, "no label")
    store.mark_invalid(first, "no label")
    assert store.answer_for("key", "http://here/v1") == (third, ANSWER)


def test_an_answer_is_known_by_its_question_and_its_endpoint(store: Store) -> None:
    bought(store, "k1")
    assert store.answer_for("k1", "http://elsewhere/v1") is None
    assert store.answer_for("k2", "http://here/v1") is None
    assert set(store.answers_for(["k1", "k2"], "http://here/v1")) == {"k1"}


def test_ten_thousand_questions_are_looked_up_at_once(store: Store) -> None:
    store.open_job("job", {}, "print", MicroDollars(10**9))
    with store.transaction() as tx:
        for i in range(600):
            attempt = store.reserve("job", "o", f"k{i}", TextId(f"t{i}"), MicroDollars(1), owner="me", tx=tx)
            store.settle(attempt, MicroDollars(1), USAGE, stored(f"k{i}"), tx=tx)
    found = store.answers_for([f"k{i}" for i in range(10_000)], "http://here/v1")
    assert list(found) == [f"k{i}" for i in range(600)]

"""Asking inside the budget: what is sent, what is set aside for it, and what is left when things go wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent import asking
from agent.asking import Asker
from agent.errors import AnswerInvalid, Charge, EndpointError, OracleError, TapeMiss
from agent.job import OracleSettings, Price
from agent.ledger import Ledger
from agent.records import Answer, AnswerSchema, Message, MicroDollars, Question, TextId, Usage
from agent.store import AttemptState, Store

wait = asking._wait  # before it is patched away
SCHEMA = AnswerSchema({"type": "object"}, max_tokens=4, choices=("a", "b"))
SETTINGS = OracleSettings(
    name="fake", base_url="http://127.0.0.1:9/v1", model="m", price=Price(input=1_000_000, output=1_000_000)
)


class FakeOracle:
    """The real seam: every ask is noted, and answered by what the test says."""

    name, model = "fake", "m"

    def __init__(self, act: Callable[[str, int], Answer | Exception]) -> None:
        self.act, self.in_flight, self.most = act, 0, 0
        self.asked: list[str] = []

    async def ask(self, question: Question, request_id: str = "") -> Answer:
        self.asked.append(question.text_id)
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        await asyncio.sleep(0)
        self.in_flight -= 1
        found = self.act(question.text_id, self.asked.count(question.text_id))
        if isinstance(found, Exception):
            raise found
        return found

    async def close(self) -> None: ...


class HangingOracle(FakeOracle):
    """Takes the question and never answers."""

    def __init__(self) -> None:
        super().__init__(lambda *_: answer())
        self.sent = asyncio.Event()

    async def ask(self, question: Question, request_id: str = "") -> Answer:
        self.sent.set()
        await asyncio.Event().wait()
        raise AssertionError("never reached")


def answer(tokens: int = 10) -> Answer:
    return Answer("a", "m", Usage(tokens, 1))


def question(i: int | str) -> Question:
    return Question(f"key-{i}", TextId(str(i)), (Message("user", f"text {i}"),), SCHEMA, "prompt")


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries follow at once: how long they wait is tested by itself."""
    monkeypatch.setattr(asking, "_wait", lambda state: 0.0)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(f"sqlite:///{tmp_path / 'a.db'}") as opened:
        opened.open_job("job", {}, "print", MicroDollars(10**12))
        yield opened


def ask(store: Store, oracle: FakeOracle, questions: list[Question], **settings: int) -> tuple[dict, Asker]:
    async def go() -> tuple[dict, Asker]:
        async with Ledger(store, "job", [SETTINGS]) as ledger:
            asker = Asker(oracle, ledger, store, **settings)
            return await asker.ask(questions), asker

    return asyncio.run(go())


def states(store: Store) -> list[AttemptState]:
    return [a.state for a in store.attempts("job")]


def test_every_question_is_answered_paid_and_kept(store: Store) -> None:
    found, asker = ask(store, FakeOracle(lambda *_: answer(10)), [question(i) for i in range(30)], max_concurrency=8)
    assert len(found) == 30
    assert all(a.answer is not None for a in found.values())
    assert store.spending("job").spent == 30 * 11 * 1_000_000
    assert store.spending("job").reserved == 0
    assert asker.state.done == 30


def test_no_more_than_the_concurrency_is_in_flight(store: Store) -> None:
    oracle = FakeOracle(lambda *_: answer())
    ask(store, oracle, [question(i) for i in range(40)], max_concurrency=5)
    assert 1 <= oracle.most <= 5


def test_what_was_answered_before_is_not_asked_again(store: Store) -> None:
    ask(store, FakeOracle(lambda *_: answer()), [question(i) for i in range(5)])
    again = FakeOracle(lambda *_: answer())
    found, _ = ask(store, again, [question(i) for i in range(8)])
    assert sorted(again.asked) == ["5", "6", "7"]
    assert len(found) == 8
    assert [found[TextId(str(i))].bought for i in (0, 7)] == [False, True]


def test_each_retry_is_an_attempt_of_its_own_and_an_unclear_one_stays_spent(store: Store) -> None:
    def fails_twice(_: str, time: int) -> Answer | Exception:
        return OracleError("HTTP 503", charge=Charge.UNKNOWN) if time < 3 else answer()

    found, _ = ask(store, FakeOracle(fails_twice), [question(1)], attempts=3)
    assert found[TextId("1")].answer is not None
    assert states(store) == [AttemptState.AMBIGUOUS, AttemptState.AMBIGUOUS, AttemptState.SETTLED]
    spending = store.spending("job")
    assert spending.spent == spending.ambiguous + 11 * 1_000_000
    assert spending.ambiguous > 0


def test_a_refusal_that_cost_nothing_gives_its_money_back(store: Store) -> None:
    oracle = FakeOracle(lambda *_: OracleError("HTTP 400", charge=Charge.NONE, retryable=False))
    found, _ = ask(store, oracle, [question(1)], attempts=3)
    assert found[TextId("1")].answer is None
    assert found[TextId("1")].reasons == ("HTTP 400",)
    assert states(store) == [AttemptState.RELEASED]
    assert store.spending("job").spent == 0


def test_one_text_that_fails_does_not_stop_the_others(store: Store) -> None:
    def one_bad(text: str, _: int) -> Answer | Exception:
        return OracleError("timed out", charge=Charge.UNKNOWN) if text == "3" else answer()

    found, asker = ask(store, FakeOracle(one_bad), [question(i) for i in range(10)], attempts=2)
    assert sum(a.answer is not None for a in found.values()) == 9
    assert asker.state.failed == 1
    assert len(found[TextId("3")].reasons) == 2


def test_the_cap_holds_and_is_used_to_the_last_question_that_surely_fits(store: Store) -> None:
    worst = Ledger(store, "job", [SETTINGS]).worst("fake", question(10))
    cost = 11 * 1_000_000
    store.open_job("job", {}, "print", MicroDollars(worst + 20 * cost))
    found, asker = ask(
        store, FakeOracle(lambda *_: answer(10)), [question(i) for i in range(10, 100)], max_concurrency=16
    )
    spending = store.spending("job")
    assert asker.state.exhausted
    assert spending.spent <= spending.cap
    assert spending.cap - spending.spent < worst  # money in flight came back and was used
    assert len(found) == spending.settled_count


def test_what_can_never_succeed_stops_the_run_after_settling_what_was_under_way(store: Store) -> None:
    def missing(text: str, _: int) -> Answer | Exception:
        return TapeMiss("no recorded answer") if text == "5" else answer()

    with pytest.raises(TapeMiss):
        ask(store, FakeOracle(missing), [question(i) for i in range(200)], max_concurrency=4)
    assert AttemptState.RESERVED not in states(store)
    assert states(store).count(AttemptState.RELEASED) == 1
    assert len(states(store)) < 20


def test_an_endpoint_that_cannot_be_reached_stops_the_run_and_fails_no_text(store: Store) -> None:
    oracle = FakeOracle(lambda *_: OracleError("connection failed", charge=Charge.NONE, unreachable=True))
    with pytest.raises(EndpointError, match="start the server"):
        ask(store, oracle, [question(i) for i in range(50)], max_concurrency=2)
    assert store.spending("job").spent == 0


def test_an_endpoint_that_only_fails_is_given_up_before_the_budget_is_burnt(store: Store) -> None:
    oracle = FakeOracle(lambda *_: OracleError("HTTP 500", charge=Charge.UNKNOWN))
    with pytest.raises(EndpointError, match="20 attempts in a row"):
        ask(store, oracle, [question(i) for i in range(500)], max_concurrency=2, attempts=2)
    assert len(oracle.asked) <= asking.UNANSWERED + 2


def test_a_halt_sends_nothing_more_and_settles_what_is_under_way(store: Store) -> None:
    async def go() -> tuple[dict, FakeOracle]:
        async with Ledger(store, "job", [SETTINGS]) as ledger:
            oracle = FakeOracle(lambda *_: answer())
            asker = Asker(
                oracle, ledger, store, max_concurrency=3, watch=lambda s: asker.halt() if s.done == 4 else None
            )
            return await asker.ask([question(i) for i in range(100)]), oracle

    found, oracle = asyncio.run(go())
    assert 4 <= len(found) <= 8
    assert len(oracle.asked) == len(found) == store.spending("job").settled_count


def test_a_cancelled_request_counts_as_spent(store: Store) -> None:
    async def go() -> None:
        oracle = HangingOracle()
        async with Ledger(store, "job", [SETTINGS]) as ledger:
            task = asyncio.create_task(Asker(oracle, ledger, store).ask([question(1)]))
            await oracle.sent.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(go())
    assert states(store) == [AttemptState.AMBIGUOUS]


def test_a_wait_is_what_the_server_asked_for_and_never_endless() -> None:
    import tenacity

    def state(error: Exception) -> tenacity.RetryCallState:
        made = tenacity.RetryCallState(tenacity.AsyncRetrying(), None, (), {})
        made.set_exception((type(error), error, None))
        return made

    assert wait(state(OracleError("x", charge=Charge.NONE, retry_after_s=7))) >= 7
    assert wait(state(OracleError("x", charge=Charge.NONE, retry_after_s=1e9))) <= 1.2 * asking.LONGEST_WAIT_S
    assert 0 <= wait(state(OracleError("x", charge=Charge.NONE))) <= asking.LONGEST_WAIT_S


def test_a_halt_between_two_attempts_sends_no_further_one_and_fails_no_text(store: Store) -> None:
    def act(text_id: str, nth: int) -> Exception:
        asker.halt()
        return OracleError("busy", charge=Charge.NONE)

    async def go() -> dict:
        nonlocal asker
        async with Ledger(store, "job", [SETTINGS]) as ledger:
            asker = Asker(oracle, ledger, store, max_concurrency=1)
            return await asker.ask([question(0)])

    oracle, asker = FakeOracle(act), None
    assert asyncio.run(go()) == {}
    assert oracle.asked == ["0"]


# rows that fail, and rows that are alike -----------------------------------------------------------------------


def test_a_text_that_failed_three_times_has_failed_for_good_also_for_the_next_run(store: Store) -> None:
    failing = FakeOracle(lambda *_: OracleError("HTTP 500", charge=Charge.UNKNOWN))
    found, _ = ask(store, failing, [question(1)], attempts=3)
    assert found[TextId("1")].reasons == ("HTTP 500",) * 3
    spent = store.spending("job").spent
    again = FakeOracle(lambda *_: answer())
    found, asker = ask(store, again, [question(1), question(2)], attempts=3)
    assert again.asked == ["2"]
    assert found[TextId("1")].answer is None
    assert asker.state.failed == 1
    assert store.spending("job").spent > spent, "the other text was not stopped by it"


def test_a_refusal_by_a_busy_endpoint_is_no_failure_of_the_text(store: Store) -> None:
    def busy_at_first(_: str, nth: int) -> Answer | Exception:
        return OracleError("HTTP 429", charge=Charge.NONE, busy=True) if nth < 8 else answer()

    found, _ = ask(store, FakeOracle(busy_at_first), [question(1)], attempts=2)
    assert found[TextId("1")].answer is not None
    assert states(store) == [AttemptState.RELEASED] * 7 + [AttemptState.SETTLED]


def test_an_endpoint_that_stays_busy_is_given_up_and_the_text_waits(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "PATIENCE_S", -1.0)
    oracle = FakeOracle(lambda *_: OracleError("HTTP 429", charge=Charge.NONE, busy=True))
    with pytest.raises(EndpointError, match="too busy"):
        ask(store, oracle, [question(1)])
    assert store.spending("job").spent == 0


def test_an_endpoint_that_asks_for_an_hour_stops_the_run_instead_of_waiting(store: Store) -> None:
    oracle = FakeOracle(lambda *_: OracleError("HTTP 429", charge=Charge.NONE, busy=True, retry_after_s=3600))
    with pytest.raises(EndpointError, match="60 minutes"):
        ask(store, oracle, [question(1)])


def checked(
    store: Store, says: Callable[[int], str], again: bool = False
) -> tuple[dict[TextId, asking.Asked], FakeOracle]:
    """One question, put to an oracle that says `says(n)` the nth time; only "a" is a label."""

    def check(_: Question, given: Answer) -> None:
        if given.content != "a":
            raise AnswerInvalid(f"no label: {given.content}")

    async def go() -> tuple[dict[TextId, asking.Asked], FakeOracle]:
        async with Ledger(store, "job", [SETTINGS]) as ledger:
            oracle = FakeOracle(lambda _, nth: Answer(says(nth), "m", Usage(10, 1)))
            return await Asker(oracle, ledger, store).ask([question(1)], check), oracle

    return asyncio.run(go())


def test_an_answer_that_is_no_label_is_paid_kept_and_asked_for_again(store: Store) -> None:
    found, oracle = checked(store, lambda nth: "a" if nth == 2 else "garbage")
    asked = found[TextId("1")]
    assert (asked.answer and asked.answer.content, asked.reasons) == ("a", ("no label: garbage",))
    assert len(oracle.asked) == store.spending("job").settled_count == 2
    found, oracle = checked(store, lambda _: "never asked")
    assert oracle.asked == []
    assert found[TextId("1")].answer is not None


def test_an_endpoint_that_says_the_same_wrong_thing_twice_is_not_asked_a_third_time(store: Store) -> None:
    found, oracle = checked(store, lambda _: "garbage")
    assert len(oracle.asked) == 2
    assert found[TextId("1")].reasons == ("no label: garbage",) * 2


def test_other_wrong_answers_are_tried_as_often_as_the_job_allows_over_all_runs(store: Store) -> None:
    found, oracle = checked(store, lambda nth: f"garbage {nth}")
    assert len(oracle.asked) == 3
    assert found[TextId("1")].answer is None
    _, oracle = checked(store, lambda _: "a")
    assert oracle.asked == []


def test_equal_questions_share_one_call(store: Store) -> None:
    alike = [Question("same", TextId(f"t{i}"), (Message("user", "x"),), SCHEMA, "prompt") for i in range(5)]
    found, oracle = {}, FakeOracle(lambda *_: answer())
    found, asker = ask(store, oracle, [*alike, question(1)])
    assert len(oracle.asked) == 2
    assert len(found) == asker.state.total == asker.state.done == 6
    assert [found[q.text_id].bought for q in alike] == [True, False, False, False, False]
    assert len({found[q.text_id].answer_id for q in alike}) == 1


def test_what_another_job_of_the_store_has_bought_is_used_and_counted_as_saved(store: Store) -> None:
    ask(store, FakeOracle(lambda *_: answer(10)), [question(1), question(2)])
    store.open_job("second", {}, "print", MicroDollars(10**12))

    async def go(oracle: FakeOracle) -> dict[TextId, asking.Asked]:
        async with Ledger(store, "second", [SETTINGS]) as ledger:
            return await Asker(oracle, ledger, store).ask([question(i) for i in range(3)])

    oracle = FakeOracle(lambda *_: answer(10))
    asyncio.run(go(oracle))
    asyncio.run(go(oracle))
    assert oracle.asked == ["0"]
    saved = store.bought_before("second")
    assert (saved.count, saved.cost) == (2, 2 * 11 * 1_000_000)
    assert store.bought_before("job").count == 0
    assert store.spending("second").spent == 11 * 1_000_000


async def test_a_halt_ends_the_wait_for_money_too(store: Store) -> None:
    worst = Ledger(store, "job", [SETTINGS]).worst("fake", question(0))
    store.open_job("job", {}, "print", MicroDollars(worst + 5))

    class Slow(FakeOracle):
        async def ask(self, question: Question, request_id: str = "") -> Answer:
            self.asked.append(question.text_id)
            sent.set()
            await let_go.wait()
            return answer(1)

    sent, let_go, oracle = asyncio.Event(), asyncio.Event(), Slow(lambda *_: answer())
    async with Ledger(store, "job", [SETTINGS]) as ledger:
        asker = Asker(oracle, ledger, store, max_concurrency=4)
        asking_all = asyncio.create_task(asker.ask([question(i) for i in range(10)]))
        await sent.wait()
        asker.halt()
        let_go.set()
        assert len(await asking_all) == 1
    assert len(oracle.asked) == 1, "who waited for money did not send after the halt"


def test_a_provider_that_charges_beyond_the_worst_case_is_stopped(store: Store) -> None:
    worst = Ledger(store, "job", [SETTINGS]).worst("fake", question(0))
    store.open_job("job", {}, "print", MicroDollars(50 * worst))
    greedy = FakeOracle(lambda *_: Answer("a", "m", Usage(10, 5_000)))
    with pytest.raises(EndpointError, match="max_completion_tokens"):
        ask(store, greedy, [question(i) for i in range(50)], max_concurrency=1)
    assert len(greedy.asked) == 1
    assert store.spending("job").settled_count == 1, "it was paid, and is kept"

"""Several endpoints of one model: where questions go, who is left out, what that costs, and when it is over."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from agent import asking, breaker
from agent.asking import Asked, Asker
from agent.balance import Balance, Endpoint, Turn
from agent.breaker import FAILURES
from agent.errors import Charge, EndpointError, OracleError, TapeMiss
from agent.job import OracleSettings, Price
from agent.ledger import Ledger
from agent.pacing import Pace, Turns
from agent.records import Answer, AnswerSchema, Message, MicroDollars, Question, TextId, Usage
from agent.store import AttemptState, Store

SCHEMA = AnswerSchema({"type": "object"}, max_tokens=4, choices=("a", "b"))
A, B = "http://a/v1", "http://b/v1"
SETTINGS = OracleSettings(name="twins", base_url=[A, B], model="m", price=Price(input=1_000_000, output=1_000_000))
ANSWER = Answer("a", "m", Usage(10, 1))
DOWN = OracleError("connection failed before sending", charge=Charge.NONE, unreachable=True)
BROKEN = OracleError("HTTP 500: no", charge=Charge.UNKNOWN)
QUESTIONS = 200
Act = Callable[[int], Answer | Exception]


class Fake:
    """One endpoint behind the real seam: `act(n)` is what the nth request comes to. It takes as long as the one that
    it is `slower_than` takes for forty, while there are questions left."""

    name, model = "twins", "m"

    def __init__(self, act: Act = lambda _: ANSWER, *, slower_than: Fake | None = None) -> None:
        self.act, self.asked, self._other = act, list[str](), slower_than

    async def ask(self, question: Question, request_id: str = "") -> Answer:
        self.asked.append(question.text_id)
        nth = len(self.asked)
        await asyncio.sleep(0)
        other = self._other.asked if self._other else []
        then = len(other) + 40
        while self._other and len(other) < then and len(other) + len(self.asked) < QUESTIONS:  # noqa: ASYNC110
            await asyncio.sleep(0)
        found = self.act(nth)
        if isinstance(found, Exception):
            raise found
        return found

    async def close(self) -> None: ...


class Run:
    """One asking of two endpoints, in a store that was there before or not."""

    def __init__(self, store: Store, a: Fake, b: Fake, *, ceiling: int = 4, attempts: int = 3) -> None:
        self.store, self.notes = store, list[str]()
        turns = Turns()
        self.endpoints = [Endpoint(fake, Pace(ceiling, turns=turns), name, name) for fake, name in ((a, A), (b, B))]
        self.balance = Balance(self.endpoints, self.notes.append)
        self.attempts = attempts
        self.asker: Asker | None = None

    def ask(self, questions: int | list[Question], settings: OracleSettings = SETTINGS) -> dict[TextId, Asked]:
        asked = [question(i) for i in range(questions)] if isinstance(questions, int) else questions

        async def go() -> dict[TextId, Asked]:
            async with Ledger(self.store, "job", [settings]) as ledger, asyncio.timeout(60):
                self.asker = Asker(
                    self.endpoints[0].oracle, ledger, self.store, attempts=self.attempts, balance=self.balance
                )
                return await self.asker.ask(asked)

        return asyncio.run(go())


def question(i: int | str) -> Question:
    return Question(f"key-{i}", TextId(str(i)), (Message("user", f"text {i}"),), SCHEMA, "prompt")


def states(store: Store) -> Counter[AttemptState]:
    return Counter(a.state for a in store.attempts("job"))


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries follow at once, and whoever is left out is tried again almost at once."""
    monkeypatch.setattr(asking, "_wait", lambda state: 0.0)
    monkeypatch.setattr(breaker, "FIRST_S", 0.001)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(f"sqlite:///{tmp_path / 'a.db'}") as opened:
        opened.open_job("job", {}, "print", MicroDollars(10**12))
        yield opened


# Where questions go -------------------------------------------------------------------------------------------------


def idle(ceilings: list[int], clock: Callable[[], float] = lambda: 0.0) -> Balance:
    turns = Turns()
    paces = [Pace(c, clock=clock, turns=turns) for c in ceilings]
    for pace in paces:
        pace.climb.limit = pace.climb.ceiling
    return Balance([Endpoint(Fake(), p, str(i), str(i)) for i, p in enumerate(paces)], clock=clock)


def test_each_request_goes_where_the_smallest_share_of_what_it_takes_is_in_flight() -> None:
    balance = idle([10, 30])
    for _ in range(40):
        endpoint = balance.least_loaded()
        assert endpoint is not None
        endpoint.pace.in_flight += 1
        small, large = (e.pace.in_flight for e in balance.endpoints)
        assert abs(small / 10 - large / 30) <= 1 / 10
    assert balance.least_loaded() is None, "there is no room left"


def test_one_that_has_just_failed_comes_last_however_much_room_it_has() -> None:
    balance = idle([2, 50])
    first, second = balance.endpoints
    balance.failed(Turn(second, second.breaker.begin()), "HTTP 500")
    first.pace.in_flight = 1
    assert balance.least_loaded() is first
    first.pace.in_flight = 2
    assert balance.least_loaded() is second


def test_one_that_asked_for_a_pause_is_not_asked_while_it_lasts() -> None:
    now = 100.0
    balance = idle([4, 4], clock=lambda: now)
    first, second = balance.endpoints
    first.pace.refused(retry_after_s=30)
    second.pace.in_flight = 3
    assert balance.least_loaded() is second
    now = 131.0
    assert balance.least_loaded() is first


def test_a_fast_endpoint_gets_most_of_the_questions(store: Store) -> None:
    fast = Fake()
    slow = Fake(slower_than=fast)
    assert len(Run(store, slow, fast).ask(QUESTIONS)) == QUESTIONS
    assert len(fast.asked) > 3 * len(slow.asked) > 0


# Who is left out ----------------------------------------------------------------------------------------------------


def test_a_refused_connection_is_released_and_no_failure_of_the_text(store: Store) -> None:
    dead, alive = Fake(lambda _: DOWN), Fake()
    run = Run(store, dead, alive, attempts=1)
    found = run.ask(50)
    assert all(a.answer is not None and a.reasons == () for a in found.values())
    assert sorted(alive.asked) == sorted(str(i) for i in range(50))
    assert states(store) == {AttemptState.SETTLED: 50, AttemptState.RELEASED: len(dead.asked)}
    assert run.notes == [f"twins: {A} is left out for now, and tried again from time to time: {DOWN}"]


def test_one_that_answers_only_with_errors_is_left_out_before_they_cost_much(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breaker, "FIRST_S", 60.0)
    broken, alive = Fake(lambda _: BROKEN), Fake()
    found = Run(store, broken, alive).ask(300)
    assert all(a.answer is not None for a in found.values())
    assert states(store)[AttemptState.AMBIGUOUS] == len(broken.asked) <= FAILURES + 4, "and what was under way"


def test_one_that_is_back_is_asked_again_and_a_person_is_told(store: Store) -> None:
    ill = Fake(lambda n: DOWN if n < 12 else ANSWER)
    well = Fake(slower_than=ill)
    run = Run(store, ill, well)
    assert len(run.ask(QUESTIONS)) == QUESTIONS
    assert len(ill.asked) > 50
    assert [n.split(" is ")[0].split(" answers")[0] for n in run.notes] == [f"twins: {A}"] * 2
    assert run.notes[-1].endswith("answers again")


def test_one_that_refuses_the_key_is_left_to_the_others(store: Store) -> None:
    refuses, alive = Fake(lambda _: EndpointError("refused the key")), Fake()
    run = Run(store, refuses, alive, attempts=1)
    assert all(a.answer is not None for a in run.ask(50).values())
    assert states(store)[AttemptState.AMBIGUOUS] == 0
    assert "refused the key" in run.notes[0]


@pytest.mark.parametrize("wait_s", [100.0, 7200.0])
def test_one_that_asks_for_a_wait_is_left_alone_and_nobody_waits_with_it(store: Store, wait_s: float) -> None:
    busy = Fake(lambda _: OracleError("HTTP 429", charge=Charge.NONE, busy=True, retry_after_s=wait_s))
    assert all(a.answer is not None for a in Run(store, busy, Fake(), attempts=1).ask(60).values())
    assert len(busy.asked) <= 4, "what was under way when it first said so"
    assert states(store) == {AttemptState.SETTLED: 60, AttemptState.RELEASED: len(busy.asked)}


def test_a_wait_that_may_have_been_charged_counts_as_spent_and_as_a_failed_try(store: Store) -> None:
    busy = Fake(lambda _: OracleError("HTTP 503", charge=Charge.UNKNOWN, busy=True, retry_after_s=7200))
    found = Run(store, busy, Fake(), attempts=2).ask(60)
    assert all(a.answer is not None for a in found.values())
    assert states(store) == {AttemptState.SETTLED: 60, AttemptState.AMBIGUOUS: len(busy.asked)}
    assert sum(a.reasons == ("HTTP 503",) for a in found.values()) == len(busy.asked) <= 4


def test_a_text_that_is_refused_everywhere_says_nothing_of_the_endpoints(store: Store) -> None:
    def picky(_: int) -> Answer | Exception:
        return OracleError("HTTP 400: too long", charge=Charge.NONE, retryable=False)

    run = Run(store, Fake(picky), Fake(picky), ceiling=1)
    found = run.ask(10)
    assert {a.reasons for a in found.values()} == {("HTTP 400: too long",)}
    assert run.notes == []


def test_an_endpoint_is_introduced_before_it_is_first_asked(store: Store) -> None:
    late, met = Fake(), list[int]()
    early = Fake(slower_than=late)
    run = Run(store, late, early)

    async def introduce() -> None:
        assert late.asked == []
        met.append(len(early.asked))
        if len(met) < 3:
            raise DOWN

    run.endpoints[0].introduce = introduce
    run.balance.leave_out(run.endpoints[0], "it is down")
    assert len(run.ask(QUESTIONS)) == QUESTIONS
    assert len(met) == 3
    assert len(late.asked) > 50


# When it is over ----------------------------------------------------------------------------------------------------


def test_all_down_stops_the_run_with_all_that_was_answered_kept(store: Store) -> None:
    a, b = (Fake(lambda n: ANSWER if n <= 10 else DOWN) for _ in "ab")
    run = Run(store, a, b)
    with pytest.raises(EndpointError) as stopped:
        run.ask(200)
    said = str(stopped.value)
    assert said.startswith("oracle twins: none of its 2 endpoints answers (")
    assert f"{A}: {DOWN}; {B}: {DOWN}" in said
    assert said.endswith("start the server or mend `base_url`, then run again: everything answered so far is kept")
    assert states(store) == {AttemptState.SETTLED: 20, AttemptState.RELEASED: len(a.asked) + len(b.asked) - 20}
    again = Run(store, Fake(), Fake())
    assert len(again.ask(200)) == 200
    assert states(store)[AttemptState.SETTLED] == 200, "what was answered is not bought again"


def test_all_broken_stops_before_the_budget_is_burnt(store: Store) -> None:
    broken = [Fake(lambda _: BROKEN) for _ in "ab"]
    with pytest.raises(EndpointError, match="HTTP 500: no"):
        Run(store, *broken, ceiling=2).ask(500)
    assert sum(len(b.asked) for b in broken) <= 2 * (FAILURES + 2 + 3)


def test_the_last_endpoint_is_not_given_up_for_one_bad_moment(store: Store) -> None:
    dead, wavers = Fake(lambda _: DOWN), Fake(lambda n: DOWN if 20 <= n < 20 + FAILURES else ANSWER)
    assert len(Run(store, dead, wavers, ceiling=1).ask(60)) == 60


def test_one_that_was_out_for_long_is_tried_before_the_run_ends(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Fake()
    last = Fake(lambda n: ANSWER if n <= 20 else DOWN)
    run = Run(store, first, last, ceiling=1)
    monkeypatch.setattr(breaker, "LONGEST_S", 1e6)
    for _ in range(30):  # its next turn would be in years
        run.endpoints[0].breaker.leave_out(0.0)
    assert len(run.ask(60)) == 60
    assert len(first.asked) == 40


def test_what_can_never_succeed_ends_the_wait_for_an_endpoint_that_is_out(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breaker, "FIRST_S", 3600.0)
    alive = Fake(lambda n: TapeMiss("never") if n == 20 else ANSWER)
    with pytest.raises(TapeMiss):
        Run(store, Fake(lambda _: DOWN), alive, ceiling=1).ask(60)


def test_a_halt_ends_the_wait_for_an_endpoint_that_is_out(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breaker, "FIRST_S", 3600.0)

    def dies(n: int) -> Exception:
        assert run.asker is not None
        if n == FAILURES:
            run.asker.halt()
        return DOWN

    run = Run(store, Fake(dies), Fake(dies), ceiling=1)
    assert run.ask(20) == {}
    assert store.spending("job").spent == 0


def test_money_that_is_gone_ends_the_asking_also_where_one_is_out(store: Store) -> None:
    worst = Ledger(store, "job", [SETTINGS]).worst("twins", question(0))
    store.open_job("job", {}, "print", MicroDollars(worst + 20 * 11 * 1_000_000))
    run = Run(store, Fake(lambda _: DOWN), Fake())
    found = run.ask(100)
    assert run.asker is not None
    assert run.asker.state.exhausted
    assert 20 <= len(found) < 100
    assert store.spending("job").spent <= store.spending("job").cap


# Whose an answer is -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("addresses", [[B, A], [A], ["http://c/v1", B, A], ["http://c/v1", A]])
def test_an_answer_is_found_again_whatever_the_list_of_addresses_becomes(store: Store, addresses: list[str]) -> None:
    store.keep_together("m", [A, B])
    Run(store, Fake(), Fake()).ask(40)
    later = SETTINGS.model_copy(update={"base_url": tuple(addresses)})
    asked = Fake()
    found = Run(store, asked, asked).ask(40, later)
    assert len(found) == 40
    assert asked.asked == []


def test_each_answer_is_kept_under_the_endpoint_that_gave_it(store: Store) -> None:
    a, b = Fake(), Fake()
    Run(store, a, b).ask(40)
    keys = [f"key-{i}" for i in range(40)]
    assert {f"key-{i}" for i in a.asked} == set(store.answers_for(keys, A))
    assert {f"key-{i}" for i in b.asked} == set(store.answers_for(keys, B))


async def test_two_servers_that_work_at_once_are_two_gpus(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    rented = SETTINGS.model_copy(update={"price": Price(gpu_hour=3600)})  # a dollar a second
    at = iter([0.0, 0.0, 2.0, 2.0])
    monkeypatch.setattr("agent.ledger.ledger.time", SimpleNamespace(monotonic=lambda: next(at)))
    async with Ledger(store, "job", [rented]) as ledger:
        sent = [await ledger.reserve("twins", question(e), e) for e in (A, B)]
        for reservation in sent:
            await ledger.settle(reservation, ANSWER)
    assert store.spending("job").spent == 4_000_000

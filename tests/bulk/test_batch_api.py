"""Batches at a provider: what is sent, what it costs, and what is made of whatever comes back.

The evidence is the provider's own log of what it ran and charged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.asking import Asked
from agent.bulk import BulkAsker
from agent.errors import AnswerInvalid, BudgetExceeded, Charge, EndpointError, OracleError
from agent.ledger import BatchLedger, Ledger, Tariff
from agent.oracle import BatchApi
from agent.oracle.lines import write_lines, written
from agent.records import MicroDollars, Question
from agent.store import AttemptState, BatchState, Store
from tests.bulk.making import (
    Told,
    ask,
    asker_of,
    at,
    attempts,
    batches,
    ended,
    labels,
    line_ids,
    question,
    questions,
    texts,
)
from tests.servers.scripted import BatchFaults, Faults, Prices, ScriptedServer

Serve = Callable[..., ScriptedServer]


def charged(server: ScriptedServer) -> int:
    return sum(row["charged"] for row in server.asked)


def settled(store: Store) -> int:
    return sum(a.charged for a in ended(store, AttemptState.SETTLED))


async def test_every_question_is_answered_at_half_the_price(store: Store, serve_gold: Serve, tmp_path: Path) -> None:
    server = serve_gold(texts(30), batch_faults=BatchFaults(polls=1, shuffled=True))
    found = await ask(store, at(server.url), questions(30), folder=tmp_path)
    assert labels(found) == texts(30)
    assert attempts(store) == {AttemptState.SETTLED: 30}
    live = sum(row["prompt_tokens"] + 2 * row["completion_tokens"] for row in server.asked)
    assert charged(server) == store.job("job").spent
    assert store.job("job").spent == pytest.approx(live / 2, rel=0.02)
    assert [b.state for b in batches(store)] == [BatchState.HARVESTED]
    assert list((tmp_path / "batches").iterdir()) == []


async def test_a_price_of_its_own_for_batches_is_the_one_that_counts(
    store: Store, serve_gold: Serve, tmp_path: Path
) -> None:
    server = serve_gold(texts(10), prices=Prices("1", "2", batch="0.25"))
    price = {"input": 1, "output": 2, "batch": 0.25}
    await ask(store, at(server.url, price=price), questions(10), folder=tmp_path)
    assert store.job("job").spent == charged(server)


async def test_the_worst_case_is_set_aside_before_anything_is_uploaded(
    store: Store, serve_gold: Serve, tmp_path: Path
) -> None:
    server = serve_gold(texts(5))

    class Watching:
        def __init__(self, carrier: Any) -> None:
            self.carrier = carrier

        def __getattr__(self, name: str) -> Any:
            return getattr(self.carrier, name)

        async def send(self, batch: Any, file: Path) -> Any:
            reserved.append(store.job("job").reserved)
            return await self.carrier.send(batch, file)

    reserved: list[int] = []
    await ask(store, at(server.url), questions(5), folder=tmp_path, wrap=Watching)
    worst = [a.worst for a in store.attempts("job")]
    assert reserved == [sum(worst)]
    assert all(a.charged <= a.worst for a in store.attempts("job"))


async def test_many_questions_go_out_in_several_batches(store: Store, serve_gold: Serve, tmp_path: Path) -> None:
    server = serve_gold(texts(25), batch_faults=BatchFaults(most_lines=10))
    found = await ask(store, at(server.url, batch={"lines": 10}), questions(25), folder=tmp_path)
    assert labels(found) == texts(25)
    assert sorted(b.details["lines"] for b in batches(store)) == [5, 10, 10]


async def test_a_file_is_never_larger_than_it_may_be(
    store: Store, serve_gold: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve_gold(texts(12))
    sizes: list[int] = []

    def small(carrier: Any) -> Any:
        carrier.most_bytes = 4000
        return carrier

    def look(asker: BulkAsker) -> None:
        sizes.extend(p.stat().st_size for p in (tmp_path / "batches").glob("*.input.jsonl"))

    await ask(store, at(server.url), questions(12), folder=tmp_path, wrap=small, each=look)
    assert len(batches(store)) > 1
    assert sizes
    assert max(sizes) <= 4000


async def test_a_small_purse_sends_what_fits_and_the_rest_when_money_comes_back(
    store: Store, serve_gold: Serve, tmp_path: Path
) -> None:
    server = serve_gold(texts(300))
    told = Told()
    store.open_job("job", {}, "print", MicroDollars(2500))
    found = await ask(store, at(server.url), questions(300), folder=tmp_path, told=told)
    purse = store.job("job")
    assert charged(server) == purse.spent
    assert told.most_committed <= 2500
    assert len(batches(store)) > 2
    assert set(labels(found).items()) <= set(texts(300).items())
    assert len(found) < 300, "the cap is below what all of them cost"
    worst = max(a.worst for a in store.attempts("job"))
    assert purse.spent > 2500 - worst, "as long as one more fits, it is sent"
    assert purse.reserved == 0


async def test_a_question_that_there_is_no_room_for_waits_for_those_under_way(
    store: Store, serve_gold: Serve, tmp_path: Path
) -> None:
    server = serve_gold(texts(4), batch_faults=BatchFaults(polls=2))
    worst = max(Tariff.in_batches(at(server.url)).worst(q) for q in questions(4))
    store.open_job("job", {}, "print", MicroDollars(worst + 100))
    found = await ask(store, at(server.url, batch={"lines": 1}), questions(4), folder=tmp_path)
    assert len(batches(store)) == len(server.asked) == len(found)
    assert {b.details["lines"] for b in batches(store)} == {1}
    store.take_over("job", "me")
    with pytest.raises(BudgetExceeded):
        BatchLedger(store, "job", at(server.url), owner="me").open([question("long " * 1000)], least=0)
    assert len(batches(store)) == len(found), "no batch is made without a question in it"


async def test_an_expired_batch_gives_what_it_has_and_the_rest_is_asked_once_more(
    store: Store, serve_gold: Serve, tmp_path: Path
) -> None:
    server = serve_gold(texts(40), batch_faults=BatchFaults(expire_after=0.5))
    found = await ask(store, at(server.url), questions(40), folder=tmp_path)
    answered = {t: v for t, v in labels(found).items() if v is not None}
    assert [b.details["lines"] for b in batches(store)] == [40, 20]
    assert len(answered) == 30
    assert len(found) == 40, "what failed twice has failed, and says why"
    assert {a.reasons for a in found.values() if a.answer is None} == {("not run: batch_expired",) * 2}
    assert attempts(store) == {AttemptState.SETTLED: 30, AttemptState.RELEASED: 30}
    assert store.job("job").spent == charged(server)
    assert set(line_ids(server.asked).values()) == {1}


async def test_lines_that_failed_count_as_spent_and_are_asked_once_more(
    store: Store, serve_gold: Serve, tmp_path: Path
) -> None:
    server = serve_gold(texts(60), batch_faults=BatchFaults(share_failed=0.3), seed=3)
    found = await ask(store, at(server.url), questions(60), folder=tmp_path)
    failed = [row for row in server.asked if row["status"] == 500]
    assert failed
    assert attempts(store)[AttemptState.AMBIGUOUS] == len(failed)
    assert len(found) == 60
    assert settled(store) == charged(server)
    assert all("HTTP 500" in a.reasons[0] for a in found.values() if a.answer is None)


async def test_a_line_that_came_twice_is_paid_once_and_noted(store: Store, serve_gold: Serve, tmp_path: Path) -> None:
    server = serve_gold(texts(40), batch_faults=BatchFaults(share_duplicated=0.4, shuffled=True))
    told = Told()
    found = await ask(store, at(server.url), questions(40), folder=tmp_path, told=told)
    assert labels(found) == texts(40)
    assert store.job("job").spent == charged(server)
    assert "came twice" in batches(store)[0].reason
    assert any("came twice" in note for note in told.notes)


async def test_an_answer_without_usage_costs_its_worst_case(store: Store, serve_gold: Serve, tmp_path: Path) -> None:
    server = serve_gold(texts(10), faults=Faults(no_usage=True))
    found = await ask(store, at(server.url), questions(10), folder=tmp_path)
    assert labels(found) == texts(10)
    assert all(a.charged == a.worst for a in store.attempts("job"))
    assert store.job("job").spent >= charged(server)


async def test_a_file_that_the_provider_refuses_costs_nothing_and_says_why(
    store: Store, serve_gold: Serve, tmp_path: Path
) -> None:
    server = serve_gold(texts(10), batch_faults=BatchFaults(refuses_input=True))
    with pytest.raises(EndpointError, match="invalid_input_file"):
        await ask(store, at(server.url), questions(10), folder=tmp_path)
    assert server.asked == []
    assert store.job("job").spent == store.job("job").reserved == 0
    assert attempts(store) == {AttemptState.RELEASED: 20}


async def test_a_batch_whose_submission_was_cut_off_is_found_and_not_sent_again(
    store: Store, serve_gold: Serve, tmp_path: Path
) -> None:
    server = serve_gold(texts(20), batch_faults=BatchFaults(share_submit_reset=1.0))
    found = await ask(store, at(server.url), questions(20), folder=tmp_path)
    assert labels(found) == texts(20)
    assert len(batches(store)) == 1
    assert set(line_ids(server.asked).values()) == {1}
    assert store.job("job").spent == charged(server)


async def test_a_batch_that_was_looked_for_in_vain_can_never_start(
    store: Store, serve_gold: Serve, tmp_path: Path
) -> None:
    server = serve_gold(texts(3))
    settings = at(server.url)
    api = BatchApi(settings, tmp_path)
    opened = BatchLedger(store, "job", settings, owner="me").open(questions(3))
    path = tmp_path / "input.jsonl"
    write_lines(path, [written(line.attempt_id, {"model": "scripted"}) for _, line in opened.lines])
    batch = store.move_batch(opened.batch.id, BatchState.UPLOADED, details=await api.send(opened.batch, path))
    assert await api.find(batch) is None
    with pytest.raises(OracleError, match="No such File") as late:
        await api.start(batch)
    assert late.value.charge is Charge.NONE
    await api.close()


async def test_a_provider_that_stumbles_is_asked_again_and_nothing_is_bought_twice(
    store: Store, serve_gold: Serve, tmp_path: Path
) -> None:
    faults = BatchFaults(polls=2, share_503=0.25, share_truncated=0.4, share_submit_reset=0.3)
    server = serve_gold(texts(45), batch_faults=faults, seed=2)
    found = await ask(store, at(server.url, batch={"lines": 15}), questions(45), folder=tmp_path)
    assert labels(found) == texts(45)
    assert {row["text"] for row in server.asked} == set(texts(45))
    assert len(server.asked) == 45
    assert store.job("job").spent == charged(server)


async def test_a_refused_key_is_the_persons_to_mend_and_costs_nothing(
    store: Store, serve_gold: Serve, tmp_path: Path
) -> None:
    server = serve_gold(texts(3), faults=Faults(refuses_key=True))
    with pytest.raises(EndpointError, match="refused the key"):
        await ask(store, at(server.url), questions(3), folder=tmp_path)
    assert store.job("job").reserved == 0


async def test_an_endpoint_without_batches_is_named(store: Store, tmp_path: Path, serve_gold: Serve) -> None:
    server = serve_gold(texts(3))
    with pytest.raises(EndpointError, match=r"takes no batch.*mode: live"):
        await ask(store, at(server.url + "/nowhere"), questions(3), folder=tmp_path)
    assert store.job("job").reserved == 0


async def test_ctrl_c_leaves_a_batch_running_and_the_next_run_collects_it(
    store: Store, serve_gold: Serve, tmp_path: Path
) -> None:
    server = serve_gold(texts(20), batch_faults=BatchFaults(polls=3))
    told = Told()
    first = await ask(store, at(server.url), questions(20), folder=tmp_path, told=told, each=_when_submitted(store))
    assert first == {}
    assert "run the same command again to collect it" in told.notes[-1]
    assert attempts(store) == {AttemptState.RESERVED: 20}
    second = await ask(store, at(server.url), questions(20), folder=tmp_path)
    assert labels(second) == texts(20)
    assert set(line_ids(server.asked).values()) == {1}
    assert len(batches(store)) == 1
    assert store.job("job").spent == charged(server)


def _when_submitted(store: Store) -> Callable[[BulkAsker], None]:
    """Presses Ctrl-C as soon as a batch is at the provider."""
    return lambda asker: asker.halt() if any(b.state is BatchState.SUBMITTED for b in batches(store)) else None


async def test_what_is_in_a_batch_is_waited_for_and_only_what_is_new_is_sent(
    store: Store, serve_gold: Serve, tmp_path: Path
) -> None:
    server = serve_gold(texts(30), batch_faults=BatchFaults(polls=2))
    await ask(store, at(server.url), questions(20), folder=tmp_path, each=_when_submitted(store))
    found = await ask(store, at(server.url), questions(30)[10:], folder=tmp_path)
    assert labels(found) == dict(list(texts(30).items())[10:])
    assert len(server.asked) == 30
    known = await ask(store, at(server.url), questions(10), folder=tmp_path)
    assert labels(known) == texts(10), "the earlier run's questions were paid, and are kept"
    assert len(server.asked) == 30


async def test_batches_of_a_job_that_is_live_now_are_ended_and_their_part_is_kept(
    store: Store, serve_gold: Serve, tmp_path: Path
) -> None:
    server = serve_gold(texts(40), batch_faults=BatchFaults(phase_s=0.4))
    settings = at(server.url)
    await ask(store, settings, questions(40), folder=tmp_path, each=_when_some_are_done(server))
    async with Ledger(store, "job", [settings]) as ledger:
        asker = asker_of(store, settings, ledger, folder=tmp_path)
        assert await asker.collect(cancel=True) == 1
        await asker.close()
    assert batches(store)[0].details["status"] in ("cancelled", "completed")
    assert attempts(store)[AttemptState.SETTLED] == len(server.asked) > 0
    assert attempts(store)[AttemptState.RESERVED] == attempts(store)[AttemptState.AMBIGUOUS] == 0
    assert store.job("job").spent == charged(server)


def _when_some_are_done(server: ScriptedServer) -> Callable[[BulkAsker], None]:
    return lambda asker: asker.halt() if server.asked else None


async def test_an_answer_that_is_no_label_is_asked_once_more_and_then_fails(
    store: Store, serve_gold: Serve, tmp_path: Path
) -> None:
    server = serve_gold(texts(12))
    first = next(iter(texts(12)))

    def check(question: Question, answer: Any) -> None:
        if first in question.messages[-1].content:
            raise AnswerInvalid("not one of ours")

    found = await ask(store, at(server.url), questions(12), folder=tmp_path, check=check)
    assert {t for t, v in labels(found).items() if v is None} == {first}
    assert len(server.asked) == 13
    assert store.job("job").spent == charged(server), "a wrong answer is paid all the same"


async def test_equal_questions_share_one_line(store: Store, serve_gold: Serve, tmp_path: Path) -> None:
    server = serve_gold(texts(4))
    twins = [replace(q, text_id="twin of " + q.text_id) for q in questions(4)]
    found: Mapping[Any, Asked] = await ask(store, at(server.url), [*questions(4), *twins], folder=tmp_path)
    assert len(found) == 8
    assert len(server.asked) == 4
    assert sum(a.bought for a in found.values()) == 4


async def test_a_person_sees_how_far_a_batch_is(store: Store, serve_gold: Serve, tmp_path: Path) -> None:
    server = serve_gold(texts(50), batch_faults=BatchFaults(polls=5))
    told = Told()
    await ask(store, at(server.url), questions(50), folder=tmp_path, told=told)
    between = {done for done, _ in told.seen if 0 < done < 50}
    assert len(between) >= 3
    assert told.seen[-1] == (50, 50)
    assert "50 of 50 answered" in told.notes[-1]

"""Who is answered with whom, in what order, and who is sent away. No clock: the test ends each call itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.endpoint.batches import Batches, Busy, Gone


class Held(Executor):
    """Calls that wait until the test lets them go."""

    def __init__(self) -> None:
        self.calls: list[tuple[Future[Any], list[str]]] = []
        self.seen: list[list[str]] = []

    def submit(self, call: Callable[..., Any], /, *args: Any, **_: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.calls.append((future, args[0]))
        self.seen.append(args[0])
        return future

    def end(self, error: Exception | None = None) -> None:
        """Let the call at work end."""
        future, texts = self.calls.pop(0)
        if error is None:
            future.set_result(loud(texts))
        else:
            future.set_exception(error)


def loud(texts: list[str]) -> list[str]:
    return [text.upper() for text in texts]


async def settled() -> None:
    """Everybody has done what can be done now."""
    for _ in range(20):
        await asyncio.sleep(0)


async def left() -> bool:
    return True


async def test_who_comes_alone_is_begun_at_once() -> None:
    held = Held()
    one = asyncio.create_task(Batches(loud, held).ask(["a"]))
    await settled()
    assert held.seen == [["a"]]
    held.end()
    assert await one == ["A"]


async def test_who_comes_while_it_works_goes_together_next() -> None:
    held = Held()
    batches = Batches(loud, held)
    asks = [asyncio.create_task(batches.ask([name])) for name in "abc"]
    await settled()
    asks += [asyncio.create_task(batches.ask(["d", "e"]))]
    await settled()
    for _ in range(2):
        held.end()
        await settled()
    assert held.seen in ([["a"], ["b", "c", "d", "e"]], [["a", "b", "c"], ["d", "e"]])
    assert [await ask for ask in asks] == [["A"], ["B"], ["C"], ["D", "E"]]
    assert batches.waiting == 0


async def test_one_with_many_texts_lets_others_between() -> None:
    held = Held()
    batches = Batches(loud, held, batch_texts=2)
    many = asyncio.create_task(batches.ask(list("abcdef")))
    await settled()
    few = asyncio.create_task(batches.ask(["x"]))
    await settled()
    while held.calls:
        held.end()
        await settled()
    assert held.seen.index(["c", "d"]) < 3
    assert any("x" in texts for texts in held.seen[:3])
    assert await many == list("ABCDEF")
    assert await few == ["X"]


async def test_too_many_are_sent_away_and_told_when_to_come_back() -> None:
    held = Held()
    batches = Batches(loud, held, most_waiting=3)
    first = asyncio.create_task(batches.ask(["a", "b"]))
    await settled()
    with pytest.raises(Busy, match="2 texts wait already") as busy:
        await batches.ask(["c", "d"])
    assert 1 <= busy.value.wait_s <= 60
    held.end()
    await first
    second = asyncio.create_task(batches.ask(["c", "d"]))
    await settled()
    held.end()
    assert await second == ["C", "D"]


async def test_who_left_costs_nothing() -> None:
    held = Held()
    batches = Batches(loud, held)
    first = asyncio.create_task(batches.ask(["a"]))
    await settled()
    gone = asyncio.create_task(batches.ask(["b"], left))
    cancelled = asyncio.create_task(batches.ask(["c"]))
    await settled()
    cancelled.cancel()
    held.end()
    await settled()
    with pytest.raises(Gone):
        await gone
    assert (await first, held.seen, batches.waiting) == (["A"], [["a"]], 0)


async def test_a_text_that_breaks_the_model_is_its_owners_alone() -> None:
    held = Held()
    batches = Batches(loud, held)
    first = asyncio.create_task(batches.ask(["a"]))
    await settled()
    good, bad = asyncio.create_task(batches.ask(["b"])), asyncio.create_task(batches.ask(["bad"]))
    await settled()
    held.end()
    await settled()
    while held.calls:
        held.end(ValueError("broken") if "bad" in held.calls[0][1] else None)
        await settled()
    assert (await first, await good) == (["A"], ["B"])
    with pytest.raises(ValueError, match="broken"):
        await bad
    assert batches.waiting == 0
    again = asyncio.create_task(batches.ask(["c"]))
    await settled()
    held.end()
    assert await again == ["C"]


@given(
    asks=st.lists(st.tuples(st.integers(1, 9), st.booleans()), min_size=1, max_size=12),
    size=st.integers(1, 8),
)
def test_everyone_gets_the_answers_to_their_own_texts(asks: list[tuple[int, bool]], size: int) -> None:
    async def run() -> None:
        held = Held()
        batches = Batches(loud, held, batch_texts=size, most_waiting=1000)
        begun: list[tuple[list[str], asyncio.Task[list[str]]]] = []
        for number, (count, ends) in enumerate(asks):
            texts = [f"t{number}-{i}" for i in range(count)]
            begun.append((texts, asyncio.create_task(batches.ask(texts))))
            await settled()
            if ends and held.calls:
                held.end()
        await settled()
        while held.calls:
            held.end()
            await settled()
        for texts, task in begun:
            assert await task == loud(texts)
        assert sorted(t for texts in held.seen for t in texts) == sorted(t for texts, _ in begun for t in texts)
        assert max(map(len, held.seen)) <= size
        assert batches.waiting == 0

    asyncio.run(run())

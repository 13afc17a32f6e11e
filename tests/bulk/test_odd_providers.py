"""Providers that lag, forget, miscount and repeat themselves: nothing that may have been charged is released."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

import agent.oracle.batch
from agent.errors import EndpointError
from agent.ledger import Ledger
from agent.store import AttemptState, Store
from agent.store import tables as t
from tests.bulk.making import Told, ask, asker_of, at, attempts, batches, ended, labels, questions
from tests.bulk.odd_provider import Door, OddProvider, Way, counts, line

POST, LIST, DELETE = ("POST", "batches"), ("GET", "batches"), ("DELETE", "files")


def whole(shop: OddProvider, ids: Sequence[str], looks: int) -> Mapping[str, Any]:
    return shop.over([line(i) for i in ids], counts(len(ids), len(ids), 0))


def running(shop: OddProvider, ids: Sequence[str], looks: int) -> Mapping[str, Any]:
    return {"status": "in_progress"}


def reply_lost(shop: OddProvider, door: Door) -> bool:
    shop.create(door.body)
    return door.hang_up()


def empty_list(shop: OddProvider, door: Door) -> bool:
    is_list = door.path.partition("?")[0].endswith("/batches")
    return is_list and door.say({"object": "list", "data": [], "has_more": False})


def refuses(shop: OddProvider, door: Door) -> bool:
    return door.say({"error": {"message": "no such route"}}, 404)


def says_no(shop: OddProvider, door: Door) -> bool:
    return door.say({"id": "x", "object": "file", "deleted": False})


async def test_a_batch_that_shows_up_late_in_the_list_is_found(store: Store, tmp_path: Path) -> None:
    def late(shop: OddProvider, door: Door) -> bool:
        lists = sum(asked == ("GET", "/batches") for asked in shop.log)
        return lists < 12 and empty_list(shop, door)

    with OddProvider(whole, {POST: reply_lost, LIST: late}) as shop:
        found = await ask(store, at(shop.url), questions(3), folder=tmp_path)
    assert set(labels(found).values()) == {"fruit"}
    assert len(shop.batches) == len(batches(store)) == 1


@pytest.mark.parametrize("delete", [refuses, says_no])
async def test_a_start_that_nobody_can_tell_about_counts_as_spent_and_is_tried_once_more_only(
    store: Store, tmp_path: Path, delete: Way
) -> None:
    ways = {POST: reply_lost, LIST: empty_list, DELETE: delete}
    with OddProvider(running, ways) as shop, pytest.raises(EndpointError, match=r"lost twice.*provider's own page"):
        await ask(store, at(shop.url), questions(3), folder=tmp_path)
    assert attempts(store) == {AttemptState.AMBIGUOUS: 6}
    assert len(shop.batches) == 2


async def test_a_batch_that_is_listed_nowhere_and_whose_file_is_gone_is_sent_once_more_only(
    store: Store, tmp_path: Path
) -> None:
    ways: dict[tuple[str, str], Way] = {POST: lambda _, door: door.hang_up()}
    with OddProvider(running, ways) as shop, pytest.raises(EndpointError, match="lost twice"):
        await ask(store, at(shop.url), questions(3), folder=tmp_path)
    assert attempts(store) == {AttemptState.RELEASED: 6}
    assert shop.log.count(("POST", "/batches")) == 2


async def test_a_batch_whose_name_is_a_number_is_a_batch(store: Store, tmp_path: Path) -> None:
    def numbered(shop: OddProvider, door: Door) -> bool:
        return door.say(shop.create(door.body, 17))

    with OddProvider(whole, {POST: numbered}) as shop:
        found = await ask(store, at(shop.url), questions(3), folder=tmp_path)
    assert set(labels(found).values()) == {"fruit"}
    assert [b.remote_id for b in batches(store)] == ["17"]


async def test_a_start_that_was_confirmed_is_never_released(store: Store, tmp_path: Path) -> None:
    def nameless(shop: OddProvider, door: Door) -> bool:
        return door.say({**shop.create(door.body), "id": ["odd"]})

    ways: dict[tuple[str, str], Way] = {POST: nameless, LIST: empty_list}
    with OddProvider(running, ways) as shop, pytest.raises(EndpointError, match="lost twice"):
        await ask(store, at(shop.url), questions(3), folder=tmp_path)
    assert attempts(store) == {AttemptState.AMBIGUOUS: 6}
    assert "the provider took it" in batches(store)[0].reason


ODD_COUNTS = {"total": "x", "completed": -1, "failed": None}


@pytest.mark.parametrize("counted", [counts(0, 0, 0), counts(3, 2, 0), counts(2, 2, 0), ODD_COUNTS, None])
async def test_a_line_that_is_missing_from_a_completed_batch_may_have_been_charged(
    store: Store, tmp_path: Path, counted: Any
) -> None:
    with OddProvider(lambda shop, ids, _: shop.over([line(i) for i in ids[:2]], counted)) as shop:
        await ask(store, at(shop.url), questions(3), folder=tmp_path)
    assert attempts(store)[AttemptState.RELEASED] == 0
    assert attempts(store)[AttemptState.AMBIGUOUS] == 1


async def test_a_line_that_is_missing_from_an_expired_batch_was_not_run_where_all_counts_agree(
    store: Store, tmp_path: Path
) -> None:
    def expired(shop: OddProvider, ids: Sequence[str], looks: int) -> Mapping[str, Any]:
        return shop.over([line(i) for i in ids[:2]], counts(len(ids), min(2, len(ids)), 0), "expired")

    with OddProvider(expired) as shop:
        found = await ask(store, at(shop.url), questions(3), folder=tmp_path)
    assert set(labels(found).values()) == {"fruit"}
    assert attempts(store) == {AttemptState.SETTLED: 3, AttemptState.RELEASED: 1}


@pytest.mark.parametrize(
    "more",
    [
        {"request_counts": counts(3, 3, 0), "in_progress_at": None},
        {"request_counts": counts(0, 0, 0), "in_progress_at": 10},
        {"request_counts": counts(3, 0, 3), "in_progress_at": None},
    ],
)
async def test_a_batch_that_failed_after_it_had_begun_may_have_been_charged(
    store: Store, tmp_path: Path, more: dict[str, Any]
) -> None:
    told = {"in_progress_at": None} | more
    odd = OddProvider(lambda shop, ids, _: {**shop.over([], None, "failed"), **told})
    with odd as shop, pytest.raises(EndpointError, match="without a single answer"):
        await ask(store, at(shop.url), questions(3), folder=tmp_path)
    assert set(attempts(store)) == {AttemptState.AMBIGUOUS}


async def test_an_output_file_that_is_named_a_little_later_is_waited_for(store: Store, tmp_path: Path) -> None:
    def late(shop: OddProvider, ids: Sequence[str], looks: int) -> Mapping[str, Any]:
        return shop.over([line(i) for i in ids] if looks > 4 else [], counts(3, 3, 0))

    with OddProvider(late) as shop:
        found = await ask(store, at(shop.url), questions(3), folder=tmp_path)
    assert set(labels(found).values()) == {"fruit"}
    assert len(batches(store)) == 1


async def test_an_output_file_that_is_never_named_is_given_up_and_counts_as_spent(
    store: Store, tmp_path: Path
) -> None:
    with OddProvider(lambda shop, ids, _: shop.over([], counts(3, 3, 0))) as shop:
        found = await ask(store, at(shop.url), questions(3), folder=tmp_path)
    assert set(labels(found).values()) == {None}
    assert attempts(store) == {AttemptState.AMBIGUOUS: 6}
    assert shop.looks > 4


async def test_one_line_that_cannot_be_read_spoils_no_other(store: Store, tmp_path: Path) -> None:
    deep = b'{"custom_id":"lw-1","response":' + b"[" * 100_000 + b"\n"

    def odd(shop: OddProvider, ids: Sequence[str], looks: int) -> Mapping[str, Any]:
        return shop.over([line("lw-" + "1" * 5000), deep, *(line(i) for i in ids)], counts(3, 3, 0))

    with OddProvider(odd) as shop:
        found = await ask(store, at(shop.url), questions(3), folder=tmp_path)
    assert set(labels(found).values()) == {"fruit"}
    assert batches(store)[0].reason == "1 lines could not be read, 1 lines were not of this batch"


async def test_an_answered_line_beats_one_that_says_it_was_not_run(store: Store, tmp_path: Path) -> None:
    late = {"code": "batch_expired", "message": "too late"}

    def both(shop: OddProvider, ids: Sequence[str], looks: int) -> Mapping[str, Any]:
        rows = [row for i in ids for row in (line(i, error=late), line(i))]
        return shop.over(rows, counts(3, 3, 0), "expired")

    with OddProvider(both) as shop:
        found = await ask(store, at(shop.url), questions(3), folder=tmp_path)
    assert set(labels(found).values()) == {"fruit"}
    assert attempts(store) == {AttemptState.SETTLED: 3}


def _aged(store: Store) -> None:
    """Three days pass."""
    with store._write(None) as sql:
        at_ = batches(store)[0].created_at.replace(year=2020)
        sql.execute(update(t.batches).values(created_at=at_))


async def _left_running(store: Store, shop: OddProvider, folder: Path) -> None:
    told = Told()
    await ask(store, at(shop.url), questions(3), folder=folder, told=told,
              each=lambda asker: asker.halt() if told.notes else None)  # fmt: skip
    assert attempts(store) == {AttemptState.RESERVED: 3}


def not_found(shop: OddProvider, door: Door) -> bool:
    return not door.path.partition("?")[0].endswith("/batches") and refuses(shop, door)


async def test_an_old_batch_is_not_given_up_as_long_as_the_list_has_it(store: Store, tmp_path: Path) -> None:
    with OddProvider(running) as shop:
        await _left_running(store, shop, tmp_path)
        _aged(store)
        shop.ways[LIST] = not_found
        with pytest.raises(EndpointError, match="cannot be looked at"):
            await ask(store, at(shop.url), questions(3), folder=tmp_path)
        assert attempts(store) == {AttemptState.RESERVED: 3}
        shop.ways[LIST], shop.described = refuses, whole
        with pytest.raises(EndpointError, match="cannot be looked at"):
            await ask(store, at(shop.url), questions(3), folder=tmp_path)
        assert attempts(store) == {AttemptState.RESERVED: 3}
        del shop.ways[LIST]
        assert len(labels(await ask(store, at(shop.url), questions(3), folder=tmp_path))) == 3
    assert attempts(store) == {AttemptState.SETTLED: 3}


async def test_an_old_batch_that_even_the_list_does_not_have_counts_as_spent_and_is_asked_again(
    store: Store, tmp_path: Path
) -> None:
    with OddProvider(running) as shop:
        await _left_running(store, shop, tmp_path)
        _aged(store)
        shop.described = whole
        shop.ways[LIST] = lambda s, d: "batch_1" in d.path and refuses(s, d)
        shop.batches["other"] = shop.batches.pop("batch_1") | {"id": "other", "input_file_id": "x", "metadata": {}}
        found = await ask(store, at(shop.url), questions(3), folder=tmp_path)
    assert set(labels(found).values()) == {"fruit"}
    assert attempts(store) == {AttemptState.AMBIGUOUS: 3, AttemptState.SETTLED: 3}


async def test_files_that_were_thrown_away_are_not_waited_for_for_ever(store: Store, tmp_path: Path) -> None:
    def no_file(shop: OddProvider, door: Door) -> bool:
        return bool(shop.files.pop("gone", None)) and refuses(shop, door)

    with OddProvider(running) as shop:
        await _left_running(store, shop, tmp_path)
        _aged(store)
        shop.described = lambda s, ids, n: (
            {**whole(s, ids, n)} | ({"output_file_id": "gone"} if len(s.batches) == 1 else {})
        )
        shop.files["gone"] = b"-"
        shop.ways["GET", "files"] = no_file
        found = await ask(store, at(shop.url), questions(3), folder=tmp_path)
    assert set(labels(found).values()) == {"fruit"}
    assert attempts(store) == {AttemptState.AMBIGUOUS: 3, AttemptState.SETTLED: 3}


async def test_a_status_that_nobody_knows_ends_with_its_time(store: Store, tmp_path: Path) -> None:
    def ended_(shop: OddProvider, ids: Sequence[str], looks: int) -> Mapping[str, Any]:
        return shop.over([line(i) for i in ids[:2]], None, "ended")

    with OddProvider(ended_) as shop:
        await _left_running(store, shop, tmp_path)
        _aged(store)
        shop.described = lambda s, ids, n: ended_(s, ids, n) if len(s.batches) == 1 else whole(s, ids, n)
        found = await ask(store, at(shop.url), questions(3), folder=tmp_path)
    assert set(labels(found).values()) == {"fruit"}
    assert attempts(store) == {AttemptState.SETTLED: 3, AttemptState.AMBIGUOUS: 1}


async def test_texts_go_to_no_address_that_the_job_does_not_name(store: Store, tmp_path: Path) -> None:
    with OddProvider(whole) as other:

        def away(_: OddProvider, door: Door) -> bool:
            return door.say(b"", 307, {"Location": other.url + door.path.removeprefix("/v1")})

        for way in (("POST", "files"), POST):
            with OddProvider(whole, {way: away}) as shop, pytest.raises(EndpointError, match="has moved"):
                await ask(store, at(shop.url), questions(3), folder=tmp_path)
    assert other.log == []
    assert set(attempts(store)) == {AttemptState.RELEASED}


async def test_a_list_without_end_is_not_read_for_ever(store: Store, tmp_path: Path) -> None:
    def endless(shop: OddProvider, door: Door) -> bool:
        rows = [{"id": f"other{i}", "object": "batch", "input_file_id": "f", "status": "x"} for i in range(3)]
        return door.say({"object": "list", "data": rows, "has_more": True})

    ways: dict[tuple[str, str], Way] = {POST: lambda _, door: door.hang_up(), LIST: endless}
    with OddProvider(running, ways) as shop, pytest.raises(EndpointError, match="lost twice"):
        await ask(store, at(shop.url), questions(3), folder=tmp_path)
    assert set(attempts(store)) == {AttemptState.AMBIGUOUS}
    assert shop.log.count(("GET", "/batches")) <= 100


def drips(shop: OddProvider, door: Door) -> bool:
    door.send_response(200)
    door.send_header("Content-Length", "100000")
    door.end_headers()
    while not shop.closing.wait(0.05):
        door.wfile.write(b" ")
        door.wfile.flush()
    return door.hang_up()


async def test_an_answer_that_drips_is_not_waited_for_for_ever(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent.oracle.batch, "LEAST_TIMEOUT_S", 0.3)
    with OddProvider(whole) as shop:
        shop.ways[LIST] = lambda s, d: s.looks == 0 and _once(s) and drips(s, d)
        try:
            found = await ask(store, at(shop.url, timeout_s=0.3), questions(3), folder=tmp_path)
        finally:
            shop.closing.set()
    assert set(labels(found).values()) == {"fruit"}


def _once(shop: OddProvider) -> bool:
    shop.looks += 1
    return True


async def test_ctrl_c_ends_the_wait_for_a_look(store: Store, tmp_path: Path) -> None:
    began = time.monotonic()
    with OddProvider(whole) as shop:
        settings, loop = at(shop.url), asyncio.get_running_loop()
        try:
            async with Ledger(store, "job", [settings]) as ledger:
                asker = asker_of(store, settings, ledger, folder=tmp_path)
                shop.ways[LIST] = lambda s, d: loop.call_soon_threadsafe(asker.halt) or drips(s, d)
                assert await asker.ask(questions(3)) == {}
                await asker.close()
        finally:
            shop.closing.set()
        assert time.monotonic() - began < 10
        del shop.ways[LIST]
        assert len(await ask(store, at(shop.url), questions(3), folder=tmp_path)) == 3
    assert attempts(store) == {AttemptState.SETTLED: 3}


async def test_a_key_that_the_provider_quotes_is_stored_nowhere(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "abcdef0123456789abcdef0123456789"
    monkeypatch.setenv("ODD_KEY", key)
    said = {"error": {"message": "y" * 185 + " " + key}}
    wrong = {"object": "list", "data": [{"code": "x", "message": "z" * 385 + f" {key}"}]}

    def quoting(shop: OddProvider, ids: Sequence[str], looks: int) -> Mapping[str, Any]:
        return shop.over([line(i, 400, said) for i in ids], counts(3, 0, 3), errors=wrong)

    with OddProvider(quoting) as shop:
        await ask(store, at(shop.url, api_key_env="ODD_KEY"), questions(3), folder=tmp_path)
    reasons = [a.reason for a in ended(store, AttemptState.RELEASED)] + [b.reason for b in batches(store)]
    assert len(reasons) == 4
    assert not [r for r in reasons if re.search(key[:5], r)]

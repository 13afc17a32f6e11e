"""Batches in the store: how far each is, and which of its attempts are open, whatever process asks."""

from __future__ import annotations

import pytest

from agent.errors import BudgetExceeded, StoreError
from agent.records import MicroDollars, TextId
from agent.store import AttemptState, BatchState, End, Store, Wanted


def prepared(store: Store, count: int = 3) -> tuple[int, list[int]]:
    wanted = [Wanted("local", f"key {i}", TextId(f"text {i}"), MicroDollars(10)) for i in range(count)]
    with store.transaction() as tx:
        batch_id = store.add_batch("job", "local", {"nonce": "n"}, tx=tx)
        ids = store.reserve_many("job", wanted, owner="me", batch_id=batch_id, tx=tx)
    return batch_id, [i for i in ids if i is not None]


def half_made(store: Store) -> None:
    with store.transaction() as tx:
        store.add_batch("job", "local", {}, tx=tx)
        store.reserve("job", "local", "key", TextId("text"), MicroDollars(10**9), owner="me", tx=tx)


def test_a_batch_and_its_reservations_are_made_in_one_commit(store: Store) -> None:
    with pytest.raises(BudgetExceeded):
        half_made(store)
    assert store.batches("job") == []
    batch_id, ids = prepared(store)
    assert [line.attempt_id for line in store.open_lines(batch_id)] == ids
    assert store.job("job").reserved == 30


def test_each_step_is_kept_and_details_add_up(store: Store) -> None:
    batch_id, _ = prepared(store)
    store.move_batch(batch_id, BatchState.UPLOADED, details={"input_file_id": "file-1"})
    moved = store.move_batch(batch_id, BatchState.SUBMITTED, remote_id="batch-1")
    assert moved == store.batches("job", "local")[0]
    assert (moved.state, moved.remote_id) == (BatchState.SUBMITTED, "batch-1")
    assert dict(moved.details) == {"nonce": "n", "input_file_id": "file-1"}
    assert store.batches("job", "other") == []


def test_a_harvested_batch_is_done_for_good(store: Store) -> None:
    batch_id, _ = prepared(store)
    store.move_batch(batch_id, BatchState.HARVESTED, reason="all of it")
    assert store.batches("job", unfinished=True) == []
    with pytest.raises(StoreError, match="harvested already"):
        store.move_batch(batch_id, BatchState.SUBMITTED)
    with pytest.raises(StoreError, match="not known"):
        store.move_batch(batch_id + 1, BatchState.SUBMITTED)


def test_attempts_in_a_batch_outlive_the_process_that_reserved_them(store: Store) -> None:
    batch_id, ids = prepared(store)
    store.reserve("job", "local", "live", TextId("live"), MicroDollars(10), owner="me")
    assert store.abandon_reservations("job", "somebody else") == 1
    assert len(store.open_lines(batch_id)) == 3
    store.end_many([End(ids[0], AttemptState.RELEASED, "not run")])
    assert [line.attempt_id for line in store.open_lines(batch_id)] == ids[1:]
    assert store.ended_lines(batch_id) == {ids[0]}


def test_a_reason_may_be_any_text(store: Store) -> None:
    batch_id, _ = prepared(store)
    odd = "a\x00b \ud800 \u2028 '; drop table"
    moved = store.move_batch(batch_id, BatchState.FINISHED, remote_id=odd, reason=odd, details={"why": odd})
    assert (moved.remote_id, moved.reason, moved.details["why"]) == (odd, odd, odd)

"""A store that is copied is the same store, whichever kind of database it was and is."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import insert, select

from agent.errors import JobLocked, StoreError
from agent.records import Label, MicroDollars, Route, Source, Text, TextId
from agent.store import AuditItem, Filter, FrameRow, RouteRow, Store, Wish, copy, tables
from agent.store.copy import copy_store
from agent.store.locks import JobLock
from tests.postgres import PostgresServer
from tests.store.making import USAGE, bought, for_person, label, pick, reserve, stored
from tests.stores import NewStore

ODD = "NUL \x00, a lone \ud800, 😀, ' and \\ and %s"


def fill(store: Store) -> None:
    """Something in every table, and everything that a text, a number or a value can be."""
    store.open_job("other", {"price": [0.1, None]}, "another print", MicroDollars(2**53 + 1))
    ids = ["a", "B", ODD, "ä"]
    pick(store, ids)
    answers = [bought(store, f"key {n}", text=i) for n, i in enumerate(ids)]
    store.mark_invalid(answers[0], ODD)
    store.release(reserve(store, 20, text="a"), "refused")
    store.mark_ambiguous(reserve(store, 30, text="B"), ODD)
    reserve(store, 40, text="ä")
    values: list[Any] = ["lost", ("a", "b"), {"spans": [[1, 2], ("x",)], "deep": {"()": 1}}, None]
    given = store.add_labels(
        "job", [label(i, v, answer_id=a, confidence=0.1) for i, v, a in zip(ids, values, answers, strict=True)]
    )
    store.add_routes("job", 1, [for_person(i) for i in ids])
    store.add_routes("job", 1, [RouteRow(TextId("a"), given[0], Route.ACCEPTED, "sure", float("nan"), True, 0.05)])
    for text in ids[1:]:
        store.review("job", TextId(text), "ann", "label", Label(TextId(text), ODD, Source.PERSON, "ann"), 1.25)
    store.undo_review("job", "ann")
    store.finish_round("job", 0, {"accuracy": 1 / 3, "text": ODD})
    store.keep_frames("job", {TextId(ODD): FrameRow((ODD, "b"), ((TextId("a"), ODD),))})
    store.keep_dialect(ODD, ODD, {"without": [ODD]})
    store.keep_together(ODD, [ODD, "b"])
    store.add_reviewer("job", ODD, "lead")
    store.claim("job", [Wish(ODD, 1)], 60)
    store.add_audit("job", {"sizes": [4]}, [AuditItem(TextId(ODD), given[2], 0, 1.0, 0, 0.25, 1 / 3, False)])
    pick(store, ["many"])
    (many,) = store.add_labels("job", [label("many", "lost")])
    store.add_routes("job", 1, [RouteRow(TextId("many"), many, Route.PERSON, "not sure", 0.5)])
    rng = np.random.default_rng(1)
    bulk = store.draw_bulk("job", ODD, Filter(), {"words": ODD}, rng, most_wrong=1 / 3, alpha=0.05)
    assert bulk is not None
    store.accept_bulk("job", bulk, 1.5, ODD)
    store.draw_honey_pots("job", ODD, 1.0, [TextId(ODD)], seed=3, known=[(Text(TextId("known"), ODD), ODD)])
    with store.transaction() as tx:
        at = {"created_at": store.job("job").created_at}
        batch = {
            "job": "job",
            "oracle": "local",
            "state": "sent",
            "remote_id": ODD,
            "details": {"n": 1},
            "reason": "",
        }
        tx.execute(insert(tables.batches).values(**batch, **at, changed_at=at["created_at"]))
        tx.execute(insert(tables.reuses).values(job="other", text_id="a", answer_id=answers[1], saved=5, **at))


def rows(store: Store) -> dict[str, list[Any]]:
    with store.snapshot() as tx:
        return {table.name: sorted(map(repr, tx.execute(select(table)))) for table in tables.metadata.sorted_tables}


@pytest.fixture(params=["to sqlite", "to postgresql"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where to, empty."""
    if request.param == "to sqlite":
        yield f"sqlite:///{tmp_path}/moved/jobs.db"
    else:
        postgres: PostgresServer = request.getfixturevalue("postgres")
        url = postgres.new_database(empty=True)
        yield url
        postgres.drop(url)


def test_every_row_arrives_as_it_was(store: Store, url: str, target: str) -> None:
    fill(store)
    copied = copy_store(url, target)
    with Store.open(target) as moved:
        assert rows(moved) == rows(store)
        assert moved.current("job") == store.current("job")
        assert moved.queue("job") == store.queue("job")
        assert moved.spending("job") == store.spending("job")
    assert all(copied.rows.values())
    assert (copied.jobs, copied.spent) == (("job", "other"), store.job("job").spent)


def test_there_and_back_is_the_same(store: Store, url: str, target: str, tmp_path: Path) -> None:
    fill(store)
    copy_store(url, target)
    copy_store(target, f"sqlite:///{tmp_path}/back.db")
    with Store.open(f"sqlite:///{tmp_path}/back.db") as back:
        assert rows(back) == rows(store)


def test_ids_go_on_where_they_were(store: Store, url: str, target: str) -> None:
    fill(store)
    copy_store(url, target)
    with Store.open(target) as moved:
        for each in (store, moved):
            bought(each, "later")
            pick(each, ["later"])
            each.add_labels("job", [label("later")])
            each.add_routes("job", 2, [for_person("later")])
            each.review("job", TextId("later"), "ann", "skip")
        for read in ("attempts", "labels", "reviews"):
            old, new = (getattr(each, read)("job")[-1] for each in (store, moved))
            assert old.id == new.id
        assert moved.settle(reserve(moved, 9), MicroDollars(9), USAGE, stored()) > 0


def test_a_target_that_holds_anything_is_refused_and_left_alone(store: Store, url: str, target: str) -> None:
    with Store.open(target) as theirs:
        theirs.open_job("theirs", {}, "print", MicroDollars(1))
        before = rows(theirs)
        with pytest.raises(
            StoreError, match=r"is not empty \(it has jobs\); copy into a new file or an empty database"
        ):
            copy_store(url, target)
        assert rows(theirs) == before


def test_a_store_is_not_copied_into_itself(store: Store, url: str) -> None:
    with pytest.raises(StoreError, match="is not empty"):
        copy_store(url, url)
    assert [j.name for j in store.jobs()] == ["job"]


def test_a_job_that_somebody_runs_is_not_copied(store: Store, url: str, target: str) -> None:
    store.open_job("other", {}, "print", MicroDollars(1))
    with (
        JobLock(store, "other"),
        pytest.raises(JobLocked, match=r"another run owns job 'other': pid .* wait for it, or end it"),
    ):
        copy_store(url, target)
    copy_store(url, target)


def test_a_copy_that_dies_half_way_leaves_nothing_and_can_be_made_again(
    store: Store, url: str, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store)
    once = copy._copy

    def die(reading: Any, writing: Any, table: Any) -> None:
        once(reading, writing, table)
        if table.name == "labels":
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(copy, "_copy", die)
        with pytest.raises(KeyboardInterrupt):
            copy_store(url, target)
    with Store.open(target) as moved:
        assert not any(rows(moved).values())
    copy_store(url, target)


def test_a_copy_that_lacks_a_row_is_noticed_and_not_kept(
    store: Store, url: str, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store)
    once = copy._copy
    monkeypatch.setattr(copy, "_copy", lambda r, w, table: table.name == "bulk_accepts" or once(r, w, table))
    with pytest.raises(StoreError, match="the copy's sums are not those of"):
        copy_store(url, target)
    with Store.open(target) as moved:
        assert not any(rows(moved).values())


def test_a_store_that_is_not_there_is_refused_and_not_made(tmp_path: Path, target: str) -> None:
    with pytest.raises(StoreError, match="no such file, so there is nothing to copy"):
        copy_store(f"sqlite:///{tmp_path}/tpyo.db", target)
    assert not (tmp_path / "tpyo.db").exists()


def test_a_store_without_a_job_is_refused(new_store: NewStore, target: str) -> None:
    url = new_store()
    Store.open(url).close()
    with pytest.raises(StoreError, match="holds no job"):
        copy_store(url, target)


def test_memory_does_not_grow_with_the_store(store: Store, url: str, target: str) -> None:
    for part in range(10):
        store.add_texts("job", {TextId(f"{part}-{i}"): f"{i:04d} " * 1_000 for i in range(1_000)})
    tracemalloc.start()
    copy_store(url, target)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 25e6  # bytes; the texts are 50 MB

"""What a person sees when the server is at fault, and what PostgreSQL would do otherwise than SQLite."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from agent.errors import BudgetExceeded, JobLocked, StoreError
from agent.records import MicroDollars, TextId
from agent.store import Store
from agent.store.locks import JobLock
from tests.postgres import PostgresServer
from tests.store.making import USAGE, for_person, pick, stored
from tests.stores import on_postgresql


def name_of(url: str) -> str:
    return url.rsplit("/", 1)[1]


# What is wrong, and what to do --------------------------------------------------------------------------------------


def test_a_server_that_is_down_is_a_message() -> None:
    with pytest.raises(
        StoreError,
        match=r"\*\*\*@127\.0\.0\.1:1/jobs: .*refused.*: start the server, or correct the address in `store`",
    ) as caught:
        Store.open("postgresql://ann:secret@127.0.0.1:1/jobs")
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_password_behind_the_question_mark_is_not_shown_either() -> None:
    with pytest.raises(StoreError, match=r"jobs\?password=hidden&user=ann: ") as caught:
        Store.open("postgresql://127.0.0.1:1/jobs?password=secret&user=ann")
    assert "secret" not in str(caught.value)


def test_a_port_that_is_none_is_a_message_without_the_password() -> None:
    with pytest.raises(StoreError, match="is not a database URL") as caught:
        Store.open("postgresql://ann:secret@here:port/jobs")
    assert "secret" not in str(caught.value)


def test_a_wrong_password_is_a_message(postgres: PostgresServer) -> None:
    postgres.run("CREATE ROLE guarded LOGIN PASSWORD 'right'")
    with pytest.raises(StoreError, match=r"password authentication failed.*correct user and password in `store`"):
        Store.open(postgres.url("postgres", "guarded:wrong"))
    with pytest.raises(StoreError, match="no password supplied: give one in `store`, in PGPASSWORD"):
        Store.open(postgres.url("postgres", "guarded"))
    postgres.run("DROP ROLE guarded")


@pytest.mark.parametrize(("database", "user"), [("nowhere", "postgres"), ("postgres", "nobody")])
def test_a_database_or_user_that_is_not_there_is_a_message(
    postgres: PostgresServer, database: str, user: str
) -> None:
    with pytest.raises(StoreError, match="does not exist: make it there, or correct `store`"):
        Store.open(postgres.url(database, user))


@on_postgresql
def test_who_may_not_make_tables_is_told_what_to_ask_for(postgres: PostgresServer, url: str) -> None:
    empty = postgres.new_database(empty=True)
    postgres.run(f"CREATE ROLE visitor_{name_of(url)} LOGIN")
    with pytest.raises(StoreError, match=r"permission denied for schema public.*GRANT USAGE, CREATE ON SCHEMA"):
        Store.open(postgres.url(name_of(empty), f"visitor_{name_of(url)}"))
    with pytest.raises(StoreError, match="permission denied for table"):
        Store.open(postgres.url(name_of(url), f"visitor_{name_of(url)}"))
    postgres.drop(empty)
    postgres.run(f"DROP ROLE visitor_{name_of(url)}")


@on_postgresql
def test_a_server_that_takes_no_writes_is_a_message(postgres: PostgresServer, store: Store, url: str) -> None:
    store.close()
    postgres.run(f"ALTER DATABASE {name_of(url)} SET default_transaction_read_only = on")
    with Store.open(url) as standby, pytest.raises(StoreError, match="takes no writes; give `store` the address"):
        standby.finish_round("job", 1, {})


def test_another_programs_database_is_refused(postgres: PostgresServer) -> None:
    url = postgres.new_database(empty=True)
    postgres.run("CREATE TABLE bookmarks (url text)", name_of(url))
    with pytest.raises(StoreError, match=r"tables of another program \(bookmarks\)"):
        Store.open(url)
    postgres.drop(url)


def test_a_database_that_cannot_hold_every_text_is_refused(postgres: PostgresServer) -> None:
    postgres.run("CREATE DATABASE old TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C' LOCALE_PROVIDER libc")
    with pytest.raises(StoreError, match=r"encoded in LATIN1.*createdb --encoding=UTF8"):
        Store.open(postgres.url("old"))
    postgres.run("DROP DATABASE old")


@on_postgresql
def test_taking_stock_tells_the_server_what_tables_hold_but_for_empty_ones(
    postgres: PostgresServer, store: Store, url: str
) -> None:
    pick(store, [f"t{n}" for n in range(300)])
    store.take_stock()
    sizes = dict(
        postgres.run("SELECT relname, reltuples FROM pg_class WHERE relname IN ('texts', 'reviews')", name_of(url))
    )
    assert sizes == {"texts": 300, "reviews": -1}


@on_postgresql
def test_an_id_that_is_too_long_to_index_is_a_message_and_nothing_is_kept(store: Store) -> None:
    longest = random.Random(0).randbytes(8_000).hex()  # cannot be compressed below the limit
    with pytest.raises(StoreError, match="longer than PostgreSQL can index"):
        pick(store, ["short", longest])
    assert store.picks("job") == []


@on_postgresql
def test_a_connection_lost_between_two_transactions_is_not_noticed(
    postgres: PostgresServer, store: Store, url: str
) -> None:
    store.finish_round("job", 1, {})
    assert postgres.cut_connections(url) > 0
    store.finish_round("job", 2, {})
    assert [r.round for r in store.rounds("job")] == [1, 2]


@on_postgresql
def test_a_connection_lost_in_a_transaction_keeps_nothing_of_it_and_says_so(
    postgres: PostgresServer, store: Store, url: str
) -> None:
    def write() -> None:
        with store.transaction() as tx:
            store.finish_round("job", 1, {}, tx=tx)
            postgres.cut_connections(url)
            store.finish_round("job", 2, {}, tx=tx)

    with pytest.raises(StoreError, match=r"terminating connection.*was lost; what was committed is kept"):
        write()
    assert store.rounds("job") == []


FORKED = """
import os, sys
from agent.store import Store
store = Store.open(sys.argv[1])
with store.transaction("job") as tx:
    store.finish_round("job", 1, {}, tx=tx)
    if os.fork() == 0:
        print("open", flush=True)
        os.read(0, 1)  # outlives its parent, like a data worker
        os._exit(0)
    os.read(0, 1)
"""


@on_postgresql
def test_a_child_that_outlives_its_parent_keeps_no_transaction_open(store: Store, url: str) -> None:
    command = [sys.executable, "-c", FORKED, url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        process.kill()
        process.wait()
        store.finish_round("job", 2, {})  # the child still waits for its input
        process.communicate("x")
    assert [r.round for r in store.rounds("job")] == [2]


@on_postgresql
def test_a_commit_waits_for_the_disk_whatever_the_servers_default_is(
    postgres: PostgresServer, store: Store, url: str
) -> None:
    store.close()
    postgres.run(f"ALTER DATABASE {name_of(url)} SET synchronous_commit = off")
    with Store.open(url) as again, again.transaction() as tx:
        assert tx.exec_driver_sql("SHOW synchronous_commit").scalar_one() == "on"


@on_postgresql
def test_a_transaction_sees_what_others_commit_whatever_the_servers_default_is(
    postgres: PostgresServer, store: Store, url: str
) -> None:
    store.close()
    postgres.run(f"ALTER DATABASE {name_of(url)} SET default_transaction_isolation = 'serializable'")
    with Store.open(url) as one, Store.open(url) as two, one.transaction() as tx:
        assert tx.exec_driver_sql("SHOW transaction_isolation").scalar_one() == "read committed"
        two.finish_round("job", 1, {})
        assert tx.exec_driver_sql("SELECT count(*) FROM rounds").scalar_one() == 1


@on_postgresql
def test_a_server_behind_a_socket_file_is_a_store_too(postgres: PostgresServer, url: str) -> None:
    by_file = f"postgresql:///{name_of(url)}?host={postgres.folder}&port={postgres.port}&user=postgres"
    with Store.open(by_file) as store, JobLock(store, "job"), pytest.raises(JobLocked, match="owns job 'job'"):
        JobLock(store, "job")


# The same on both --------------------------------------------------------------------------------------------------


def test_what_is_as_urgent_comes_in_the_order_of_python(store: Store) -> None:
    ids = ["b", "B", "a", "A", "_", "-", "ä", "Z1", "z", "z 2", "é", "中", "😀"]
    pick(store, ids)
    store.add_routes("job", 1, [for_person(i, priority=1.0) for i in ids])
    assert [row.text_id for row in store.queue("job")] == sorted(ids)


def test_names_come_in_the_order_of_python(store: Store) -> None:
    names = ["b", "B", "a", "A", "job"]
    for name in names:
        store.open_job(name, {}, "print", MicroDollars(4))
    with pytest.raises(StoreError, match=r"it has A, B, a, b, job"):
        store.job("c")
    for name in names[:4]:
        store.reserve("job", name, "k", TextId("t"), MicroDollars(1), owner="me")
    assert list(store.spending("job").by_oracle) == sorted(names[:4])


def test_sums_are_plain_numbers_and_of_one_moment(store: Store, url: str) -> None:
    store.open_job("job", {}, "print", MicroDollars(10**15))
    stop = threading.Event()

    def spend() -> None:
        with Store.open(url) as other:
            while not stop.is_set():
                made = [
                    other.reserve("job", f"o{i}", "k", TextId("t"), MicroDollars(10**12), owner="me") for i in (1, 2)
                ]
                other.settle(made[0], MicroDollars(3 * 10**11), USAGE, stored())
                other.release(made[1], "refused")

    with ThreadPoolExecutor(1) as threads:
        spending = threads.submit(spend)
        try:
            for _ in range(20):
                sums = store.spending("job")
                assert type(sums.usage.prompt_tokens) is type(sums.overcharged) is int
                assert sums.spent == sum(o.spent for o in sums.by_oracle.values())
                assert sums.reserved == sum(o.reserved for o in sums.by_oracle.values())
        finally:
            stop.set()
            spending.result()


def test_two_processes_that_make_one_job_at_once_make_it_once(store: Store, url: str) -> None:
    together = threading.Barrier(4)

    def make(number: int) -> None:
        with Store.open(url) as other:
            for i in range(8):
                together.wait()
                other.open_job(f"job {i}", {}, "print", MicroDollars(number))

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(make, range(4)))
    assert [j.name for j in store.jobs()] == ["job", *(f"job {i}" for i in range(8))]


def test_an_invalid_answer_that_two_notice_is_noted_once(store: Store, url: str) -> None:
    attempt = store.reserve("job", "o", "k", TextId("t"), MicroDollars(10), owner="me")
    answer = store.settle(attempt, MicroDollars(7), USAGE, stored())
    together = threading.Barrier(4)

    def note(_: int) -> None:
        with Store.open(url) as other:
            together.wait()
            other.mark_invalid(answer, "not a label")

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(note, range(4)))
    assert store.failures("job") == {"t": ["not a label"]}


def test_stores_in_many_threads_share_one_cap(store: Store, url: str) -> None:
    def spend(number: int) -> int:
        paid = 0
        with Store.open(url) as other:
            for i in range(30):
                try:
                    made = other.reserve("job", "o", f"{number}-{i}", TextId("t"), MicroDollars(9), owner="me")
                except BudgetExceeded:
                    continue
                other.settle(made, MicroDollars(9), USAGE, stored(f"{number}-{i}"))
                paid += 1
        return paid

    with ThreadPoolExecutor(6) as threads:
        paid = sum(threads.map(spend, range(6)))
    job = store.job("job")
    assert paid == 1_000 // 9
    assert (job.spent, job.reserved) == (9 * paid, 0)

"""What a person sees when a store cannot be opened, and that one that can is what the tables say."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Table, TableClause, column, insert, inspect
from sqlalchemy import table as sql_table

import agent.store
from agent.errors import ExtraMissing, StoreError
from agent.records import MicroDollars
from agent.store import Store, engine, migrate, tables
from tests.stores import NewStore, on_sqlite


def test_a_new_store_makes_its_folders(tmp_path: Path) -> None:
    Store.open(f"sqlite:///{tmp_path}/a/b/c/jobs.db").close()
    assert (tmp_path / "a/b/c/jobs.db").is_file()


def test_the_migrations_lead_to_the_tables_of_the_code(store: Store) -> None:
    with store.transaction() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": migrate.VERSION_TABLE})
        assert compare_metadata(context, tables.metadata) == []


def test_a_new_file_has_the_tables_that_all_migrations_make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def schema(name: str) -> dict[str, list[str]]:
        Store.open(f"sqlite:///{tmp_path / name}").close()
        with closing(sqlite3.connect(tmp_path / name)) as file:
            found = dict(file.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL"))
            found["revision"] = str(*file.execute(f"SELECT * FROM {migrate.VERSION_TABLE}").fetchone())
        # a column that came later stands at another place, and so does a constraint
        return {name: sorted(re.split(r",\s+(?![^(]*\))", re.sub(r"\s+", " ", sql))) for name, sql in found.items()}

    made = schema("made.db")
    monkeypatch.setattr(migrate, "make", lambda tx: migrate.upgrade(tx, None, "migrated.db"))
    migrated = schema("migrated.db")
    bare = {name: sorted(p.strip(" )(") for p in parts) for name, parts in made.items()}
    assert bare == {name: sorted(p.strip(" )(") for p in parts) for name, parts in migrated.items()}
    assert len(bare) > 20


def test_the_newest_migration_is_the_one_the_code_expects() -> None:
    assert agent.store.__file__ is not None
    scripts = ScriptDirectory(str(Path(agent.store.__file__).parent / "migrations"))
    assert scripts.get_heads() == [migrate.HEAD]


def test_opening_again_keeps_everything_and_needs_no_alembic(store: Store, url: str) -> None:
    script = (
        "import sys; from agent.store import Store; s = Store.open(sys.argv[1]);"
        "print([j.name for j in s.jobs()], 'alembic' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", script, url], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "['job'] False"


def test_a_store_of_the_first_schema_is_brought_up_to_date_with_all_that_it_holds(
    new_store: NewStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = new_store(empty=True)
    with monkeypatch.context() as patch:
        patch.setattr(migrate, "HEAD", "0001")
        patch.setattr(migrate, "make", lambda tx: migrate.upgrade(tx, None, "old"))
        patch.setattr(command, "upgrade", partial(_upgrade_to_the_first, command.upgrade))
        Store.open(url).close()
    job = {"name": "job", "settings": "{}", "fingerprint": "print", "cap": 9, "spent": 2, "reserved": 1}
    attempt = {"id": 7, "job": "job", "oracle": "o", "question_key": "k", "text_id": "t", "worst": 1, "charged": 0}
    attempt |= {"state": "reserved", "reason": "", "owner": "me"}
    at = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    with closing(Store(url)) as old, old.transaction() as tx:
        assert migrate.revision(tx) == "0001"
        tx.execute(insert(_of(tables.jobs, [*job, "created_at"])).values(**job, created_at=at))
        tx.execute(insert(_of(tables.attempts, [*attempt, "created_at"])).values(**attempt, created_at=at))
    with Store.open(url) as opened:
        (kept,) = opened.attempts("job")
        assert (kept.id, kept.created_at, kept.state) == (7, at, "reserved")
        assert (opened.job("job").spent, opened.job("job").reserved) == (2, 1)
        assert opened.abandon_reservations("job", "new") == 1


def _upgrade_to_the_first(upgrade: Callable[..., None], config: Config, _: str) -> None:
    upgrade(config, "0001")


def _of(table: Table, names: list[str]) -> TableClause:
    """The table with no more columns than it had."""
    return sql_table(table.name, *(column(name, table.c[name].type) for name in names))


def test_a_newer_schema_is_refused(store: Store, url: str) -> None:
    with store.transaction() as tx:
        tx.exec_driver_sql(f"UPDATE {migrate.VERSION_TABLE} SET version_num = '9999'")
    with pytest.raises(StoreError, match=r"newer Labelwright \(schema 9999.*pip install --upgrade"):
        Store.open(url)


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "notes.db"
    file.write_text("some notes of mine, which are no database at all\n" * 100)
    with pytest.raises(StoreError, match=r"notes\.db: file is not a database: give another"):
        Store.open(f"sqlite:///{file}")
    assert file.read_text().startswith("some notes")


def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "theirs.db") as theirs:
        theirs.execute("CREATE TABLE bookmarks (url)")
    theirs.close()
    with pytest.raises(StoreError, match=r"tables of another program \(bookmarks\)"):
        Store.open(f"sqlite:///{tmp_path / 'theirs.db'}")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("no url at all", "not a database URL"),
        ("mysql://root@here/x", "cannot keep state in 'mysql'"),
        ("sqlite://", "lost with the process"),
        ("sqlite:///:memory:", "lost with the process"),
    ],
)
def test_an_address_that_cannot_be_a_store_is_refused(url: str, said: str) -> None:
    with pytest.raises(StoreError, match=said):
        Store.open(url)


def test_a_missing_driver_says_what_to_install_and_hides_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    for scheme in ("postgresql+psycopg", "postgresql", "postgres"):
        with pytest.raises(ExtraMissing, match=r"pip install 'labelwright\[postgres\]'") as caught:
            Store.open(f"{scheme}://ann:secret@here/jobs")
        assert "secret" not in str(caught.value)


def test_a_folder_under_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"cannot make its folder: Not a directory; give another `output`"):
        Store.open(f"sqlite:///{tmp_path}/file/out/jobs.db")


def test_a_folder_that_is_not_writable_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anywhere
    with pytest.raises(StoreError, match="is not writable"):
        Store.open(f"sqlite:///{tmp_path}/jobs.db")


def test_a_system_folder_that_takes_no_files_is_refused() -> None:
    with pytest.raises(StoreError, match="unable to open database file: its folder is not writable"):
        Store.open("sqlite:////proc/jobs.db")


def test_a_folder_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is a folder"):
        Store.open(f"sqlite:///{tmp_path}")


def test_a_migration_that_dies_leaves_nothing_behind(new_store: NewStore, monkeypatch: pytest.MonkeyPatch) -> None:
    url = new_store(empty=True)
    names = ("upgrade", "make")

    def dying(how: Callable[..., None]) -> Callable[..., None]:
        def die(*args: object) -> None:
            how(*args)
            raise KeyboardInterrupt

        return die

    with monkeypatch.context() as patch:
        for name in names:
            patch.setattr(migrate, name, dying(getattr(migrate, name)))
        with pytest.raises(KeyboardInterrupt):
            Store.open(url)
    with closing(Store(url)) as raw, raw.transaction() as tx:  # not `open`, which would make them
        assert inspect(tx).get_table_names() == []
    Store.open(url).close()


def test_processes_that_open_a_new_store_at_once_all_get_it(new_store: NewStore) -> None:
    url = new_store(empty=True)
    script = "import sys; from agent.store import Store; Store.open(sys.argv[1]).jobs()"
    opening = [subprocess.Popen([sys.executable, "-c", script, url], stderr=subprocess.PIPE) for _ in range(3)]
    for process in opening:
        _, problems = process.communicate()
        assert (process.returncode, problems) == (0, b"")


@pytest.mark.parametrize(("safe_from", "journal"), [((0,), "wal"), ((999,), "truncate")])
def test_sqlite_keeps_a_write_ahead_log_only_where_it_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, safe_from: tuple[int, ...], journal: str
) -> None:
    monkeypatch.setattr(engine, "WAL_IS_SAFE", safe_from)
    with Store.open(f"sqlite:///{tmp_path}/jobs.db") as opened, opened.transaction() as tx:
        assert tx.exec_driver_sql("PRAGMA journal_mode").scalar() == journal
    assert safe_from == engine.WAL_IS_SAFE


@on_sqlite
def test_sqlite_is_set_to_lose_no_commit(store: Store) -> None:
    with store.transaction() as tx:
        pragma = {
            p: tx.exec_driver_sql(f"PRAGMA {p}").scalar() for p in ("journal_mode", "synchronous", "foreign_keys")
        }
    safe = "wal" if sqlite3.sqlite_version_info >= (3, 51, 3) else "truncate"
    assert pragma == {"journal_mode": safe, "synchronous": 2, "foreign_keys": 1}


def test_a_job_with_another_fingerprint_is_refused(store: Store) -> None:
    with pytest.raises(
        StoreError, match="'job' was begun with another task or other texts; give this one another `name`"
    ):
        store.open_job("job", {}, "another", MicroDollars(1))
    assert store.job("job").cap == 1_000


def test_opening_a_job_again_takes_its_newer_settings_and_cap(store: Store) -> None:
    store.open_job("job", {"seed": 7}, "print", MicroDollars(5_000))
    job = store.job("job")
    assert (job.settings, job.cap, job.spent) == ({"seed": 7}, 5_000, 0)
    assert job.created_at.tzinfo is not None


def test_an_unknown_job_names_those_there_are(store: Store) -> None:
    with pytest.raises(StoreError, match="no job 'jbo'; it has job"):
        store.job("jbo")


@on_sqlite
def test_a_full_disk_is_a_message_and_keeps_what_was_there(store: Store) -> None:
    store.finish_round("job", 1, {"accuracy": 0.5})
    with store.transaction() as tx:  # the next one gets the same connection, and its limit
        pages = tx.exec_driver_sql("PRAGMA page_count").scalar_one()
        tx.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreError, match="disk is full: make room"):
        store.finish_round("job", 2, {"long": "x" * 1_000_000})
    assert [r.round for r in store.rounds("job")] == [1]


def test_a_transaction_inside_another_is_a_bug_that_is_named_not_a_wait(store: Store) -> None:
    with store.transaction(), pytest.raises(RuntimeError, match="pass it on as tx="):
        store.finish_round("job", 1, {})

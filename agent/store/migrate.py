"""Bringing a database to the newest schema, in one transaction: who dies in between leaves it as it was."""

from __future__ import annotations

import threading
from pathlib import Path

from sqlalchemy import (
    Column,
    Connection,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    func,
    insert,
    inspect,
    select,
)

from agent.errors import StoreError
from agent.store.engine import Database
from agent.store.tables import metadata

HEAD = "0012"  # the newest file in migrations/versions
MIGRATING = int.from_bytes(b"lblwmigr", "big")  # the number of an advisory lock
VERSION_TABLE = "labelwright_schema"  # not Alembic's usual name: another program's may be in the same database

_one_at_a_time = threading.Lock()  # Alembic keeps what it works on in globals of the process

_version = Table(
    VERSION_TABLE,
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name=f"{VERSION_TABLE}_pkc"),
)


def migrate(database: Database) -> None:
    """Make or upgrade the tables. Raises StoreError for a newer schema and for another program's database."""
    with database.transaction() as tx:  # on SQLite under the write lock, so that two processes do not both begin
        if revision(tx) == HEAD:
            return  # and Alembic, which is slow to import, is not needed
        _wait_for_others(tx)
        found = revision(tx)
        if found == HEAD:
            return
        if found is None and (foreign := inspect(tx).get_table_names()):
            raise StoreError(
                f"store {database.name}: holds tables of another program ({', '.join(sorted(foreign)[:3])}); "
                "give an empty database or a new file"
            )
        if found is None and tx.dialect.name == "sqlite":
            make(tx)
            return
        if found is None:
            _check_encoding(tx, database.name)
        upgrade(tx, found, database.name)


def make(tx: Connection) -> None:
    """The tables of a new file, as all migrations would make them (a test compares the two): a job that begins need
    not wait for them, nor for Alembic to load."""
    metadata.create_all(tx)
    _version.create(tx)
    tx.execute(insert(_version).values(version_num=HEAD))


def revision(tx: Connection) -> str | None:
    """The schema's revision, None where there is no schema yet."""
    if not inspect(tx).has_table(VERSION_TABLE):
        return None
    return tx.execute(select(_version.c.version_num)).scalar_one_or_none()


def _wait_for_others(tx: Connection) -> None:
    """One process at a time makes or upgrades tables; the lock ends with the transaction."""
    if tx.dialect.name == "postgresql":
        tx.execute(select(func.pg_advisory_xact_lock(MIGRATING)))


def _check_encoding(tx: Connection, name: str) -> None:
    if tx.dialect.name == "postgresql":
        encoding = tx.execute(select(func.current_setting("server_encoding"))).scalar_one()
        if encoding != "UTF8":
            raise StoreError(
                f"store {name}: the database is encoded in {encoding}, which cannot hold every text; make one with: "
                "createdb --encoding=UTF8 --template=template0 NAME"
            )


def upgrade(tx: Connection, found: str | None, name: str) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    folder = Path(__file__).parent / "migrations"
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if found is not None and found not in known:
        raise StoreError(
            f"store {name}: was written by a newer Labelwright (schema {found}, this one knows {HEAD}); "
            "upgrade with: pip install --upgrade labelwright"
        )
    config.attributes["connection"] = tx
    with _one_at_a_time:
        command.upgrade(config, "head")

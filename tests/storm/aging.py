"""A store as version 0001 left it: made by the first migration alone, filled by plain SQL from a store of today."""

from __future__ import annotations

import sqlite3
import tempfile
from contextlib import closing
from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine

MIGRATIONS = Path(__file__).resolve().parents[2] / "agent" / "store" / "migrations"
FIRST = "0001"


def make_first(path: Path) -> None:
    """An empty SQLite store of the first version."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as tx:
        config.attributes["connection"] = tx
        command.upgrade(config, FIRST)
    engine.dispose()


def age(path: Path) -> None:
    """Put a store of the first version, with the same rows, in the place of a SQLite store of today."""
    with closing(sqlite3.connect(path)) as sql:
        sql.execute("SELECT count(*) FROM jobs").fetchone()  # heals what a killed process left half written
    today = path.rename(path.with_name("today.db"))
    make_first(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as sql:
        sql.execute("ATTACH ? AS today", (str(today),))
        for table, columns in columns_of_first().items():
            sql.execute(f"INSERT INTO main.{table} ({columns}) SELECT {columns} FROM today.{table}")
    today.unlink()


def rows_of(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Table to its rows, of every table and column that the first version had."""
    with closing(sqlite3.connect(path)) as sql:
        return {
            table: sql.execute(f"SELECT {columns} FROM {table} ORDER BY 1, 2").fetchall()
            for table, columns in columns_of_first().items()
        }


@cache
def columns_of_first() -> dict[str, str]:
    """Table to its columns in the first version, comma-separated, parents before children."""
    with tempfile.TemporaryDirectory() as folder:
        make_first(Path(folder) / "first.db")
        with closing(sqlite3.connect(Path(folder) / "first.db")) as sql:
            made = sql.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY rowid").fetchall()
            tables = [str(row[0]) for row in made if not str(row[0]).startswith(("sqlite_", "labelwright_"))]
            return {t: ", ".join(f'"{row[1]}"' for row in sql.execute(f"PRAGMA table_info({t})")) for t in tables}

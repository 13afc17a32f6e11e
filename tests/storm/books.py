"""A job's store held against the provider's log, in plain SQL: nothing of the product is asked."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine, inspect, make_url, text

OF_A_LABEL = "id, text_id, value, source, given_by, probabilities, confidence, lost_mass, answer_id, cost, created_at"
"""What every version of the store keeps of a label, in one order: a store that is made old has no other columns."""


@dataclass(frozen=True)
class Books:
    """What a store says: attempts by id, answers by id (with the attempt's), labels by id, and the purse."""

    attempts: Mapping[int, Mapping[str, Any]]
    answers: Mapping[int, str]
    labels: Mapping[int, str]
    spent: int
    reserved: int
    cap: int
    problems: tuple[str, ...] = ()


@dataclass
class Found:
    """What is wrong, and the figures of the whole storm."""

    problems: list[str] = field(default_factory=list)
    charged: int = 0
    ambiguous: int = 0
    settled: int = 0


def read(url: str, job: str) -> Books | None:
    """The books of a job as a process that died left them; None where it had not come to make them.

    A SQLite file is copied with its journal first, so that looking does not heal it.
    """
    if not url.startswith("sqlite"):
        return _read(url, job)
    path = Path(str(make_url(url).database))
    if not path.exists():
        return None
    with tempfile.TemporaryDirectory() as folder:
        for part in path.parent.glob(f"{path.name}*"):
            shutil.copyfile(part, Path(folder) / part.name)
        return _read(f"sqlite:///{folder}/{path.name}", job)


def _read(url: str, job: str) -> Books | None:
    address = make_url(url)
    if address.drivername == "postgresql":
        address = address.set(drivername="postgresql+psycopg")
    engine = create_engine(address)
    try:
        with engine.connect() as sql:
            if not inspect(sql).has_table("jobs"):
                return None
            problems = _sound(sql) if engine.dialect.name == "sqlite" else ()
            purse = sql.execute(text("SELECT spent, reserved, cap FROM jobs WHERE name = :job"), {"job": job}).first()
            attempts = sql.execute(text("SELECT * FROM attempts WHERE job = :job"), {"job": job}).mappings().all()
            answers = sql.execute(text("SELECT id, attempt_id, raw FROM answers")).all()
            labels = sql.execute(text(f"SELECT {OF_A_LABEL} FROM labels WHERE job = :job"), {"job": job}).all()
    finally:
        engine.dispose()
    if purse is None:
        return None
    mine = {a["id"]: dict(a) for a in attempts}
    kept = {i: f"{attempt} {raw}" for i, attempt, raw in answers if attempt in mine}
    given = {row[0]: repr(tuple(row)) for row in labels}
    return Books(mine, kept, given, purse.spent, purse.reserved, purse.cap, problems)


def _sound(sql: Connection) -> tuple[str, ...]:
    whole = [row[0] for row in sql.execute(text("PRAGMA integrity_check"))]
    broken = sql.execute(text("PRAGMA foreign_key_check")).all()
    said = [f"integrity_check: {w}" for w in whole if w != "ok"]
    return (*said, *(f"foreign_key_check: {tuple(row)}" for row in broken))


def attempt_of(row: Mapping[str, Any]) -> int:
    """The attempt that a request names in its `x-request-id`: the number at its end. 0 where it names none."""
    found = re.search(r"(\d+)$", str(row.get("request_id") or ""))
    return int(found[1]) if found else 0


def compare(books: Books, rows: Sequence[Mapping[str, Any]]) -> Found:
    """Every charge of the provider against the attempt that it was for, and the purse against its own attempts."""
    found = Found(list(books.problems))
    say = found.problems.append
    times = Counter(attempt_of(row) for row in rows)
    for row in rows:
        number, charged = attempt_of(row), int(row["charged"])
        found.charged += charged
        attempt = books.attempts.get(number)
        if attempt is None:
            say(f"request {row.get('request_id')!r} of text {row.get('text')!r} has no attempt in the store")
        elif times[number] > 1:
            say(f"attempt {number} was sent {times[number]} times")
        elif charged and attempt["state"] == "released":
            say(f"attempt {number} was charged {charged} and is released: {attempt['reason']}")
        elif charged and attempt["state"] == "settled" and not _paid(attempt, row, charged):
            say(f"attempt {number} was charged {charged}, the ledger says {attempt['charged']}")
        elif charged > attempt["worst"]:
            say(f"attempt {number} was charged {charged}, and only {attempt['worst']} were set aside")
    _purse(books, found, set(times))
    return found


def _paid(attempt: Mapping[str, Any], row: Mapping[str, Any], charged: int) -> bool:
    if attempt["prompt_tokens"] is None:  # it was answered without usage, which costs what was set aside
        return bool(attempt["charged"] == attempt["worst"] >= charged)
    return bool(attempt["charged"] == charged)


def _purse(books: Books, found: Found, sent: set[int]) -> None:
    say = found.problems.append
    states = Counter(a["state"] for a in books.attempts.values())
    found.settled, found.ambiguous = states["settled"], states["ambiguous"]
    if found.charged > books.cap:
        say(f"the provider charged {found.charged}, above the cap of {books.cap}")
    if books.spent + books.reserved > books.cap:
        say(f"spent {books.spent} and reserved {books.reserved} pass the cap of {books.cap}")
    if books.spent != sum(a["charged"] for a in books.attempts.values()):
        say("the purse's `spent` is not the sum of the attempts' charges")
    if books.reserved != sum(a["worst"] for a in books.attempts.values() if a["state"] == "reserved"):
        say("the purse's `reserved` is not the sum of the open attempts")
    answered = {int(kept.split()[0]) for kept in books.answers.values()}
    for number, attempt in books.attempts.items():
        if (attempt["state"] == "settled") != (number in answered):
            kept = "kept" if number in answered else "not kept"
            say(f"attempt {number} is {attempt['state']}, and its answer is {kept}")
        if attempt["state"] == "settled" and number not in sent:
            say(f"attempt {number} is settled, and the provider knows of no such request")


def lost(before: Books | None, now: Books | None, said_to_be_kept: set[int]) -> list[str]:
    """Answers and labels that were there and are gone or changed; and answers a run was told were on disk."""
    known = now or Books({}, {}, {}, 0, 0, 0)
    old = before or Books({}, {}, {}, 0, 0, 0)
    gone = [
        f"answer {i} was committed and is gone" for i, kept in old.answers.items() if known.answers.get(i) != kept
    ]
    gone += [f"label {i} was given and is gone" for i, kept in old.labels.items() if known.labels.get(i) != kept]
    return gone + [f"answer {i} was said to be on disk" for i in sorted(said_to_be_kept - set(known.answers))]

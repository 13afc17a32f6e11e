"""Everything about a job that can be found out without spending anything: `labelwright check`."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from agent.endpoints import questions_of, reach
from agent.errors import EndpointError, UserError
from agent.job import OracleSettings, without_secrets
from agent.oracle import ChatOracle, FileOracle, TapeOracle
from agent.probing import greet
from agent.serving import look
from agent.workbench import Workbench


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: fine, or what is wrong and the way out."""

    what: str
    fine: bool
    said: str


def check(bench: Workbench) -> Iterator[Finding]:
    """Look at the task, the data, the student, the store and each oracle; later ones also where earlier ones fail."""
    yield _look("task", lambda: _task(bench))
    yield _look("selection", lambda: _strategy(bench))
    yield _look("student", lambda: _student(bench))
    if bench.job.distil.model and bench.job.distil.enabled:
        yield _look("distil", lambda: f"{bench.to_write} is taught to write")
    yield _look("pool", lambda: _pool(bench))
    if bench.job.data.redact:
        yield _look("redaction", lambda: _redaction(bench))
    if bench.job.data.seed:
        yield _look("seed", lambda: f"{len(bench.seed)} labelled texts")
    if bench.job.data.gold:
        yield _look("gold", lambda: _gold(bench))
    yield _look("store", lambda: f"{bench.store.name}: schema is up to date, and can be written")
    for oracle in bench.job.oracle:
        for one in oracle.each():
            at = f" at {without_secrets(one.address)}" if len(oracle.addresses) > 1 else ""
            yield _look(f"oracle {oracle.name}{at}", lambda one=one: _oracle(bench, one))  # type: ignore[misc]


def _look(what: str, found: Callable[[], str]) -> Finding:
    try:
        return Finding(what, True, found())
    except UserError as error:
        return Finding(what, False, str(error))


def _task(bench: Workbench) -> str:
    count = len(bench.job.task.labels)
    said = f"{bench.task.kind}, {count} labels" if count else bench.task.kind
    other = bench.job.task.other
    return said if other is None else f"{said}; {other} is for texts that none of the others fits"


def _strategy(bench: Workbench) -> str:
    _ = bench.strategy
    named = bench.job.selection.strategy
    return f"{named}; {bench.without_slice}" if bench.without_slice else named


def _student(bench: Workbench) -> str:
    _ = bench.student
    if not bench.job.has_student:
        return "none: every text is asked about, and nothing is learnt, compared with chance or distilled"
    return f"{bench.job.student.encoder}, {bench.encoder.dim} dimensions"


def _pool(bench: Workbench) -> str:
    pool = bench.pool
    left_out = sum(pool.left_out.values())
    said = f"{pool.total_rows:,} rows, {len(pool):,} distinct texts"
    return said + (
        f", {left_out:,} left out ({', '.join(k for k, v in pool.left_out.items() if v)})" if left_out else ""
    )


def _redaction(bench: Workbench) -> str:
    _ = bench.redactor
    return f"no oracle sees: {', '.join(bench.job.data.redact)}"


def _gold(bench: Workbench) -> str:
    outside, inside = len(bench.gold), len(bench.pool_gold)
    if not bench.job.has_student:
        asked = "which it is asked about too" if bench.job.data.ask_gold else "not used without `data.ask_gold`"
        return f"{inside} texts of the pool to measure the oracle on, {outside} outside of it, {asked}"
    return f"{outside} texts to measure the student on" + (f", {inside} in the pool for the oracle" if inside else "")


def _oracle(bench: Workbench, settings: OracleSettings) -> str:
    bench.tariff(settings)  # no price, no oracle
    if settings.serve is not None:
        questions_of(bench, settings, "json_schema")
        return look(bench, settings.serve, settings.name)
    oracle = reach(bench, settings)
    if isinstance(oracle, TapeOracle):
        questions = questions_of(bench, settings, oracle.mode)
        sample = [t for t, _ in zip(bench.pool.texts(), range(100), strict=False)]
        asked = [questions.maybe(t, questions.first(t)) for t in sample]
        known = sum(q is not None and q.key in oracle for q in asked)
        return (
            f"tape of {len(oracle):,} answers of {oracle.model}; it knows {known} of the pool's first {len(sample)}"
        )
    questions_of(bench, settings, "json_schema")
    if isinstance(oracle, FileOracle):
        return _command(settings) if settings.own is None else look(bench, settings.own, settings.name)
    asyncio.run(_greet(oracle))
    return f"{oracle.endpoint} answers and serves {oracle.model}"


def _command(settings: OracleSettings) -> str:
    words = settings.run_batch.command if settings.run_batch else None
    if words is None:
        return f"files that are answered elsewhere by {settings.model}"
    if shutil.which(words[0]) is None:
        raise EndpointError(
            f"oracle {settings.name}: no command {words[0]!r} here; install it, mend `run_batch.command`, or set it "
            "to null and answer the files elsewhere"
        )
    return f"`{words[0]}` is here; it answers files of {settings.run_batch.shard if settings.run_batch else 0} texts"


async def _greet(oracle: ChatOracle) -> None:
    try:
        await greet(oracle)
    finally:
        await oracle.close()

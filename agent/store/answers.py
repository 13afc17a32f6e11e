"""Raw answers, as they were bought, before anyone parses them (law 2)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, func, insert, not_, or_, select
from sqlalchemy.engine import Row

from agent.records import Answer, MicroDollars, TextId, TokenChoice, Usage
from agent.store import tables as t
from agent.store.columns import now
from agent.store.engine import Database, append_all, in_parts
from agent.store.rows import AttemptState, FoundAnswer, StoredAnswer

ABANDONED = "the process that sent it ended"
STOPPED = "stopped: "  # how the reason of an attempt begins that was cut off on our side


class Answers(Database):
    """Queries about answers. They belong to no job: one that was bought is never bought again from this store."""

    def answer_for(self, question_key: str, *endpoints: str) -> FoundAnswer | None:
        """The answer to a question, see `answers_for`."""
        return self.answers_for([question_key], *endpoints).get(question_key)

    def answers_for(self, keys: Iterable[str], *endpoints: str) -> dict[str, FoundAnswer]:
        """Question key to answer, for the keys that one of `endpoints` has answered.

        Where there are several, the newest one that was not marked invalid, else the newest.
        """
        found: dict[str, FoundAnswer] = {}
        bad = select(t.invalid_answers.c.id).where(t.invalid_answers.c.answer_id == t.answers.c.id).exists()
        with self._read(None) as tx:
            for part in in_parts(dict.fromkeys(keys)):
                query = (
                    select(t.answers.c.id, t.answers.c.question_key, t.answers.c.raw)
                    .where(t.answers.c.question_key.in_(part), t.answers.c.endpoint.in_(endpoints))
                    .order_by(bad.desc(), t.answers.c.id)  # the last one wins
                )
                best = {row.question_key: row for row in tx.execute(query)}
                found.update((key, FoundAnswer(row.id, unpack_answer(row.raw))) for key, row in best.items())
        return found

    def costs(self, answer_ids: Iterable[int]) -> dict[int, MicroDollars]:
        """What each answer was charged, micro-dollars."""
        found: dict[int, MicroDollars] = {}
        with self._read(None) as tx:
            for part in in_parts(dict.fromkeys(answer_ids)):
                query = (
                    select(t.answers.c.id, t.attempts.c.charged)
                    .join(t.attempts, t.attempts.c.id == t.answers.c.attempt_id)
                    .where(t.answers.c.id.in_(part))
                )
                found.update((row.id, row.charged) for row in tx.execute(query))
        return found

    def contents(self, answer_ids: Iterable[int]) -> dict[int, str]:
        """What each answer said, whole."""
        found: dict[int, str] = {}
        with self._read(None) as tx:
            for part in in_parts(dict.fromkeys(answer_ids)):
                query = select(t.answers.c.id, t.answers.c.raw).where(t.answers.c.id.in_(part))
                found.update((row.id, unpack_answer(row.raw).content) for row in tx.execute(query))
        return found

    def mark_invalid(self, answer_id: int, reason: str, *, tx: Connection | None = None) -> None:
        """Note that an answer is no label of its task. The answer stays. Twice with one reason is once."""
        same = (t.invalid_answers.c.answer_id == answer_id) & (t.invalid_answers.c.reason == reason)
        with self._write(tx) as sql:
            sql.execute(select(t.answers.c.id).where(t.answers.c.id == answer_id).with_for_update(key_share=True))
            if sql.execute(select(func.count()).select_from(t.invalid_answers).where(same)).scalar_one() == 0:
                sql.execute(insert(t.invalid_answers).values(answer_id=answer_id, reason=reason, created_at=now()))

    def failed_tries(self, job: str, keys: Iterable[str]) -> dict[str, int]:
        """How often asking each of these questions failed in this job, for those where it did: attempts that may have
        been charged, but for those that we cut off ourselves, and answers that were invalid."""
        a = t.attempts.c
        ours = or_(a.reason == ABANDONED, a.reason.startswith(STOPPED))
        unclear = select(a.question_key).where(a.job == job, a.state == AttemptState.AMBIGUOUS, not_(ours))
        invalid = (
            select(a.question_key)
            .join(t.answers, t.answers.c.attempt_id == a.id)
            .where(a.job == job, t.answers.c.id.in_(select(t.invalid_answers.c.answer_id)))
        )
        with self._read(None) as tx:
            times = Counter([*tx.execute(unclear).scalars(), *tx.execute(invalid).scalars()])
        return {key: times[key] for key in keys if key in times}

    def reuse(self, job: str, used: Sequence[tuple[TextId, int]], *, tx: Connection | None = None) -> None:
        """Note which texts an answer (by id) came for that another job had paid for. Noted once."""
        bought = dict(used)
        rows: list[dict[str, Any]] = []
        with self._read(tx) as sql:
            for part in in_parts(bought):
                known = select(t.reuses.c.text_id).where(t.reuses.c.job == job, t.reuses.c.text_id.in_(part))
                noted = set(sql.execute(known).scalars())
                costs = {i: (whose, cost) for i, whose, cost in _bought_by(sql, [bought[i] for i in part])}
                for text_id in part:
                    whose, cost = costs.get(bought[text_id], (job, 0))
                    if whose != job and text_id not in noted:
                        rows.append({"text_id": text_id, "answer_id": bought[text_id], "saved": cost})
        if rows:
            with self._write(tx) as sql:
                sql.execute(insert(t.reuses), [r | {"job": job, "created_at": now()} for r in rows])

    def failures(self, job: str) -> dict[TextId, list[str]]:
        """Text to the reasons, oldest attempt first, why asking about it gave no label: attempts that were released
        or are ambiguous, and answers that were invalid."""
        a = t.attempts.c
        ended = select(a.id, a.text_id, a.reason).where(
            a.job == job, a.state.in_([AttemptState.RELEASED, AttemptState.AMBIGUOUS])
        )
        invalid = (
            select(a.id, a.text_id, t.invalid_answers.c.reason)
            .join(t.answers, t.answers.c.attempt_id == a.id)
            .join(t.invalid_answers, t.invalid_answers.c.answer_id == t.answers.c.id)
            .where(a.job == job)
        )
        with self._read(None) as tx:
            rows: list[Row[Any]] = [*tx.execute(ended), *tx.execute(invalid)]
        found: dict[TextId, list[str]] = {}
        for row in sorted(rows, key=lambda r: int(r.id)):
            found.setdefault(row.text_id, []).append(row.reason)
        return found


def _bought_by(tx: Connection, answer_ids: Sequence[int]) -> list[tuple[int, str, int]]:
    """(answer, job, charge) of each."""
    bought = (
        select(t.answers.c.id, t.attempts.c.job, t.attempts.c.charged)
        .join(t.attempts, t.attempts.c.id == t.answers.c.attempt_id)
        .where(t.answers.c.id.in_(answer_ids))
    )
    return [(row.id, row.job, row.charged) for row in tx.execute(bought)]


def insert_answers(tx: Connection, bought: Sequence[tuple[int, StoredAnswer]]) -> list[int]:
    """Keep raw answers, each beside the attempt that bought it; returns their ids."""
    at = now()
    rows = [
        {
            "attempt_id": attempt_id,
            "question_key": stored.question_key,
            "endpoint": stored.endpoint,
            "prompt_hash": stored.prompt_hash,
            "raw": pack_answer(stored.answer),
            "created_at": at,
        }
        for attempt_id, stored in bought
    ]
    return append_all(tx, t.answers, rows)


def pack_answer(answer: Answer) -> str:
    """An answer as ASCII JSON; nothing of it is lost."""
    usage = answer.usage
    return json.dumps(
        {
            "content": answer.content,
            "model": answer.model,
            "usage": [usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens] if usage else None,
            "tokens": [[c.token, c.logprob, c.top] for c in answer.tokens],
            "finish_reason": answer.finish_reason,
        },
        separators=(",", ":"),
    )


def unpack_answer(raw: str) -> Answer:
    """What `pack_answer` was given."""
    found = json.loads(raw)
    return Answer(
        content=found["content"],
        model=found["model"],
        usage=Usage(*found["usage"]) if found["usage"] else None,
        tokens=tuple(TokenChoice(token, p, tuple((w, q) for w, q in top)) for token, p, top in found["tokens"]),
        finish_reason=found["finish_reason"],
    )

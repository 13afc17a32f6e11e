"""Raw answers, as they were bought, before anyone parses them (law 2)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, func, insert, select
from sqlalchemy.engine import Row

from agent.records import Answer, MicroDollars, TextId, TokenChoice, Usage
from agent.store import tables as t
from agent.store.columns import now
from agent.store.engine import Database, append, in_parts
from agent.store.rows import AttemptState, FoundAnswer, StoredAnswer


class Answers(Database):
    """Queries about answers. They belong to no job: one that was bought is never bought again from this store."""

    def answer_for(self, question_key: str, endpoint: str) -> FoundAnswer | None:
        """The answer to a question, see `answers_for`."""
        return self.answers_for([question_key], endpoint).get(question_key)

    def answers_for(self, keys: Iterable[str], endpoint: str) -> dict[str, FoundAnswer]:
        """Question key to answer, for the keys that `endpoint` has answered.

        Where there are several, the newest one that was not marked invalid, else the newest.
        """
        found: dict[str, FoundAnswer] = {}
        bad = select(t.invalid_answers.c.id).where(t.invalid_answers.c.answer_id == t.answers.c.id).exists()
        with self._read(None) as tx:
            for part in in_parts(dict.fromkeys(keys)):
                query = (
                    select(t.answers.c.id, t.answers.c.question_key, t.answers.c.raw)
                    .where(t.answers.c.question_key.in_(part), t.answers.c.endpoint == endpoint)
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

    def mark_invalid(self, answer_id: int, reason: str, *, tx: Connection | None = None) -> None:
        """Note that an answer is no label of its task. The answer stays. Twice with one reason is once."""
        same = (t.invalid_answers.c.answer_id == answer_id) & (t.invalid_answers.c.reason == reason)
        with self._write(tx) as sql:
            if sql.execute(select(func.count()).select_from(t.invalid_answers).where(same)).scalar_one() == 0:
                sql.execute(insert(t.invalid_answers).values(answer_id=answer_id, reason=reason, created_at=now()))

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


def insert_answer(tx: Connection, attempt_id: int, stored: StoredAnswer) -> int:
    """Keep a raw answer beside the attempt that bought it."""
    made = insert(t.answers).values(
        attempt_id=attempt_id,
        question_key=stored.question_key,
        endpoint=stored.endpoint,
        prompt_hash=stored.prompt_hash,
        raw=pack_answer(stored.answer),
        created_at=now(),
    )
    return append(tx, made)


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

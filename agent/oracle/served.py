"""Prompts counted by the server itself: vLLM's `/tokenize` writes them out by its own template. It costs nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from agent.errors import OracleError
from agent.job import OracleSettings, without_secrets
from agent.oracle.wire import Wire
from agent.records import Question

AT_ONCE = 16
TIMEOUT_S = 10.0


async def served_counts(settings: OracleSettings, questions: Sequence[Question]) -> list[int] | None:
    """Tokens of each prompt as the endpoint counts them (of several, the first that does); None where none does.

    The path is the server's own, beside the `/v1` of the protocol that it shares with others.
    """
    for one in settings.each() if settings.addresses and questions else ():
        if (found := await _counted(one, questions)) is not None:
            return found
    return None


async def _counted(settings: OracleSettings, questions: Sequence[Question]) -> list[int] | None:
    root = settings.address.rstrip("/").removesuffix("/v1")
    wire = Wire(root, without_secrets(root) or "", settings.key(), TIMEOUT_S)
    turns = asyncio.Semaphore(AT_ONCE)

    async def count(question: Question) -> int:
        said = [{"role": m.role, "content": m.content} for m in question.messages]
        async with turns:
            reply = await wire.post("/tokenize", {"model": settings.model, "messages": said})
        told = reply.told() if reply.status == 200 else None
        found = told.get("count") if isinstance(told, dict) else None
        if type(found) is not int or found <= 0:
            raise _DoesNotCount
        return found + question.picture_tokens

    try:
        first = await count(questions[0])
        return [first, *await asyncio.gather(*(count(q) for q in questions[1:]))]
    except (OracleError, _DoesNotCount):
        return None
    finally:
        await wire.close()


class _DoesNotCount(Exception):
    """The endpoint has no such path, or does not answer as vLLM does."""

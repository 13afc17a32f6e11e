"""A chat completion, as a server sent it, into our record. Servers send odd things: none may pass for a label.

The same for a live answer and for a line of a batch's output file.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from agent.errors import Charge, OracleError
from agent.records import Answer, TokenChoice, Usage
from agent.tasks.peeling import after_thought

TRY_AGAIN = (408, 409, 425, 429)  # of the statuses from 400 to 499, those that another try may mend
MOST_TOKENS = 2**40  # no request has so many: what a database can hold is not far above
THOUGHT_ONLY = re.compile(r"(?:max_tokens|output limit).{0,40} was reached", re.IGNORECASE)
THINKS = (
    "it thinks before it answers, and its thoughts took all the tokens: set `oracle.thinking_tokens` (2000, say), "
    "which are set aside and paid like any others, or turn thinking off with `oracle.extra`, see docs/endpoints.md"
)
LEAST_LOGPROB = -30.0  # below it a token's chance is nothing; some servers say -9999


def answer_of(completion: Any, model: str) -> Answer:
    """A completion (decoded JSON) as an answer. One without choices or text is an empty answer: paid, and no label.

    Args:
        model: what to call the model where the server does not say.

    Raises OracleError, charge unknown, for what is no completion: some gateways send an error with HTTP 200, and who
    says neither what was answered nor used may have charged.
    """
    if not isinstance(completion, Mapping):
        raise _unreadable("not a completion")
    choices, usage = completion.get("choices"), completion.get("usage")
    if choices is None and usage is None:
        told = completion.get("error")
        raise _unreadable(str(told.get("message")) if isinstance(told, Mapping) else "not a completion")
    choice = choices[0] if isinstance(choices, list) and choices else None
    if choice is not None and not isinstance(choice, Mapping):
        raise _unreadable("not a completion")
    said = _of(_of(choice, "message"), "content")
    return Answer(
        content=said if isinstance(said, str) else "" if said is None else json.dumps(said, default=str),
        model=str(completion.get("model") or model),
        usage=_usage(usage),
        tokens=_tokens(_of(choice, "logprobs")),
        finish_reason=str(_of(choice, "finish_reason") or "stop") if choice is not None else "empty",
    )


def charge_of(status: int, said: str = "") -> Charge:
    """What is known of the money after a refusal with this HTTP status: law 1, for a live answer, a batch and its
    lines alike. Some providers charge for a prompt that they gave up on, or refuse for its content."""
    certain = 400 <= status < 500 and status != 408 and "content_filter" not in said
    return Charge.NONE if certain else Charge.UNKNOWN


def thought_only(answer: Answer) -> bool:
    """Whether an answer came to the end of its tokens before it had said anything but thoughts."""
    start, end = after_thought(answer.content)
    return answer.finish_reason == "length" and not answer.content[start:end].strip()


def words(said: str, most: int = 200) -> str:
    """What a server said, on one line and cut short; a key that it quotes back is not repeated."""
    kept = ["***" if w.strip("'\".,:").startswith(("sk-", "Bearer")) else w for w in said.split()]
    return " ".join(kept)[:most]


def told(body: Any, otherwise: str) -> str:
    """The message of a server's error body (decoded JSON or not), with its code."""
    error = _of(body, "error") if isinstance(_of(body, "error"), Mapping) else body
    code, message = _of(error, "code"), _of(error, "message")
    said = str(message or code or (_of(body, "error") or "") or otherwise or "no message")
    return words(f"{code}: {said}" if code and str(code) not in said else said)


def _unreadable(said: str) -> OracleError:
    return OracleError(f"unreadable answer: {words(said)}", charge=Charge.UNKNOWN)


def _of(part: Any, name: str) -> Any:
    return part.get(name) if isinstance(part, Mapping) else None


def _tokens(logprobs: Any) -> tuple[TokenChoice, ...]:
    """Token probabilities; none at all where any of them is not what it should be."""
    found = _of(logprobs, "content") or ()
    try:
        return tuple(TokenChoice(_token(t), _number(t), _alternatives(t.get("top_logprobs") or ())) for t in found)
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError):
        return ()


def _alternatives(found: Iterable[Any]) -> tuple[tuple[str, float], ...]:
    return tuple((_token(a), _number(a)) for a in found if _number(a) > LEAST_LOGPROB)


def _token(part: Any) -> str:
    token = part["token"]
    if not isinstance(token, str):
        raise TypeError("a token that is no text")
    return token


def _number(part: Any) -> float:
    number = float(part["logprob"])
    if math.isnan(number):
        raise ValueError("a log probability that is no number")
    return number


def _usage(usage: Any) -> Usage | None:
    """What was used; None, which costs the worst case, where the server does not say or what it says cannot be."""
    prompt, completion = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    if not prompt or completion is None:
        return None
    return Usage(prompt, completion, _count(_of(usage, "prompt_tokens_details"), "cached_tokens") or 0)


def _count(part: Any, name: str) -> int | None:
    """A count of tokens, None where it is none."""
    found = _of(part, name)
    return found if type(found) is int and 0 <= found < MOST_TOKENS else None

"""The large model behind an OpenAI-compatible endpoint: one request, once.

The client's own retries are off: it would send again what may already be charged. What a failure costs is told by
where it happened: before anything was sent, certainly nothing; after, unknown.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

import openai
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletion

from agent.errors import Charge, EndpointError, OracleError
from agent.job import OracleSettings, without_secrets
from agent.oracle.prompt import AnswerMode
from agent.records import Answer, Question, TokenChoice, Usage

# by name, since the client may stand on httpx or on httpx2
NOT_SENT = frozenset({"ConnectError", "ConnectTimeout", "PoolTimeout", "UnsupportedProtocol", "ProxyError"})
TOP_LOGPROBS = 20
MOST_TOKENS = 2**40  # no request has so many: what a database can hold is not far above


class ChatOracle:
    """One endpoint and model. `mode` is how answers are held to the schema (see `agent.oracle.probe`)."""

    def __init__(self, settings: OracleSettings, *, mode: AnswerMode = "json_schema", logprobs: bool = True) -> None:
        if settings.base_url is None:
            raise ValueError(f"oracle {settings.name} has no base_url")
        self.name, self.model, self.mode, self.logprobs = settings.name, settings.model, mode, logprobs
        self.endpoint = without_secrets(settings.base_url) or ""
        self._temperature = settings.temperature
        self._secret = settings.key()
        timeout = openai.Timeout(settings.timeout_s, connect=min(10.0, settings.timeout_s))
        self._client = AsyncOpenAI(
            base_url=settings.base_url,
            api_key=settings.key() or "none",
            max_retries=0,
            timeout=timeout,
        )

    def body(self, question: Question) -> dict[str, Any]:
        """The request as JSON."""
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": m.role, "content": m.content} for m in question.messages],
            "max_completion_tokens": question.schema.max_tokens,
            "temperature": self._temperature,
        }
        if self.logprobs:
            body |= {"logprobs": True, "top_logprobs": TOP_LOGPROBS}
        if self.mode == "choice" and question.schema.choices is not None:
            body["structured_outputs"] = {"choice": list(question.schema.choices)}
        elif self.mode != "plain":
            schema = {"name": "answer", "strict": True, "schema": dict(question.schema.json_schema)}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        return body

    async def ask(self, question: Question) -> Answer:
        try:
            # not `chat.completions.create`: it walks every message by its type hints first, which takes 25 ms of
            # processor time for a prompt of 150 turns, ten times what the request itself takes
            completion = await self._client.post(
                "/chat/completions", cast_to=ChatCompletion, body=self.body(question)
            )
        except openai.OpenAIError as error:
            raise self._failure(error) from None
        except ValueError as error:
            # the server answered something that is not a completion: it may well have been charged
            raise OracleError(f"unreadable answer: {type(error).__name__}", charge=Charge.UNKNOWN) from None
        if getattr(completion, "choices", None) is None and getattr(completion, "usage", None) is None:
            # some gateways send an error with HTTP 200; who says neither what was answered nor used may have charged
            told = getattr(completion, "error", None)
            said = self._masked(_words(str(told.get("message")))) if isinstance(told, dict) else "not a completion"
            raise OracleError(f"unreadable answer: {said}", charge=Charge.UNKNOWN)
        try:
            return _answer(completion, self.model)
        except (AttributeError, TypeError, ValueError) as error:  # parts of it are not what the protocol says
            raise OracleError(f"unreadable answer: {type(error).__name__}", charge=Charge.UNKNOWN) from None

    def _failure(self, error: openai.OpenAIError) -> Exception:
        """An OracleError for this question, or an EndpointError where no question can succeed."""
        if isinstance(error, openai.APIStatusError):
            return self._refusal(error)
        if isinstance(error, openai.APIConnectionError):
            sent = type(error.__cause__).__name__ not in NOT_SENT
            what = "timed out" if isinstance(error, openai.APITimeoutError) else "connection failed"
            said = f"{self.endpoint}: {what} {'after sending' if sent else 'before sending'}"
            return OracleError(said, charge=Charge.UNKNOWN if sent else Charge.NONE, unreachable=not sent)
        return OracleError(f"unreadable answer: {type(error).__name__}", charge=Charge.UNKNOWN)

    def _refusal(self, error: openai.APIStatusError) -> Exception:
        status, said = error.status_code, self._masked(_message(error))
        where = f"oracle {self.name} at {self.endpoint}"
        if status in (401, 403):
            return EndpointError(
                f"{where} refused the key (HTTP {status}: {said}); set `api_key_env` in the job file to the name of "
                "an environment variable that holds a valid key, and export it"
            )
        if status == 404:
            return EndpointError(f"{where} does not know model {self.model!r} or this path (HTTP 404: {said})")
        if status == 429 and "insufficient_quota" in said:
            return EndpointError(f"{where}: the account has no credit left (HTTP 429: {said})")
        if status >= 500:
            return OracleError(f"HTTP {status}: {said}", charge=Charge.UNKNOWN, retry_after_s=_retry_after(error))
        retryable = status in (408, 409, 425, 429)
        return OracleError(
            f"HTTP {status}: {said}", charge=Charge.NONE, retryable=retryable, retry_after_s=_retry_after(error)
        )

    def _masked(self, said: str) -> str:
        """A server may quote the key back; it must not reach a log."""
        return said.replace(self._secret, "***") if self._secret else said

    async def models(self) -> list[str]:
        """The models that the endpoint says it serves, none where it keeps no list (HTTP 404); costs nothing.

        Raises EndpointError or OracleError.
        """
        try:
            return [m.id async for m in self._client.models.list() if isinstance(m.id, str)]
        except openai.NotFoundError:
            return []  # many gateways answer questions and list no models; the first question will tell
        except openai.OpenAIError as error:
            raise self._failure(error) from None
        except (ValueError, AttributeError, TypeError) as error:  # something, but no list of models
            raise OracleError(f"{self.endpoint}: {type(error).__name__}", charge=Charge.NONE) from None

    async def close(self) -> None:
        await self._client.close()


def _answer(completion: Any, model: str) -> Answer:
    """A completion as our record. One without choices or text is an empty answer: paid, and no label."""
    choice = completion.choices[0] if getattr(completion, "choices", None) else None
    said = getattr(getattr(choice, "message", None), "content", None)
    return Answer(
        content=said if isinstance(said, str) else "" if said is None else json.dumps(said, default=str),
        model=str(getattr(completion, "model", None) or model),
        usage=_usage(getattr(completion, "usage", None)),
        tokens=_tokens(getattr(choice, "logprobs", None)),
        finish_reason=str(getattr(choice, "finish_reason", None) or "stop") if choice is not None else "empty",
    )


def _tokens(logprobs: Any) -> tuple[TokenChoice, ...]:
    """Token probabilities; none at all where any of them is not what it should be."""
    found = getattr(logprobs, "content", None) or ()
    try:
        return tuple(TokenChoice(_token(t), _number(t), _alternatives(t.top_logprobs or ())) for t in found)
    except (AttributeError, TypeError, ValueError):
        return ()


def _alternatives(found: Iterable[Any]) -> tuple[tuple[str, float], ...]:
    return tuple((_token(a), _number(a)) for a in found if _number(a) > -30)


def _token(part: Any) -> str:
    if not isinstance(part.token, str):
        raise TypeError("a token that is no text")
    return part.token


def _number(part: Any) -> float:
    number = float(part.logprob)
    if math.isnan(number):
        raise ValueError("a log probability that is no number")
    return number


def _usage(usage: Any) -> Usage | None:
    """What was used; None, which costs the worst case, where the server does not say or what it says cannot be."""
    prompt, completion = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    if not prompt or completion is None:
        return None
    return Usage(prompt, completion, _count(getattr(usage, "prompt_tokens_details", None), "cached_tokens") or 0)


def _count(part: Any, name: str) -> int | None:
    """A count of tokens, None where it is none."""
    found = getattr(part, name, None)
    return found if type(found) is int and 0 <= found < MOST_TOKENS else None


def _message(error: openai.APIStatusError) -> str:
    """What the server said, cut short; a key that it quotes back is not repeated."""
    body = error.body if isinstance(error.body, dict) else {}
    said = str(body.get("message") or body.get("code") or error.response.reason_phrase or "no message")
    if body.get("code") and str(body["code"]) not in said:
        said = f"{body['code']}: {said}"
    return _words(said)


def _words(said: str) -> str:
    words = ["***" if w.strip("'\".,:").startswith(("sk-", "Bearer")) else w for w in said.split()]
    return " ".join(words)[:200]


def _retry_after(error: openai.APIStatusError) -> float | None:
    try:
        wait_s = float(error.response.headers.get("retry-after", ""))
    except ValueError:
        return None
    return max(0.0, wait_s) if math.isfinite(wait_s) else None

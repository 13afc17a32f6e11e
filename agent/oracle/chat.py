"""The large model behind an OpenAI-compatible endpoint: one request, once.

What a server's refusal costs is here, what a broken connection costs in `agent.oracle.wire`.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from agent.errors import Charge, EndpointError, OracleError
from agent.job import OracleSettings, without_secrets
from agent.oracle.completion import THINKS, THOUGHT_ONLY, TRY_AGAIN, answer_of, charge_of, told
from agent.oracle.dialect import Dialect, Speaker
from agent.oracle.prompt import AnswerMode
from agent.oracle.wire import Reply, Wire
from agent.records import Answer, Question

BUSY = (429, 503)  # asked too much: ask less at a time


class ChatOracle(Speaker):
    """One endpoint and model. `mode` is how answers are held to the schema (see `agent.oracle.probe`), `called` what
    messages call the endpoint, by default its address."""

    def __init__(
        self,
        settings: OracleSettings,
        *,
        mode: AnswerMode = "json_schema",
        logprobs: bool = True,
        called: str | None = None,
    ) -> None:
        super().__init__()
        self.name, self.model, self.mode, self.logprobs = settings.name, settings.model, mode, logprobs
        self.endpoint = called or without_secrets(settings.address) or ""
        self._settings = settings
        self._wire = Wire(settings.address, self.endpoint, settings.key(), settings.timeout_s)

    def body(self, question: Question) -> dict[str, Any]:
        """The request as JSON."""
        return request_body(question, self._settings, self.mode, self.dialect, logprobs=self.logprobs)

    async def ask(self, question: Question, request_id: str = "") -> Answer:
        spoken = self.dialect
        reply = await self._wire.post("/chat/completions", self.body(question), request_id)
        if reply.status != 200:
            if self.refused(reply.status, reply.told(), spoken):
                said = self._said(reply)
                raise OracleError(f"HTTP {reply.status}: {said}", charge=charge_of(reply.status, said), adapted=True)
            raise self._refusal(reply)
        try:
            completion = reply.json()
        except ValueError as error:
            # the server answered something that is not a completion: it may well have been charged
            raise OracleError(f"unreadable answer: {type(error).__name__}", charge=Charge.UNKNOWN) from None
        try:
            answer = answer_of(completion, self.model)
        except OracleError:
            # said again from what is masked first: a cut could leave half a key
            masked = json.loads(self._wire.masked(json.dumps(completion, ensure_ascii=False)))
            answer = answer_of(masked, self.model)
        self.heard(question, answer, spoken)
        return answer

    def _said(self, reply: Reply) -> str:
        """What a refusal says, without the key."""
        body = self._wire.masked(reply.raw.decode("utf-8", "replace")).encode()
        return told(replace(reply, raw=body).told(), self._wire.masked(reply.reason))

    def _refusal(self, reply: Reply) -> OracleError | EndpointError:
        """An OracleError for this question, or an EndpointError where no question can succeed."""
        status, said = reply.status, self._said(reply)
        where = f"oracle {self.name} at {self.endpoint}"
        if status in (401, 403):
            return EndpointError(
                f"{where} refused the key (HTTP {status}: {said}); set `api_key_env` in the job file to the name of "
                "an environment variable that holds a valid key, and export it"
            )
        if status == 404:
            return EndpointError(f"{where} does not know model {self.model!r} or this path (HTTP 404: {said})")
        if 300 <= status < 400:
            return EndpointError(f"{where} has moved (HTTP {status}); give the new address as `base_url`")
        if status == 429 and "insufficient_quota" in said:
            return EndpointError(f"{where}: the account has no credit left (HTTP 429: {said})")
        if THOUGHT_ONLY.search(said):  # it thought, and may have been paid for it
            return OracleError(f"HTTP {status}: {said}; {THINKS}", charge=Charge.UNKNOWN, retryable=False)
        return OracleError(
            f"HTTP {status}: {said}",
            charge=charge_of(status, said),
            retryable=status >= 500 or status in TRY_AGAIN,
            retry_after_s=reply.retry_after_s,
            busy=status in BUSY,
        )

    async def models(self) -> list[str]:
        """The models that the endpoint says it serves, none where it keeps no list (HTTP 404); costs nothing.

        Raises EndpointError or OracleError.
        """
        reply = await self._wire.get("/models")
        if reply.status == 404:
            return []  # many gateways answer questions and list no models; the first question will tell
        if reply.status != 200:
            raise self._refusal(reply)
        listed = reply.told()
        rows = listed.get("data") if isinstance(listed, dict) else None
        if not isinstance(rows, list):
            raise OracleError(f"{self.endpoint}: no list of models", charge=Charge.NONE)
        return [row["id"] for row in rows if isinstance(row, dict) and isinstance(row.get("id"), str)]

    async def close(self) -> None:
        await self._wire.close()


def request_body(
    question: Question, settings: OracleSettings, mode: AnswerMode, dialect: Dialect, *, logprobs: bool
) -> dict[str, Any]:
    """A chat request as JSON, the same for a live one and for a line of a batch."""
    body: dict[str, Any] = {"model": settings.model, "messages": dialect.turns(question.messages)}
    body |= dialect.limits(question.schema.max_tokens)
    if "temperature" not in dialect.without:
        body["temperature"] = settings.temperature
    if logprobs:
        body |= dialect.logprobs()
    if mode == "choice" and question.schema.choices is not None:
        body["structured_outputs"] = {"choice": list(question.schema.choices)}
    elif mode != "plain" and question.schema.json_schema:
        schema = {"name": "answer", "strict": True, "schema": dict(question.schema.json_schema)}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    return body | settings.extra

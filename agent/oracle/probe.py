"""What an endpoint really obeys, found by asking it: a field it does not know is ignored with HTTP 200.

The probe asks a question whose natural answer is not in the allowed set. Whoever stays inside the set obeys.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agent.errors import OracleError
from agent.oracle.chat import ChatOracle
from agent.oracle.prompt import AnswerMode, Sampling, question_key
from agent.records import Answer, AnswerSchema, Message, Question, TextId
from agent.tasks.peeling import after_thought

CHOICES = ("quartz", "zebra")
SCHEMA = AnswerSchema(
    json_schema={
        "type": "object",
        "properties": {"label": {"type": "string", "enum": list(CHOICES)}},
        "required": ["label"],
        "additionalProperties": False,
    },
    max_tokens=24,
    choices=CHOICES,
)
ASK = (Message("user", "What is the capital of France? Answer in one word."),)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What was found: the answer mode to use, and whether token probabilities come back."""

    mode: AnswerMode
    logprobs: bool


def probe_question(
    model: str, mode: AnswerMode, thinking_tokens: int = 0, extra: Mapping[str, Any] | None = None
) -> Question:
    """The probe's question; it is metered like any other."""
    sampling = Sampling(model, mode, thinking_tokens=thinking_tokens, extra=extra or {})
    schema = sampling.room(SCHEMA)
    key = question_key(ASK, schema, sampling)
    return Question(key=key, text_id=TextId(f"probe-{mode}"), messages=ASK, schema=schema, prompt_hash="probe")


def obeyed(answer: Answer, mode: AnswerMode) -> bool:
    """Whether the answer stayed inside the allowed set, a thought before it left aside."""
    start, end = after_thought(answer.content)
    said = answer.content[start:end]
    if mode == "choice":
        return said in CHOICES
    try:
        data = json.loads(said)
    except ValueError:
        return False
    return isinstance(data, dict) and data.get("label") in CHOICES


async def serves(oracle: ChatOracle) -> str | None:
    """None where the endpoint lists the oracle's model (or lists nothing), else what it lists instead.

    Raises EndpointError for a refused key, OracleError where the endpoint is down.
    """
    try:
        models = await oracle.models()
    except OracleError as error:
        if "connection failed" in str(error) or "timed out" in str(error):
            raise
        return None  # many gateways have no model list; the first question will tell
    if not models or oracle.model in models:
        return None
    return ", ".join(models[:6])

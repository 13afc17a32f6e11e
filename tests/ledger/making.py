"""Oracles, questions and answers to try a ledger with."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from agent.job import OracleSettings, Price
from agent.records import Answer, AnswerSchema, Message, Question, TextId, Usage

PRICE = Price(input=Decimal("0.5"), cached_input=Decimal("0.1"), output=Decimal("2"))
LOCAL = OracleSettings(name="local", base_url="http://user:key@127.0.0.1:8000/v1", model="small", price=PRICE)
STRONG = OracleSettings(
    name="strong", tape="tapes/strong.jsonl.gz", model="big", price=Price(gpu_hour=Decimal("3.6")), timeout_s=60
)


def question(key: str = "key", content: str = "Which label?", max_tokens: int = 8) -> Question:
    schema = AnswerSchema({"type": "string"}, max_tokens)
    return Question(key, TextId(f"text of {key}"), (Message("user", content),), schema, "prompt")


def answer(usage: Usage | None = Usage(100, 5, 40), **more: Any) -> Answer:  # noqa: B008 - frozen
    return Answer("card_arrival", "small", usage, **more)

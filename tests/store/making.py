"""Short ways to make what a store keeps."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from agent.records import Answer, Label, MicroDollars, Pick, Route, Source, TextId, TokenChoice, Usage
from agent.store import RouteRow, Store, StoredAnswer

USAGE = Usage(prompt_tokens=10, completion_tokens=2, cached_tokens=4)
ANSWER = Answer("card_arrival", "small", USAGE, (TokenChoice("card", -0.25, (("card", -0.25), ("lost", -1.5))),))


def label(text: str, value: Any = "card_arrival", source: Source = Source.ORACLE, **more: Any) -> Label:
    return Label(TextId(text), value, source, **({"by": "ann" if source is Source.PERSON else "local/small"} | more))


def stored(key: str = "key", endpoint: str = "http://here/v1", answer: Answer = ANSWER) -> StoredAnswer:
    return StoredAnswer(key, endpoint, answer, "prompt")


def reserve(store: Store, worst: int, *, key: str = "key", text: str = "a", oracle: str = "local") -> int:
    return store.reserve("job", oracle, key, TextId(text), MicroDollars(worst), owner="this run")


def bought(store: Store, key: str = "key", *, text: str = "a", charged: int = 5, answer: Answer = ANSWER) -> int:
    attempt = reserve(store, 10, key=key, text=text)
    return store.settle(attempt, MicroDollars(charged), answer.usage, stored(key, answer=answer))


def pick(store: Store, texts: Iterable[str], *, round_: int = 1) -> None:
    picks = [Pick(TextId(x), i, "random", 0.5, 0.1, {"margin": 0.2}) for i, x in enumerate(texts)]
    store.add_picks("job", round_, picks, {p.text_id: f"the text of {p.text_id}" for p in picks})


def for_person(text: str, confidence: float | None = 0.5, **more: Any) -> RouteRow:
    return RouteRow(TextId(text), None, Route.PERSON, "not sure", confidence, **more)

"""Questions of any number, and the metered path alone: the asker, the ledger and a store. For evals.throughput.

python -m evals._asking FOLDER URL     labels FOLDER/texts.jsonl in a process of its own, into FOLDER/labels.jsonl
"""

from __future__ import annotations

import asyncio
import cProfile
import json
import sys
import time
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path

from agent.asking import Asked, Asker
from agent.job import OracleSettings, Price
from agent.ledger import Ledger
from agent.oracle import ChatOracle
from agent.records import Answer, AnswerSchema, Message, MicroDollars, Oracle, Question, TextId, Usage
from agent.store import Store

IN_FLIGHT = 256
LABELS = ("refund", "exchange", "complaint", "praise")
SCHEMA = AnswerSchema({"type": "object", "properties": {"label": {"enum": list(LABELS)}}}, 8, LABELS)
SYSTEM = "You label customer mail. " + " ".join(f"{name}: mail that is about a {name}." for name in LABELS)


def letter(i: int) -> str:
    """One of any number of different texts, the length of a short message."""
    return f"Letter {i}: I would like my money back."


def fenced(text: str) -> str:
    """A text as a question holds it."""
    return f"<text>\n{text}\n</text>\nLabel:"


def asked_about(text: str, i: int) -> Question:
    """The question about one text."""
    messages = Message("system", SYSTEM), Message("user", fenced(text))
    return Question(f"{i:064d}", TextId(f"text-{i}"), messages, SCHEMA, "prompt")


def question(i: int) -> Question:
    """One of any number of different questions, the length of a short prompt."""
    return asked_about(letter(i), i)


def settings(url: str, model: str = "scripted") -> OracleSettings:
    price = Price(input=Decimal("0.05"), output=Decimal("0.10"))
    return OracleSettings(name="local", base_url=url, model=model, price=price, max_concurrency=IN_FLIGHT)


class Instant:
    """An oracle that answers at once: what is left is the ledger."""

    name, model = "local", "scripted"

    async def ask(self, question: Question, request_id: str = "") -> Answer:
        return Answer("refund", "scripted", Usage(100, 2))

    async def close(self) -> None: ...


async def metered(
    oracle: Oracle,
    given: OracleSettings,
    folder: Path,
    questions: Sequence[Question],
    profiles: Sequence[cProfile.Profile] = (),
) -> tuple[float, int, Mapping[TextId, Asked]]:
    """Seconds that the metered path takes, the limit of requests in flight that it found, and the answers.

    Args:
        profiles: two, of this thread and of the one that writes; none to measure undisturbed.
    """
    with Store.open(f"sqlite:///{folder / 'labelwright.db'}") as store:
        store.open_job("job", {}, "print", MicroDollars(10**15))
        async with Ledger(store, "job", [given]) as ledger:
            asker = Asker(oracle, ledger, store, max_concurrency=given.max_concurrency)
            if profiles:
                profiles[0].enable()
                ledger._commits.submit(lambda _: profiles[1].enable()).result()
            began = time.perf_counter()
            found = await asker.ask(questions)
            seconds = time.perf_counter() - began
            if profiles:
                profiles[0].disable()
                ledger._commits.submit(lambda _: profiles[1].disable()).result()
            await oracle.close()
        bought = store.spending("job").settled_count
    assert len(found) == bought == len(questions), "not every question was answered and paid"
    return seconds, asker.balance.endpoints[0].pace.climb.limit, found


async def labelled(
    url: str,
    folder: Path,
    total: int,
    oracle: Oracle | None = None,
    profiles: Sequence[cProfile.Profile] = (),
) -> tuple[float, int]:
    """Seconds that Labelwright takes for so many questions, and the limit of requests in flight that it found."""
    given = settings(url)
    asked = oracle or ChatOracle(given, mode="choice", logprobs=False)
    seconds, limit, _ = await metered(asked, given, folder, [question(i) for i in range(total)], profiles)
    return seconds, limit


def main() -> None:
    folder, url = Path(sys.argv[1]), sys.argv[2]
    texts = [json.loads(line)["text"] for line in (folder / "texts.jsonl").read_text(encoding="utf-8").splitlines()]
    given = settings(url)
    questions = [asked_about(text, i) for i, text in enumerate(texts)]
    oracle = ChatOracle(given, mode="choice", logprobs=False)
    seconds, _, found = asyncio.run(metered(oracle, given, folder, questions))
    with (folder / "labels.jsonl").open("w", encoding="utf-8") as file:
        for question_, text in zip(questions, texts, strict=True):
            answer = found[question_.text_id].answer
            file.write(json.dumps({"text": text, "label": answer and answer.content}) + "\n")
    print(json.dumps({"library": "labelwright: asker, ledger, store", "seconds": seconds}))


if __name__ == "__main__":
    main()

"""Questions in batches, as a job would ask them: settings, purse, carrier and asker over a real store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from agent.asking import Asked, Check
from agent.bulk import BulkAsker
from agent.job import OracleSettings, Price
from agent.ledger import BatchLedger, Ledger
from agent.oracle import BatchApi, ChatOracle, FileOracle, Shards
from agent.records import AnswerSchema, Message, MicroDollars, Question, TextId
from agent.store import AttemptRow, AttemptState, BatchRow, Store

LABELS = ("fruit", "tool", "animal")
SCHEMA = AnswerSchema(
    {"type": "object", "properties": {"label": {"enum": list(LABELS)}}, "required": ["label"]},
    max_tokens=6,
    choices=LABELS,
)
PRICE = Price(input=Decimal(1), output=Decimal(2))
RICH = MicroDollars(10_000_000)


def texts(n: int) -> dict[str, str]:
    return {f"Note {i} is about a {LABELS[i % 3]}.": LABELS[i % 3] for i in range(n)}


def question(text: str) -> Question:
    said = (Message("system", "Name it."), Message("user", f"<text>\n{text}\n</text>"))
    return Question(f"key of {text}", TextId(f"id of {text}"), said, SCHEMA, "prompt")


def questions(n: int) -> list[Question]:
    return [question(text) for text in texts(n)]


def at(url: str, **changes: Any) -> OracleSettings:
    """An endpoint that is asked in batches; polls follow at once."""
    batch = {"poll_s": 0.01} | changes.pop("batch", {})
    return OracleSettings(
        **{"name": "local", "base_url": url, "model": "scripted", "price": PRICE, "mode": "batch", "batch": batch}
        | changes
    )


def opened(folder: Path, cap: MicroDollars = RICH) -> Store:
    store = Store.open(f"sqlite:///{folder / 'labelwright.db'}")
    store.open_job("job", {}, "print", cap)
    return store


@dataclass
class Told:
    """What a person saw."""

    notes: list[str] = field(default_factory=list)
    most_reserved: int = 0
    most_committed: int = 0
    seen: list[tuple[int, int]] = field(default_factory=list)


async def ask(
    store: Store,
    settings: OracleSettings,
    wanted: Sequence[Question],
    *,
    folder: Path,
    told: Told | None = None,
    each: Callable[[BulkAsker], None] = lambda _: None,
    check: Check = lambda _question, _answer: None,
    wrap: Callable[[Any], Any] = lambda carrier: carrier,
) -> Mapping[TextId, Asked]:
    """One run: its own ledger, carrier and asker. `each` is called whenever a person would be shown something."""
    async with Ledger(store, "job", [settings]) as ledger:
        ledger.recover()
        told = told or Told()
        asker = asker_of(store, settings, ledger, folder=folder, told=told, wrap=wrap)
        asker._watch = lambda state: (watched(store, told, state), each(asker))  # type: ignore[func-returns-value]
        try:
            return await asker.ask(wanted, check)
        finally:
            await asker.close()


def watched(store: Store, told: Told, state: Any) -> None:
    purse = store.job("job")
    told.most_reserved = max(told.most_reserved, purse.reserved)
    told.most_committed = max(told.most_committed, purse.reserved + purse.spent)
    told.seen.append((state.done, state.total))


def asker_of(
    store: Store,
    settings: OracleSettings,
    ledger: Ledger,
    *,
    folder: Path,
    told: Told | None = None,
    wrap: Callable[[Any], Any] = lambda carrier: carrier,
) -> BulkAsker:
    files = folder / "batches"
    live = settings.run_batch is None
    oracle = ChatOracle(settings, mode="choice") if live else FileOracle(settings)
    return BulkAsker(
        oracle,
        ledger,
        store,
        carrier=wrap(BatchApi(settings, files) if live else Shards(settings, files)),
        books=BatchLedger(store, "job", settings, owner=ledger.owner),
        note=(told or Told()).notes.append,
    )


def attempts(store: Store) -> Counter[AttemptState]:
    return Counter(a.state for a in store.attempts("job"))


def ended(store: Store, state: AttemptState) -> list[AttemptRow]:
    return [a for a in store.attempts("job") if a.state is state]


def batches(store: Store) -> list[BatchRow]:
    return store.batches("job")


def labels(found: Mapping[TextId, Asked]) -> dict[str, str | None]:
    """Text to what was said of it."""
    return {i.removeprefix("id of "): a.answer.content if a.answer else None for i, a in found.items()}


def line_ids(rows: Sequence[Mapping[str, Any]]) -> Counter[str]:
    """How often the provider ran each line."""
    return Counter(row["custom_id"] for row in rows if row["kind"] == "batch")

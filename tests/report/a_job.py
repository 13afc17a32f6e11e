"""A small real job in a real store: three classes, two rounds, people, an audit, failures, another job's answer."""

from __future__ import annotations

from typing import Any

from agent.job import TaskSettings
from agent.records import Answer, Label, MicroDollars, Pick, Route, Source, TextId, Usage
from agent.store import RouteRow, Store, StoredAnswer
from agent.tasks import Task, build

JOB = "tickets"
CLASSES = ("card", "cash", "loan")
SETTINGS: dict[str, Any] = {
    "name": JOB,
    "task": {"kind": "classification", "labels": dict.fromkeys(CLASSES, "")},
    "oracle": [{"name": "local", "model": "small", "price": {"input": "2", "cached_input": "0.5", "output": "4"}}],
    "budget": {"dollars": "0.01"},
    "seed": 3,
}
# text, class the oracle gave, its confidence, class a person gave, route, chance of being shown to a person
ROWS = [
    ("my card is gone", "card", 0.95, None, "accepted", 0.1),
    ("no cash came out", "cash", 0.90, "cash", "audit", 0.1),
    ("loan or card?", "card", 0.55, "loan", "unsure", 1.0),
    ("what is a loan", "loan", 0.60, "loan", "unsure", 1.0),
    ("cash or card?", "cash", 0.50, None, "unsure", 1.0),
    ("card machine ate my cash", "card", 0.85, None, "audit", 0.1),
    ("pay me", "loan", None, "cash", "no confidence", 1.0),
]


def task(kind: str = "classification") -> Task:
    return build(TaskSettings(kind=kind, labels=list(CLASSES)))


def begin(store: Store, cap: int = 10_000) -> None:
    store.open_job(JOB, SETTINGS, "print", MicroDollars(cap))


def pick(store: Store, number: int, texts: dict[str, str], slice_: str, probability: float | None = None) -> None:
    picks = [Pick(TextId(i), n, slice_, 0.5, probability) for n, i in enumerate(texts)]
    store.add_picks(JOB, number, picks, {TextId(i): t for i, t in texts.items()})


def buy(store: Store, text: str, said: str, charged: int = 100, *, job: str = JOB) -> int:
    """The id of a paid answer."""
    attempt = store.reserve(job, "local", f"key {text}", TextId(text), MicroDollars(200), owner="run")
    usage = Usage(40, 2, 10)
    answer = StoredAnswer(f"key {text}", "http://here/v1", Answer(said, "small", usage), "prompt-1")
    return store.settle(attempt, MicroDollars(charged), usage, answer)


def give(store: Store, text: str, value: Any, confidence: float | None, answer_id: int | None = None) -> int:
    """The id of an oracle's label."""
    rest = {} if confidence is None else {c: (1 - confidence) / 2 for c in CLASSES if c != value}
    label = Label(
        text_id=TextId(text),
        value=value,
        source=Source.ORACLE,
        by="local/small",
        probabilities={value: confidence, **rest} if confidence is not None and isinstance(value, str) else None,
        confidence=confidence,
        prompt_hash="prompt-1",
        answer_id=answer_id,
        cost=MicroDollars(100),
    )
    return store.add_labels(JOB, [label])[0]


def route(  # noqa: PLR0917 - a row of ROWS
    store: Store, text: str, label_id: int | None, why: str, confidence: float | None, chance: float
) -> None:
    where = Route.ACCEPTED if why == "accepted" else Route.PERSON
    said = "sure" if why == "accepted" else why
    row = RouteRow(TextId(text), label_id, where, said, confidence, blind=why == "audit", probability=chance)
    store.add_routes(JOB, 1, [row])


def answer(store: Store, text: str, value: Any, person: str = "ann") -> None:
    """A person labels a text."""
    store.review(JOB, TextId(text), person, "label", Label(TextId(text), value, Source.PERSON, person), seconds=4.0)


def done(store: Store) -> None:
    """The whole job: seven answered texts in two rounds, one text that failed, one answer that was no label."""
    begin(store)
    ids = {f"t{i}": text for i, (text, *_) in enumerate(ROWS)}
    first, second = dict(list(ids.items())[:4]), dict(list(ids.items())[4:])
    pick(store, 0, first, "random", 0.2)
    pick(store, 1, second | {"bad": "gibberish", "lost": "the server went away"}, "unsure")
    for i, (_, value, confidence, said, why, chance) in enumerate(ROWS):
        label_id = give(store, f"t{i}", value, confidence, buy(store, f"t{i}", value))
        route(store, f"t{i}", label_id, why, confidence, chance)
        if said is not None:
            answer(store, f"t{i}", said)
    store.mark_invalid(buy(store, "bad", "savings", 70), "unknown label 'savings'")
    attempt = store.reserve(JOB, "local", "key lost", TextId("lost"), MicroDollars(200), owner="run")
    store.mark_ambiguous(attempt, "timed out")
    route(store, "bad", None, "failed: unknown label 'savings'", None, 1.0)
    figures = {"labels": 4, "spent": 400, "picked": {"random": 4}, "accepted": 2, "people": 3, "failed": 0}
    store.finish_round(JOB, 0, figures | {"seconds": 1.5})
    measured = {
        "accuracy": 0.8, "accuracy_lo": 0.7, "accuracy_hi": 0.9, "measured_on": "gold", "metric": "accuracy",
        "accuracy_random": 0.6, "accuracy_random_lo": 0.5, "accuracy_random_hi": 0.7, "random_labels": 4,
        "selected_equal": 0.75, "selected_equal_lo": 0.65, "selected_equal_hi": 0.85, "equal_labels": 3,
        "kappa": 0.9, "stop_set": [1, 2, 3], "stop": "pool",
    }  # fmt: skip
    store.finish_round(JOB, 1, {"labels": 7, "spent": 970, "picked": {"unsure": 5}} | measured)

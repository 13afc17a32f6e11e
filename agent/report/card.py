"""The data card: a README that says what exported labels are, and how far to trust them."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from agent.certifying import certificates
from agent.report.certificate import certificate
from agent.report.wording import count, dollars, plain
from agent.report.writers import Row, features
from agent.store import Store
from agent.studentless import has_student
from agent.tasks import ExtractiveQa, Spans, Task
from agent.tasks.pairs import parts

COLUMNS = {
    "id": "the row’s id in the pool",
    "text": "the text as it stands in the pool",
    "second": "the other text of the pair",
    "image": "the path of the text's picture, in the folder of the pool",
    "label": "the label that stands, of several answers the likeliest; empty where there is none",
    "source": "who gave it: `person`, `seed`, `oracle` or `student`",
    "by": "the person’s name, or the oracle and its model",
    "confidence": "the oracle’s confidence in the label, 0 to 1, as it gave it; the student’s, calibrated",
    "lost_mass": "the oracle’s probability that went to no label",
    "probabilities": "the probability of every class; empty where the source gave none",
    "posterior": "the chance of every class by all who labelled the text; empty where that was one answer",
    "cost_dollars": "what the label cost; a copy of an earlier row cost nothing, so the column adds up",
    "prompt_hash": "the hash of the prompt that asked for it",
    "round": "the round in which the text was picked",
    "slice": "why it was picked: `cold`, `unsure`, `uncovered`, `random`",
    "inclusion_probability": "the chance with which it was picked, where chance decided",
    "score": "what selection gave the text when it was picked, on the strategy’s own scale",
    "because": "why it was picked, as a sentence",
    "why": "what selection noted of its choice, as JSON: strategy, rank, group and so on; prices in micro-dollars",
    "route": "`accepted`, `person`, `seed`, or `waiting`: the label is a suggestion that a person has not confirmed; "
    "`accepted in bulk by` somebody: a machine’s label, accepted with many others after some were checked; "
    "`unsure`: a guess of the student’s",
    "review_probability": "the chance with which a person was asked about it; empty where only an audit asked one",
    "created_at": "when the label was given, UTC",
    "text_id": "the id of the text: equal for copies of one text",
    "duplicate_of": "the id of the first row with the same text, for rows with a label",
}
FILES = {
    "parquet": "labels.parquet",
    "csv": "labels.csv",
    "jsonl": "labels.jsonl",
    "datasets": "datasets/",
    "squad": "labels.squad.json",
    "chat": "labels.chat.jsonl",
}
FILES_LINE = "files"
UNCONFIRMED = """\
Rows whose route is `waiting` or `unsure` carry a machine’s suggestion that no person has confirmed: leave them out
when you train, or weigh them by confidence."""
CHOSEN = """\
Texts were chosen to teach a model, not to stand for the pool: for figures about the pool use the `random` slice."""
DRAWN = "Texts were asked about in an order by chance, so those with a label stand for the pool."
CELLS = "Cells hold text as it is; a spreadsheet may take one that begins with `=` for a formula."
MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+!|<>~$&])")


@dataclass
class Count:
    """What was written: in which formats and columns, and how much, counted batch by batch."""

    formats: Sequence[str]
    columns: pa.Schema
    rows: int = 0
    labelled: int = 0
    copies: int = 0
    by_label: Counter[str] = field(default_factory=Counter)
    by_source: Counter[str] = field(default_factory=Counter)
    by_route: Counter[str] = field(default_factory=Counter)

    def add(self, rows: Sequence[Row]) -> None:
        for row in rows:
            self.rows += 1
            self.copies += row["duplicate_of"] is not None
            if row["source"] is not None:
                self.labelled += 1
                said = row["label"]
                self.by_label.update(said if isinstance(said, list) else [said])
                self.by_source[row["source"]] += 1
                self.by_route[row["route"] or "unknown"] += 1


def card(store: Store, job: str, task: Task, tally: Count) -> str:
    """The data card as Markdown. No clock: the same labels give the same card."""
    spending = store.spending(job)
    asked = store.asked(job)
    oracles, hashes = sorted({by for by, _ in asked}), sorted({hashed for _, hashed in asked if hashed})
    facts = {
        "kind of task": _safe(task.kind),
        "oracles": ", ".join(_safe(o) for o in oracles) or "none",
        "prompt hashes": ", ".join(_safe(h) for h in hashes) or "none",
        FILES_LINE: ", ".join(FILES[f] for f in FILES if f in tally.formats),
    }
    audited = certificate(certificates(store, job, task))
    missing = {"second", "image"} - {part.key for part in parts(task, "")}
    lines = [
        *_front(job, task, tally),
        f"# {_safe(job)}",
        "",
        f"{count(tally.labelled)} of {count(tally.rows)} rows have a label; {count(tally.copies)} repeat a text.",
        f"Made by Labelwright for {dollars(spending.spent)}.",
        "",
        *(f"- {name}: {said}" for name, said in facts.items()),
        "",
        UNCONFIRMED,
        CHOSEN if has_student(store.job(job).settings) else DRAWN,
        CELLS,
        *(["", f"How right the labels are: {audited}."] if audited else []),
        "",
        "## Labels",
        "",
        *([] if task.widget == "text" else _counts("label", tally.by_label, 200)),
        *_counts("source", tally.by_source),
        *_counts("route", tally.by_route),
        "## Columns",
        "",
        "| column | meaning |",
        "| --- | --- |",
        *(f"| `{name}` | {said} |" for name, said in COLUMNS.items() if name not in missing),
        "",
    ]
    return "\n".join(lines)


def files_named(card_text: str) -> list[str]:
    """The files and folders that a data card names, beside which it lies."""
    found = re.search(rf"^- {FILES_LINE}: (.*)$", card_text, re.MULTILINE)
    return [name for name in (found[1].split(", ") if found else ()) if name in FILES.values()]


def _front(job: str, task: Task, tally: Count) -> list[str]:
    """The YAML head that `datasets` and the hub read. Whose the texts are is not known here: no license is named."""
    head: dict[str, Any] = {"pretty_name": plain(job), "license": "unknown", "tags": ["labelwright"]}
    if task.names:
        head["task_categories"] = ["text-classification"]
    if isinstance(task, ExtractiveQa):
        head["task_categories"] = ["question-answering"]
    if isinstance(task, Spans):
        head["task_categories"] = ["token-classification"]
    if task.widget == "text":
        head["task_categories"] = ["text-generation"]
    if "parquet" in tally.formats:
        split = {"name": "train", "num_examples": tally.rows}
        head["configs"] = [{"config_name": "default", "data_files": FILES["parquet"]}]
        head["dataset_info"] = {"features": features(tally.columns), "splits": [split]}
    return ["---", *(f"{key}: {json.dumps(value)}" for key, value in head.items()), "---", ""]


def _counts(what: str, found: Counter[str], most: int = 50) -> list[str]:
    """A table of counts, the largest first."""
    if not found:
        return []
    rows = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    lines = [f"| {what} | rows |", "| --- | ---: |", *(f"| {_safe(name)} | {count(n)} |" for name, n in rows[:most])]
    if len(rows) > most:
        lines.append(f"| {len(rows) - most} more | {count(sum(n for _, n in rows[most:]))} |")
    return [*lines, ""]


def _safe(text: str) -> str:
    """Other people's text as one piece of Markdown without any effect of its own."""
    return (
        MARKDOWN.sub(r"\\\1", plain(text, 200)).replace("\\<", "&lt;").replace("\\>", "&gt;").replace("\\&", "&amp;")
    )

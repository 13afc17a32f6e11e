"""Where a job stands, from its store alone: `labelwright status`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.agreeing import Agreement, agreeing
from agent.records import Source
from agent.report import terminal, wording
from agent.store import BatchRow
from agent.studentless import has_student
from agent.workbench import Workbench


def standing(bench: Workbench) -> dict[str, Any]:
    """Plain figures, each a sum by the database. Opens no pool and no model. StoreError where the job never ran."""
    store, name = bench.store_of_run, bench.job.name
    job = store.job(name)
    rounds = store.rounds(name)
    last = dict(rounds[-1].figures) if rounds else {}
    labels = store.count_labels(name)
    failed, audit = store.failed(name), store.audits_left(name)
    return {
        "job": name,
        "student": has_student(job.settings),
        "rounds": len(rounds),
        "picked": store.count_picks(name),
        "labels": sum(labels.values()),
        "labels_by_people": labels.get(Source.PERSON, 0),
        "waiting_for_people": store.queue_size(name),
        "waiting_skipped": store.queue_size(name, include_skipped=True) - store.queue_size(name),
        "audit_waiting": audit.waiting,
        "audit_skipped": audit.skipped,
        "minutes_used": store.review_seconds(name) / 60,
        "minutes": bench.job.budget.minutes,
        "failed": failed.count,
        "failed_dollars": failed.cost / 1e6,
        **_money(bench),
        "quality": last.get("accuracy"),
        "measured_on": last.get("measured_on"),
        "last_round": {k: v for k, v in last.items() if k in SHORT},
        "batches": [_batch(row) for row in store.batches(name, unfinished=True)],
        "begun": job.created_at.isoformat(timespec="seconds"),
        "store": store.name,
    }


def agreement(bench: Workbench) -> Agreement | None:
    """How far those who labelled the same texts agree; None where no two did. StoreError where the job never ran."""
    store, name = bench.store_of_run, bench.job.name
    store.job(name)  # says so where there is none
    return agreeing(store, name, bench.task, bench.job.seed)


# what of a round's figures is short
SHORT = (
    "accuracy", "accuracy_lo", "accuracy_hi", "measured_on", "metric", "kappa", "accepted", "people", "failed",
    "picked", "seconds", "accuracy_random", "selected_equal", "equal_labels",
)  # fmt: skip


def _money(bench: Workbench) -> dict[str, Any]:
    store, name = bench.existing_store, bench.job.name
    spending, before = store.spending(name), store.bought_before(name)
    return {
        "spent_dollars": spending.spent / 1e6,
        "cap_dollars": spending.cap / 1e6,
        "reserved_dollars": spending.reserved / 1e6,
        "ambiguous_dollars": spending.ambiguous / 1e6,
        "overcharged_dollars": spending.overcharged / 1e6,
        "answers_paid": spending.settled_count,
        "attempts_released": spending.released_count,
        "attempts_ambiguous": spending.ambiguous_count,
        "answers_reused": before.count,
        "reused_dollars": before.cost / 1e6,
        "prompt_tokens": spending.usage.prompt_tokens,
        "cached_tokens": spending.usage.cached_tokens,
        "completion_tokens": spending.usage.completion_tokens,
    }


def _batch(row: BatchRow) -> dict[str, Any]:
    """A batch that holds money: a run collects it."""
    return {
        "id": row.id,
        "remote_id": row.remote_id,
        "oracle": row.oracle,
        "state": row.state,
        "texts": int(row.details.get("lines") or 0),
        "since": row.created_at.isoformat(timespec="seconds"),
    }


def told(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The same for a person: (what, said)."""
    count = wording.count
    lines = [("labels", f"{count(found['labels'])}, {count(found['labels_by_people'])} of them by people")]
    lines.append(("rounds", f"{count(found['rounds'])}, {count(found['picked'])} texts picked"))
    if found["rounds"]:
        lines.append(("last round", _last_round(found)))
    lines.append(("spent", _spent(found)))
    if found["answers_reused"]:
        saved = wording.dollars(1e6 * found["reused_dollars"])
        lines.append(("saved", f"{saved} by {count(found['answers_reused'])} answers already bought"))
    lines.append(("attempts", _attempts(found)))
    for batch in found["batches"]:
        since, there = str(batch["since"]).replace("T", " "), batch["remote_id"] or batch["state"]
        said = f"{_texts(batch['texts'])} in batch {batch['id']} of {batch['oracle']} ({there}), since {since}"
        lines.append(("under way", said))
    skipped = f", {count(found['waiting_skipped'])} more were skipped" if found["waiting_skipped"] else ""
    lines.append(("for people", f"{_texts(found['waiting_for_people'])} waiting{skipped}"))
    if found["audit_waiting"] or found["audit_skipped"]:
        skipped = f", {count(found['audit_skipped'])} more were skipped" if found["audit_skipped"] else ""
        lines.append(("audit", f"{_texts(found['audit_waiting'])} left to judge blind{skipped}"))
    if found["failed"]:
        cost = wording.dollars(1e6 * found["failed_dollars"])
        lines.append(("failed", f"{_texts(found['failed'])}, {cost}; they wait for a person"))
    used = wording.minutes(60 * found["minutes_used"])
    if found["minutes"] is not None:
        lines.append(("minutes", f"{used} of {found['minutes']:g} minutes of people used"))
    elif found["minutes_used"]:
        lines.append(("minutes", f"{used} minutes of people used"))
    return [*lines, ("begun", str(found["begun"]).replace("T", " ")), ("store", str(found["store"]))]


def _spent(found: Mapping[str, Any]) -> str:
    dollars = {name: wording.dollars(1e6 * found[f"{name}_dollars"]) for name in ("spent", "cap", "ambiguous")}
    said = f"{dollars['spent']} of {dollars['cap']}"
    if found["cap_dollars"]:
        said += f" ({wording.percent(found['spent_dollars'] / found['cap_dollars'])})"
    if found["labels"]:
        said += f", {wording.dollars_each(1e6 * found['spent_dollars'] / found['labels'])} a label"
    if found["attempts_ambiguous"]:
        said += f"; {dollars['ambiguous']} of it ambiguous"
    if found["reserved_dollars"]:
        said += f"; {wording.dollars(1e6 * found['reserved_dollars'])} more reserved"
    if found["overcharged_dollars"]:
        said += f"; charged {wording.dollars(1e6 * found['overcharged_dollars'])} above the worst case"
    return said


def _attempts(found: Mapping[str, Any]) -> str:
    said = f"{wording.count(found['answers_paid'])} paid answers"
    for name in ("ambiguous", "released"):
        if found[f"attempts_{name}"]:
            said += f", {wording.count(found[f'attempts_{name}'])} {name}"
    tokens = f"{wording.count(found['prompt_tokens'])} prompt tokens"
    cached = f" ({wording.count(found['cached_tokens'])} cached)" if found["cached_tokens"] else ""
    return f"{said}; {tokens}{cached}, {wording.count(found['completion_tokens'])} completion tokens"


def _last_round(found: Mapping[str, Any]) -> str:
    """What became of its texts, and how good the student was."""
    last = found["last_round"]
    parts = [f"{wording.count(last[k])} {k}" for k in ("accepted", "failed") if isinstance(last.get(k), int)]
    if isinstance(last.get("people"), int):
        parts.insert(1, f"{wording.count(last['people'])} for people")
    said = ", ".join(parts)
    return f"{said}; {terminal.student(last).plain.removeprefix('student').strip()}" if found["student"] else said


def _texts(number: int) -> str:
    return f"{wording.count(number)} text{'' if number == 1 else 's'}"

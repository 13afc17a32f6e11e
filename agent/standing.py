"""Where a job stands, from its store alone: `labelwright status`."""

from __future__ import annotations

from typing import Any

from agent.records import Source
from agent.workbench import Workbench


def standing(bench: Workbench) -> dict[str, Any]:
    """Plain figures. Opens no pool and no model. Raises StoreError where the job was never run."""
    store, name = bench.existing_store, bench.job.name
    job = store.job(name)
    spending = store.spending(name)
    rounds = store.rounds(name)
    last = rounds[-1].figures if rounds else {}
    current = store.current(name)
    people = sum(label.source is Source.PERSON for label in current.values())
    return {
        "job": name,
        "rounds": len(rounds),
        "picked": store.count_picks(name),
        "labels": len(current),
        "labels_by_people": people,
        "waiting_for_people": store.queue_size(name),
        "spent_dollars": spending.spent / 1e6,
        "cap_dollars": spending.cap / 1e6,
        "reserved_dollars": spending.reserved / 1e6,
        "answers_paid": spending.settled_count,
        "attempts_released": spending.released_count,
        "attempts_ambiguous": spending.ambiguous_count,
        "prompt_tokens": spending.usage.prompt_tokens,
        "completion_tokens": spending.usage.completion_tokens,
        "quality": last.get("accuracy"),
        "measured_on": last.get("measured_on"),
        "begun": job.created_at.isoformat(timespec="seconds"),
        "store": store.name,
    }

"""A job without a student (`student: none`): every text is asked about, and nothing is chosen, learnt or distilled.

What rests on a student by default is off in such a job; what asks for one in so many words is a mistake, and told.
Knows settings as named values alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

KIND = "none"
SETTLED: dict[tuple[str, str], Any] = {
    ("selection", "strategy"): "random",
    ("selection", "random_share"): 1.0,
    ("selection", "cold_start"): 0,
    ("stop", "agreement"): None,
    ("distil", "enabled"): False,
}
"""What these settings are, unless a job says something else, which it must not."""
USELESS = {
    "student": {
        "max_tokens", "batch_tokens", "cache", "class_names", "unlabelled", "label_noise", "refresh",
    },
    "selection": {"knowledge", "unbiased", "relabel", "options"},
    "people": {"suspects"},
    "stop": {"target_accuracy", "gain_per_dollar"},
}  # fmt: skip
"""What may be written down as it is by default, and nothing else."""


def contradictions(job: BaseModel) -> Iterator[str]:
    """A sentence for each setting of a job that needs a student."""
    for (section, key), value in SETTLED.items():
        part = getattr(job, section)
        if key in part.model_fields_set and getattr(part, key) != value:
            yield _needs(f"{section}.{key}")
    for section, keys in USELESS.items():
        part = getattr(job, section)
        for key, field in type(part).model_fields.items():
            if key in keys and getattr(part, key) != field.get_default(call_default_factory=True):
                yield _needs(f"{section}.{key}")
    for oracle in getattr(job, "oracle", ()):
        if oracle.format.shortlist is not None:
            yield _needs("oracle.format.shortlist")
        if oracle.format.examples == "nearest":
            yield _needs("oracle.format.examples")


def settled(job: BaseModel) -> dict[str, BaseModel]:
    """The sections of a job that are another without a student."""
    changes: dict[str, dict[str, Any]] = {}
    for (section, key), value in SETTLED.items():
        changes.setdefault(section, {})[key] = value
    return {section: getattr(job, section).model_copy(update=update) for section, update in changes.items()}


def has_student(settings: Mapping[str, Any]) -> bool:
    """Whether a job has a student, by its settings as plain JSON."""
    student = settings.get("student")
    return not (isinstance(student, Mapping) and student.get("kind") == KIND)


def _needs(key: str) -> str:
    return f"`{key}`: it needs a student, and the job has none (`student: {KIND}`); leave the one or the other out"

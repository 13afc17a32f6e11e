"""What a report says of money, as frozen values in whole micro-dollars."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agent.records import MicroDollars, Usage

NOTHING = MicroDollars(0)
NO_USE = Usage(0, 0)


def known(value: object) -> float | None:
    """A number where there is one: None for what is missing, not a number, infinite or no number at all."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def as_json(value: Any) -> Any:
    """`value` as what JSON can hold."""
    if isinstance(value, Mapping):
        return {str(k): as_json(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [as_json(v) for v in value]
    if isinstance(value, float):
        return known(value)
    return value if value is None or isinstance(value, str | int | bool) else str(value)


@dataclass(frozen=True, slots=True)
class Why:
    """One reason why attempts gave no label: `state` is ambiguous, invalid (paid, and no label) or released."""

    state: str
    reason: str
    count: int
    cost: MicroDollars = NOTHING


@dataclass(frozen=True, slots=True)
class Money:
    """Where the budget went. `ambiguous` is part of `spent`; `overcharged` is by how much answers cost more than
    their worst case; `invalid` is what answers that were no label cost; `elsewhere` is what was asked about texts of
    no round, such as the gold set; `per_label` is all that was spent for each label bought, None without any."""

    cap: MicroDollars = NOTHING
    spent: MicroDollars = NOTHING
    reserved: MicroDollars = NOTHING
    ambiguous: MicroDollars = NOTHING
    invalid: MicroDollars = NOTHING
    elsewhere: MicroDollars = NOTHING
    overcharged: MicroDollars = NOTHING
    per_label: float | None = None
    settled_count: int = 0
    released_count: int = 0
    ambiguous_count: int = 0
    invalid_count: int = 0
    elsewhere_count: int = 0
    reasons: tuple[Why, ...] = ()


@dataclass(frozen=True, slots=True)
class OracleUse:
    """What one oracle answered and cost. `price` is dollars per million tokens by kind, as the job file says."""

    name: str
    model: str = ""
    price: Mapping[str, float] = field(default_factory=dict)
    usage: Usage = NO_USE
    spent: MicroDollars = NOTHING
    answers: int = 0


@dataclass(frozen=True, slots=True)
class Saved:
    """What was not paid: `answers` that another job of the store had bought, own answers `shared` by further texts,
    prompt tokens the endpoint had cached, answers at the price of a batch, and copies of a text that received the
    label of their first."""

    answers: int = 0
    answers_cost: MicroDollars = NOTHING
    shared: int = 0
    shared_cost: MicroDollars = NOTHING
    batched: int = 0
    batched_cost: MicroDollars = NOTHING
    cached_tokens: int = 0
    cached_cost: MicroDollars = NOTHING
    copies: int | None = None


@dataclass(frozen=True, slots=True)
class FailedText:
    """One text that was asked in vain, why, and what that cost."""

    id: str
    text: str
    reasons: tuple[str, ...]
    cost: MicroDollars = NOTHING

"""A job's attempts read as a bookkeeper would: by round, by slice, by what became of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from agent.records import Label, MicroDollars, TextId
from agent.report.findings import FailedText, Money, OracleUse, Saved, known
from agent.report.wording import plain
from agent.store import AttemptRow, AttemptState, PickRow, Spending, Store

FAILED = 40
TEXT_CHARACTERS = 2000
PRICES = ("input", "cached_input", "output", "gpu_hour")


@dataclass(frozen=True)
class Books:
    """Everything a job's attempts say.

    `answers` maps the answers that became labels to the texts they labelled; `failures` maps texts to reasons.
    """

    job: str
    attempts: Sequence[AttemptRow]
    spending: Spending
    picks: Mapping[TextId, PickRow]
    answers: Mapping[int, frozenset[TextId]]
    answer_costs: Mapping[int, MicroDollars]
    failures: Mapping[TextId, Sequence[str]]

    @classmethod
    def open(cls, store: Store, job: str, picks: Mapping[TextId, PickRow], labels: Sequence[Label]) -> Books:
        """Read a job's books; `labels` are those that oracles gave."""
        answers: dict[int, set[TextId]] = {}
        for label in labels:
            if label.answer_id is not None:
                answers.setdefault(label.answer_id, set()).add(label.text_id)
        return cls(
            job=job,
            attempts=store.attempts(job),
            spending=store.spending(job),
            picks=picks,
            answers={i: frozenset(texts) for i, texts in answers.items()},
            answer_costs=store.costs(answers),
            failures=store.failures(job),
        )

    def money(self) -> Money:
        """Where the budget went."""
        s, invalid = self.spending, [a for a in self.attempts if self._is_invalid(a)]
        elsewhere = [a for a in self.attempts if a.text_id not in self.picks]
        return Money(
            cap=s.cap,
            spent=s.spent,
            reserved=s.reserved,
            ambiguous=s.ambiguous,
            invalid=_sum(invalid),
            elsewhere=_sum(elsewhere),
            settled_count=s.settled_count,
            released_count=s.released_count,
            ambiguous_count=s.ambiguous_count,
            invalid_count=len(invalid),
            elsewhere_count=sum(a.state is AttemptState.SETTLED for a in elsewhere),
        )

    def of_round(self, number: int) -> tuple[MicroDollars, MicroDollars]:
        """(settled, ambiguous) cost of the texts that were picked in a round."""
        return MicroDollars(self._settled[number]), MicroDollars(self._ambiguous[number])

    def labels_spent(self, number: int) -> MicroDollars:
        """What answers about picked texts have cost up to and with a round."""
        rounds = (self._settled + self._ambiguous).items()
        return MicroDollars(sum(cost for when, cost in rounds if when <= number))

    def random_spent(self, number: int) -> MicroDollars:
        """What the random slice has cost up to and with a round."""
        return MicroDollars(sum(cost for when, cost in self._random.items() if when <= number))

    @cached_property
    def _settled(self) -> Counter[int]:
        return self._by_round(lambda a, _: a.state is not AttemptState.AMBIGUOUS)

    @cached_property
    def _ambiguous(self) -> Counter[int]:
        return self._by_round(lambda a, _: a.state is AttemptState.AMBIGUOUS)

    @cached_property
    def _random(self) -> Counter[int]:
        return self._by_round(lambda _, p: p.slice == "random")

    def _by_round(self, wanted: Callable[[AttemptRow, PickRow], bool]) -> Counter[int]:
        """Round to the cost of those attempts about its texts."""
        cost: Counter[int] = Counter()
        for a in self.attempts:
            pick = self.picks.get(a.text_id)
            if pick is not None and wanted(a, pick):
                cost[pick.round] += a.charged
        return cost

    def oracles(self, settings: Mapping[str, Any]) -> tuple[OracleUse, ...]:
        """What each oracle answered and cost, in the order of the job file, at the job file's prices."""
        told = {str(o.get("name")): o for o in settings.get("oracle") or () if isinstance(o, Mapping)}
        used = self.spending.by_oracle
        names = [*(n for n in told if n in used), *(n for n in used if n not in told)]
        return tuple(self._oracle(name, told.get(name, {})) for name in names)

    def _oracle(self, name: str, told: Mapping[str, Any]) -> OracleUse:
        use = self.spending.by_oracle[name]
        return OracleUse(name, str(told.get("model") or ""), _price(told), use.usage, use.spent, use.settled_count)

    def saved(self, settings: Mapping[str, Any], copies: int | None) -> Saved:
        """What was not paid: answers used for more than one text or bought by another job, and cached tokens."""
        own = {a.answer_id for a in self.attempts if a.answer_id is not None}
        again = {i: len(texts) - (i in own) for i, texts in self.answers.items()}
        cached = 0.0
        for use in self.oracles(settings):
            if "input" in use.price and "cached_input" in use.price:
                # dollars per million tokens are micro-dollars per token
                cached += use.usage.cached_tokens * max(0.0, use.price["input"] - use.price["cached_input"])
        return Saved(
            answers=sum(again.values()),
            answers_cost=MicroDollars(sum(n * self.answer_costs.get(i, 0) for i, n in again.items())),
            cached_tokens=self.spending.usage.cached_tokens,
            cached_cost=MicroDollars(round(cached)),
            copies=copies,
        )

    def failed_texts(self, store: Store) -> tuple[FailedText, ...]:
        """The texts with failed or invalid answers, the dearest first, with what those cost."""
        cost: Counter[TextId] = Counter()
        for a in self.attempts:
            if a.state is AttemptState.AMBIGUOUS or self._is_invalid(a):
                cost[a.text_id] += a.charged
        first = sorted(self.failures, key=lambda i: (-cost[i], i))[:FAILED]
        texts = store.texts(self.job, first)
        return tuple(
            FailedText(
                id=i,
                text=plain(texts.get(i, "(a text that is not kept in the store)"), TEXT_CHARACTERS),
                reasons=tuple(_counted(self.failures[i])),
                cost=MicroDollars(cost[i]),
            )
            for i in first
        )

    def _is_invalid(self, attempt: AttemptRow) -> bool:
        """Whether a paid answer was no label: its text is known to have failed, and no label came of the answer."""
        paid = attempt.state is AttemptState.SETTLED and attempt.answer_id not in self.answers
        return paid and attempt.text_id in self.failures


def _sum(attempts: Sequence[AttemptRow]) -> MicroDollars:
    return MicroDollars(sum(a.charged for a in attempts))


def _counted(reasons: Sequence[str]) -> list[str]:
    """Each reason once, with how often it came."""
    return [f"{plain(r, 400)}{f' ({n} times)' if n > 1 else ''}" for r, n in Counter(reasons).items()]


def _price(told: Mapping[str, Any]) -> dict[str, float]:
    """Dollars by kind; the settings hold decimals as strings."""
    price = told.get("price")
    found: dict[str, float] = {}
    for kind in PRICES if isinstance(price, Mapping) else ():
        raw = price.get(kind) if isinstance(price, Mapping) else None
        try:
            number = known(float(raw)) if raw is not None else None
        except (TypeError, ValueError):
            number = None
        if number is not None:
            found[kind] = number
    return found

"""A job's money as the report tells it: by round, by oracle, by what became of each attempt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent.records import MicroDollars
from agent.report.sums import FailedText, Money, OracleUse, Saved, Why, known
from agent.report.wording import plain
from agent.store import AttemptState, RoundCost, Spending, Store

FAILED = 40
REASONS = 12  # of each kind that are shown one by one
TEXT_CHARACTERS = 2000
PRICES = ("input", "cached_input", "output", "gpu_hour")


@dataclass(frozen=True)
class Books:
    """A job's money, read once. `costs` is what each round's texts cost."""

    store: Store
    job: str
    spending: Spending
    costs: Sequence[RoundCost]

    @classmethod
    def open(cls, store: Store, job: str) -> Books:
        """Read a job's books. Raises StoreError where there is no such job."""
        return cls(store, job, store.spending(job), store.round_costs(job))

    def money(self) -> Money:
        """Where the budget went."""
        s = self.spending
        invalid, elsewhere = self.store.no_labels(self.job), self.store.elsewhere(self.job)
        reasons = self._reasons()
        return Money(
            cap=s.cap,
            spent=s.spent,
            reserved=s.reserved,
            ambiguous=s.ambiguous,
            overcharged=s.overcharged,
            invalid=invalid.cost,
            elsewhere=elsewhere.cost,
            settled_count=s.settled_count,
            released_count=s.released_count,
            ambiguous_count=s.ambiguous_count,
            invalid_count=invalid.count,
            elsewhere_count=elsewhere.count,
            reasons=tuple(r for state in ("ambiguous", "invalid", "released") for r in reasons[state]),
        )

    def _reasons(self) -> dict[str, list[Why]]:
        """The first reasons of each kind, and what is left of them as one."""
        found: dict[str, list[Why]] = {"ambiguous": [], "invalid": [], "released": []}
        for row in self.store.reasons(self.job):
            found[row.state].append(Why(row.state, plain(row.reason, 240) or "no reason given", row.count, row.cost))
        for state, rows in found.items():
            if len(rows) > REASONS:
                rest = rows[REASONS - 1 :]
                cost = MicroDollars(sum(r.cost for r in rest))
                other = Why(state, f"{len(rest)} other reasons", sum(r.count for r in rest), cost)
                found[state] = [*rows[: REASONS - 1], other]
        return found

    def of_round(self, number: int) -> tuple[MicroDollars, MicroDollars]:
        """(settled, ambiguous) cost of the texts that were picked in a round."""
        here = [c for c in self.costs if c.round == number]
        unclear = sum(c.cost for c in here if c.state is AttemptState.AMBIGUOUS)
        return MicroDollars(sum(c.cost for c in here) - unclear), MicroDollars(unclear)

    def labels_spent(self, number: int) -> MicroDollars:
        """What answers about picked texts have cost up to and with a round."""
        return MicroDollars(sum(c.cost for c in self.costs if c.round <= number))

    def random_spent(self, number: int) -> MicroDollars:
        """What the random slice has cost up to and with a round."""
        return MicroDollars(sum(c.cost for c in self.costs if c.round <= number and c.slice == "random"))

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
        """What was not paid: answers used for several texts or bought by another job, cached tokens, batches."""
        cached = 0.0
        for use in self.oracles(settings):
            if "input" in use.price and "cached_input" in use.price:
                # dollars per million tokens are micro-dollars per token
                cached += use.usage.cached_tokens * max(0.0, use.price["input"] - use.price["cached_input"])
        shared, before = self.store.shared(self.job), self.store.bought_before(self.job)
        count, batched = self._batched({use.name: use.price for use in self.oracles(settings)})
        return Saved(
            shared=shared.count,
            shared_cost=shared.cost,
            batched=count,
            batched_cost=batched,
            answers=before.count,
            answers_cost=before.cost,
            cached_tokens=self.spending.usage.cached_tokens,
            cached_cost=MicroDollars(round(cached)),
            copies=copies,
        )

    def _batched(self, prices: Mapping[str, Mapping[str, float]]) -> tuple[int, MicroDollars]:
        """Answers that came in batches, and what the same tokens would have cost more one by one."""
        count, saved = 0, 0.0
        for oracle, found in self.store.batched(self.job).items():
            price, used = prices.get(oracle, {}), found.usage
            count += found.settled_count
            if "input" in price and "output" in price:
                cached = used.cached_tokens * price.get("cached_input", price["input"])
                rest = (used.prompt_tokens - used.cached_tokens) * price["input"]
                saved += max(0.0, cached + rest + used.completion_tokens * price["output"] - found.spent)
        return count, MicroDollars(round(saved))

    def failed(self) -> dict[str, Any]:
        """The texts that were asked in vain, as `Findings` names it; the dearest first."""
        total = self.store.failed(self.job)
        first = self.store.failed_texts(self.job, FAILED)
        texts = self.store.texts(self.job, [i for i, _ in first])
        troubles = self.store.troubles(self.job, [i for i, _ in first])
        rows = tuple(
            FailedText(
                id=i,
                text=plain(texts.get(i, "(a text that is not kept in the store)"), TEXT_CHARACTERS),
                reasons=tuple(counted(troubles[i].reasons) if i in troubles else ()),
                cost=cost,
            )
            for i, cost in first
        )
        reasons: Counter[str] = Counter()
        for why, count in self.store.failed_reasons(self.job):
            reasons[plain(why, 240) or "no reason given"] += count
        return {
            "failed_count": total.count,
            "failed_cost": total.cost,
            "failed_reasons": tuple(reasons.most_common(REASONS)),
            "failed": rows,
        }


def counted(reasons: Sequence[tuple[str, int]]) -> list[str]:
    """Each reason with how often it came."""
    return [f"{plain(r, 400)}{f' ({n} times)' if n > 1 else ''}" for r, n in reasons]


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

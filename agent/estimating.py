"""What a job will cost, before it runs: from the rendered prompts of a sample, never from a guess at their length."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agent.endpoints import questions_of, reach
from agent.job import OracleSettings
from agent.ledger import Tariff, charge
from agent.oracle import TapeOracle
from agent.records import MicroDollars, Question, Usage
from agent.workbench import Workbench

SAMPLE = 200
TURN_TOKENS = 6  # what a chat template puts around a turn, about


@dataclass(frozen=True, slots=True)
class Estimate:
    """What one oracle costs a label. Money in micro-dollars.

    `expected` is the mean over the sample, by the student's tokenizer where nothing was bought yet (`basis`), and by
    what answers did cost where some were. `worst` is what a reservation sets aside, at most.
    """

    oracle: str
    model: str
    expected: float
    low: float
    high: float
    worst: MicroDollars
    labels: int
    pool: int
    pool_dollars: float
    basis: str

    def figures(self) -> dict[str, str | int | float]:
        """The same for machines. Money in dollars, and said so in the name, as everywhere else in `--json`."""
        money = {f"{name}_dollars": getattr(self, name) / 1e6 for name in ("expected", "low", "high", "worst")}
        counts = {"labels": self.labels, "pool": self.pool, "pool_dollars": self.pool_dollars}
        return {"oracle": self.oracle, "model": self.model, **money, **counts, "basis": self.basis}


def estimate(bench: Workbench) -> list[Estimate]:
    """One estimate an oracle. Sends nothing."""
    return [_estimate(bench, settings) for settings in bench.job.oracle]


def _estimate(bench: Workbench, settings: OracleSettings) -> Estimate:
    tariff = Tariff.of(settings)
    oracle = reach(bench, settings)
    mode = oracle.mode if isinstance(oracle, TapeOracle) else "json_schema"
    questions = questions_of(bench, settings, mode)
    rows = bench.rng(99).permutation(len(bench.pool))[:SAMPLE]
    asked = [questions(t) for t in bench.pool.texts(np.sort(rows))]
    paid = bench.store.spending(bench.job.name).by_oracle.get(settings.name)
    if paid is not None and paid.settled_count >= 20:
        attempts = bench.store.attempts(bench.job.name)
        costs = np.array([a.charged for a in attempts if a.charged and a.oracle == settings.name], float)
        basis = f"{paid.settled_count} answers bought so far"
    else:
        costs = np.array([charge(tariff.price, _usage(bench, q)) for q in asked], float)
        basis = f"{len(asked)} prompts, counted with the student's tokenizer"
    mean, spread = float(costs.mean()), 1.96 * float(costs.std()) / max(1, len(costs)) ** 0.5
    spending = bench.store.spending(bench.job.name)
    budget = max(0, spending.cap - spending.spent)
    return Estimate(
        oracle=settings.name,
        model=settings.model,
        expected=mean,
        low=max(0.0, mean - spread),
        high=mean + spread,
        worst=max((tariff.worst(q) for q in asked), default=MicroDollars(0)),
        labels=min(len(bench.pool), int(budget / mean)) if mean > 0 else len(bench.pool),
        pool=len(bench.pool),
        pool_dollars=mean * len(bench.pool) / 1e6,
        basis=basis,
    )


def _usage(bench: Workbench, question: Question) -> Usage:
    tokens = sum(bench.encoder.count_tokens([m.content for m in question.messages]))
    longest = max(bench.encoder.count_tokens(list(question.schema.choices or ["{}"])), default=1)
    return Usage(tokens + TURN_TOKENS * len(question.messages), longest + 1)

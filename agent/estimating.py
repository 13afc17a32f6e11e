"""What a job will cost, before it runs: from prompts that are rendered and counted, or from a pilot's answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

from agent.costing import Spread, affordable, mean_cost, share
from agent.counting import Counted, count_tokens
from agent.endpoints import questions_of, reach
from agent.framing import puts
from agent.job import OracleSettings, Price
from agent.ledger import Tariff
from agent.oracle import TapeOracle
from agent.oracle.prompt import AnswerMode
from agent.records import MicroDollars, Question, Text, TextId
from agent.report import wording
from agent.store import TextCost
from agent.workbench import Workbench

SAMPLE_STREAM = 99  # of the job's seed: which texts are sampled
SAMPLE = 200
ENOUGH = 20  # texts asked so far, from which on they tell more than counted tokens
NEWEST = 5000  # of them are looked at
PILOTS = "pilot.json"


@dataclass(frozen=True, slots=True)
class Pilot:
    """Which texts a pilot asked about: a random sample of the pool, drawn with `seed`."""

    oracle: str
    texts: tuple[TextId, ...]
    seed: int
    at_once: int


@dataclass(frozen=True, slots=True)
class Estimate:
    """What one oracle costs. Money in micro-dollars; every spread is an estimate with its 95 % interval.

    Attributes:
        basis: what it rests on, as a person reads it; `texts` are the texts it was taken from.
        label: of a label, refused and failed calls included where answers were bought. None where only a pilot can
            tell (a price for time).
        failed: of the texts asked, those that never got a label; None before any was asked.
        worst: what is set aside for one question while it is under way, at most.
        left: what the budget still holds.
        labels: how many labels that buys, never more than the pool.
        pool_cost: of asking about every text of the pool.
        rate: texts a second as they were answered; None where that is not known.
        other_mode: the pool's cost in the mode that the job does not use (`batch` for a live job), if that differs.
    """

    oracle: str
    model: str
    mode: str
    basis: str
    texts: int
    label: Spread | None
    failed: Spread | None
    worst: MicroDollars
    left: MicroDollars
    labels: Spread | None
    pool: int
    pool_cost: Spread | None
    rate: float | None = None
    at_once: int | None = None
    other_mode: Spread | None = None

    def figures(self) -> dict[str, Any]:
        """The same for machines. Money in dollars, and said so in the name, as everywhere else in `--json`."""
        dollars = {
            "label_dollars": _in_dollars(self.label),
            "pool_dollars": _in_dollars(self.pool_cost),
            "other_mode_pool_dollars": _in_dollars(self.other_mode),
            "worst_dollars": self.worst / 1e6,
            "left_dollars": self.left / 1e6,
        }
        plain = {"oracle": self.oracle, "model": self.model, "mode": self.mode, "basis": self.basis}
        counts = {"texts": self.texts, "pool": self.pool, "labels": _ends(self.labels), "failed": _ends(self.failed)}
        time = {"labels_per_second": self.rate, "pool_seconds": self.pool / self.rate if self.rate else None}
        return plain | counts | dollars | time

    def lines(self) -> list[tuple[str, str]]:
        """The same for a person: (what, said)."""
        if self.label is None or self.pool_cost is None or self.labels is None:
            said = "its price is for time: `--pilot 50` measures how long a label takes"
            return [("a label", said), ("set aside", self._aside())]
        found = [("a label", f"{_money(self.label)}, {self._counts()}")]
        if self.failed is not None:
            hits = round(self.failed.value * self.texts)
            ends = f"{wording.percent(self.failed.low)} to {wording.percent(self.failed.high)}"
            found.append(("no label", f"{wording.count(hits)} of {wording.count(self.texts)} texts ({ends})"))
        time = f", about {wording.seconds(self.pool / self.rate)}" if self.rate else ""
        found.append(("the budget", f"{wording.dollars(self.left)} left {self._buys()}"))
        found.append(("the whole pool", f"{wording.count(self.pool)} texts for {_money(self.pool_cost)}{time}"))
        if self.rate:
            most = f", with at most {self.at_once} at a time" if self.at_once else ""
            found.append(("speed", f"{self.rate:,.1f} labels a second were seen{most}"))
        if self.other_mode is not None:
            other = ("one by one", "live") if self.mode == "batch" else ("in batches", "batch")
            found.append((other[0], f"the whole pool for {_money(self.other_mode)}, with `mode: {other[1]}`"))
        return [*found, ("set aside", self._aside())]

    def _counts(self) -> str:
        if self.failed is not None:
            return "retries and failures counted"
        return "before retries and failures; `--pilot 50` counts those too"

    def _aside(self) -> str:
        return f"at most {wording.dollars_each(self.worst)} for a question while it is under way"

    def _buys(self) -> str:
        assert self.labels is not None
        low, value, high = (int(x) for x in (self.labels.low, self.labels.value, self.labels.high))
        if value >= self.pool and low >= self.pool:
            return "pays for the whole pool"
        return f"buys about {wording.count(value)} labels ({wording.count(low)} to {wording.count(high)})"


def estimate(bench: Workbench) -> list[Estimate]:
    """One estimate an oracle. Asks no question; a vLLM server is asked to count the sample's tokens."""
    return [_estimate(bench, settings) for settings in bench.job.oracle]


def _estimate(bench: Workbench, settings: OracleSettings) -> Estimate:
    tariff = bench.tariff(settings)
    mode, other = _modes(bench, settings)
    asked, prompt_hash = _sample(bench, settings, mode)
    worst = max((tariff.worst(q) for q in asked), default=MicroDollars(0))
    spending = bench.store.spending(bench.job.name)
    left = MicroDollars(max(0, bench.cap - spending.spent - spending.reserved))
    found = _by_answers(bench, settings, prompt_hash) or _by_tokens(bench, settings, asked, other)
    size = len(bench.pool)
    text = found.cost(tariff, worst, size)
    good = None if found.failed is None else found.failed.rest()
    texts = affordable(left, text, worst, size) if text else None
    labels = texts if texts is None or good is None else _labels(texts, good)
    return Estimate(
        oracle=settings.name,
        model=settings.model,
        mode="tape" if settings.tape else "batch" if settings.in_batches else "live",
        basis=found.basis,
        texts=found.texts,
        label=text if text is None or good is None else text.over(good),
        failed=found.failed,
        worst=worst,
        left=left,
        labels=labels,
        pool=size,
        pool_cost=text.times(size) if text else None,
        rate=found.rate,
        at_once=settings.most_at_once if found.rate else None,
        other_mode=_other_mode(bench, settings, found, worst),
    )


def _labels(texts: Spread, good: Spread) -> Spread:
    return Spread(texts.value * good.value, texts.low * good.low, texts.high * good.high)


def _sample(bench: Workbench, settings: OracleSettings, mode: AnswerMode) -> tuple[list[Question], str]:
    """The questions of some texts drawn at random, and the prompt's hash."""
    import numpy as np

    questions = questions_of(bench, settings, mode)
    rows = bench.rng(SAMPLE_STREAM).permutation(len(bench.pool))[:SAMPLE]
    texts = list(bench.pool.texts(np.sort(rows)))
    put = puts(bench, settings, questions, texts, keep=False)
    asked = [questions.maybe(t, put[t.id]) for t in texts]
    return [q for q in asked if q is not None], questions.prompt_hash


# From answers that were bought ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Basis:
    """What an estimate rests on: texts that were asked (`costs`), or prompts that were `counted`."""

    basis: str
    texts: int
    costs: Sequence[TextCost] = ()
    counted: Counted | None = None
    failed: Spread | None = None
    rate: float | None = None
    paid: Tariff | None = None  # at which `costs` were charged
    asks: int = 1  # questions about each text, where prompts were counted
    certain: bool = False  # nothing is ever unclear: a tape, or a price for time where nothing was

    def cost(self, tariff: Tariff, worst: MicroDollars, pool: int) -> Spread | None:
        """The mean cost of a text at a tariff; None where it cannot be known."""
        if self.counted is not None:
            return None if tariff.price.gpu_hour is not None else self.counted.cost(tariff.price).times(self.asks)
        factor = _dearer(tariff.price, self.paid.price) if self.paid else 1.0
        plain, unclear = [c.plain * factor for c in self.costs], [c.unclear * factor for c in self.costs]
        return mean_cost(plain, unclear, 0.0 if self.certain else float(worst), pool)


def _by_answers(bench: Workbench, settings: OracleSettings, prompt_hash: str) -> _Basis | None:
    """From the pilot's texts, which are a fair sample, or else from what was asked so far, where that is enough."""
    job, store = bench.job, bench.store
    sample = _read_pilot(bench, settings, prompt_hash)
    if sample is not None:
        texts = list(sample.texts)
        basis = f"a pilot of {len(texts):,} texts, drawn at random with seed {sample.seed}"
    else:
        texts = store.newest_asked(job.name, settings.name, NEWEST)
    costs = store.text_costs(job.name, settings.name, texts)
    good = sum(c.good for c in costs)
    if sample is None:
        basis = f"{len(costs):,} texts asked so far"
        if good < ENOUGH:
            return None
    if not costs:
        return None
    # a tape answers at once, and a batch when it is done
    timeless = settings.tape is not None or settings.in_batches
    busy_s = 0.0 if timeless else store.busy_seconds(job.name, settings.name, texts)
    price = settings.price
    no_time_out = price is not None and price.gpu_hour is not None and not any(c.unclear for c in costs)
    return _Basis(
        basis=basis,
        texts=len(costs),
        costs=costs,
        failed=share(len(costs) - good, len(costs)),
        rate=good / busy_s if busy_s > 0 and good else None,
        paid=Tariff.of(settings) if sample is not None else bench.tariff(settings),
        certain=settings.tape is not None or no_time_out,
    )


def keep_pilot(bench: Workbench, settings: OracleSettings, texts: Sequence[TextId], prompt_hash: str) -> Pilot:
    """Note which texts a pilot asked about, beside the job's other output."""
    done = Pilot(settings.name, tuple(texts), bench.job.seed, settings.most_at_once)
    noted = _pilots(bench) | {settings.name: asdict(done) | _shape(bench, settings, prompt_hash)}
    part = bench.output(f".{PILOTS}.part")
    part.write_text(json.dumps(noted, indent=1) + "\n", encoding="utf-8")
    part.replace(bench.output(PILOTS))
    return done


def _read_pilot(bench: Workbench, settings: OracleSettings, prompt_hash: str) -> Pilot | None:
    """The oracle's pilot, where pool, prompt, model and price are still what they were."""
    noted = _pilots(bench).get(settings.name)
    if not isinstance(noted, dict) or {**noted, **_shape(bench, settings, prompt_hash)} != noted:
        return None
    try:
        texts = tuple(TextId(str(i)) for i in noted["texts"])
        return Pilot(settings.name, texts, int(noted["seed"]), int(noted["at_once"]))
    except (KeyError, TypeError, ValueError):
        return None


def _pilots(bench: Workbench) -> dict[str, Any]:
    try:
        found = json.loads((bench.job.output_folder / PILOTS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _shape(bench: Workbench, settings: OracleSettings, prompt_hash: str) -> dict[str, Any]:
    """What has to be the same for a pilot to tell of the job as it is now."""
    price = settings.price.model_dump(mode="json") if settings.price else None
    job = bench.job.fingerprint()
    return {"job": job, "pool": bench.pool.key, "prompt": prompt_hash, "model": settings.model, "price": price}


# From tokens that were counted ------------------------------------------------------------------------------------


def _modes(bench: Workbench, settings: OracleSettings) -> tuple[AnswerMode, AnswerMode | None]:
    """How answers are held to the schema, which shapes the prompt: as the job says, or where only asking will tell,
    the longer prompt of the two that it may be, and the shorter one."""
    oracle = reach(bench, settings.each()[0]) if settings.serve is None else None  # no server is started for it
    if isinstance(oracle, TapeOracle):
        return oracle.mode, None
    if settings.answers != "auto":
        return settings.answers, None
    return "json_schema", "choice" if bench.task.schema(Text(TextId("sample"), "")).choices else None


def _by_tokens(
    bench: Workbench, settings: OracleSettings, asked: Sequence[Question], other: AnswerMode | None
) -> _Basis:
    counted = asyncio.run(count_tokens(bench, settings, asked))
    if other is not None:
        shorter = asyncio.run(count_tokens(bench, settings, _sample(bench, settings, other)[0]))
        counted = counted.or_as_little_as(shorter)
    said, asks = f"{len(asked):,} prompts, counted {counted.by}", settings.format.samples
    return _Basis(said, len(asked), counted=counted, asks=asks)


def _other_mode(bench: Workbench, settings: OracleSettings, found: _Basis, worst: MicroDollars) -> Spread | None:
    """The pool's cost in the other mode, where the oracle has one and it costs something else."""
    if len(settings.addresses) != 1 or settings.price is None or settings.price.gpu_hour is not None:
        return None
    other = Tariff.of(settings) if settings.in_batches else Tariff.in_batches(settings)
    now = bench.tariff(settings)
    factor = _dearer(other.price, now.price)
    cost = found.cost(other, MicroDollars(int(worst * factor)), len(bench.pool))
    return None if cost is None or factor == 1 else cost.times(len(bench.pool))


def _dearer(price: Price, than: Price) -> float:
    """How many times dearer the one price is; modes differ by one factor."""
    if price.input is None or than.input is None:
        return 1.0
    one, other = (price.input, than.input) if than.input else (price.output or Decimal(0), than.output or Decimal(0))
    return float(one / other) if other else 1.0


def _in_dollars(found: Spread | None) -> dict[str, float] | None:
    return None if found is None else _ends(found.times(1e-6))


def _ends(found: Spread | None) -> dict[str, float] | None:
    return None if found is None else {"value": found.value, "low": found.low, "high": found.high}


def _money(found: Spread) -> str:
    """Micro-dollars with their interval."""
    each = wording.dollars_each
    return f"{each(found.value)} ({each(found.low)} to {each(found.high)})"

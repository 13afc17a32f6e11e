"""Which way of asking is best: several are tried on texts whose labels are known, for a stated sum.

All are asked about the same texts, a block at a time, and one that is surely worse than the best so far is asked no
further. What it costs comes out of the job's budget, and its answers stay: a run that asks the same buys them not
again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from agent.endpoints import Seat, connect, live, questions_of
from agent.errors import UserError
from agent.framing import reviewed
from agent.hearing import Heard, costs_of, hear, worst_cases
from agent.job import FormatSettings, Job
from agent.jobfile import with_setting
from agent.loop import halting
from agent.oracle import one_a_class
from agent.records import Belief, MicroDollars, Text, Value
from agent.report.reliability import reliability
from agent.serving import serving
from agent.tasks import Task
from agent.tasks.intervals import paired_difference, wilson
from agent.workbench import PILOT, Workbench

Doubles = npt.NDArray[np.float64]

FEWEST = 20
"""Texts with a known label that a comparison needs."""
BLOCK = 20
"""Texts that all formats are asked about before the next look at them."""
AS_GOOD = 0.005
"""A format whose mean score is this near to the best is as good, and the cheapest of those is taken."""
WORTH, SEEN = 0.02, 40
"""A format that costs twice as much as another is asked on only while it may score better by `WORTH`, one that costs
three times as much by twice that, and so on; told from `SEEN` texts on, once the cheaper one has erred: before that
nothing shows what there is to mend."""
MANY_CLASSES = 12
"""From so many on a shortlist is tried."""


@dataclass(frozen=True)
class Tried:
    """One format and what came of it.

    Attributes:
        scores: (n,) quadratic score of each text, 1 for a certain right answer and 0 for a certain wrong one; a text
            without a label scores 0.
        right: (n,) whether the answer was right.
        confidences: (n,) of the answers, NaN where there was none.
        costs: (n,) micro-dollars.
        dropped: why it was not asked about all texts; "" where it was.
    """

    name: str
    form: FormatSettings
    scores: Doubles = field(default_factory=lambda: np.zeros(0))
    right: npt.NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    confidences: Doubles = field(default_factory=lambda: np.zeros(0))
    costs: Doubles = field(default_factory=lambda: np.zeros(0))
    dropped: str = ""

    def more(self, task: Task, heard: Sequence[tuple[Value, Heard]], costs: Sequence[float]) -> Tried:
        """With further texts: what is known of each, and what was heard."""
        right = [h.value is not None and task.agreement(truth, h.value) == 1.0 for truth, h in heard]
        scores = [quadratic(task, truth, h.value, h.belief) for truth, h in heard]
        return replace(
            self,
            scores=np.append(self.scores, scores),
            right=np.append(self.right, right),
            confidences=np.append(self.confidences, [h.belief.confidence for _, h in heard]),
            costs=np.append(self.costs, np.asarray(costs, np.float64)),
        )

    @property
    def score(self) -> float:
        return float(self.scores.mean()) if len(self.scores) else 0.0

    @property
    def cost(self) -> float:
        """Mean of a text, micro-dollars."""
        return float(self.costs.mean()) if len(self.costs) else 0.0

    def figures(self) -> dict[str, Any]:
        """As plain JSON."""
        n = len(self.right)
        low, high = wilson(int(self.right.sum()), n)
        believed = reliability(self.confidences, self.right)
        return {
            "name": self.name,
            "format": changes(self.form),
            "texts": n,
            "accuracy": float(self.right.mean()) if n else None,
            "accuracy_lo": low,
            "accuracy_hi": high,
            "calibration_error": believed.ece if believed else None,
            "score": self.score,
            "dollars_per_1000": self.cost / 1e3 if n else None,
            "dropped": self.dropped or None,
        }


@dataclass(frozen=True)
class Compared:
    """What a pilot found: the formats, best first, what it cost, and why it ended."""

    tried: tuple[Tried, ...]
    oracle: str
    spent: MicroDollars
    ended: str

    @property
    def best(self) -> Tried:
        return self.tried[0]

    def table(self) -> list[tuple[str, ...]]:
        """For a terminal: a head, then a row a format, best first."""
        rows: list[tuple[str, ...]] = [
            ("format", "texts", "accuracy", "95 %", "calibration error", "$ per 1,000", "")
        ]
        for t in self.tried:
            f = t.figures()
            error = "" if f["calibration_error"] is None else f"{f['calibration_error']:.3f}"
            if not f["texts"]:
                rows.append((t.name, "0", "", "", "", "", "not asked"))
                continue
            span = f"{f['accuracy_lo']:.0%} to {f['accuracy_hi']:.0%}"
            remark = "best" if t is self.best else f"{t.dropped}, asked no further" if t.dropped else ""
            price = f"{f['dollars_per_1000']:.4f}"
            rows.append((t.name, str(f["texts"]), f"{f['accuracy']:.1%}", span, error, price, remark))
        return rows

    def figures(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "oracle": self.oracle,
            "best": self.best.name,
            "format": changes(self.best.form),
            "spent_dollars": self.spent / 1e6,
            "ended": self.ended,
            "formats": [t.figures() for t in self.tried],
        }


def changes(form: FormatSettings) -> dict[str, Any]:
    """What a job file has to say for this format: what is not as by default."""
    return form.model_dump(mode="json", exclude_defaults=True)


def quadratic(task: Task, truth: Value, value: Value | None, belief: Belief) -> float:
    """1 minus half the squared distance between the probabilities and the truth (Brier 1950, turned round): it
    rewards who is right, and who knows when not. Without probabilities an answer counts as certain."""
    if value is None:
        return 0.0
    told = belief.probabilities
    if told is None or isinstance(truth, tuple):
        return float(task.agreement(truth, value))
    return 1.0 - float(sum((p - (name == truth)) ** 2 for name, p in told.items())) / 2


# What is tried, and which is best -----------------------------------------------------------------------------------


def candidates(
    task: Task, now: FormatSettings, *, seed: bool, described: bool, student: bool = True
) -> dict[str, FormatSettings]:
    """The formats worth trying for a task, each by a name; the job's own comes first.

    Args:
        now: the job's own format.
        seed: whether there are worked examples.
        described: whether labels have descriptions.
        student: whether there is one, by which likely classes and examples near a text are known.
    """
    plain = FormatSettings(examples="none")
    shown = FormatSettings() if seed else plain
    found = {"label names": plain, "an example a class": shown, "codes": shown.model_copy(update={"answer": "code"})}
    if seed and student:
        found["nearest examples"] = shown.model_copy(update={"examples": "nearest", "nearest": 4})
    found["two orders"] = shown.model_copy(update={"orders": 2})
    found["a reason first"] = shown.model_copy(update={"reason": True})
    if described:
        found["no descriptions"] = shown.model_copy(update={"descriptions": False})
    if len(task.names) >= MANY_CLASSES and task.widget == "choice" and student:
        found["a shortlist of 8"] = shown.model_copy(update={"shortlist": 8})
    # what guards against hostile texts is no question of which is best
    guarded = {"spotlight": now.spotlight, "hostile_check": now.hostile_check}
    found = {name: form.model_copy(update=guarded) for name, form in found.items()}
    kept: dict[str, FormatSettings] = {}
    for name, form in found.items():
        if form not in kept.values():
            kept[name] = form
    own = next((name for name, form in kept.items() if form == now), "as the job has it")
    return {own: now} | {name: form for name, form in kept.items() if name != own}


def ranked(tried: Sequence[Tried]) -> list[Tried]:
    """Best first. The mean score decides; of those that are as good as the best, the cheapest comes first."""
    order = sorted(tried, key=lambda t: (bool(t.dropped), -t.score))
    top = order[0]
    as_good = [t for t in order if t.score >= top.score - AS_GOOD and bool(t.dropped) == bool(top.dropped)]
    cheapest = min(as_good, key=lambda t: t.cost)
    return [cheapest, *(t for t in order if t is not cheapest)]


def given_up(tried: Sequence[Tried], rng: np.random.Generator) -> dict[str, str]:
    """Which formats need not be asked any further, and why: by the same texts, with 95 %, one scores below another;
    or it costs more than another without being better by enough to be worth that."""
    found: dict[str, str] = {}
    for one in sorted(tried, key=lambda t: (t.score, -t.cost)):  # the worst first, so that the best cannot go
        for other in tried:
            if other is one or other.name in found or not len(one.scores):
                continue
            n = min(len(one.scores), len(other.scores))
            _, _, high = paired_difference(one.scores[:n], other.scores[:n], rng)
            if high < 0:
                found[one.name] = "surely worse"
            elif n >= SEEN and not other.right[:n].all() and high < WORTH * (one.cost / max(other.cost, 1e-9) - 1):
                found[one.name] = f"dearer than {other.name} and no better"
            if one.name in found:
                break
    return found


# Asking -------------------------------------------------------------------------------------------------------------


def compare(
    bench: Workbench,
    dollars: float,
    most: int,
    known: Sequence[tuple[Text, Value]] | None = None,
    forms: Mapping[str, FormatSettings] | None = None,
) -> Compared:
    """Try the formats of the job's first oracle on at most `most` texts with known labels, for at most `dollars`.
    The texts are those that the job knows labels of, or `known`; the formats are `candidates`, or `forms`.

    Failed attempts that are made again may take it a little above `dollars`, never above the job's budget.

    Raises UserError: too few texts with a known label, a sum that pays for none, another run owns the job.
    """
    if not bench.task.names:
        raise UserError(
            f"job {bench.job.name} has `kind: {bench.job.task.kind}`: ways of asking are tried for tasks with "
            "classes alone; `labelwright estimate --pilot N` says what its answers cost"
        )
    bench.own()
    known = known_texts(bench) if known is None else known
    if len(known) < FEWEST:
        raise UserError(
            f"a pilot needs at least {FEWEST} texts with a known label, and there are {len(known)}: name a file of "
            "labelled texts as `data.gold`, or review some with `labelwright review`"
        )
    order = bench.rng(PILOT).permutation(len(known))[:most]
    with halting(bench), serving(bench):
        return asyncio.run(_compare(bench, [known[i] for i in order.tolist()], int(dollars * 1e6), forms))


def known_texts(bench: Workbench) -> list[tuple[Text, Value]]:
    """Texts with a known label that no question shows as an example: gold, what people said, the rest of the seed."""
    inside = bench.pool.texts(bench.pool.rows_of(list(bench.pool_gold)))
    gold = [*bench.gold, *((t, bench.pool_gold[t.id]) for t in inside)]
    shown = {t.id for t, _ in one_a_class(bench.task, bench.shown_seed)}
    found = {t.id: (t, value) for t, value in [*gold, *reviewed(bench)] if t.id not in shown}
    return list(found.values())


async def _compare(
    bench: Workbench, known: Sequence[tuple[Text, Value]], cap: int, forms: Mapping[str, FormatSettings] | None
) -> Compared:
    seat = await connect(bench, live(bench, bench.job.oracle[0]))
    bench.on_halt(seat.asker.halt)
    there = {"seed": bool(bench.seed), "student": bench.job.has_student}
    there["described"] = any(bench.job.task.labels.values())
    forms = forms or candidates(bench.task, seat.settings.format, **there)
    seats = {name: _seat(bench, seat, form) for name, form in forms.items()}
    tried = {name: Tried(name, form) for name, form in forms.items()}
    before, ended = bench.store.spending(bench.job.name).spent, f"all {len(known)} texts were asked about"
    try:
        for start in range(0, len(known), BLOCK):
            block = known[start : start + BLOCK]
            alive = [name for name, t in tried.items() if not t.dropped]
            spent = bench.store.spending(bench.job.name).spent - before
            if spent + sum(_worst(bench, seats[name], block) for name in alive) > cap:
                ended = f"the next {len(block)} texts might have cost more than the ${cap / 1e6:g} it was given"
                break
            for name in alive:
                tried[name] = await _ask(bench, seats[name], tried[name], block)
            if bench.halted or seat.asker.state.exhausted:
                ended = "it was stopped" if bench.halted else "the job's budget pays for no further question"
                break
            gone = given_up([tried[name] for name in alive], bench.rng(PILOT, start))
            tried |= {name: replace(tried[name], dropped=why) for name, why in gone.items()}
    finally:
        await seat.asker.close()
    if not any(len(t.right) for t in tried.values()):
        raise UserError(f"{ended}; give it more with --dollars, or raise `budget.dollars`")
    spent = bench.store.spending(bench.job.name).spent - before
    return Compared(tuple(ranked(list(tried.values()))), seat.settings.name, MicroDollars(spent), ended)


def _seat(bench: Workbench, seat: Seat, form: FormatSettings) -> Seat:
    """The same oracle, asked in another format."""
    settings = seat.settings.model_copy(update={"format": form})
    return Seat(settings, seat.asker, questions_of(bench, settings, seat.questions.sampling.mode))


def _worst(bench: Workbench, seat: Seat, block: Sequence[tuple[Text, Value]]) -> int:
    """The worst case of asking about some texts, in all orders and once more where a shortlist may lack the class;
    what is in the store already costs nothing."""
    form = seat.settings.format
    return sum(worst_cases(bench, seat, [t for t, _ in block])) * (
        form.orders + (form.shortlist is not None) + form.hostile_check
    )


async def _ask(bench: Workbench, seat: Seat, tried: Tried, block: Sequence[tuple[Text, Value]]) -> Tried:
    heard = await hear(bench, seat, [t for t, _ in block])
    asked = [(truth, heard[t.id]) for t, truth in block if t.id in heard]
    costs = costs_of(bench, heard)
    return tried.more(bench.task, asked, [costs[h.text_id] for _, h in asked])


# Into the job -------------------------------------------------------------------------------------------------------


def write_format(path: Path, form: FormatSettings) -> bool:
    """Put a format into the job file, for its first oracle; everything else stays as it was, comments too. False
    where the file says so already.

    Raises JobFileError, OSError.
    """
    old = path.read_text(encoding="utf-8")
    if Job.load(path).oracle[0].format == form:
        return False
    new = with_setting(old, ("oracle", 0, "format"), changes(form))
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(new, encoding="utf-8")
        if Job.load(part).oracle[0].format != form:
            raise RuntimeError(f"{path}: the format did not come out as it was put in")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return True

"""What a job knows of its doubts, on a tape: every label with its signs, as the run itself noted them.

A job is run over all texts of a set by a real model's recorded answers, drawn at random, in rounds of a hundred; then
the gold labels of 200 of them stand for what people said, many times over, and the rest is foretold.
"""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from agent.doubt import Calibration, ErrorModel, Given, Prior
from agent.doubt.calibration import places
from agent.doubting import as_array
from agent.endpoints import connect
from agent.errors import TapeMiss
from agent.hearing import hear
from agent.job import Job
from agent.loop import run
from agent.opinions import as_given
from agent.records import Source
from agent.report.reliability import reliability
from agent.tasks import Task
from agent.workbench import Workbench
from evals._formats import asked, tape_of, write_job
from evals.outcome import Outcome

FORM = "an example a class"
PEOPLE = 200
DRAWS = 200
LEAST_SURE = 0.2
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Noted:
    """n labels of a run: answers as given, signs (n, S), whether right, the true class, what each cost in
    micro-dollars, the text's row in its corpus, and what the model says of texts without content, where the tape
    holds that."""

    task: Task
    given: Given
    signs: Doubles
    right: npt.NDArray[np.bool_]
    truth: npt.NDArray[np.int64]
    costs: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]
    prior: Prior | None


def noted(name: str) -> Noted:
    """The labels of a run over a set's long tape. Raises FileNotFoundError where it is not recorded."""
    tape = tape_of(name, FORM)
    if not tape.exists():
        raise FileNotFoundError(f"{tape}: not recorded; `python -m evals._record_formats URL` does it")
    gold = asked(name).gold
    changes: dict[str, Any] = {
        "selection": {"strategy": "random", "batch": 100, "cold_start": 100},
        "student": {"refresh": False},
        "distil": {"enabled": False},
        "stop": {"agreement": None},
    }
    with tempfile.TemporaryDirectory() as folder:
        job = Job.load(write_job(Path(folder), name, FORM, changes=changes, tape=str(tape)))
        run(job)
        with Workbench(job) as bench:
            labels = bench.store.labels(job.name, source=Source.ORACLE)
            bench.own()
            prior = asyncio.run(_content_free(bench))
            given = as_given(labels, bench.task)
            truth = places((gold[x.text_id] for x in labels), bench.task.names)
    signs = as_array([x.signs or {} for x in labels])
    assert given.said is not None
    costs = np.array([x.cost for x in labels], np.int64)
    rows = np.array([int(x.text_id.rpartition("-")[2]) for x in labels], np.int64)
    return Noted(bench.task, given, signs, given.said == truth, truth, costs, rows, prior)


async def _content_free(bench: Workbench) -> Prior | None:
    seat = await connect(bench, bench.job.oracle[0].model_copy(update={"prior": "content_free"}))
    try:
        await hear(bench, seat, [])
    except TapeMiss:
        return None
    finally:
        await seat.asker.close()
    return seat.prior


def report(outcome: Outcome, name: str) -> None:
    """Calibration, the error model and the prior on one set."""
    try:
        found = noted(name)
    except FileNotFoundError as missing:
        outcome.add(f"{name}: calibration error after 200 people's labels", "not recorded", "", target="<= 0.05",
                    holds=False)  # fmt: skip
        print(missing)
        return
    n = len(found.right)
    outcome.add(f"{name}: labels", n, f"of which {1 - found.right.mean():.1%} are wrong")
    before, after, first, alone, kinds = [], [], [], [], []
    for draw in range(DRAWS):
        order = np.random.default_rng([draw, 5]).permutation(n)
        people, rest = order[:PEOPLE], order[PEOPLE:]
        calibration = Calibration.fit(found.given.part(people), found.right[people], found.truth[people])
        model = ErrorModel.fit(found.signs[people], found.right[people])
        right = found.right[rest]
        before.append(_ece(found.given.confidences[rest], right))
        after.append(_ece(calibration.apply(found.given.part(rest)), right))
        first.append(_found(model.right(found.signs[rest]), right))
        alone.append(_found(found.given.confidences[rest], right))
        kinds.append(calibration.kind)
    often = ", ".join(f"{k} in {kinds.count(k)}" for k in sorted(set(kinds), key=kinds.count, reverse=True))
    outcome.add(f"{name}: expected calibration error as given", float(np.mean(before)), "mean of 200 draws")
    outcome.add(f"{name}: calibration error after {PEOPLE} people's labels", float(np.mean(after)),
                f"mean of 200 draws ({often}); 95 % below {np.quantile(after, 0.95):.3f}",
                target="<= 0.05", holds=bool(np.mean(after) <= 0.05))  # fmt: skip
    outcome.add(f"{name}: errors in the least sure 20 %, by the error model", float(np.mean(first)),
                f"share; 95 % above {np.quantile(first, 0.05):.2f}", target=">= 0.60",
                holds=bool(np.mean(first) >= 0.6), rival=f"by confidence alone {np.mean(alone):.2f}")  # fmt: skip
    expected = ErrorModel().right(found.signs)
    outcome.add(f"{name}: the same before any person is heard", _found(expected, found.right), "share")
    outcome.add(f"{name}: accuracy, prior kept", float(found.right.mean()), f"of {n}")
    assert found.given.probabilities is not None
    _report_prior(outcome, name, found, Prior.of(found.given.probabilities, "batch"))
    _report_prior(outcome, name, found, found.prior)


def _report_prior(outcome: Outcome, name: str, found: Noted, prior: Prior | None) -> None:
    """Accuracy with a preference divided out, and without."""
    if prior is None:
        outcome.add(f"{name}: accuracy, content-free prior divided out", "not recorded", "")
        return
    assert found.given.probabilities is not None
    without = prior.without(found.given.probabilities)
    value = without.argmax(axis=1) == found.truth
    gain = value.astype(float) - found.right
    half = 1.96 * gain.std(ddof=1) / np.sqrt(len(gain))
    shares = ", ".join(f"{s:.2f}" for s in prior.shares)
    kind = prior.basis.replace("_", "-")
    outcome.add(f"{name}: accuracy, {kind} prior divided out", float(value.mean()),
                f"{100 * gain.mean():+.1f} points, 95 % {100 * (gain.mean() - half):+.1f} to "
                f"{100 * (gain.mean() + half):+.1f}; prior {shares}")  # fmt: skip
    outcome.add(f"{name}: calibration error, {kind} prior divided out", _ece(without.max(axis=1), value),
                f"{_ece(found.given.confidences, found.right):.3f} with it kept")  # fmt: skip


def _ece(confidences: Doubles, right: npt.NDArray[np.bool_]) -> float:
    found = reliability(confidences, right)
    assert found is not None
    return found.ece


def _found(sure: Doubles, right: npt.NDArray[np.bool_]) -> float:
    """The share of all errors among the least sure fifth."""
    least = np.argsort(sure, kind="stable")[: int(LEAST_SURE * len(sure))]
    return float((~right[least]).sum() / max(1, (~right).sum()))

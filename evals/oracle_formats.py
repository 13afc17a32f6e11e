"""What a way of asking is worth, and whether doubt can be trusted: a real 1.5B model's answers, recorded.

    python -m evals.oracle_formats [--quick]

Six formats on 100 texts of three sets: accuracy, dollars per 1,000, and how many of the errors are among the least
sure fifth. What `labelwright pilot` picks is held beside the best of them. On two tapes of 1,000 and more texts:
calibration on 200 people's labels, the error model, and the model's preference for some labels divided out. Tapes are
in evals/tapes; `python -m evals._record_formats URL` records them.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from agent.formats import Compared, compare
from agent.hearing import costs_of, hear
from agent.job import Job
from agent.oracle import TapeHeader, read_tape, write_tape
from agent.tasks.intervals import wilson
from agent.workbench import Workbench
from evals import _corpora, _doubt
from evals._formats import FORMATS, LONG, MODEL, SETS, TEXTS, asked, tape_of, write_job
from evals.outcome import Outcome, is_quick

PLAIN = "label names"
JOB = 20
"""A pilot may cost a twentieth of the job that it is for."""
RESAMPLES = 2000


def answers(name: str, form: str) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64], float]:
    """(right, confidence) of the first texts in one format, and dollars per 1,000. Raises FileNotFoundError."""
    import asyncio

    from agent.endpoints import connect

    tape = tape_of(name, form)
    if not tape.exists():
        raise FileNotFoundError(tape)
    texts, gold = asked(name).texts[:TEXTS], asked(name).gold

    async def ask(bench: Workbench) -> tuple[list[bool], list[float], float]:
        seat = await connect(bench, bench.job.oracle[0])
        heard = await hear(bench, seat, texts)
        said = [heard[t.id] for t in texts]
        costs = costs_of(bench, heard)
        right = [h.value == gold[h.text_id] for h in said]
        return right, [h.belief.confidence for h in said], sum(costs.values()) / len(said) / 1e3

    with tempfile.TemporaryDirectory() as folder:
        job = Job.load(write_job(Path(folder), name, form, tape=str(tape)))
        with Workbench(job) as bench:
            bench.own()
            right, sure, dollars = asyncio.run(ask(bench))
    return np.array(right), np.array(sure), dollars


def report_formats(outcome: Outcome, name: str) -> dict[str, npt.NDArray[np.bool_]]:
    """Rows of every format that is recorded; returns which texts each had right."""
    found = {}
    for form in FORMATS:
        try:
            right, sure, dollars = answers(name, form)
        except FileNotFoundError:
            outcome.add(f"{name}, {form}", "not recorded", "", target="recorded", holds=False)
            continue
        found[form] = right
        low, high = wilson(int(right.sum()), len(right))
        outcome.add(f"{name}, {form}: accuracy", float(right.mean()), f"95 % {low:.2f} to {high:.2f}")
        outcome.add(f"{name}, {form}: price", dollars, "dollars per 1,000")
        share, low, high = least_sure(right, sure)
        outcome.add(f"{name}, {form}: errors in the least sure 20 %", share, f"share, 95 % {low:.2f} to {high:.2f}")
    return found


def least_sure(right: npt.NDArray[np.bool_], sure: npt.NDArray[np.float64]) -> tuple[float, float, float]:
    """The share of errors among the least sure fifth, with a bootstrap interval."""
    rng = np.random.default_rng(0)

    def share(rows: npt.NDArray[np.int64]) -> float:
        order = rows[np.argsort(sure[rows], kind="stable")]
        wrong = ~right[order]
        return float(wrong[: len(rows) // 5].sum() / max(1, wrong.sum()))

    draws = [share(rng.integers(0, len(right), len(right))) for _ in range(RESAMPLES)]
    low, high = np.quantile(draws, [0.025, 0.975]).tolist()
    return share(np.arange(len(right))), low, high


def report_pilot(outcome: Outcome, name: str, right: dict[str, npt.NDArray[np.bool_]]) -> None:
    """What the pilot picks, by the same answers, beside the best format and plain label names."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        whole = dict(pair for form in FORMATS for pair in read_tape(tape_of(name, form))[1].items())
        mode = read_tape(tape_of(name, PLAIN))[0].mode
        write_tape(folder / "all.jsonl.gz", TapeHeader(MODEL, mode), whole.items())
        job = Job.load(write_job(folder, name, PLAIN, tape=str(folder / "all.jsonl.gz")))
        known = [(t, asked(name).gold[t.id]) for t in asked(name).texts[:TEXTS]]
        with Workbench(job) as bench:
            found = compare(bench, dollars=1.0, most=TEXTS, known=known, forms=FORMATS)
    picked, best = found.best, max(right.values(), key=lambda r: float(r.mean()))
    low, high = wilson(int(right[picked.name].sum()), TEXTS)
    outcome.add(f"{name}: the pilot picks {picked.name}", float(right[picked.name].mean()),
                f"accuracy, 95 % {low:.2f} to {high:.2f}", target="the best format is inside its interval",
                holds=bool(low <= best.mean() <= high), rival=f"the best format {best.mean():.2f}")  # fmt: skip
    outcome.add(f"{name}: the pick beats plain label names", float(right[picked.name].mean() - right[PLAIN].mean()),
                "of accuracy", target="> 0", holds=bool(right[picked.name].mean() > right[PLAIN].mean()))  # fmt: skip
    share = _share_of_the_job(found)
    outcome.add(f"{name}: what the pilot cost of a job of 10,000 texts", share, "share", target="<= 0.05",
                holds=share <= 1 / JOB)  # fmt: skip


def _share_of_the_job(found: Compared) -> float:
    """The pilot's cost beside that of 10,000 texts, the smallest job that this is for, in the format it picked."""
    return float(found.spent / (10_000 * found.best.costs.mean()))


def main() -> int:
    if (why := _corpora.missing()) is not None:
        print(why)
        return 2
    outcome = Outcome("oracle_formats", is_quick())
    for name in SETS:
        right = report_formats(outcome, name)
        if len(right) == len(FORMATS):
            report_pilot(outcome, name, right)
    for name in LONG:
        _doubt.report(outcome, name)
    return outcome.finish()


if __name__ == "__main__":
    sys.exit(main())

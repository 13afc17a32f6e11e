"""What asking again about labels that look wrong brings, at equal money: `selection.relabel: 0.3` beside 0.

    python -m evals.relabel [--quick]

Whole jobs (the real loop, ledger and store) on simulated oracles that answer from a tape: one that is right on 80 %
of the texts, alone, and with one after it that is right on 95 % at ten times the price; there once with money for a
part of the pool, and once with enough for all of it. Both are wrong where texts are hard: a classifier that was
taught on other texts says how hard one is, and noise decides the rest; asked in another order of the labels, an
oracle keeps three quarters of that noise. Seeds deal the noise and the job's own chances; both arms of a pair share
them. Of the labels that stand, the share that is right is held against the sets' own labels; the student's accuracy
is that on other texts.
"""

from __future__ import annotations

import csv
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from agent import steps
from agent.endpoints import questions_of
from agent.job import Job, OracleSettings
from agent.loop import run
from agent.oracle.phrasing import Put
from agent.oracle.tape import TapeHeader, write_tape
from agent.records import Answer, Source, Text, TextId, TokenChoice, Usage
from agent.student import HeadStudent
from agent.student.head import Head
from agent.workbench import Workbench
from evals import _corpora
from evals._corpora import Corpus, corpus
from evals.outcome import Outcome, is_quick

SETS = ("dbpedia14", "uci_sentiment")
RIGHT = {"cheap": 0.80, "dear": 0.95}
TIMES = 10
"""The dear oracle's price beside the cheap one's."""
TOKENS = 200
"""Of a question; a cheap one costs as many micro-dollars."""
SHARE, BATCH = 0.3, 100
SEEDS, QUICK_SEEDS = 4, 1
KEPT = 0.75
"""Of the noise, where an oracle is asked in another order."""
TOO_SURE = 1.5
"""An oracle's log odds are that many times a text's distance from where it errs."""
NOT_WORSE = -0.005


@dataclass(frozen=True)
class Case:
    """What is compared: how many oracles, texts of the pool, and cheap questions that the budget pays for."""

    name: str
    oracles: int
    pool: int
    questions: int


CASES = (
    Case("one oracle", 1, 1500, 400),
    Case("two oracles, short money", 2, 1500, 800),
    Case("two oracles, money for the whole pool", 2, 500, 5500),
)
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Arm:
    """What one job came to: the share of its labels that is right, how many are, the student's accuracy, labels in
    all, and how many were asked again."""

    share: float
    right: int
    student: float
    labels: int
    again: int


@dataclass(frozen=True)
class Said:
    """What an oracle says of n texts in one order of the labels: a class each, and how sure it is."""

    classes: npt.NDArray[np.int64]
    sure: Doubles


def said(of: Corpus, logs: Doubles, oracle: str, seed: int) -> tuple[Said, Said]:
    """What an oracle says of the whole pool in the usual order and in another one.

    Args:
        logs: (n, C) log probabilities of the classifier that says how hard texts are.
    """
    rng = np.random.default_rng([seed, *oracle.encode()])
    n, truth = len(logs), of.labels[of.pool]
    own, others = logs[np.arange(n), truth], logs.copy()
    others[np.arange(n), truth] = -np.inf
    ease, other = own - others.max(axis=1), others.argmax(axis=1)
    first, fresh = rng.logistic(size=n), rng.logistic(size=n)
    found = []
    for noise in (first, KEPT * first + np.sqrt(1 - KEPT**2) * fresh):
        seen = ease + noise
        line = np.quantile(seen, 1 - RIGHT[oracle])
        sure = np.clip(expit(TOO_SURE * np.abs(seen - line)), 1 / logs.shape[1] + 0.01, 0.999)
        found.append(Said(np.where(seen > line, truth, other), sure))
    return found[0], found[1]


def hardness(of: Corpus) -> Doubles:
    """(n, C) what a classifier that was taught on texts apart thinks of the pool, as log probabilities."""
    head = Head(len(of.names))
    known = np.eye(len(of.names), dtype=np.float32)[of.labels[of.apart]]
    head.fit(of.vectors[of.apart], known, np.ones(len(known), np.float32), np.random.default_rng(0))
    return np.log(np.maximum(head.predict(of.vectors[of.pool]).astype(np.float64), 1e-9))


def job(folder: Path, of: Corpus, case: Case, seed: int, relabel: float) -> Job:
    """The job; its tapes are to be written."""
    with (folder / "pool.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "text"])
        rows.writerows((str(i), of.texts[i]) for i in of.pool[: case.pool].tolist())
    names = list(RIGHT)[: case.oracles]
    price = {"cheap": 1.0, "dear": float(TIMES)}
    settings: dict[str, Any] = {
        "name": "relabel",
        "task": {"labels": list(of.names)},
        "data": {"pool": "pool.csv", "id": "id"},
        "oracle": [
            {"name": name, "model": "simulated", "tape": f"{name}.jsonl.gz"}
            | {"price": {"input": price[name], "output": 0.0}, "max_concurrency": 1}
            for name in names
        ],
        "student": {"refresh": False, "unlabelled": "off", "cache": str(_corpora.ROOT / ".cache" / "relabel")},
        "selection": {"random_share": 0.0, "batch": BATCH, "relabel": relabel},
        "people": {"audit": 0.0},
        "stop": {"agreement": None},
        "budget": {"dollars": case.questions * TOKENS / 1e6},
        "distil": {"enabled": False},
        "seed": seed,
        "output": f"out-{relabel:g}",
    }
    return Job.of(settings, folder)


def write_tapes(made: Job, of: Corpus, case: Case, logs: Doubles, seed: int) -> None:
    """What each oracle of the job says of every text, in both orders."""
    with Workbench(made) as bench:
        for oracle in made.oracle:
            told = said(of, logs, oracle.name, seed)
            path = made.path(str(oracle.tape))
            write_tape(path, TapeHeader("simulated", "plain"), _answers(bench, oracle, of, told, case.pool))


def _answers(
    bench: Workbench, oracle: OracleSettings, of: Corpus, told: tuple[Said, Said], pool: int
) -> Iterator[tuple[str, Answer]]:
    """Question key to answer; what is not said shares what is left evenly."""
    two = oracle.model_copy(update={"format": oracle.format.model_copy(update={"orders": 2})})
    ask = questions_of(bench, two, "plain")
    for k, row in enumerate(of.pool[:pool].tolist()):
        for order, one in enumerate(told):
            question = ask(Text(TextId(str(row)), of.texts[row]), Put(order=order))
            name, sure = of.names[one.classes[k]], float(one.sure[k])
            rest = (1 - sure) / (len(of.names) - 1)
            top = tuple((n, float(np.log(sure if n == name else rest))) for n in of.names)
            token = TokenChoice(name, float(np.log(sure)), top)
            yield question.key, Answer(name, "simulated", Usage(TOKENS, 1), (token,))


def outcome_of(made: Job, of: Corpus) -> Arm:
    """Run a job to its end, and hold what came of it against the set's own labels."""
    run(made)
    truth = {of.texts[i]: of.names[of.labels[i]] for i in of.pool.tolist()}
    with Workbench(made) as bench:
        steps.refit(bench)
        student = bench.student
        assert isinstance(student, HeadStudent)
        given = [(t, x) for t, x in bench.lessons() if x.source is Source.ORACLE]
        right = sum(truth[t.text] == x.value for t, x in given)
        guessed = student.head.predict(of.vectors[of.test]).argmax(axis=1)
        found = float((guessed == of.labels[of.test]).mean())
        again = len(bench.store.asked_again(made.name))
    return Arm(right / len(given), right, found, len(given), again)


def pairs(name: str, case: Case, seeds: int) -> list[tuple[Arm, Arm]]:
    """(without, with) of each seed."""
    of = corpus(name)
    logs, found = hardness(of), []
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            arms: list[Arm] = []
            for relabel in (0.0, SHARE):
                made = job(folder, of, case, seed, relabel)
                if not arms:
                    write_tapes(made, of, case, logs, seed)
                arms.append(outcome_of(made, of))
            found.append((arms[0], arms[1]))
            print(f"{name}, {case.name}, seed {seed}:", *arms, flush=True)
    return found


def report(outcome: Outcome, name: str, case: Case, found: list[tuple[Arm, Arm]]) -> None:
    """Rows of one set and case."""
    kind = f"{name}, {case.name}"
    again = float(np.mean([b.again for _, b in found]))
    labels = [float(np.mean([x.labels for x in arm])) for arm in zip(*found, strict=True)]
    outcome.add(f"{kind}: labels asked again", again, f"of {labels[1]:.0f} labels; {labels[0]:.0f} labels without")
    for what, said_of in (("share", "share of labels that is right"), ("student", "student's accuracy")):
        before, after = (np.array([getattr(x, what) for x in arm]) for arm in zip(*found, strict=True))
        mean, low, high = interval(after - before)
        unit = f"{said_of}; {100 * mean:+.2f} points, 95 % {100 * low:+.2f} to {100 * high:+.2f}"
        target, holds = ("not worse by more than 0.5 points", bool(mean >= NOT_WORSE))
        if case.oracles == 2 and what == "share":
            target, holds = "better, the interval above 0", bool(low > 0)
        outcome.add(f"{kind}: {said_of}", float(after.mean()), unit, target=target, holds=holds,
                    rival=f"without {before.mean():.3f}")  # fmt: skip
    gain = np.array([b.right - a.right for a, b in found], float)
    mean, low, high = interval(gain)
    outcome.add(f"{kind}: right labels more", mean, f"for the same money, 95 % {low:+.1f} to {high:+.1f}")


def interval(differences: Doubles) -> tuple[float, float, float]:
    """Mean of paired differences with its 95 % interval by Student's t; no interval of a single pair."""
    from scipy.stats import t

    n = len(differences)
    mean = float(differences.mean())
    if n < 2:
        return mean, float("-inf"), float("inf")
    half = float(t.ppf(0.975, n - 1) * differences.std(ddof=1) / np.sqrt(n))
    return mean, mean - half, mean + half


def main() -> int:
    if (why := _corpora.missing()) is not None:
        print(why)
        return 2
    quick = is_quick()
    outcome = Outcome("relabel", quick)
    for name in SETS[:1] if quick else SETS:
        for case in CASES[2:] if quick else CASES:
            report(outcome, name, case, pairs(name, case, QUICK_SEEDS if quick else SEEDS))
    return outcome.finish()


if __name__ == "__main__":
    sys.exit(main())

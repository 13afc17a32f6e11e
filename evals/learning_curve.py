"""What labels buy: accuracy by labels and by dollars, on six sets and five oracles, against chance and the rivals.

    python -m evals.learning_curve [--quick] [--sets banking77,bbc] [--oracles gold] [--arms default,random]
                                   [--seeds 5] [--minutes 60] [--jobs 2] [--table] [--ablations]

Resumable: each cell (set, oracle, seed, arm) is kept in evals/results/learning_curve/ as soon as it is done, and is
not computed again. `--minutes` ends it in good time, `--table` only reads what is there. Tuned on three sets only,
which the table names. Needs ../shared/data (or LABELWRIGHT_SHARED); rivals' arms need `make rivals`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from agent.job import SelectionSettings
from evals import _arms, _corpora, _curves
from evals._oracles import KINDS, answers
from evals.outcome import RESULTS, Outcome

CELLS = RESULTS / "learning_curve"
RIVAL_PYTHON = Path(os.environ.get("LABELWRIGHT_RIVALS", _corpora.ROOT / ".cache" / "rivals" / "bin" / "python"))
RIVALS = ("small-text breaking ties", "small-text contrastive", "scikit-activeml badge", "scikit-activeml dropquery")
VARIANTS = {
    "default": _arms.Variant(),
    "default frozen": _arms.Variant(refreshes=False),
    "frozen without guesses": _arms.Variant(refreshes=False, unlabelled="off"),
    "frozen with propagation": _arms.Variant(refreshes=False, unlabelled="propagation"),
    "frozen without names": _arms.Variant(refreshes=False, class_names=False),
    "frozen without doubt": _arms.Variant(refreshes=False, label_noise="ignore"),
    "frozen with none": _arms.Variant(refreshes=False, unlabelled="off", class_names=False, label_noise="ignore"),
    "frozen adapted": _arms.Variant(refreshes=False, adapted=True),
    "default with none": _arms.Variant(unlabelled="off", class_names=False, label_noise="ignore"),
}
"""The default, and what is left of it when the encoder stays as it is, or texts without a label teach nothing."""
ARMS = ("random", "margin", "default frozen", "default", *RIVALS)
"""Others of `VARIANTS` are ablations: drawn where they are asked for."""
SEEDS = 10
REFRESHED = 5  # seeds where the encoder is refreshed: each takes minutes


@dataclass(frozen=True)
class Cell:
    """One curve to be drawn."""

    set: str
    oracle: str
    seed: int
    arm: str

    @property
    def print(self) -> str:
        """A hash of what the arm does: another default is another curve."""
        what = [ROUND_VERSION, _settings(self.arm), _arms.BUDGETS[self.set], _arms.ROUNDS]
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:10]


ROUND_VERSION = 1


def _settings(arm: str) -> Any:
    if arm in _arms.PLAIN:
        return _arms.PLAIN[arm]
    return arm if arm in RIVALS else VARIANTS[arm].settings()


def known() -> dict[Cell, list[dict[str, Any]]]:
    """Curves that are kept and still mean the same."""
    found = {}
    for path in sorted(CELLS.glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            cell = Cell(row["set"], row["oracle"], row["seed"], row["arm"])
            if cell.arm in {*ARMS, *VARIANTS} and cell.set in _arms.BUDGETS and row["print"] == cell.print:
                found[cell] = row["points"]
    return found


def keep(cell: Cell, points: list[dict[str, Any]], seconds: float) -> None:
    """Append a curve to its set's file."""
    CELLS.mkdir(parents=True, exist_ok=True)
    rounded = [{k: round(v, 4) if isinstance(v, float) else v for k, v in p.items()} for p in points]
    row = asdict(cell) | {"print": cell.print, "seconds": round(seconds, 1), "points": rounded}
    with (CELLS / f"{cell.set}.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def compute(set_name: str, oracle: str, seed: int, arms: list[str]) -> list[tuple[Cell, list[dict[str, Any]], float]]:
    """The curves of some arms that share set, oracle and seed. Runs in a process of its own."""
    corpus = _corpora.corpus(set_name)
    told = answers(corpus, oracle, seed)
    done = []
    for arm in [a for a in arms if a not in RIVALS]:
        began = time.monotonic()
        bench = _arms.Bench(corpus, told, seed)
        if arm in VARIANTS:
            points = _arms.run_default(bench, VARIANTS[arm])
        else:
            points = _arms.run(bench, SelectionSettings(**_arms.PLAIN[arm]))
        done.append((Cell(set_name, oracle, seed, arm), [asdict(p) for p in points], time.monotonic() - began))
    rivals = [a for a in arms if a in RIVALS]
    for arm, rounds, seconds in _rival_picks(corpus, told, seed, rivals) if rivals else ():
        bench = _arms.Bench(corpus, told, seed)
        points = _arms.follow(bench, iter(rounds))
        done.append((Cell(set_name, oracle, seed, arm), [asdict(p) for p in points], seconds))
    return done


def _rival_picks(
    corpus: _corpora.Corpus, told: Any, seed: int, arms: list[str]
) -> Iterator[tuple[str, list[list[int]], float]]:
    pool = corpus.pool
    with tempfile.TemporaryDirectory() as folder:
        np.savez(
            Path(folder) / "task.npz",
            vectors=corpus.vectors[pool],
            labels=told.targets[pool].argmax(axis=1),
            silent=told.silent[pool],
            sizes=np.array(_arms.sizes(corpus)),
            seed=seed,
        )
        command = [str(RIVAL_PYTHON), str(Path(__file__).parent / "_rival_picks.py"), f"{folder}/task.npz", *arms]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            began = time.monotonic()
            for line in process.stdout:
                arm, rounds = json.loads(line)
                yield arm, [pool[r].tolist() for r in rounds], time.monotonic() - began
                began = time.monotonic()
    if process.returncode:
        raise RuntimeError(f"the rivals' strategies failed on {corpus.name}, exit code {process.returncode}")


def planned(args: argparse.Namespace) -> list[Cell]:
    """Every cell that was asked for, those of the first seeds first."""
    return [
        Cell(s, o, seed, arm)
        for seed in range(args.seeds)
        for s in args.sets
        for o in args.oracles
        for arm in args.arms
        if (o != "tape" or s == "bbc") and seed < _seeds(arm)
    ]


def _seeds(arm: str) -> int:
    """How many are planned of an arm."""
    return REFRESHED if arm in VARIANTS and VARIANTS[arm].refreshes else SEEDS


def work(cells: list[Cell], args: argparse.Namespace) -> None:
    """Compute what is missing, arm by arm (a rival's process makes all its arms), until the time is up."""
    have = known()
    groups: dict[tuple[str, str, int, str], list[str]] = {}
    for cell in cells:
        if cell not in have:
            of = "rivals" if cell.arm in RIVALS else cell.arm
            groups.setdefault((cell.set, cell.oracle, cell.seed, of), []).append(cell.arm)
    until = time.monotonic() + 60 * args.minutes
    total, number = sum(map(len, groups.values())), 0
    waiting = iter(groups.items())
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with ProcessPoolExecutor(args.jobs) as pool:
        running: set[Any] = set()
        while True:
            while len(running) < args.jobs and time.monotonic() < until and (item := next(waiting, None)):
                running.add(pool.submit(compute, *item[0][:3], item[1]))
            if not running:
                break
            done, running = wait(running, return_when="FIRST_COMPLETED")
            for future in done:
                for cell, points, seconds in future.result():
                    keep(cell, points, seconds)
                    number += 1
                    print(
                        f"{number}/{total} {cell.set} {cell.oracle} seed {cell.seed} {cell.arm}: "
                        f"{points[-1]['accuracy']:.3f} in {seconds:.0f} s",
                        flush=True,
                    )


def arguments() -> argparse.Namespace:
    said = argparse.ArgumentParser(prog="python -m evals.learning_curve", description=__doc__.split("\n")[0])
    listed = lambda text: tuple(text.split(","))  # noqa: E731
    said.add_argument("--quick", action="store_true", help="two sets, one oracle, two seeds, no rivals")
    said.add_argument("--sets", type=listed, default=_corpora.SETS)
    said.add_argument("--oracles", type=listed, default=KINDS)
    said.add_argument("--arms", type=listed, default=ARMS)
    said.add_argument("--seeds", type=int, default=SEEDS)
    said.add_argument("--minutes", type=float, default=1e6)
    said.add_argument("--jobs", type=int, default=2)
    said.add_argument("--table", action="store_true", help="only read what is kept")
    said.add_argument(
        "--ablations", action="store_true", help="the default with one thing changed, on a frozen encoder"
    )
    args = said.parse_args()
    if args.ablations:
        args.sets, args.oracles, args.seeds = _corpora.TUNED_ON, KINDS[:3], 3
        args.arms = tuple(arm for arm, v in VARIANTS.items() if not (v.refreshes or v.adapted))  # that takes hours
    if args.quick:
        args.sets, args.oracles, args.arms, args.seeds = ("uci_sentiment", "bbc"), ("gold",), ARMS[:4], 2
    return args


def main() -> int:
    args = arguments()
    if (why := _corpora.missing()) is not None:
        print(why)
        return 2
    cells = planned(args)
    if not args.table:
        if any(c.arm in RIVALS for c in cells) and not RIVAL_PYTHON.exists():
            print(f"no {RIVAL_PYTHON}: `make rivals` makes it; going on without the rivals")
            cells = [c for c in cells if c.arm not in RIVALS]
        work(cells, args)
    have = known()
    drawn = {c: have[c] for c in cells if c in have}
    if args.ablations:
        outcome = Outcome("learning_curve-ablations", command="learning_curve --ablations")
        _curves.report_ablations(outcome, drawn, base="default frozen")
    else:
        outcome = Outcome("learning_curve", args.quick)
        _curves.report(outcome, drawn, planned=len(cells))
    return outcome.finish()


if __name__ == "__main__":
    sys.exit(main())

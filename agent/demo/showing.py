"""Prepares the demo's folder, runs the job and its control, and shows what came of it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from rich.console import Console

from agent import delivery, steps
from agent.demo.corpus import split, write_csv
from agent.ending import as_json as plainly
from agent.ending import ending
from agent.errors import StoreError
from agent.job import Job
from agent.loop import Outcome, run
from agent.measuring import quality
from agent.records import Floats
from agent.report import Gain
from agent.tasks.intervals import paired_difference
from agent.watch import Watch
from agent.workbench import MEASURE, Workbench

CARRIED = ("job.yaml", "guidelines.md", "tape.jsonl.gz")
DRAWN_WITH = 2026  # the draw of the texts that the tape was recorded for


def prepare(folder: Path) -> Path:
    """Write the demo's texts, guidelines, tape and job file into a folder. Returns the job file.

    Raises ExtraMissing where the texts are not installed, StoreError where the folder cannot be written.
    """
    seed, pool, gold = split(np.random.default_rng(DRAWN_WITH))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_csv(folder / "pool.csv", pool, labelled=False)
        write_csv(folder / "seed.csv", seed, labelled=True)
        write_csv(folder / "gold.csv", gold, labelled=True)
        for name in CARRIED:
            with as_file(files("agent.demo") / name) as path:
                shutil.copyfile(path, folder / name)
    except OSError as error:
        raise StoreError(f"{folder}: cannot be written ({error.strerror}); give another --output") from None
    return folder / "job.yaml"


def control_of(job_file: Path) -> Path:
    """The same job with every text picked at random, in an output folder and with a purse of its own."""
    settings = yaml.safe_load(job_file.read_text(encoding="utf-8"))
    settings |= {"name": f"{settings['name']}-at-random", "output": f"{settings['output']}-at-random"}
    settings |= {"selection": {"strategy": "random"}, "distil": {"enabled": False}}
    settings["student"] |= {"cache": f"{Job.load(job_file).output}/cache"}  # the same texts, embedded once
    path = job_file.with_name("job-at-random.yaml")
    path.write_text(
        "# The control of job.yaml: the same dollars, spent on texts picked at random.\n"
        + yaml.safe_dump(settings, sort_keys=False),
        encoding="utf-8",
    )
    return path


def run_demo(output: Path, watch: Watch, *, as_json: bool = False) -> None:
    """Run the job, then its control, and show both."""
    job_file = prepare(output)
    outcome = run(Job.load(job_file), watch)
    if outcome.delivered is None:
        raise KeyboardInterrupt
    watch.note("now the control: the same dollars, spent on texts picked at random")
    control = run(Job.load(control_of(job_file)), watch)
    if control.delivered is None:
        raise KeyboardInterrupt
    delivered = _with_control(job_file, outcome, control)
    if as_json:
        print(json.dumps(plainly(replace(outcome, delivered=delivered)), indent=2))
        return
    for part in ending(delivered, job_file):
        Console(highlight=False).print(part, soft_wrap=True)


def _with_control(job_file: Path, outcome: Outcome, control: Outcome) -> delivery.Delivered:
    """The job's findings with both students at the same dollars: all labels selected, all labels random."""
    assert outcome.delivered is not None
    with Workbench(Job.load(job_file)) as bench, Workbench(Job.load(control_of(job_file))) as other:
        final = dict(outcome.delivered.final)
        final["student_selected"], right = _student(bench)
        final["student_random"], by_chance = _student(other)
        difference, low, high = paired_difference(right, by_chance, bench.rng(MEASURE))
        gain = Gain(
            labels=min(outcome.labels, control.labels),
            selected=float(right.mean(dtype=np.float64)),
            random=float(by_chance.mean(dtype=np.float64)),
            difference=difference,
            lo=low,
            hi=high,
        )
        found = delivery.findings(bench, final, stop=outcome.message, gain=gain)
        delivery.written(bench, found)
    return delivery.Delivered(final, found, outcome.delivered.paths)


def _student(bench: Workbench) -> tuple[dict[str, Any], Floats]:
    """The in-loop student taught by everything that its job bought: its figures, and (n,) 1 where it is right."""
    steps.refit(bench)
    said = bench.student.predict([t for t, _ in bench.gold]).values
    gold = [v for _, v in bench.gold]
    found = quality(bench.task, gold, said, "gold", bench.rng(MEASURE))
    assert found is not None
    labels = len(bench.store.current(bench.job.name))
    right = np.array([bench.task.agreement(g, s) for g, s in zip(gold, said, strict=True)], np.float32)
    return found.figures() | {"labels": labels}, right

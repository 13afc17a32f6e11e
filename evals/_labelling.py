"""Whole processes that label the same texts against the same provider, ours and other libraries': evals.throughput.

What is timed begins where a process starts and ends where it has ended, with the labels on disk. Each other library
has an environment of its own in .cache/labellers, made here by pip where it is missing; `_labellers.py` runs it.
"""

from __future__ import annotations

import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from evals._asking import IN_FLIGHT, LABELS, letter
from evals.outcome import Outcome
from tests.servers.process import ROOT, served

LATENCY_MS = 200
LIMIT_S = 900
ENVIRONMENTS = ROOT / ".cache" / "labellers"
OURS, ALONE = "labelwright run", "labelwright's asker, ledger and store alone"
AT_LEAST = 2.0
ASKED = re.compile(r"([\d,.]+) labels/s")


@dataclass(frozen=True)
class Library:
    """Another library.

    Attributes:
        packages: what pip installs, pinned; what a package needs and does not say, too.
        answers: what the provider says to a text of that class: what the library can read.
        model: the name that it asks for: one that it knows.
        share: of the texts; one that asks one after the other would take very long for all.
    """

    packages: tuple[str, ...]
    answers: Mapping[str, Any]
    model: str = "scripted"
    share: float = 1.0


NAMES = {name: name for name in LABELS}
LIBRARIES = {
    "curator": Library(("bespokelabs-curator==0.1.31", "litellm==1.83.7", "datasets==3.6.0"), NAMES),
    "distilabel": Library(
        ("distilabel[openai]==1.5.3", "openai==3.57.0", "datasets==5.2.0", "requests==2.32.5"),
        {name: {"labels": name} for name in LABELS},
    ),
    "autolabel": Library(
        (
            "refuel-autolabel[openai]==0.0.16",
            "langchain==0.0.226",
            "openai==0.28.1",
            "pandas==2.2.3",
            "datasets==2.21.0",
            "sqlalchemy==2.0.36",
        ),
        NAMES,
        model="gpt-3.5-turbo",
        share=0.1,
    ),
}
SHUT = {
    "http_proxy": "http://127.0.0.1:9",  # nobody listens there: who asks anyone but the provider is refused at once
    "https_proxy": "http://127.0.0.1:9",
    "no_proxy": "127.0.0.1",
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "TELEMETRY_ENABLED": "false",
    "CURATOR_DISABLE_CACHE": "1",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "OPENAI_API_KEY": "none",
}


def shut() -> dict[str, str]:
    """The environment of every library: nobody but the provider is reached. Two count tokens by a file that they
    would fetch; litellm, which one of them brings, has it with it."""
    found = next(ENVIRONMENTS.glob("curator/lib/*/site-packages/litellm/litellm_core_utils/tokenizers"), None)
    return SHUT | ({"TIKTOKEN_CACHE_DIR": str(found)} if found else {})


# Environments -------------------------------------------------------------------------------------------------------


def environment(name: str, *, make: bool) -> tuple[Path, str]:
    """The interpreter of a library's environment, and why there is none, or an empty text."""
    folder = ENVIRONMENTS / name
    python, ready = folder / "bin" / "python", folder / ".ready"
    wanted = "\n".join(LIBRARIES[name].packages)
    if ready.is_file() and ready.read_text(encoding="utf-8") == wanted:
        return python, ""
    if not make:
        return python, "no environment for it yet: `python -m evals.throughput` makes one"
    print(f"making an environment for {name}, which takes some minutes", flush=True)
    for command in (
        [sys.executable, "-m", "venv", "--clear", str(folder)],
        [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", *LIBRARIES[name].packages],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or [done.stderr[-200:]]
            return python, f"does not install here: {said[-1].strip()[:160]}"
    ready.write_text(wanted, encoding="utf-8")
    return python, ""


# One process --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Done:
    """What came of one process.

    Attributes:
        seconds: from its start to its end.
        rate: labels a second as the process itself counts them, None where it does not say.
        library: name and version.
        trouble: why there is no figure, or empty.
    """

    seconds: float = 0.0
    rate: float | None = None
    library: str = ""
    trouble: str = ""


def timed(command: Sequence[object], folder: Path, env: Mapping[str, str]) -> tuple[float, str, str]:
    """(seconds, what it printed, why there is no figure); past the limit it is ended, with whatever it started."""
    log = folder / "said.txt"
    began = time.perf_counter()
    with log.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(
            [str(c) for c in command],
            cwd=folder,
            env={"PATH": os.environ["PATH"], "HOME": str(folder), **env},
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return LIMIT_S, "", f"not done after {LIMIT_S} s"
    seconds = time.perf_counter() - began
    said = log.read_text(encoding="utf-8", errors="replace")
    lines = [line for line in said.splitlines() if line.strip()] or ["nothing"]
    return seconds, said, "" if code == 0 else f"ended with {code}: {lines[-1].strip()[:120]}"


def counted(path: Path, truth: Mapping[str, str]) -> str:
    """Why a file of labels is not what it should be, or an empty text."""
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except OSError:
        return "left no labels"
    right = sum(truth.get(row["text"]) == row["label"] for row in rows)
    return "" if right == len(truth) else f"{right} of {len(truth)} labels are there and right"


def other(name: str, python: Path, folder: Path, url: str, truth: Mapping[str, str]) -> Done:
    """Another library, in its own environment."""
    _write_texts(folder, truth)
    command = [python, ROOT / "evals" / "_labellers.py", name, folder, url]
    return _script(*timed(command, folder, shut()), folder, truth)


def alone(folder: Path, url: str, truth: Mapping[str, str]) -> Done:
    """The metered path without a job around it."""
    _write_texts(folder, truth)
    command = [sys.executable, "-m", "evals._asking", folder, url]
    return _script(*timed(command, folder, SHUT | {"PYTHONPATH": str(ROOT)}), folder, truth)


def _script(seconds: float, said: str, trouble: str, folder: Path, truth: Mapping[str, str]) -> Done:
    trouble = trouble or counted(folder / "labels.jsonl", truth)
    if trouble:
        return Done(trouble=trouble)
    told = json.loads(said.strip().splitlines()[-1])
    return Done(seconds, len(truth) / told["seconds"], told["library"])


def ours(folder: Path, url: str, truth: Mapping[str, str]) -> Done:
    """The command that a person gives: job file in, labels out, with ledger, store and report."""
    job = {
        "task": {"kind": "classification", "labels": {name: f"mail that is about a {name}" for name in LABELS}},
        "data": {"pool": "texts.jsonl", "text": "text"},
        "oracle": {
            "base_url": url,
            "model": "scripted",
            "price": {"input": 0.05, "output": 0.10},
            "max_concurrency": IN_FLIGHT,
        },
        "student": "none",
        "budget": {"dollars": 1000},
    }
    _write_texts(folder, truth)
    (folder / "job.yaml").write_text(yaml.safe_dump(job, sort_keys=False), encoding="utf-8")
    command = [Path(sys.executable).with_name("labelwright"), "run", "job.yaml"]
    seconds, said, trouble = timed(command, folder, SHUT | {"PYTHONPATH": str(ROOT)})
    trouble = trouble or counted(folder / "out" / "labels" / "labels.jsonl", truth)
    rate = ASKED.search(said)
    return Done(seconds, float(rate[1].replace(",", "")) if rate else None, "labelwright", trouble)


def _write_texts(folder: Path, truth: Mapping[str, str]) -> None:
    with (folder / "texts.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps({"text": text}) + "\n" for text in truth)


# The race -----------------------------------------------------------------------------------------------------------


@dataclass
class Arm:
    """What one arm came to, a process a round."""

    texts: int
    done: list[Done] = field(default_factory=list)

    @property
    def trouble(self) -> str:
        return next((d.trouble for d in self.done if d.trouble), "")

    @property
    def seconds_each(self) -> list[float]:
        """Seconds a text, a round each."""
        return [d.seconds / self.texts for d in self.done]


def race(outcome: Outcome, folder: Path, *, total: int, rounds: int, make: bool) -> None:
    """Rows of every arm, in turn, so that a busy machine slows all of them; and how many times as fast ours is."""
    pythons = {name: environment(name, make=make) for name in LIBRARIES}
    arms = {name: Arm(total) for name in (OURS, ALONE)}
    for name, (_, trouble) in pythons.items():
        arms[name] = Arm(round(total * LIBRARIES[name].share), [Done(trouble=trouble)] if trouble else [])
    for number in range(rounds):
        for name, arm in arms.items():
            if not arm.trouble:
                place = folder / f"whole-{number}-{name.split()[-1]}"
                place.mkdir()
                arm.done.append(_one(name, pythons.get(name, (Path(), ""))[0], place, arm.texts))
    for name, arm in arms.items():
        _rows(outcome, name, arm)
    rivals = [a for name, a in arms.items() if name in LIBRARIES and not a.trouble]
    if arms[OURS].trouble or not rivals:
        outcome.add(f"{OURS} : fastest of them", "not measured", "times", target=f">= {AT_LEAST:g}")
        return
    fastest = [min(each) for each in zip(*(a.seconds_each for a in rivals), strict=True)]
    times = statistics.median(f / o for f, o in zip(fastest, arms[OURS].seconds_each, strict=True))
    outcome.add(f"{OURS} : fastest of them", times, "times", target=f">= {AT_LEAST:g}", holds=times >= AT_LEAST)


def _one(name: str, python: Path, place: Path, texts: int) -> Done:
    truth = {letter(i): LABELS[i % len(LABELS)] for i in range(texts)}
    library = LIBRARIES.get(name, Library((), NAMES))
    gold = {text: library.answers[label] for text, label in truth.items()}
    with served(place, gold, "--latency-ms", LATENCY_MS, "--model", library.model) as (url, _):
        if name == OURS:
            return ours(place, url, truth)
        return alone(place, url, truth) if name == ALONE else other(name, python, place, url, truth)


def _rows(outcome: Outcome, name: str, arm: Arm) -> None:
    what = f"{arm.texts:,} texts, {LATENCY_MS} ms, {IN_FLIGHT} in flight: {name}"
    if arm.trouble:
        outcome.add(what, "not measured", arm.trouble, rival=name if name in LIBRARIES else "")
        return
    library = arm.done[-1].library if name in LIBRARIES else ""
    outcome.add(what, 1 / statistics.median(arm.seconds_each), "labels/s, whole process", rival=library)
    inside = [d.rate for d in arm.done if d.rate is not None]
    if inside:
        unit = "labels/s, while it asks" if name == OURS else "labels/s, its imports left out"
        outcome.add(what, statistics.median(inside), unit, rival=library)

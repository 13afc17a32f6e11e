"""How many entities of a user's file the labelled texts cover: strategy `knowledge` against `margin` and chance.

    python -m evals.knowledge_graph [--quick]

Whole jobs on the 1,191 sentences of wikigold (train): which kinds of names (person, organisation, place, other) does
a sentence hold? A scripted server answers with the truth, which the data's own tags give. The file has 300 of the
1,771 names that are tagged there, drawn anew for each seed; a second part takes all of them. An entity counts as
covered where the *tags* name it in a labelled sentence, so the matcher of the product is not its own judge.

Needs the data set wikigold (`../shared/data`, or LABELWRIGHT_SHARED).
"""

from __future__ import annotations

import csv
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from agent.job import Job
from agent.store import Store
from evals.outcome import Outcome, is_quick
from tests.servers.scripted import ScriptedServer

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("LABELWRIGHT_SHARED", ROOT.parent / "shared")) / "data" / "wikigold"
KINDS = {"PER": "a person", "ORG": "an organisation", "LOC": "a place", "MISC": "another name"}
ARMS = ("knowledge", "margin", "random")
FEW, MOST, TARGET = 300, 100, 2.0

Names = Mapping[str, set[str]]
"""Sentence → names that are tagged in it, in lower case."""


def sentences() -> tuple[dict[str, list[str]], dict[str, set[str]], dict[str, str]]:
    """(sentence → kinds of names in it, sentence → names, name → its kind)."""
    kinds: dict[str, list[str]] = {}
    names: dict[str, set[str]] = {}
    kind_of: dict[str, str] = {}
    for row in pq.read_table(DATA / "train.parquet").to_pylist():
        text = row["text"].strip()
        found = _spans(row["tokens"], row["tags"])
        kinds[text] = [k for k in KINDS if any(kind == k for kind, _ in found)]
        names[text] = {name for _, name in found}
        kind_of |= {name: kind for kind, name in found}
    return kinds, names, kind_of


def _spans(tokens: list[str], tags: list[str]) -> list[tuple[str, str]]:
    """(kind, name) of each tagged span."""
    spans: list[tuple[str, list[str]]] = []
    for token, tag in zip(tokens, tags, strict=True):
        if tag.startswith("B-"):
            spans.append((tag[2:], [token]))
        elif tag.startswith("I-"):
            spans[-1][1].append(token)
    return [(kind, " ".join(words).lower()) for kind, words in spans]


def labelled(folder: Path, url: str, arm: str, seed: int, most: int) -> list[str]:
    """Run a whole job; returns the sentences it asked about, in the order of its rounds."""
    settings: dict[str, Any] = {
        "name": "wikigold",
        "task": {"kind": "multilabel", "labels": KINDS},
        "data": {"pool": "pool.csv"},
        "student": {"cache": "../vectors"},
        "oracle": {"model": "scripted", "base_url": url, "price": {"input": 0.05, "output": 0.10}},
        "people": {"threshold": 0, "audit": 0},
        "selection": {"strategy": arm} | ({"knowledge": f"entities-{seed}.csv"} if arm == "knowledge" else {}),
        "budget": {"dollars": 1},
        "stop": {"agreement": None, "max_labels": most},
        "distil": {"enabled": False},
        "seed": seed,
        "output": f"out-{arm}-{seed}",
    }
    job = Job.of(settings, folder)
    job.run()
    with Store.open(job.store_url) as store:
        return [p.text for p in sorted(store.picks(job.name), key=lambda p: p.round)]


def write_files(
    folder: Path, kinds: Mapping[str, Any], kind_of: Mapping[str, str], few: int | None, seed: int
) -> set[str]:
    """The pool, and the entities of this seed; returns those."""
    folder.mkdir(exist_ok=True)
    if not (folder / "pool.csv").exists():
        _write(folder / "pool.csv", ["text"], [[text] for text in kinds])
    drawn = np.random.default_rng(seed).permutation(sorted(kind_of))[:few].tolist()
    _write(folder / f"entities-{seed}.csv", ["entity", "type"], [[name, kind_of[name]] for name in drawn])
    return set(drawn)


def _write(path: Path, header: list[str], rows: list[list[str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        out.writerow(header)
        out.writerows(rows)


def covered(asked: list[str], names: Names, wanted: set[str]) -> int:
    return len(wanted & set().union(*(names[text.strip()] for text in asked)))


def main() -> int:
    if not DATA.is_dir():
        print(f"no data set at {DATA}: set LABELWRIGHT_SHARED to the folder that holds data/")
        return 2
    quick = is_quick()
    outcome = Outcome("knowledge_graph", quick)
    kinds, names, kind_of = sentences()
    began = time.monotonic()
    outcome.add("sentences", len(kinds), "in the pool")
    with tempfile.TemporaryDirectory() as name, ScriptedServer(kinds) as server:
        for few in (FEW,) if quick else (FEW, None):
            folder = Path(name) / f"{few}"
            found: dict[tuple[str, int], list[int]] = {}
            for seed in range(1 if quick else 5):
                wanted = write_files(folder, kinds, kind_of, few, seed)
                for arm in ARMS:
                    asked = labelled(folder, server.url, arm, seed, MOST)
                    for n in (MOST // 2, MOST):
                        found.setdefault((arm, n), []).append(covered(asked[:n], names, wanted))
            _add(outcome, found, len(wanted), has_target=few is not None)
    outcome.add("whole eval", time.monotonic() - began, "seconds")
    return outcome.finish()


def _add(outcome: Outcome, found: Mapping[tuple[str, int], list[int]], entities: int, *, has_target: bool) -> None:
    """Rows of one entity file's size: how many each arm covers, and the ratio to margin over paired seeds."""
    for n in (MOST // 2, MOST):
        for arm in ARMS:
            values = found[arm, n]
            unit = f"of {entities} entities at {n} labels (mean of {len(values)}; {min(values)} to {max(values)})"
            outcome.add(f"{arm} covers", float(np.mean(values)), unit)
        pairs = [a / b for a, b in zip(found["knowledge", n], found["margin", n], strict=True)]
        ratio, unit = (
            float(np.mean(pairs)),
            f"times margin, {entities} entities, {n} labels ({min(pairs):.2f} to {max(pairs):.2f})",
        )
        if has_target:
            outcome.add("knowledge", ratio, unit, target=f">= {TARGET:g}", holds=ratio >= TARGET)
        else:
            outcome.add("knowledge", ratio, unit)


if __name__ == "__main__":
    sys.exit(main())

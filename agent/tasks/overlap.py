"""How alike two texts are: chrF, BLEU and ROUGE, by the libraries that the field reports with.

Knows texts alone. All figures are from 0 to 1, more is better. Of several references chrF and ROUGE take the nearest
of each text, and BLEU takes words from any.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache, lru_cache
from importlib.util import find_spec
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from agent.errors import ExtraMissing
from agent.records import Rows

if TYPE_CHECKING:
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

References = tuple[str, ...]
EXTRA = "pip install 'labelwright[generation]'"
WORD = re.compile(r"\w+")
ROUGES = {"rouge1": "rouge_1", "rouge2": "rouge_2", "rougeL": "rouge_l"}
REMEMBERED = 50_000
"""Pairs of texts whose n-grams were counted: the same ones are compared in every round, and in every resample."""


@cache
def _chrf() -> CHRF:
    from sacrebleu.metrics.chrf import CHRF

    return CHRF()


@cache
def _bleu() -> BLEU:
    from sacrebleu.metrics.bleu import BLEU

    return BLEU(force=True)


@cache
def _rouge() -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(list(ROUGES), tokenizer=_Words())


def check_installed() -> None:
    """Raises ExtraMissing where a library is missing that texts are compared with; imports none."""
    for module, package in (("sacrebleu", "sacrebleu"), ("rouge_score", "rouge-score")):
        if find_spec(module) is None:
            raise missing(package)


def missing(package: str) -> ExtraMissing:
    """What to say where a package is not installed that texts are written or compared with."""
    return ExtraMissing(f"a task of generation needs {package}, which is not installed: {EXTRA}")


class _Words:
    """Words in lower case, unstemmed. The library's own leave out whatever is not a to z or 0 to 9."""

    def tokenize(self, text: str) -> list[str]:
        return WORD.findall(text.lower())


@lru_cache(maxsize=REMEMBERED)
def _counted(said: str, references: References) -> tuple[int, ...]:
    """Of each order of n-grams of characters: how many `said` has, the nearest reference has, and both have."""
    (found,) = _chrf()._extract_corpus_statistics([said], [[r] for r in references])
    return tuple(found)


def chrf(said: str, references: References) -> float:
    """chrF of one text (Popović 2015): F2 of n-grams of up to six characters."""
    return float(_chrf()._aggregate_and_compute([list(_counted(said, references))]).score) / 100


def likeness(a: str, b: str) -> float:
    """chrF of two texts neither of which is the truth: the mean of both directions, 1 for the same."""
    return 1.0 if a == b else (chrf(a, (b,)) + chrf(b, (a,))) / 2


def counts(said: Sequence[str], references: Sequence[References]) -> Rows:
    """(n, k) int64 of n texts, what `corpus_chrf` is made of."""
    return np.array([_counted(s, r) for s, r in zip(said, references, strict=True)], np.int64)


def corpus_chrf(found: Rows) -> float:
    """chrF of all texts together: n-grams are added up first, so that long texts count for more."""
    return float(_chrf()._compute_score_from_stats(found.sum(axis=0).tolist()).score) / 100


def corpus_bleu(said: Sequence[str], references: Sequence[References]) -> float:
    """BLEU of all texts together (Papineni et al. 2002), as sacrebleu reports it by default (`13a`)."""
    most = max(map(len, references))
    streams: Any = [[r[k] if k < len(r) else None for r in references] for k in range(most)]
    return float(_bleu().corpus_score(list(said), streams).score) / 100


def rouge(said: Sequence[str], references: Sequence[References]) -> dict[str, float]:
    """Mean F1 of words, pairs of words, and the longest common subsequence (Lin 2004), of the reference for which
    each is highest."""
    rows = [_rouge().score_multi(list(r), s) for s, r in zip(said, references, strict=True)]
    return {ours: float(np.mean([row[name].fmeasure for row in rows])) for name, ours in ROUGES.items()}


def medoid(texts: Sequence[str]) -> tuple[int, float]:
    """Which of several texts is most like the others (minimum Bayes risk; Kumar and Byrne 2004), the first of equal
    ones; and the mean `likeness` of all pairs, 1 for a single text."""
    table = np.zeros((len(texts), len(texts)))
    for i, j in combinations(range(len(texts)), 2):
        table[i, j] = table[j, i] = likeness(texts[i], texts[j])
    pairs = len(texts) * (len(texts) - 1)
    return int(table.sum(axis=1).argmax()), float(table.sum() / pairs) if pairs else 1.0

"""Query by committee: where heads that saw different samples of the labels disagree, a label decides between them.

The two measures are plain functions on the members' probabilities (k, n, C). They tell doubt that more labels can
settle from doubt that lies in the texts themselves, which uncertainty alone cannot.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, cast

import numpy as np

from agent.records import Floats
from agent.selection.seam import Ranked, State
from agent.selection.strategies.heads import as_decisions, fit, lessons, link, streamed
from agent.selection.strategies.options import check, one_of, whole
from agent.selection.strategies.uncertainty import Margin, entropies

DIGITS = 6  # that scores are rounded to: candidates with the same votes tie, and chance decides


def vote_entropy(p: Floats, soft: bool = False) -> Floats:
    """How evenly k members' votes fall on C classes: (k, n, C) probabilities to (n,), 0 to 1.

    The entropy of the votes as a share of its most, log min(k, C) (Dagan and Engelson 1995, "Committee-Based
    Sampling for Training Probabilistic Classifiers", eq. 1). Where `soft`, each member gives each class its
    probability instead of the likeliest one its vote, and the most is log C.
    """
    members, _, classes = p.shape
    if soft:
        return entropies(p.mean(axis=0))
    votes = np.zeros(p.shape[1:], dtype=np.float32)
    for likeliest in p.argmax(axis=2):
        votes[np.arange(len(votes)), likeliest] += 1
    least = min(members, classes)
    return entropies(votes / np.float32(members)) * np.float32(np.log(max(2, classes)) / np.log(max(2, least)))


def kl_disagreement(p: Floats) -> Floats:
    """Mean divergence, in nats, of k members from their mean: (k, n, C) probabilities to (n,), 0 to log min(k, C).

    Kullback-Leibler divergence to the consensus (McCallum and Nigam 1998, "Employing EM and Pool-Based Active
    Learning for Text Classification"). It is the mutual information of label and member.
    """
    tiny = np.finfo(np.float32).tiny
    consensus = np.log(np.maximum(p.mean(axis=0), tiny))
    total = np.zeros(p.shape[1], dtype=np.float32)
    for member in p:
        logs = np.maximum(member, tiny)
        np.log(logs, out=logs)
        logs -= consensus
        total += np.einsum("nc,nc->n", member, logs)
    return cast(Floats, np.maximum(total / np.float32(len(p)), 0))


_MEASURES: dict[str, Callable[[Floats], Floats]] = {
    "kl": kl_disagreement,
    "vote_entropy": vote_entropy,
    "soft_vote_entropy": partial(vote_entropy, soft=True),
}


@dataclass(frozen=True, kw_only=True)
class Committee(Ranked):
    """Disagreement of heads fitted to bootstrap samples of the labels (Seung, Opper and Sompolinsky 1992; bagging
    as in Abe and Mamitsuka 1998).

    The samples are Bayesian bootstraps (Rubin 1981): every label has a random weight, so that no class is lost that
    has one text only. For multilabel the measure is taken of each decision, and their mean is the score. Where
    there are no classes or nothing is labelled, `margin` (or doubt) stands in.

    Attributes:
        members: how many heads, from 2.
        measure: kl, vote_entropy or soft_vote_entropy.

    Raises:
        JobFileError: a setting is out of range.
    """

    name: ClassVar[str] = "committee"
    members: int = 8
    measure: str = "kl"

    def __post_init__(self) -> None:
        super().__post_init__()
        check(whole("members", self.members, 2), one_of("measure", self.measure, list(_MEASURES)))

    def score(self, state: State) -> Floats:
        """(n,) float32, as the measure has it. All members score a block of vectors in one product."""
        taught = lessons(state)
        if taught is None or state.probabilities is None:
            return Margin().score(state)
        trust = np.ones(len(taught.kept)) if state.trust is None else np.asarray(state.trust, float)[taught.kept]
        drawn = state.rng(0).exponential(size=(self.members, len(taught.kept))) * trust
        heads = fit(taught, drawn, state.penalty, state.multilabel)
        classes = heads.shape[2]
        out = np.empty(len(state.candidates), dtype=np.float32)
        for block, logits in streamed(state, state.candidates, heads):
            p = as_decisions(link(logits, state.multilabel), state.multilabel)
            found = _MEASURES[self.measure](p)
            out[block] = found.reshape(-1, classes).mean(axis=1) if state.multilabel else found
        out = np.abs(out)  # an entropy of -0 is 0
        return np.asarray(np.round(out, DIGITS), dtype=np.float32)

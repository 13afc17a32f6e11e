"""Strategies that compete: what each brought so far decides how much of the batch it gets.

Knows earlier rounds as numbers (`State.history`); what each brought is worked out by `reward`, once its labels are
there. Costs every arm's scores, and its choice where it got a slot.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from agent.records import Floats
from agent.selection import space
from agent.selection.batch import named
from agent.selection.seam import Choice, Indices, State, Strategy, Trial
from agent.selection.strategies.balance import Balanced
from agent.selection.strategies.basis import Doubles, agreement_with, chosen_by, note, scored
from agent.selection.strategies.composed import Composed, number
from agent.selection.strategies.fusion import credit
from agent.selection.strategies.power import Power
from agent.selection.strategies.uncertainty import Margin


def surprise(foreseen: Floats, targets: Floats, multilabel: bool = False) -> Floats:
    """1 minus the probability that the student gave to a label before it was taught it: (m,) float32 in 0 to 1.

    Args:
        foreseen: (m, C), what it said of the texts.
        targets: (m, C), the labels; a soft one counts in parts.
        multilabel: each column is a decision of its own; the mean over them is taken.
    """
    return 1 - agreement_with(foreseen, targets, multilabel)


def reward(arm: Floats, chance: Floats) -> float:
    """What an arm's labels brought: how much more they surprised the student than the random slice did, 0 to 1.

    (1 + mean of `arm` - mean of `chance`) / 2: a half is as good as chance, 1 is all surprise against none. The
    random slice is the measure because surprise falls as the student learns, and noise in the labels is a surprise as
    well: what both have in common cancels. After the label-change rewards of Hsu and Lin 2015, "Active Learning by
    Learning"; the arms' rewards share one random slice, so its own error does not favour any.

    Args:
        arm: (a,) `surprise` at the labels that the arm bought, a from 1.
        chance: (r,) the same at the random slice; with none of those, pass all the labels of the round.

    Raises ValueError where one of them is empty.
    """
    if not len(arm) or not len(chance):
        raise ValueError(
            f"a reward needs labels of the arm and of the random slice, not {len(arm)} and {len(chance)}"
        )
    gained = arm.mean(dtype=np.float64) - chance.mean(dtype=np.float64)
    return float(np.clip((1 + gained) / 2, 0, 1))


def arm_names(arms: Sequence[Strategy]) -> list[str]:
    """What the history calls each arm: its name; the second of the same name is `name#2`."""
    names = [named(arm) for arm in arms]
    return [f"{name}#{names[: i + 1].count(name)}" if name in names[:i] else name for i, name in enumerate(names)]


def posterior(names: Sequence[str], history: Sequence[Trial], now: int, discount: float) -> Doubles:
    """The Beta distribution of each arm's reward: (A, 2) float64, alpha and beta.

    1 + the sum over its trials of discount^age * count * reward, and of the same with 1 - reward: a label counts as
    one Bernoulli trial, and counts less the longer ago it was bought, since what helps changes as the student learns
    (discounted Thompson sampling, Raj and Kalyani 2017, arXiv:1707.09727).
    """
    out = np.ones((len(names), 2))
    place = {name: i for i, name in enumerate(names)}
    for trial in history:
        if trial.arm in place and trial.count > 0:
            seen = trial.count * discount ** max(0, now - trial.round)
            won = float(np.clip(trial.reward, 0, 1))
            out[place[trial.arm]] += (seen * won, seen * (1 - won))
    return out


def thompson(beliefs: Doubles, slots: int, rng: np.random.Generator) -> tuple[Indices, Doubles]:
    """The arm of each slot, and what it drew to win it: (slots,) each.

    One draw of every arm's belief (A, 2) a slot, and the highest wins (Thompson 1933), so an arm gets slots as often
    as it is likely to be the best.
    """
    draws = rng.beta(beliefs[:, 0], beliefs[:, 1], size=(slots, len(beliefs)))
    won = draws.argmax(axis=1)
    return won, draws[np.arange(slots), won]


@dataclass(frozen=True, kw_only=True)
class Bandit(Composed):
    """A Thompson-sampled bandit over strategies: each arm chooses its slots in its own way among what is left.

    Attributes:
        arms: the strategies that compete, one or more.
        discount: above 0 to 1, what a label that was bought a round ago still counts.
    """

    arms: tuple[Strategy, ...] = (Margin(), Power(), Balanced())
    discount: float = 0.9
    name: ClassVar[str] = "bandit"

    def problems(self) -> Iterable[str | None]:
        """What is wrong with the settings."""
        none = None if self.arms else "`selection.options.arms`: at least one strategy is needed"
        return none, number("discount", self.discount, 1e-3, 1)

    def score(self, state: State) -> Floats:
        """(n,) float32 in 0 to 1: the mean of the candidate's normalised rank with each arm, weighted by the mean
        reward that the arm is believed to have."""
        means = self._means(self._beliefs(state))
        out = np.zeros(len(state.candidates), dtype=np.float64)
        for arm, share in zip(self.arms, means / means.sum(), strict=True):
            out += share * credit(scored(arm, state), "mean", 0)
        return out.astype(np.float32)

    def compose(self, state: State, free: Indices, size: int, rng: np.random.Generator) -> Choice:
        """Every slot is drawn for an arm, then each arm fills its slots, the one with the most first."""
        beliefs = self._beliefs(state)
        won, drawn = thompson(beliefs, size, rng)
        counts = np.bincount(won, minlength=len(self.arms))
        made: dict[int, Choice] = {}
        for a in np.argsort(-counts, kind="stable").tolist():
            if counts[a]:
                made[a] = chosen_by(self.arms[a], state, int(counts[a]), rng)
                state = replace(state, taken=np.concatenate([state.taken, made[a].indices]))
        return self._told(made, won, drawn, beliefs)

    def _told(self, made: dict[int, Choice], won: Indices, drawn: Doubles, beliefs: Doubles) -> Choice:
        """The arms' choices slot by slot, with what gave each slot to its arm."""
        names, means = arm_names(self.arms), self._means(beliefs)
        parts = [(made[a], turn) for a, turn in zip(won.tolist(), space.turn(won).tolist(), strict=True)]
        told: dict[str, list[Any]] = {
            "arm": [names[a] for a in won],
            "arm_mean": [float(means[a]) for a in won],
            "arm_drew": drawn.tolist(),
            "arm_says": [note(choice, turn) for choice, turn in parts],
        }
        indices = np.array([choice.indices[turn] for choice, turn in parts], dtype=np.int64)
        scores = np.array([choice.scores[turn] for choice, turn in parts], dtype=np.float32)
        return Choice(indices, scores, told)

    def _beliefs(self, state: State) -> Doubles:
        return posterior(arm_names(self.arms), state.history, state.round, self.discount)

    @staticmethod
    def _means(beliefs: Doubles) -> Doubles:
        return np.asarray(beliefs[:, 0] / beliefs.sum(axis=1))

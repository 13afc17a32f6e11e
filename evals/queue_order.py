"""What people find in the same minutes, by the order in which their queue is shown to them.

    python -m evals.queue_order [--quick]

600 texts of a pool have an oracle's label, one in five of them wrong: half were drawn by chance, half are those that
a student was least sure of. What the oracle is not sure of waits for people, who are right, take four seconds and one
more for every fifteen characters (half as long at times, or twice), and stop after a quarter of the time that the
whole queue would take. How long they take is learnt from 40 labels beforehand. Then the student is taught anew, with
their labels, and labels the rest of the pool.

Counted are the wrong labels that people put right themselves, and how many wrong labels fewer there are in the whole
pool: the oracle's and people's of the 600, the student's of all others. Oracles are simulated. Both are wrong where
texts are hard (a classifier that was taught on texts apart says how hard); of one the rest is chance, the other errs
alike on texts that are alike. Each seed is one dealing of errors and times; all orders share it.

Targets, set before anything was measured on dbpedia14, bbc and fewrel (the order was tuned on the other two): by
value people put more labels right than by the chance to be wrong alone; with the student's there are not fewer; both
are more than by the oracle's confidence and than in an order by chance.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from agent.doubt import SIGNS, ErrorModel, Pace, of_neighbours, of_student
from agent.doubt import value as valued
from agent.doubt.calibration import odds
from agent.doubt.suspicion import NEIGHBOURS, SURELY
from agent.records import Floats
from agent.selection.neighbours import nearest
from agent.selection.space import one_thread
from agent.student.head import Head
from agent.student.heads import Heads
from agent.student.teaching import Hints, Labelled, teach
from evals import _corpora
from evals._corpora import Corpus, corpus
from evals.outcome import Outcome, is_quick
from evals.relabel import hardness, interval

Doubles = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

SETS = ("uci_sentiment", "banking77", "dbpedia14", "bbc", "fewrel")
ASKED, RIGHT, ACCEPTED, SURE = 600, 0.8, 0.8, 0.9
"""Texts with a label; the share of those in the pool that would be right; from which confidence on a label counts in
full; and below which it waits for people."""
SHARE = 0.25
TIMED, FIRST, A_CHARACTER, SPREAD = 40, 4.0, 1 / 15, 0.5
ALIKE = {"errs by chance": 0.0, "errs alike": 0.6}
"""Of an oracle's noise, the share that texts have in common which are alike."""
WAVES, WIDTH, STRENGTH = 64, 3.0, 1.8
SEEDS, QUICK_SEEDS = 4, 3
OURS, ALONE = "value", "chance to be wrong"
BESIDE = ("value without influence", ALONE, "least confidence", "by chance")


@dataclass(frozen=True)
class Scene:
    """A pool with an oracle's labels of some of its texts, at places `asked` of the pool: m of n."""

    of: Corpus
    seed: int
    asked: Indices
    said: Indices
    sure: Doubles
    seconds: Doubles
    pace: Pace

    @property
    def vectors(self) -> Floats:
        return self.of.vectors[self.of.pool]

    @property
    def truth(self) -> Indices:
        return np.asarray(self.of.labels[self.of.pool], np.int64)

    @property
    def lengths(self) -> Doubles:
        return np.array([len(self.of.texts[i]) for i in self.of.pool.tolist()], np.float64)

    def taught(self, said: Indices, by_people: Bools) -> Heads:
        """A student of these labels of the asked texts."""
        heads, classes = Heads(len(self.of.names)), np.eye(len(self.of.names), dtype=np.float32)
        weights = np.where((self.sure >= ACCEPTED) | by_people, 1.0, self.sure).astype(np.float32)
        known = Labelled(self.vectors[self.asked], classes[said], weights)
        teach(heads, known, np.random.default_rng([self.seed, 5]), Hints(None, None, doubtful=~by_people))
        return heads

    def wrong_in_all(self, heads: Heads, said: Indices) -> int:
        """Wrong labels in the whole pool."""
        found = heads.predict(self.vectors).argmax(axis=1)
        found[self.asked] = said
        return int((found != self.truth).sum())


@dataclass(frozen=True)
class Found:
    """What came of one order: texts that people saw, wrong ones among them, by how many there are fewer wrong labels
    in the pool, and the student's accuracy on other texts."""

    seen: int
    by_people: int
    fewer: int
    student: float


def oracle(of: Corpus, alike: float, seed: int) -> tuple[Indices, Doubles]:
    """What it says of the whole pool: (n,) classes, and how sure it is of each."""
    rng, logs, vectors = np.random.default_rng([seed, 1]), hardness(of), of.vectors[of.pool]
    n, truth = len(logs), of.labels[of.pool]
    own, others = logs[np.arange(n), truth], logs.copy()
    others[np.arange(n), truth] = -np.inf
    waves = np.cos(vectors @ (WIDTH * rng.normal(size=(vectors.shape[1], WAVES))) + 2 * np.pi * rng.random(WAVES))
    common = waves @ rng.normal(size=WAVES)
    common = STRENGTH * (common - common.mean()) / common.std()
    noise = np.sqrt(1 - alike) * rng.logistic(size=n) + np.sqrt(alike) * common
    seen = own - others.max(axis=1) + noise
    line = np.quantile(seen, 1 - RIGHT)
    sure = np.clip(expit(1.5 * np.abs(seen - line)), 1 / logs.shape[1] + 0.01, 0.999)
    return np.where(seen > line, truth, others.argmax(axis=1)), sure


def scene(of: Corpus, alike: float, seed: int) -> Scene:
    """Ask about texts by chance, and about those that a student of these is least sure of; time some people."""
    said, sure = oracle(of, alike, seed)
    rng, n, vectors = np.random.default_rng([seed, 2]), len(of.pool), of.vectors[of.pool]
    first = rng.permutation(n)[: ASKED // 2]
    head = Head(len(of.names))
    targets = np.eye(len(of.names), dtype=np.float32)[said[first]]
    head.fit(vectors[first], targets, np.ones(len(first), np.float32), rng)
    margin = np.sort(head.predict(vectors), axis=1)
    lead = margin[:, -1] - margin[:, -2]
    lead[first] = np.inf
    asked = np.concatenate([first, np.argsort(lead, kind="stable")[: ASKED - len(first)]])
    texts = [len(of.texts[of.pool[i]]) for i in asked.tolist()]
    others = [len(of.texts[i]) for i in rng.choice(of.apart, TIMED).tolist()]
    pace = Pace.fit(np.array(others, float), takes(np.array(others, float), rng))
    return Scene(of, seed, asked, said[asked], sure[asked], takes(np.array(texts, float), rng), pace)


def takes(lengths: Doubles, rng: np.random.Generator) -> Doubles:
    """Seconds that people truly take."""
    return (FIRST + A_CHARACTER * lengths) * np.exp(SPREAD * rng.normal(size=len(lengths)))


def orders(of: Scene, heads: Heads) -> Mapping[str, Doubles]:
    """(m,) keys of each order, higher first, by what is known before people begin."""
    own, n = of.vectors[of.asked], len(of.asked)
    near, _ = nearest(own, own, NEIGHBOURS + 1, "cosine")
    agree = [[bool(of.said[j] == of.said[i]) for j in r if j != i] for i, r in enumerate(near.tolist())]
    signs = np.zeros((n, len(SIGNS)))
    signs[:, SIGNS.index("confidence")] = np.clip(odds(of.sure), -SURELY, SURELY)
    signs[:, SIGNS.index("student")] = of_student(heads.out_of_fold, of.said)
    signs[:, SIGNS.index("neighbours")] = of_neighbours(agree)
    wrong = 1 - ErrorModel().right(signs)
    others = np.setdiff1d(np.arange(len(of.truth)), of.asked)
    known, chances = of.vectors[others], heads.predict(of.vectors[others])
    changes = valued.influence(valued.in_doubt(own, of.said, known, chances), valued.usually_in_doubt(known, chances))
    seconds = of.pace.seconds(of.lengths[of.asked])
    middle = float(of.pace.seconds(np.array([np.median(of.lengths)]))[0])
    return {
        OURS: valued.places(wrong, changes, seconds, middle),
        "value without influence": valued.places(wrong, np.ones(n), seconds, middle),
        ALONE: wrong,
        "least confidence": 1 - of.sure,
        "by chance": np.random.default_rng([of.seed, 3]).random(n),
    }


def compared(of: Scene) -> dict[str, Found]:
    """What people find in the same minutes, by each order."""
    nobody = np.zeros(len(of.asked), bool)
    heads = of.taught(of.said, nobody)
    before, waits = of.wrong_in_all(heads, of.said), np.flatnonzero(of.sure < SURE)
    minutes, found = SHARE * of.seconds[waits].sum(), {}
    right = of.truth[of.asked]
    for name, key in orders(of, heads).items():
        order = waits[np.argsort(-key[waits], kind="stable")]
        seen = order[np.cumsum(of.seconds[order]) <= minutes]
        by_people, said = nobody.copy(), of.said.copy()
        by_people[seen], said[seen] = True, right[seen]
        now = of.taught(said, by_people)
        guessed = now.predict(of.of.vectors[of.of.test]).argmax(axis=1)
        found[name] = Found(
            len(seen),
            int((of.said[seen] != right[seen]).sum()),
            before - of.wrong_in_all(now, said),
            float((guessed == of.of.labels[of.of.test]).mean()),
        )
    return found


def report(outcome: Outcome, kind: str, found: list[dict[str, Found]], *, hold: bool = False) -> None:
    """Rows of one set and oracle, or with `hold` of all together, where the targets are held against."""
    kinds = {"by_people": "wrong labels put right by people", "fewer": "wrong labels fewer in the pool"}
    for what, said in kinds.items():
        ours = np.array([getattr(f[OURS], what) for f in found], float)
        for name in BESIDE:
            theirs = np.array([getattr(f[name], what) for f in found], float)
            mean, low, high = interval(ours - theirs)
            target, holds = "", None
            if hold and name != "value without influence":
                least = what == "fewer" and name == ALONE
                target = "not fewer" if least else "more, the interval above 0"
                holds = bool(mean >= 0 if least else low > 0)
            outcome.add(f"{kind}: {said}, beside {name}", float(ours.mean()),
                        f"{mean:+.1f}, 95 % {low:+.1f} to {high:+.1f}", target=target, holds=holds,
                        rival=f"{theirs.mean():.1f}")  # fmt: skip
    ours = np.array([f[OURS].student for f in found])
    rivals = {name: np.array([f[name].student for f in found]) for name in BESIDE}
    told = ", ".join(f"{name} {v.mean():.4f}" for name, v in rivals.items())
    outcome.add(f"{kind}: student's accuracy on other texts", float(ours.mean()), "share right", rival=told)
    seen = {name: np.mean([f[name].seen for f in found]) for name in (OURS, *BESIDE)}
    outcome.add(f"{kind}: texts seen in these minutes", float(seen[OURS]), "texts",
                rival=", ".join(f"{name} {seen[name]:.0f}" for name in BESIDE))  # fmt: skip


def main() -> int:
    if (why := _corpora.missing()) is not None:
        print(why)
        return 2
    quick = is_quick()
    outcome, every = Outcome("queue_order", quick), list[dict[str, Found]]()
    with one_thread():
        for name in SETS[:1] if quick else SETS:
            of = corpus(name)
            for word, alike in ALIKE.items():
                found = [compared(scene(of, alike, seed)) for seed in range(QUICK_SEEDS if quick else SEEDS)]
                report(outcome, f"{name}, oracle {word}", found)
                every += found
                print(f"{name}, oracle {word}: done", flush=True)
    report(outcome, "all together", every, hold=True)
    return outcome.finish()


if __name__ == "__main__":
    sys.exit(main())

"""Texts that none of a job's labels fits (`task.other`): how many there are, and what they are about.

They are clustered as the pool is for a cold start, and of each cluster the most typical texts are shown: what many of
them have in common may be a class that the job lacks.
"""

from __future__ import annotations

import numpy as np

from agent.picture import quoted
from agent.records import Text
from agent.report import Unfitting
from agent.selection import space
from agent.selection.strategies.typical import typical_order
from agent.store import RouteRow
from agent.workbench import MEASURE, Workbench

MOST, EXAMPLES = 5, 3
"""Clusters, and texts shown of each."""
MEMBERS = 8
"""A cluster for so many texts: of fewer nothing can be told apart."""
CLUSTERED = 5_000
SALT = 1_000_003


def unfitting(bench: Workbench) -> Unfitting | None:
    """What became of the label for all that fits no other; None for a job without one."""
    name = bench.job.task.other
    if name is None:
        return None
    routes = bench.store.routes(bench.job.name)
    counts = {**bench.store.current(bench.job.name), **bench.opinions().labels()}
    gold = {t.id for t, _ in bench.gold}
    labelled = {i: x for i, x in counts.items() if i not in gold}
    there = [i for i, x in labelled.items() if x.value == name]
    waiting = sum(_waits(routes.get(i)) for i in there)
    found = bench.store.texts(bench.job.name, there[:CLUSTERED])
    texts = [Text(i, words) for i, words in found.items()]
    return Unfitting(name, len(there), len(labelled), waiting, tuple(_groups(bench, texts)))


def _waits(route: RouteRow | None) -> bool:
    return route is not None and not route.is_accepted


def _groups(bench: Workbench, texts: list[Text]) -> list[tuple[int, tuple[str, ...]]]:
    """(how many, the most typical of them), the largest cluster first."""
    if not texts:
        return []
    if not bench.job.has_student:  # nothing is embedded
        return [(len(texts), tuple(quoted(t.text) for t in texts[:EXAMPLES]))]
    rng = bench.rng(MEASURE, SALT)
    vectors = np.asarray(bench.first_vectors(texts), np.float32)
    groups = space.clusters(vectors, min(MOST, max(1, len(texts) // MEMBERS)), rng)
    order = typical_order(space.neighbour_distance(vectors, groups), groups)
    found: dict[int, list[str]] = {}
    for i in order:
        found.setdefault(int(groups[i]), []).append(quoted(texts[i].text))
    sized = sorted(found.values(), key=len, reverse=True)
    return [(len(members), tuple(members[:EXAMPLES])) for members in sized]

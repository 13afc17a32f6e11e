"""The rest of the pool: texts that nobody was asked about, labelled by the student, as the first step of a cascade.

It is the cheapest step, and comes last: selection asks about what the student is unsure of, so what is left is what
it is surest of. Which of its labels are accepted, people's verdicts say, as of any oracle: on texts that they
labelled, each foretold by a student that was taught everything else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from agent import steps
from agent import triage as triaging
from agent.doubt import Calibration, Given
from agent.errors import DataError
from agent.hints import learn, taught
from agent.measuring import foretold
from agent.records import Label, Source, Text, TextId
from agent.refreshing import go_on
from agent.tasks import Generation
from agent.workbench import MEASURE, Workbench

BY = "student"


@dataclass(frozen=True)
class Rest:
    """The student as one who labels.

    Attributes:
        calibration: of how sure it is.
        bar: from which calibrated confidence on its labels are accepted; its value is None where people's labels do
            not show that any holds `people.target_error`.
        asked: texts that an oracle was asked about, or that teach.
    """

    bench: Workbench
    calibration: Calibration
    bar: triaging.Threshold
    asked: frozenset[TextId]

    def labels(self, texts: Sequence[Text]) -> dict[TextId, Label]:
        """Its labels of those that nobody was asked about."""
        new = [t for t in {t.id: t for t in texts}.values() if t.id not in self.asked]
        if not new:
            return {}
        said = self.bench.student.predict(new)
        sure = self.calibration.apply(1 - np.asarray(said.doubt, np.float64))
        names, widget = self.bench.task.names, self.bench.task.widget
        table = said.probabilities if said.probabilities is not None and widget == "choice" else None
        found = {}
        for row, (text, value) in enumerate(zip(new, said.values, strict=True)):
            chances = None if table is None else dict(zip(names, table[row].tolist(), strict=True))
            found[text.id] = Label(text.id, value, Source.STUDENT, BY, chances, float(sure[row]))
        return found

    def accepts(self, label: Label) -> bool:
        return self.bar.value is not None and (label.confidence or 0.0) >= self.bar.value


def rest_of(bench: Workbench) -> Rest:
    """The student, taught what is known now, and from where on it is to be believed.

    Raises DataError where nothing has taught it yet.
    """
    if isinstance(bench.task, Generation):
        raise DataError(
            f"job {bench.job.name} has `kind: generation`, and its student writes nothing of its own; leave "
            "--with-student out, and let the distilled model write: `labelwright predict`"
        )
    lessons = bench.lessons()
    if not lessons:
        raise DataError(f"job {bench.job.name}: no label has taught the student yet; run the job first")
    weights = steps.weights_of(bench, lessons)
    go_on(bench)
    learn(bench, lessons, weights)
    # where an oracle's label looked wrong, the student was chosen for being right
    chosen = {i for i, route in bench.store.routes(bench.job.name).items() if route.looks_wrong}
    by_people = [i for i, (t, x) in enumerate(lessons) if x.source is Source.PERSON and t.id not in chosen]
    sure, right = np.full(len(by_people), np.nan), np.zeros(len(by_people), np.bool_)
    rng, place = bench.rng(MEASURE, 1_000_002), {i: k for k, i in enumerate(by_people)}
    for rows, said in foretold(partial(taught, bench), lessons, weights=weights, measured=by_people, rng=rng):
        for i, value, doubt in zip(rows, said.values, said.doubt.tolist(), strict=True):
            sure[place[i]] = 1 - doubt
            right[place[i]] = bench.task.agreement(lessons[i][1].value, value) == 1.0
    calibration, nobody = Calibration.fit(sure, right), np.full(len(right), -1, np.int64)
    seen = calibration.crossed(Given(sure), right, nobody)
    bar = triaging.threshold(seen, right, bench.job.people.target_error)
    asked = frozenset([*bench.picks(), *(t.id for t, _ in bench.seed)])
    return Rest(bench, calibration, bar, asked)


def told(rest: Rest, rows: Mapping[bool, int]) -> str:
    """What came of it, as a sentence: `rows` counts those that it labelled by whether that is accepted."""
    of = f"the student labelled {sum(rows.values()):,} rows that nobody was asked about"
    if rest.bar.value is None:
        return f"{of}; none is accepted: {rest.bar.basis}"
    return f"{of}; {rows.get(True, 0):,} are accepted, from {rest.bar.value:.2f} on: {rest.bar.basis}"

"""Whether what an oracle is not sure of goes on to the next one now, or is put off: `agent.worth`, fed by a job.

What is put off is a route in the store: the text waits in people's queue and for the next oracle, for whichever comes
first. So nothing is carried from one step to the next, and who settles a text takes it off both lists.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from agent import worth
from agent.doubt.calibration import Bools, Doubles
from agent.endpoints import questions_of
from agent.job import OracleSettings
from agent.judging import Judgement, judgement
from agent.opinions import beside_triage, was_seen
from agent.records import Label, MicroDollars, Route, Source, Text
from agent.report.outlook import Outlook, Standing, look_ahead
from agent.store import RoundRow
from agent.tasks import is_right
from agent.workbench import NOWHERE, Workbench

ENOUGH_ANSWERS = 5
"""Labels of an oracle before what they cost says what the next one will cost."""
NEWEST = 100
"""Labels that say what a new text brings: the next texts are like those that were asked about last."""


@dataclass(frozen=True)
class Stronger:
    """The oracle after another one, and what asking it is worth just now.

    Attributes:
        name: its name.
        judge: of the labels at hand.
        step: what it is expected to bring and to cost.
        new_text: right labels a micro-dollar that one more text brings.
        ample: the money pays for all that may still be asked.
        payable: it pays for one question to this oracle.
        always: the job has it asked about everything, whatever that brings.
    """

    name: str
    judge: Judgement
    step: worth.Step
    new_text: float
    ample: bool
    payable: bool = True
    always: bool = False

    def now(self, sure: Doubles) -> Bools:
        """(n,) which labels go on now; `sure` is the chance that each is right."""
        if self.always or not self.payable:
            return np.full(len(sure), self.payable)
        return worth.asked_now(self.step.a_dollar(sure), self.new_text, ample=self.ample)

    def told(self, texts: int) -> str:
        """How many texts were put off, and why."""
        wait = f"{texts:,} text{' waits' if texts == 1 else 's wait'} for {self.name} or a person"
        if not self.payable:
            return f"{wait}: the rest of the budget does not pay for a question to it"
        most, new = 1e6 * worth.ratio(self.step.right, self.step.price), 1e6 * self.new_text
        expected = f"it is expected to be right on {self.step.right:.0%} of such texts"
        return f"{wait}: {expected}, at most {most:,.0f} right labels a dollar, and a new text brings {new:,.0f}"


def stronger(
    bench: Workbench, place: int, labels: Sequence[Label], *, payable: bool, last: bool = False
) -> Stronger | None:
    """The oracle after that at `place`, as it is to be weighed now; None after the last one.

    Args:
        labels: those that the oracle at `place` just gave, which are not in the store yet.
        payable: the money that is left pays for one question to it.
        last: no text will be asked about after these.
    """
    if place + 1 >= len(bench.job.oracle):
        return None
    known = Known(bench, place, labels)
    name, judge, step = bench.job.oracle[place + 1].name, known.judge(place), known.step(place)
    if last or bench.job.people.escalate == "always":
        return Stronger(name, judge, step, 0.0, ample=True, payable=payable, always=not last)
    ample = known.ahead().cost() <= left(bench)
    return Stronger(name, judge, step, known.new_text().a_dollar, ample, payable)


def onward(bench: Workbench, place: int, following: Stronger, labels: Sequence[Label]) -> list[Label]:
    """What goes on from the oracle at `place`, by what that is worth: `labels`, and what was put off and is worth it
    now. What a person has settled meanwhile is not among the latter."""
    waiting = put_off(bench)[place]
    now = following.now(following.judge.sure(waiting))
    if not now.all():
        bench.watch.note(following.told(int((~now).sum())))
    found = [*labels, *(x for x, is_now in zip(waiting, now, strict=True) if is_now)]
    if following.always:
        return found
    a_dollar = following.step.a_dollar(following.judge.sure(found))
    return [found[i] for i in np.argsort(-a_dollar, kind="stable").tolist()]


def put_off(bench: Workbench) -> list[list[Label]]:
    """By oracle, the labels that wait for the next one: of texts that nobody has settled."""
    store, name = bench.store, bench.job.name
    routes, found = store.routes(name), {o.name: list[Label]() for o in bench.job.oracle}
    for q in store.queue(name, include_skipped=True, audits=False):
        if q.suggestion is not None and routes[q.text_id].route is Route.STRONGER:
            found.get(q.suggestion.by.partition("/")[0], []).append(q.suggestion)
    return list(found.values())


def texts_left(bench: Workbench) -> int:
    """Texts of the pool that nobody was asked about."""
    taken = {p.row for p in bench.picks().values()} | {t.row for t, _ in bench.seed}
    return len(bench.pool) - len(taken - {NOWHERE})


def outlook(bench: Workbench, rounds: Sequence[RoundRow]) -> Outlook:
    """What more labels are expected to bring, by the learning curve of these rounds."""
    store, name = bench.store, bench.job.name
    paid = sum(c.cost for c in store.round_costs(name))
    spent = store.spending(name).spent
    return look_ahead(Standing([r.figures for r in rounds], paid, store.count_picks(name), texts_left(bench), spent))


def left(bench: Workbench) -> int:
    """Micro-dollars that are neither spent nor set aside."""
    spending = bench.store.spending(bench.job.name)
    return spending.cap - spending.spent - spending.reserved


def pays_for(bench: Workbench, place: int) -> bool:
    """Whether the money that is left surely pays for a question to an oracle."""
    return left(bench) >= worst_case(bench, bench.job.oracle[place])


def worst_case(bench: Workbench, settings: OracleSettings) -> MicroDollars:
    """That of a typical question to an oracle, which need not be connected: about the first text of the pool."""
    questions = questions_of(bench, settings, "json_schema")
    text = next(iter(bench.pool.texts()))
    question = questions.maybe(text, questions.first(text)) or questions(Text(text.id, ""))
    return bench.tariff(settings).worst(question)


class Known:
    """What a job knows of its oracles, read once. `place` is whose turn it was, `at_hand` what labels it just gave,
    which are not in the store yet."""

    def __init__(self, bench: Workbench, place: int, at_hand: Sequence[Label]) -> None:
        self._bench, self._place, self._at_hand = bench, place, at_hand
        self._judges: dict[int, Judgement] = {}

    @cached_property
    def labels(self) -> list[list[Label]]:
        """By oracle, its labels, a text's newest, the oldest first."""
        found: dict[str, dict[str, Label]] = {o.by: {} for o in self._bench.job.oracle}
        for label in [*self._bench.store.labels(self._bench.job.name, source=Source.ORACLE), *self._at_hand]:
            own = found.get(label.by, {})
            own.pop(label.text_id, None)
            own[label.text_id] = label
        return [list(own.values()) for own in found.values()]

    def judge(self, place: int) -> Judgement:
        if place not in self._judges:
            self._judges[place] = judgement(self._bench, self._bench.job.oracle[place].by)
        return self._judges[place]

    def price(self, place: int) -> float:
        """Micro-dollars that asking an oracle about one text is expected to cost: the mean of what its labels cost.

        Before there are a few, the worst case of a typical question, times what labels of the one before it cost of
        theirs.
        """
        own = self.labels[place]
        if len(own) >= ENOUGH_ANSWERS:
            return float(np.mean([x.cost for x in own]))
        worst = float(worst_case(self._bench, self._bench.job.oracle[place]))
        if place == 0:
            return worst
        before = float(worst_case(self._bench, self._bench.job.oracle[place - 1]))
        return worst * min(1.0, self.price(place - 1) / before) if before else worst

    def step(self, place: int) -> worth.Step:
        """The oracle after that at `place`. Until people are heard it is taken to be right as often as a label has to
        be that is accepted: that is what it is in the job for."""
        right = worth.expected(self._verdicts(place + 1), self.judge(place + 1).bar.value or 0.0)
        return worth.Step(right, self.at_hand(place), self.price(place + 1))

    def at_hand(self, place: int) -> float:
        """The chance that a label by an oracle is right of which nothing tells."""
        return worth.between(self.judge(place).bar.value or 0.0, len(self._bench.task.names))

    def _verdicts(self, place: int) -> list[worth.Verdicts]:
        """What people said of an oracle's labels, of those that were accepted and of the others."""
        bench = self._bench
        routes, current = bench.store.routes(bench.job.name), bench.store.current(bench.job.name)
        kinds: dict[bool, list[Label]] = {True: [], False: []}
        for label in self.labels[place]:
            route = routes.get(label.text_id)
            kinds[route is not None and route.is_accepted].append(label)
        found, drawn = [], beside_triage(bench.store.audited(bench.job.name), routes)
        for own in kinds.values():  # an audit draws doubtful ones more often: they are not like others of their kind
            said = [(x, current.get(x.text_id)) for x in own if x.text_id not in drawn]
            judged = [(x, y) for x, y in said if y is not None and y.source is Source.PERSON]
            right = sum(
                is_right(bench.task, y.value, x.value, seen=was_seen(routes.get(x.text_id), x)) for x, y in judged
            )
            found.append(worth.Verdicts(len(own), len(judged), right))
        return found

    def new_text(self, *, by_signs: bool = False) -> worth.NewText:
        """What one more text brings, by the labels that the first oracle gave last: once there is a student, by those
        that it could have foretold.

        Args:
            by_signs: the chance that a label is right is the error model's word, whatever decides what is accepted.
        """
        told = [x for x in self.labels[0] if (x.signs or {}).get("student")]
        newest = (told or self.labels[0])[-NEWEST:]
        sure = self.judge(0).sure(newest)
        known = self.judge(0).by_all_signs(newest) if by_signs else np.where(np.isnan(sure), self.at_hand(0), sure)
        foretold = [(x.signs or {}).get("student", 0.0) > 0 for x in newest]
        gain = worth.gain_of_label(known, foretold, len(self._bench.task.names)) + self.teaches
        if len(self._bench.job.oracle) == 1:
            return worth.NewText(gain, self.price(0))
        after, is_sent = self.step(0), self._is_unsure(0, newest)
        gain_sent = float(after.gains(sure[is_sent]).mean()) if is_sent.any() else 0.0
        return worth.NewText(gain, self.price(0), self._sent(0), gain_sent, after.price)

    def _is_unsure(self, place: int, labels: Sequence[Label]) -> Bools:
        """(n,) which labels by an oracle are less sure than its bar."""
        judge = self.judge(place)
        return np.asarray(~(judge.sure(labels) >= (judge.bar.value or 0.0)), np.bool_)

    def _sent(self, place: int) -> float:
        """Share of its newest labels that is; all, where it has given none."""
        is_unsure = self._is_unsure(place, self.labels[place][-NEWEST:])
        return float(is_unsure.mean()) if len(is_unsure) else 1.0

    @cached_property
    def teaches(self) -> float:
        """Right labels that one more label is expected to bring among the texts that are left, by the learning curve:
        what the student learns from it."""
        bench = self._bench
        per_dollar = outlook(bench, bench.store.rounds(bench.job.name)).per_dollar
        picked = bench.store.count_picks(bench.job.name)
        if per_dollar is None or not picked:
            return 0.0
        paid = sum(c.cost for c in bench.store.round_costs(bench.job.name))
        return max(0.0, per_dollar) * paid / picked / 1e6 * texts_left(bench)

    def ahead(self) -> worth.Ahead:
        """All that may still be asked."""
        oracles = range(len(self._bench.job.oracle))
        sent = [self._sent(k) for k in oracles]
        waiting = [float(len(own)) for own in put_off(self._bench)]
        waiting[self._place] += sent[self._place] * len(self._at_hand)
        return worth.Ahead(self._texts(), waiting, [self.price(k) for k in oracles], sent)

    def _texts(self) -> int:
        """Most texts that may still be asked about, by the pool and the job's limits, after the present round."""
        stop, size, picks = self._bench.job.stop, self._bench.job.selection.batch, self._bench.picks()
        most = [texts_left(self._bench)]
        if stop.max_labels is not None:
            most.append(stop.max_labels - len(picks))
        if stop.max_rounds is not None:
            rounds = max(0, stop.max_rounds - len({p.round for p in picks.values()}))
            if rounds == 0 or size != "auto":  # how large a round will be, is not known otherwise
                most.append(rounds * int(size) if rounds else 0)
        return max(0, min(most))

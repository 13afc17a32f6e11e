"""What an oracle says of texts: each is put to it once, and where the answer is in doubt, again in other orders.

Every question goes through the same purse, and every answer is in the store before it is read; so that hearing a text
again after a crash buys only what is missing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from agent.asking import Asked
from agent.doubt import CONTENT_FREE, Prior
from agent.doubt.calibration import Doubles, table
from agent.endpoints import Seat, questions_of, reset
from agent.errors import RedactionFailed
from agent.oracle import Put, Reading, looks_hostile, merged, most_alike
from agent.records import Answer, Belief, MicroDollars, Question, Text, TextId, Value
from agent.tasks import Generation, is_right
from agent.workbench import Workbench

MOST_AT_ONCE = 20_000  # questions that are held in memory
MOST_IN_BATCHES = 100_000  # a batch may take a day: what can go out at once must not wait for it
SUSPECT = "suspect"  # how the reason of a text begins that a person decides on, however sure the oracle is
FLIPS = f"{SUSPECT}: the answer to it flips when its words are marked"
UNREAD = f"{SUSPECT}: asked with its words marked, the oracle gave no label"


@dataclass(frozen=True, slots=True)
class Heard:
    """What an oracle said of one text.

    Attributes:
        value: None where no answer is a label, or none that counts; `why` says what came instead.
        belief: how sure it was, the mean over the orders that were asked.
        answers: every answer that came, the first one first; those of a value are all labels.
        keys: their questions' keys.
        turned: the value changed with the order of the labels.
    """

    text_id: TextId
    value: Value | None
    belief: Belief
    answers: tuple[Asked, ...]
    keys: tuple[str, ...]
    why: str = ""
    turned: bool = False

    @property
    def answer_id(self) -> int | None:
        """The first answer's place in the store."""
        return self.answers[0].answer_id if self.answers else None


async def hear(bench: Workbench, seat: Seat, texts: Sequence[Text]) -> dict[TextId, Heard]:
    """Put texts to an oracle, inside the budget. An answer that is no label is a failed try, and asked for again.

    Texts missing from the result were not asked, or not asked to their end: the money or the person said stop. What
    was answered of those is in the store, and is not bought again. A text that is less sure than the job's
    `people.threshold` is asked in further orders, where the format has some; one that looks as if it gave orders is
    asked once more with its words marked, where the format says so.
    """
    reset(seat)
    await _look_for_preference(bench, seat)
    found: dict[TextId, Heard] = {}
    most = MOST_IN_BATCHES if seat.settings.in_batches else MOST_AT_ONCE
    for start in range(0, len(texts), most):
        talk = _Talk(bench, seat, texts[start : start + most])
        await talk.first()
        await talk.again(bench.job.people.threshold)
        await talk.sampled()
        await talk.marked()
        found |= talk.heard()
    if seat.settings.prior == "batch":
        seat.prior = Prior.of(_table(bench, found.values()), "batch") or seat.prior
    return found if seat.prior is None else _without(bench, seat.prior, found)


async def hear_otherwise(bench: Workbench, seat: Seat, texts: Sequence[Text]) -> dict[TextId, Heard]:
    """Put texts once more to an oracle that has answered about them: with the labels in an order that the job has
    none of its questions in, so that the answer is a new one. Inside the budget; a text that is missing from the
    result was not asked.
    """
    reset(seat)
    await _look_for_preference(bench, seat)
    form = seat.settings.format
    more = seat.settings.model_copy(update={"format": form.model_copy(update={"orders": form.orders + 1})})
    other = replace(
        seat, settings=more, questions=questions_of(bench, more, seat.questions.sampling.mode)
    )  # `orders` begins with those of the job, whatever their number
    found: dict[TextId, Heard] = {}
    most = MOST_IN_BATCHES if seat.settings.in_batches else MOST_AT_ONCE
    for start in range(0, len(texts), most):
        part = texts[start : start + most]
        puts = {i: replace(put, order=form.orders) for i, put in other.puts(bench, part).items()}
        talk = _Talk(bench, other, part, puts)
        await talk.first()
        found |= talk.heard()
    return found if seat.prior is None else _without(bench, seat.prior, found)


async def _look_for_preference(bench: Workbench, seat: Seat) -> None:
    """Once a run, where the job says so: what an oracle says of texts that say nothing. Equal questions are bought
    once, so a run that goes on finds the same."""
    if seat.settings.prior != "content_free" or seat.prior is not None:
        return
    texts = content_free()
    talk = _Talk(bench, seat, texts, {t.id: seat.questions.first(t) for t in texts})
    await talk.first()
    seat.prior = Prior.of(_table(bench, talk.heard().values()), "content_free")
    if seat.prior is None:
        bench.watch.note(
            f"{seat.settings.name} gives no probabilities of texts without content: no prior to divide out"
        )
        return
    most = int(np.argmax(seat.prior.shares))
    bench.watch.note(
        f"{seat.settings.name} says {bench.task.names[most]!r} to a text without content with probability "
        f"{seat.prior.shares[most]:.2f}; that preference is divided out"
    )


def content_free() -> list[Text]:
    """Texts that say nothing, to be asked about."""
    return [Text(TextId(f"content-free-{k}"), words) for k, words in enumerate(CONTENT_FREE)]


def _table(bench: Workbench, heard: Iterable[Heard]) -> Doubles:
    return table((h.belief.probabilities for h in heard), bench.task.names)


def _without(bench: Workbench, prior: Prior, heard: Mapping[TextId, Heard]) -> dict[TextId, Heard]:
    """The same answers, a preference for some classes divided out: the likeliest class is another one at times."""
    names = bench.task.names
    found = dict(heard)
    for text_id, row in zip(heard, prior.without(_table(bench, heard.values())), strict=True):
        if np.isfinite(row).all():
            h, best = heard[text_id], int(row.argmax())
            belief = Belief(float(row[best]), dict(zip(names, row.tolist(), strict=True)), h.belief.lost_mass)
            found[text_id] = replace(h, value=names[best], belief=belief)
    return found


def costs_of(bench: Workbench, heard: Mapping[TextId, Heard]) -> dict[TextId, MicroDollars]:
    """What the answers about each text were charged, all orders together."""
    ids = {i: [a.answer_id for a in h.answers if a.answer_id is not None] for i, h in heard.items()}
    charged = bench.store.costs(answer_id for own in ids.values() for answer_id in own)
    return {i: MicroDollars(sum(charged.get(answer_id, 0) for answer_id in own)) for i, own in ids.items()}


def worst_cases(bench: Workbench, seat: Seat, texts: Sequence[Text]) -> list[MicroDollars]:
    """What the first questions about each text may cost (one, or `format.samples`), of those whose answer is not in
    the store."""
    put = seat.puts(bench, texts)
    every = [(t, replace(put[t.id], sample=k)) for t in texts for k in range(seat.settings.format.samples)]
    questions = [q for t, one in every if (q := seat.questions.maybe(t, one)) is not None]
    known = bench.store.answers_for([q.key for q in questions], *bench.ledger.known_at(seat.settings.name))
    return [bench.ledger.worst(seat.settings.name, q) for q in questions if q.key not in known]


class _Talk:
    """The questions about some texts, and what came of them so far."""

    def __init__(
        self, bench: Workbench, seat: Seat, texts: Sequence[Text], puts: Mapping[TextId, Put] | None = None
    ) -> None:
        self._bench, self._seat = bench, seat
        self._texts = {t.id: t for t in texts}
        self._puts = dict(puts or seat.puts(bench, texts))
        self._asked: dict[TextId, list[tuple[Question, Asked]]] = {}
        self._readings: dict[TextId, list[Reading]] = {}
        self._unfinished: set[TextId] = set()
        self._unsent: dict[TextId, str] = {}  # could not be redacted, and why
        self._suspect: dict[TextId, str] = {}

    async def first(self) -> None:
        """Every text once; and where no class of its shortlist fits, once with all of them."""
        await self._ask(self._puts)
        unlisted = {
            i: replace(self._puts[i], names=None) for i, r in self._readings.items() if r and r[-1].value is None
        }
        if unlisted:
            self._puts |= unlisted
            for text_id in unlisted:  # its money is spent, and its "none of these" is no label
                self._readings[text_id].clear()
            self._unfinished |= set(unlisted) - await self._ask(unlisted)

    async def again(self, bar: float) -> None:
        """What is in doubt, in each of the other orders."""
        doubted = [i for i, r in self._readings.items() if r and not r[0].belief.confidence >= bar]
        for turn in range(1, self._seat.questions.phrasing.form.orders):
            asked = await self._ask({i: replace(self._puts[i], order=self._puts[i].order + turn) for i in doubted})
            if self._bench.halted:  # the next run asks them; where the money has gone, one order has to do
                self._unfinished |= set(doubted) - asked

    async def sampled(self) -> None:
        """What was answered, once more for each further answer that the format wants."""
        answered = [i for i, r in self._readings.items() if r]
        for sample in range(1, self._seat.questions.phrasing.form.samples):
            asked = await self._ask({i: replace(self._puts[i], sample=sample) for i in answered})
            if self._bench.halted:  # the next run asks them
                self._unfinished |= set(answered) - asked

    async def marked(self) -> None:
        """What looks as if it gave orders, once more with its words marked (or plain, where they are marked)."""
        if not self._seat.settings.format.hostile_check:
            return
        names = self._bench.task.names
        said = {i: merged(r, names).value for i, r in self._readings.items() if r and i not in self._unfinished}
        puts = {i: replace(self._puts[i], other_way=True) for i in said if looks_hostile(self._texts[i].text, names)}
        plain = {i: list(self._readings[i]) for i in puts}
        asked = await self._ask(puts)
        for text_id, before in plain.items():
            again = self._readings[text_id][len(before) :]
            if text_id in asked and (not again or not self._is_same(said[text_id], again[0].value)):
                self._suspect[text_id] = FLIPS if again else UNREAD
            self._readings[text_id] = before  # how sure it is, is what it was without the check
        self._unfinished |= set(puts) - asked  # nothing is accepted unchecked: the next run asks them

    def _is_same(self, one: Value, other: Value) -> bool:
        return bool(one == other) or is_right(self._bench.task, one, other)

    async def _ask(self, puts: Mapping[TextId, Put]) -> set[TextId]:
        """Put texts, and read what came. Returns those that were asked."""

        checked: dict[TextId, tuple[Answer, Reading]] = {}

        def check(question: Question, answer: Answer) -> None:
            text_id = question.text_id
            reading = self._seat.questions.read(self._texts[text_id], answer, puts[text_id])
            checked[text_id] = answer, reading

        questions = self._questions(puts)
        asked = await self._seat.asker.ask(list(questions.values()), check)
        for text_id, put in puts.items():
            if text_id not in asked:
                continue
            self._asked.setdefault(text_id, []).append((questions[text_id], asked[text_id]))
            readings = self._readings.setdefault(text_id, [])
            answer = asked[text_id].answer
            if answer is not None:  # and so a label: what is none was asked for again, and then failed
                before, reading = checked.get(text_id, (None, None))
                if reading is None or before is not answer:  # it shares another text's question
                    reading = self._seat.questions.read(self._texts[text_id], answer, put)
                readings.append(reading)
        return set(asked)

    def _questions(self, puts: Mapping[TextId, Put]) -> dict[TextId, Question]:
        """Of the texts that may be sent; the others wait for a person."""
        found: dict[TextId, Question] = {}
        for text_id, put in puts.items():
            try:
                found[text_id] = self._seat.questions(self._texts[text_id], put)
            except RedactionFailed as error:
                self._unsent[text_id] = str(error)
        return found

    def heard(self) -> dict[TextId, Heard]:
        """What was said of every text that was asked to its end, and why others were not sent."""
        unsent = {i: Heard(i, None, Belief(math.nan), (), (), why) for i, why in self._unsent.items()}
        return {i: self._of(i) for i in self._asked if i not in self._unfinished} | unsent

    def _of(self, text_id: TextId) -> Heard:
        came = [(q.key, a) for q, a in self._asked[text_id] if a.answer is not None]
        answers, keys = tuple(a for _, a in came), tuple(k for k, _ in came)
        labels = [r for r in self._readings[text_id] if r.value is not None]
        if text_id in self._suspect:
            return Heard(text_id, None, Belief(math.nan), answers, keys, self._suspect[text_id])
        if not labels:
            why = _why([reason for _, a in self._asked[text_id] for reason in a.reasons])
            return Heard(text_id, None, Belief(math.nan), answers, keys, why)
        task = self._bench.task
        if isinstance(task, Generation):
            place, reading = most_alike(labels, task)  # whose answer stands first
            answers, keys = answers[place:] + answers[:place], keys[place:] + keys[:place]
            return Heard(text_id, reading.value, reading.belief, answers, keys)
        reading = merged(labels, task.names)
        turned = any(r.value != labels[0].value for r in labels)
        return Heard(text_id, reading.value, reading.belief, answers, keys, turned=turned)


def _why(reasons: Sequence[str]) -> str:
    """Why a text has no label: the reasons of its attempts, each once."""
    return "; ".join(dict.fromkeys(reasons)) or "no answer"

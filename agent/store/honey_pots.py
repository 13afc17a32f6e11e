"""Honey pots: texts whose answer is known, shown to people among others, so that it is known how far each is right.

What is drawn stays as it was drawn, with its chance; whether a person has answered follows from what they did. An
answer is a label of theirs that is withdrawn in the same commit: it stays in the store, and never counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, Select, and_, func, insert, or_, select

from agent.records import Source, Text, TextId, Value
from agent.store import tables as t
from agent.store.blanks import JOB, NUMBER, PERSON, TEXT
from agent.store.columns import InCodePoints, by_hash, now
from agent.store.engine import in_parts
from agent.store.picks import Picks
from agent.store.rows import HoneyPot, HoneyPotAnswer
from agent.store.waiting import DECIDE, POT, acted, undone, withdrawn

H = t.honey_pots.c


class HoneyPots(Picks):
    """Queries about honey pots."""

    def draw_honey_pots(
        self,
        job: str,
        person: str,
        share: float,
        beside: Sequence[TextId],
        *,
        seed: int,
        known: Sequence[tuple[Text, Value]] = (),
        tx: Connection | None = None,
    ) -> None:
        """With a chance of `share` each, have one of these texts that a person is given come with a honey pot.

        Which it is comes by chance, out of what they have not seen: texts `known` from elsewhere, as the seed is,
        those that a lead decided, and those of which several people said the same. The draw for a text is made once,
        however often the person is given it.
        """
        hit = [text_id for text_id in beside if _chance(seed, job, person, "whether", text_id) < share]
        if not hit:
            return
        who = {JOB.key: job, PERSON.key: person}
        with self._write(tx, job) as sql:
            drawn_for = select(H.beside).where(H.job == job, H.person == person, H.beside.in_(hit))
            before = set(sql.execute(drawn_for).scalars())
            for text_id in hit:
                if text_id in before:
                    continue
                given, here = _unseen(sql, job, person, known), int(sql.execute(_how_many(), who).scalar_one())
                among = here + len(given)
                if not among:
                    return
                number = int(_chance(seed, job, person, "which", text_id) * among)
                if number < here:
                    chosen, answer = sql.execute(_one_of(), who | {NUMBER.key: number}).one()
                else:
                    text, answer = given[number - here]
                    chosen = text.id
                    self.add_texts(job, {chosen: text.text}, tx=sql)
                row = {"job": job, "person": person, "text_id": chosen, "known": answer, "beside": text_id}
                more = {"probability": share, "among": among, "created_at": now()}
                sql.execute(insert(t.honey_pots), [row | more])

    def open_honey_pots(self, job: str, person: str) -> list[HoneyPot]:
        """A person's honey pots that they have not answered or put off, the first drawn first."""
        with self._read(None) as tx:
            rows = tx.execute(_open(), {JOB.key: job, PERSON.key: person})
            return [HoneyPot(row.text_id, row.text, row.beside) for row in rows]

    def is_honey_pot(self, job: str, person: str, text_id: TextId) -> bool:
        """Whether a person was given this text as a honey pot, and has not answered or put it off."""
        with self._read(None) as tx:
            what = {JOB.key: job, PERSON.key: person, TEXT.key: text_id}
            return tx.execute(_open().where(H.text_id == TEXT), what).first() is not None

    def honey_pot_answers(self, job: str) -> list[HoneyPotAnswer]:
        """What people said of their honey pots and did not take back, oldest first."""
        given, r = t.labels.alias(), t.reviews.c
        query = (
            select(H.person, H.text_id, H.known, given.c.value, H.probability, H.among)
            .join(t.reviews, and_(r.job == H.job, r.person == H.person, r.text_id == H.text_id, r.action == POT))
            .join(given, given.c.id == r.label_id)
            .where(H.job == job, ~undone())
            .order_by(r.id)
        )
        with self._read(None) as tx:
            return [HoneyPotAnswer(*row) for row in tx.execute(query)]


def _chance(seed: int, *what: str) -> float:
    """A number from 0 to 1 that is the same for the same job, person and text."""
    return by_hash("\0".join((str(seed), *what)))


def _unseen(tx: Connection, job: str, person: str, known: Sequence[tuple[Text, Value]]) -> list[tuple[Text, Value]]:
    """Those that a person neither saw nor is to see, in the order of ids."""
    r, w, p, seen = t.reviews.c, t.waiting.c, t.current_labels.c, set[TextId]()
    for part in in_parts(text.id for text, _ in known):
        for query in (
            select(r.text_id).where(r.job == job, r.person == person, r.text_id.in_(part)),
            select(H.text_id).where(H.job == job, H.person == person, H.text_id.in_(part)),
            select(w.text_id).where(w.job == job, w.text_id.in_(part)),
            select(p.text_id).where(p.job == job, p.text_id.in_(part)),  # asked about after all: not for us to judge
        ):
            seen.update(tx.execute(query).scalars())
    return sorted((pair for pair in known if pair[0].id not in seen), key=lambda pair: pair[0].id)


@cache
def _decided() -> Select[Any]:
    """Texts that a person neither saw nor is to see, with their answers: those that a lead decided, and those of
    which several people said the same."""
    p, l, r, w = t.current_labels.c, t.labels.c, t.reviews.c, t.waiting.c  # noqa: E741
    others = t.labels.alias()
    agreed = (
        select(others.c.text_id)
        .where(others.c.job == p.job, others.c.text_id == p.text_id, others.c.source == Source.PERSON.value)
        .where(~withdrawn(others.c.id))
        .group_by(others.c.text_id)
        .having(func.count(func.distinct(others.c.given_by)) > 1, func.count(func.distinct(others.c.value)) == 1)
        .correlate(t.current_labels)
    )
    seen = select(r.id).where(r.job == p.job, r.text_id == p.text_id, r.person == PERSON).correlate(t.current_labels)
    waits = select(w.text_id).where(w.job == p.job, w.text_id == p.text_id).correlate(t.current_labels)
    pots = select(H.text_id).where(H.job == p.job, H.text_id == p.text_id, H.person == PERSON)
    by_people = and_(l.source == Source.PERSON.value, or_(acted(t.current_labels, DECIDE), agreed.exists()))
    return (
        select(p.text_id, l.value)
        .join(t.labels, l.id == p.label_id)
        .join(t.texts, and_(t.texts.c.job == p.job, t.texts.c.text_id == p.text_id))
        .where(p.job == JOB, by_people)
        .where(~seen.exists(), ~waits.exists(), ~pots.correlate(t.current_labels).exists())
    )


@cache
def _how_many() -> Select[Any]:
    return select(func.count()).select_from(_decided().subquery())


@cache
def _one_of() -> Select[Any]:
    """The known text with this number, from 0 on."""
    return _decided().order_by(InCodePoints(t.current_labels.c.text_id)).offset(NUMBER).limit(1)


@cache
def _open() -> Select[Any]:
    w, r = t.waiting.c, t.reviews.c
    waits = select(w.text_id).where(w.job == H.job, w.text_id == H.text_id).correlate(t.honey_pots)
    done = select(r.id).where(r.job == H.job, r.text_id == H.text_id, r.person == H.person, ~undone())
    return (
        select(H.text_id, H.beside, t.texts.c.text)
        .join(t.texts, and_(t.texts.c.job == H.job, t.texts.c.text_id == H.text_id))
        .where(H.job == JOB, H.person == PERSON)
        # what it was is no secret any more where it waits since, as an audit drew it
        .where(~waits.exists(), ~done.where(r.undoes.is_(None)).correlate(t.honey_pots).exists())
        .order_by(H.created_at, InCodePoints(H.text_id))
    )

"""Texts with all that was said of them, read in parts, and many labels of people at once."""

from __future__ import annotations

import pytest

from agent.errors import StoreError
from agent.records import Label, Route, Source, TextId
from agent.store import AuditItem, RouteRow, Store, engine, histories, queue
from agent.store.columns import pack_text
from tests.store.making import for_person, label, pick

NAMES = [f"{k:02d}{mark}" for k, mark in enumerate("aBäÄzZ\ud800=" * 3)]


@pytest.fixture
def many(store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A queue that is read in several parts, two of them at once, and some texts too long to come along."""
    pick(store, NAMES)
    store.add_labels("job", [label(x) for x in NAMES])
    store.add_routes("job", 1, [for_person(x, (k % 5) / 10, blind=k % 4 == 0) for k, x in enumerate(NAMES)])
    monkeypatch.setattr(engine.in_parts, "__defaults__", (4,))
    monkeypatch.setattr(queue, "WITH_TEXT", 4)
    monkeypatch.setattr(queue, "TOGETHER", 8)
    monkeypatch.setattr(queue, "SHORT", len(f"the text of {NAMES[0]}"))  # a surrogate is kept as several characters
    monkeypatch.setattr(histories, "WITH_TEXT", 4)
    return store


def said(text: str, by: str = "ann", value: str = "lost") -> Label:
    return label(text, value, Source.PERSON, by=by)


def test_the_queue_in_parts_is_the_queue(many: Store) -> None:
    many.review("job", TextId(NAMES[3]), "ann", "skip")
    many.review("job", TextId(NAMES[5]), "ann", "label", said(NAMES[5]))
    parts = list(many.queue_in_parts("job"))
    assert [row for part in parts for row in part] == many.queue("job", include_skipped=True)
    assert len(parts) > 3


def test_what_is_labelled_while_the_queue_is_read_no_longer_comes(many: Store) -> None:
    parts = many.queue_in_parts("job")
    first = [*next(parts), *next(parts)]
    waiting = [row.text_id for row in many.queue("job")]
    for text_id in waiting[len(first) :]:
        many.review("job", text_id, "ann", "label", said(text_id))
    assert [row for part in parts for row in part] == []


def test_a_history_has_every_label_that_stands_and_how_long_people_took(many: Store) -> None:
    many.review("job", TextId(NAMES[0]), "ann", "label", said(NAMES[0]), 2.5)
    many.review("job", TextId(NAMES[0]), "bob", "label", said(NAMES[0], "bob", "card"), 4.0)
    many.review("job", TextId(NAMES[1]), "ann", "label", said(NAMES[1]), 9.0)
    many.undo_review("job", "ann")
    found = {h.text_id: h for h in many.histories("job")}
    assert list(found) == sorted(NAMES, key=pack_text)  # as it is kept
    first = found[TextId(NAMES[0])]
    assert [(x.by, x.value) for x in first.labels] == [
        ("local/small", "card_arrival"), ("ann", "lost"), ("bob", "card"),
    ]  # fmt: skip
    assert [first.seconds.get(x.id or 0) for x in first.labels] == [None, 2.5, 4.0]
    assert (first.text, first.round, first.slice) == (f"the text of {NAMES[0]}", 1, "random")
    assert first.route is not None
    assert first.route.blind
    assert [x.by for x in found[TextId(NAMES[1])].labels] == ["local/small"]


def test_a_history_without_a_pick_or_a_decision_has_neither_and_is_not_blind(many: Store) -> None:
    many.add_texts("job", {TextId("00"): "its text"})
    many.add_labels("job", [label("00")])
    first, *_ = many.histories("job")
    assert (first.text, first.round, first.slice, first.route, first.blind) == ("its text", None, "", None, False)


def test_a_history_is_blind_once_an_audit_drew_its_text(many: Store) -> None:
    drawn = many.label_of("job", TextId(NAMES[1]))
    assert drawn is not None
    assert drawn.id is not None
    many.add_audit("job", {}, [AuditItem(TextId(NAMES[1]), drawn.id, 0, 0.5, 0, 0.5, 0.5, accepted=True)])
    found = {h.text_id: h.blind for h in many.histories("job")}
    assert [found[TextId(x)] for x in NAMES[:3]] == [True, True, False]  # the first one by its decision


def test_the_newest_route_of_some_texts_is_that_of_all(many: Store) -> None:
    many.add_routes("job", 2, [RouteRow(TextId(NAMES[2]), None, Route.ACCEPTED, "sure", 0.99)])
    everywhere = many.routes("job")
    some = [TextId(x) for x in NAMES[:7]]
    assert many.newest_routes("job", some) == {i: everywhere[i] for i in some}


def test_many_labels_of_people_are_as_one_by_one(many: Store) -> None:
    given = [(said(x, who), 1.0 + k) for k, x in enumerate(NAMES[:6]) for who in ("ann", "bob")]
    many.review_all("job", given)
    rows = many.reviews("job")
    assert [(r.text_id, r.person, r.action, r.seconds, r.blind) for r in rows] == [
        (x.text_id, x.by, "label", s, NAMES.index(x.text_id) % 4 == 0) for x, s in given
    ]
    by_id = {x.id: x for x in many.labels("job", source=Source.PERSON)}
    assert [by_id[r.label_id].text_id for r in rows] == [r.text_id for r in rows]
    assert {i: x.by for i, x in many.current("job").items() if x.source is Source.PERSON} == dict.fromkeys(
        NAMES[:6], "bob"
    )
    assert many.undo_review("job", "bob") == NAMES[5]
    assert many.current("job")[TextId(NAMES[5])].by == "ann"


def test_of_many_labels_one_of_an_unknown_text_lets_none_in(many: Store) -> None:
    with pytest.raises(StoreError, match="has no text 'nope'"):
        many.review_all("job", [(said(NAMES[0]), 1.0), (said("nope"), 1.0)])
    assert many.reviews("job") == []
    assert many.labels("job", source=Source.PERSON) == []

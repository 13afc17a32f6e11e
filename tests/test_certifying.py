"""What an audit's items come to, against sums done by hand, and that a test ends when it is decided."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from agent.audit.estimate import jeffreys
from agent.certifying import Certificate, Design, certificates
from agent.job import TaskSettings
from agent.records import Label, MicroDollars, Pick, Route, Source, TextId
from agent.report.certificate import certificate, headline, lines
from agent.review.desk import Desk
from agent.store import AuditItem, RouteRow, Store
from agent.tasks import Task, build
from agent.tasks.intervals import horvitz_thompson_mean
from tests.review.scenes import Scene, job_of

SECTIONS = ("business", "sport", "tech")


class Audited:
    """A job of labels that all say sport, of two oracles in turn, and an audit of some of them."""

    def __init__(self, folder: Path, count: int) -> None:
        job = job_of(folder)
        store = Store.open(f"sqlite:///{folder / 'store.db'}")
        store.open_job(job.name, job.settings(), job.fingerprint(), MicroDollars(1))
        self.scene, self.store, self.task = Scene(store, job, build(job.task)), store, build(job.task)
        self.ids = [TextId(f"t{k:03d}") for k in range(count)]
        store.add_picks("news", 0, [Pick(i, k, "random", 0.0) for k, i in enumerate(self.ids)],
                        {i: f"text {i}" for i in self.ids})  # fmt: skip
        labels = [Label(i, "sport", Source.ORACLE, f"{'ab'[k % 2]}/m", None, 0.9) for k, i in enumerate(self.ids)]
        self.labels = store.add_labels("news", labels)
        rows = [RouteRow(i, x, Route.ACCEPTED, "sure", 0.9) for i, x in zip(self.ids, self.labels, strict=True)]
        store.add_routes("news", 0, rows)

    def draw(self, strata: Sequence[int], **design: Any) -> int:
        """The first texts, by their stratum; `sizes` says how many there are of each."""
        sizes = design["sizes"]
        items = [
            AuditItem(
                self.ids[k], self.labels[k], k, 1 - k / len(strata), h, strata.count(h) / sizes[h], 0.9, k % 2 == 0
            )
            for k, h in enumerate(strata)
        ]
        usual = {"population": sum(sizes), "people": 3, "seeds": 0, "expected": [0.9] * len(sizes)}
        more = {"classes": {"sport": 30}, "oracles": {"a/m": 15, "b/m": 15}, "standings": {"accepted": 30}}
        return self.store.add_audit("news", asdict(Design(**(usual | more | design))), items)

    def judge(self, *said: str) -> None:
        desk = Desk(*self.scene.parts, "ada")
        for text_id, value in zip(self.ids, said, strict=False):
            if value == "skip":
                desk.skip(text_id, 1)
            elif value:
                desk.label(text_id, value, 1)

    def found(self) -> Certificate:
        return certificates(self.store, "news", self.task)[-1]

    def waits(self) -> list[str]:
        return [str(row.text_id) for row in self.store.queue("news")]


@pytest.fixture
def audited(tmp_path: Path) -> Iterator[Audited]:
    made = Audited(tmp_path, 30)
    yield made
    made.store.close()


STRATA = (0, 0, 0, 0, 1, 1, 1, 1)


def test_the_estimate_is_what_a_hand_computes(audited: Audited) -> None:
    audited.draw(STRATA, sizes=[10, 20])
    assert headline(audited.found()) == "nothing is known yet: none of 8 items is judged"
    audited.judge("sport", "tech", "sport", "sport", "sport", "sport", "sport", "sport")
    found = audited.found()
    assert found.share is not None
    assert (found.judged, found.left, found.is_final) == (8, 0, True)
    assert found.share.value == pytest.approx((10 * 3 / 4 + 20) / 30)
    assert (found.share.items, found.share.labels, found.share.reliance) == (8, 30, 0)
    low, high = jeffreys(found.share.value * found.share.effective, found.share.effective)
    assert (found.share.lo, found.share.hi) == (pytest.approx(low), pytest.approx(high))
    # by oracle: items of the first stratum count for 10 / 4 labels, those of the second for 20 / 4
    a, b = found.oracles
    assert (a.name, a.items, a.labels, a.value) == ("a/m", 4, 15, 1.0)
    assert (b.name, b.items) == ("b/m", 4)
    chances = [4 / 10, 4 / 10, 4 / 20, 4 / 20]
    assert (b.value, b.lo, b.hi) == pytest.approx(horvitz_thompson_mean([0, 1, 1, 1], chances))
    assert b.value == pytest.approx((2.5 + 5 + 5) / (2.5 + 2.5 + 5 + 5))
    assert [p.name for p in found.classes] == ["sport"]
    first, *_ = lines(found)
    assert first.startswith("accuracy 91.7\u202f%, 95\u202f% interval ")
    assert "from 8 blind items, estimator stratified Horvitz-Thompson: of the 30 labels that machines had" in first
    assert first.endswith("; people’s 3 labels are not part of it")
    assert any("takes" in said for said in lines(found))
    assert certificate([found]) == f"audit {found.id}: {first}"


def test_an_audit_that_is_not_finished_says_so_and_speaks_of_what_was_seen(audited: Audited) -> None:
    audited.draw(STRATA, sizes=[10, 20])
    audited.judge("sport", "tech")
    found = audited.found()
    assert found.share is not None
    assert (found.share.value, found.share.labels, found.left) == (0.5, 10, 6)
    said = lines(found)
    assert said[0].startswith("so far, and not final: accuracy 50.0")
    assert "2 of 8 items are judged, 6 wait for a person" in said
    assert any("10 of the 30 labels as yet" in line for line in said)
    assert found.more == ()
    assert certificate([found]) is None


def test_what_people_skipped_is_no_answer(audited: Audited) -> None:
    audited.draw(STRATA, sizes=[10, 20])
    audited.judge("sport", "skip", "sport", "sport", "sport", "sport", "sport", "sport")
    found = audited.found()
    assert (found.judged, found.skipped, found.left, found.is_final) == (7, 1, 0, True)
    assert found.share is not None
    assert found.share.value == 1.0
    assert "7 of 8 items are judged, 0 wait for a person, 1 were skipped and are not part of it" in lines(found)


def test_the_whole_population_judged_leaves_no_doubt(audited: Audited) -> None:
    audited.draw(STRATA, sizes=[4, 4])
    audited.judge("sport", "tech", *["sport"] * 6)
    found = audited.found()
    assert found.share is not None
    assert (found.share.value, found.share.lo, found.share.hi) == (7 / 8, 7 / 8, 7 / 8)
    assert not any("takes" in said for said in lines(found))


def test_an_answer_that_was_undone_is_none(audited: Audited) -> None:
    audited.draw(STRATA, sizes=[10, 20])
    before = audited.found()
    audited.judge("tech")
    audited.store.undo_review("news", "ada")
    assert audited.found() == before


# A test -----------------------------------------------------------------------------------------------------------


def until_decided(audited: Audited, *said: str) -> int:
    """Judges item by item until nothing waits; returns how many that took."""
    desk = Desk(*audited.scene.parts, "ada")
    for number, (text_id, value) in enumerate(zip(audited.ids, said, strict=False)):
        if str(text_id) not in audited.waits():
            return number
        desk.label(text_id, value, 1)
    return len(said)


def test_a_test_ends_as_soon_as_it_is_sure_and_the_rest_waits_for_nobody(audited: Audited) -> None:
    audited.draw([0] * 30, sizes=[30], limit=0.5, alpha=0.05)
    assert audited.waits() == [str(i) for i in audited.ids]  # in the order of drawing
    took = until_decided(audited, *["sport"] * 30)
    found = audited.found()
    assert found.test is not None
    assert (found.test.verdict, found.test.items, found.test.errors) == ("accept", took, 0)
    assert found.test.below >= 20
    assert 3 < took < 15
    assert (audited.waits(), found.left) == ([], 0)
    assert (
        f"error is under 50\u202f%: shown (alpha 0.05) after {took} blind items, 0 of them wrong" in lines(found)[0]
    )
    assert any(f"the other {30 - took} wait for nobody" in said for said in lines(found))
    assert certificate([found]) is not None


def test_a_test_may_show_that_more_are_wrong(audited: Audited) -> None:
    audited.draw([0] * 30, sizes=[30], limit=0.2, alpha=0.05)
    took = until_decided(audited, *["tech"] * 30)
    found = audited.found()
    assert found.test is not None
    assert (found.test.verdict, found.test.errors) == ("reject", took)
    assert "error is over 20\u202f%" in headline(found)


def test_undo_of_the_verdict_that_decided_has_the_rest_wait_again(audited: Audited) -> None:
    audited.draw([0] * 30, sizes=[30], limit=0.5, alpha=0.05)
    took = until_decided(audited, *["sport"] * 30)
    desk = Desk(*audited.scene.parts, "ada")
    done = desk.undo(desk.figures()["newest"])
    assert done["item"]["blind"]
    assert audited.waits() == [str(i) for i in audited.ids[took - 1 :]]
    assert headline(audited.found()).startswith("error is under 50\u202f%: not shown yet after")


def test_an_item_out_of_turn_does_not_count_until_those_before_it_do(audited: Audited) -> None:
    audited.draw([0] * 30, sizes=[30], limit=0.5, alpha=0.05)
    audited.judge("sport", "", "sport")
    found = audited.found()
    assert found.test is not None
    assert found.test.items == 1
    audited.judge("", "sport")
    now = audited.found().test
    assert now is not None
    assert now.items == 3


def test_what_was_skipped_speaks_against_both_sides(audited: Audited) -> None:
    audited.draw([0] * 30, sizes=[30], limit=0.5, alpha=0.05)
    audited.judge("sport", "sport", "sport")
    before = audited.found().test
    audited.judge(*[""] * 3, "skip")
    after = audited.found().test
    assert before is not None
    assert after is not None
    assert (after.items, after.errors, after.unknown) == (4, 0, 1)
    assert after.below < before.below
    assert after.above < before.above
    assert any("1 of the items were skipped" in said for said in lines(audited.found()))


# Other tasks ------------------------------------------------------------------------------------------------------


def test_labels_of_several_classes_are_right_as_a_whole_and_told_for_each_class(tmp_path: Path) -> None:
    task: Task = build(TaskSettings(kind="multilabel", labels=["a", "b"]))
    with Store.open(f"sqlite:///{tmp_path / 'store.db'}") as store:
        store.open_job("job", {}, "print", MicroDollars(1))
        ids = [TextId(x) for x in "xyz"]
        store.add_picks("job", 0, [Pick(i, 0, "random", 0.0) for i in ids], dict.fromkeys(ids, "text"))
        values = [("a", "b"), ("b",), ()]
        labels = [Label(i, v, Source.ORACLE, "o/m") for i, v in zip(ids, values, strict=True)]
        given = store.add_labels("job", labels)
        design = Design(6, 0, 0, [6], [0.5], classes={"a": 2, "b": 4}, oracles={"o/m": 6}, standings={"waiting": 6})
        items = [AuditItem(i, x, k, 0.5, 0, 0.5, 0.5, False) for k, (i, x) in enumerate(zip(ids, given, strict=True))]
        store.add_audit("job", asdict(design), items)
        for text_id, value in zip(ids, [["b", "a"], ["a"], []], strict=True):
            store.review("job", text_id, "ada", "label", Label(text_id, value, Source.PERSON, "ada"))
        (found,) = certificates(store, "job", task)
    assert found.share is not None
    assert found.share.value == pytest.approx(2 / 3)
    assert [(p.name, p.value, p.items) for p in found.classes] == [("a", 1.0, 1), ("b", pytest.approx(0.5), 2)]
    assert [(p.name, p.labels) for p in found.standings] == [("waiting", 6)]
    assert math.isfinite(found.share.effective)

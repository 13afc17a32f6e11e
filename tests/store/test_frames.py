"""What stood beside a text in its question: kept as it was, for one job."""

from __future__ import annotations

from agent.records import MicroDollars, TextId
from agent.store import FrameRow, Store

A, B = TextId("a"), TextId("b")


def test_a_frame_is_read_as_it_was_kept(store: Store) -> None:
    kept = {
        A: FrameRow(("refund", 'a "quoted" name'), ((TextId("x"), "refund"),)),
        B: FrameRow((), None),
    }
    store.keep_frames("job", kept)
    assert store.frames("job", [A, B, TextId("c")]) == kept


def test_that_nothing_was_found_is_not_that_nothing_was_looked_for(store: Store) -> None:
    store.keep_frames("job", {A: FrameRow((), ())})
    assert store.frames("job", [A])[A].examples == ()


def test_a_later_frame_takes_the_place_of_an_earlier_one(store: Store) -> None:
    store.keep_frames("job", {A: FrameRow(("one",)), B: FrameRow(("two",))})
    store.keep_frames("job", {A: FrameRow(("three",))})
    assert store.frames("job", [A, B]) == {A: FrameRow(("three",)), B: FrameRow(("two",))}


def test_jobs_that_share_a_store_have_frames_of_their_own(store: Store) -> None:
    store.open_job("other", {"seed": 0}, "print", MicroDollars(1_000))
    store.keep_frames("job", {A: FrameRow(("one",))})
    assert store.frames("other", [A]) == {}


def test_no_frames_are_kept_as_easily_as_many(store: Store) -> None:
    store.keep_frames("job", {})
    many = {TextId(f"t{i}"): FrameRow((str(i),)) for i in range(2500)}
    store.keep_frames("job", many)
    assert store.frames("job", many) == many

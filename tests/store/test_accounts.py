"""Sums over attempts, on every kind of database: what the report and `status` say of money."""

from __future__ import annotations

from agent.records import Label, MicroDollars, Pick, Route, Source, TextId, Usage
from agent.store import AttemptState, Reason, RouteRow, Store, Sum, Wanted
from tests.store.making import ANSWER, for_person, label, pick, reserve, stored


def buy(store: Store, text: str, charged: int = 5, *, usage: Usage | None = ANSWER.usage, job: str = "job") -> int:
    attempt = store.reserve(job, "local", f"key {text}", TextId(text), MicroDollars(10), owner="this run")
    return store.settle(attempt, MicroDollars(charged), usage, stored(f"key {text}"))


def fail(store: Store, text: str, reason: str, *, charged: bool = True) -> None:
    attempt = reserve(store, 10, text=text, key=f"key {text}")
    (store.mark_ambiguous if charged else store.release)(attempt, reason)


def test_reasons_are_counted_with_their_costs_the_most_frequent_first(store: Store) -> None:
    pick(store, "abcd")
    for text in "abc":
        fail(store, text, "timed out")
    fail(store, "a", "HTTP 429", charged=False)
    answer = buy(store, "d", 7)
    store.mark_invalid(answer, "unknown label 'x'")
    store.mark_invalid(answer, "unknown label 'x'; did you mean 'y'?")  # its task was changed: the newest counts
    assert store.reasons("job") == [
        Reason("ambiguous", "timed out", 3, MicroDollars(30)),
        Reason("invalid", "unknown label 'x'; did you mean 'y'?", 1, MicroDollars(7)),
        Reason("released", "HTTP 429", 1, MicroDollars(0)),
    ]
    assert store.no_labels("job") == Sum(1, MicroDollars(7))


def test_costs_are_told_by_round_and_slice_and_what_no_round_picked_apart(store: Store) -> None:
    pick(store, "ab", round_=1)
    store.add_picks("job", 2, [Pick(TextId("c"), 3, "unsure", 0.5)], {TextId("c"): "c"})
    buy(store, "a")
    fail(store, "b", "reset")
    buy(store, "c", 6)
    buy(store, "probe", 3)
    found = [(c.round, c.slice, c.state, c.cost) for c in store.round_costs("job")]
    assert sorted(found) == [
        (1, "random", AttemptState.AMBIGUOUS, 10),
        (1, "random", AttemptState.SETTLED, 5),
        (2, "unsure", AttemptState.SETTLED, 6),
    ]
    assert store.elsewhere("job") == Sum(1, MicroDollars(3))
    assert sum(c.cost for c in store.round_costs("job")) + 3 == store.spending("job").spent


def test_an_answer_that_several_texts_share_saved_all_but_one(store: Store) -> None:
    pick(store, "abc")
    answer = buy(store, "a", 8)
    store.add_labels("job", [label(x, answer_id=answer) for x in "abc"])
    assert store.shared("job") == Sum(2, MicroDollars(16))
    assert store.bought_before("job") == Sum(0, MicroDollars(0))


def test_what_another_job_had_bought_is_counted_once_however_it_is_known(store: Store) -> None:
    store.open_job("before", {}, "x", MicroDollars(1_000))
    first, second = buy(store, "a", 8, job="before"), buy(store, "b", 9, job="before")
    pick(store, "ab")
    store.reuse("job", [(TextId("a"), first), (TextId("b"), second)])
    store.add_labels("job", [label("a", answer_id=first)])  # the other answer was no label
    assert store.bought_before("job") == Sum(2, MicroDollars(17))
    assert store.shared("job") == Sum(0, MicroDollars(0))
    costs = {c.text_id: (c.plain, c.unclear) for c in store.text_costs("job", "local", [TextId("a"), TextId("b")])}
    assert costs == {"a": (8.0, 0.0), "b": (9.0, 0.0)}


def test_failed_texts_wait_with_their_reasons_and_all_that_asking_them_cost(store: Store) -> None:
    pick(store, "abc")
    for text in "ab":
        fail(store, text, "timed out")
        fail(store, text, "timed out")
        fail(store, text, "HTTP 503")
    store.add_routes("job", 1, [RouteRow(TextId(x), None, Route.PERSON, "failed: HTTP 503") for x in "ab"])
    store.add_routes("job", 1, [for_person("c")])
    assert store.failed("job") == Sum(2, MicroDollars(60))
    assert store.failed_reasons("job") == [("HTTP 503", 2)]
    assert store.failed_texts("job", 1) == [("a", 30)]
    trouble = store.troubles("job", [TextId("a"), TextId("c")])
    assert trouble[TextId("a")].reasons == (("timed out", 2), ("HTTP 503", 1))
    assert (trouble[TextId("a")].times, trouble[TextId("a")].cost) == (3, 30)
    assert TextId("c") not in trouble
    given = Label(TextId("a"), "card_arrival", Source.PERSON, "ann")
    store.review("job", TextId("a"), "ann", "label", given)
    assert store.failed("job") == Sum(1, MicroDollars(30))  # one of them a person has answered


def test_a_text_costs_all_its_attempts_and_what_is_known_of_them_apart(store: Store) -> None:
    fail(store, "a", "timed out")
    buy(store, "a", 5)
    buy(store, "b", 10, usage=None)  # charged at its worst case
    store.mark_invalid(buy(store, "c", 4), "no label")
    reserve(store, 10, text="d")  # under way
    costs = {c.text_id: (c.plain, c.unclear, c.good) for c in store.text_costs("job", "local", map(TextId, "abcd"))}
    assert costs == {"a": (5.0, 10.0, True), "b": (0.0, 10.0, True), "c": (4.0, 0.0, False)}
    assert store.newest_asked("job", "local", 2) == ["c", "b"]
    assert store.busy_seconds("job", "local", map(TextId, "abc")) >= 0
    assert store.text_costs("job", "other", map(TextId, "abcd")) == []


def test_answers_of_batches_are_told_apart(store: Store) -> None:
    batch = store.add_batch("job", "local", {})
    buy(store, "a")
    wanted = [Wanted("local", "k", TextId("b"), MicroDollars(10))]
    (attempt,) = store.reserve_many("job", wanted, owner="this run", batch_id=batch)
    assert attempt is not None
    store.settle(attempt, MicroDollars(2), Usage(10, 2, 4), stored("k"))
    found = store.batched("job")["local"]
    assert (found.settled_count, found.spent, found.usage) == (1, 2, Usage(10, 2, 4))


def test_peoples_time_counts_also_where_it_was_taken_back_and_never_for_more_than_an_hour(store: Store) -> None:
    pick(store, "ab")
    store.add_routes("job", 1, [for_person("a"), for_person("b")])
    given = Label(TextId("a"), "card_arrival", Source.PERSON, "ann")
    store.review("job", TextId("a"), "ann", "label", given, seconds=30)
    store.undo_review("job", "ann")
    store.review("job", TextId("a"), "ann", "label", given, seconds=10)
    store.review("job", TextId("b"), "bob", "skip", seconds=50_000)
    assert store.review_seconds("job") == 30 + 10 + 3600
    assert store.count_labels("job") == {Source.PERSON: 1}


def test_how_long_people_took_is_told_of_the_labels_that_stand_with_the_lengths_of_their_texts(store: Store) -> None:
    pick(store, "abcd")
    store.add_routes("job", 1, [for_person(i) for i in "abcd"])
    for text, seconds in (("a", 30), ("b", 0), ("c", 7), ("d", 9)):
        given = Label(TextId(text), "card_arrival", Source.PERSON, "ann")
        store.review("job", TextId(text), "ann", "label", given, seconds=seconds)
    store.review("job", TextId("a"), "bob", "skip", seconds=50)
    length = {i: len(store.text("job", TextId(i))) for i in "abcd"}
    every = [(length["a"], 30.0), (length["c"], 7.0), (length["d"], 9.0)]
    assert store.review_times("job", 10) == every
    assert store.review_times("job", 2) == every[1:], "the newest"
    store.undo_review("job", "ann")
    assert store.review_times("job", 10) == every[:2]
    assert store.review_times("other", 10) == []


def test_a_job_that_did_nothing_has_sums_of_nothing(store: Store) -> None:
    nothing = Sum(0, MicroDollars(0))
    assert [store.elsewhere("job"), store.no_labels("job"), store.shared("job"), store.bought_before("job")] == [
        nothing
    ] * 4
    assert (store.failed("job"), store.reasons("job"), store.round_costs("job")) == (nothing, [], [])
    assert (store.review_seconds("job"), store.count_labels("job"), store.batched("job")) == (0.0, {}, {})

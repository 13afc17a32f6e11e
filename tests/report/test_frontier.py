"""Accuracy against dollars: held against the slow and obvious, and what the page says and does not say of it."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.records import MicroDollars
from agent.report import final_table, page
from agent.report.frontier import ALONE, CASCADE, PEOPLE, Case, Frontier, Time, Way, frontier
from agent.report.frontier_chart import Dollars, chart
from tests.report import sample
from tests.report.test_page import Seen

WAYS = [Way("weak", price=10.0, texts=9), Way("strong", price=400.0, texts=9, hard=True)]
TOGETHER = Way(CASCADE, price=90.0, texts=9)


@st.composite
def cases(draw: st.DrawFn, everywhere: bool) -> Case:
    """One text of two oracles; with `everywhere` the stronger one was asked about it whatever came of the first."""
    sent = draw(st.booleans())
    right = (draw(st.booleans()), draw(st.booleans()) if sent or everywhere else None)
    sure = draw(st.floats(0, 0.5)) if sent else draw(st.floats(0.6, 1))
    beyond = 1 if sent or everywhere else None
    chance = draw(st.sampled_from([1.0, 0.5, 0.1]))
    return Case(right, (draw(st.integers(0, 50)), draw(st.integers(0, 900))), sure, int(sent), beyond,
                draw(st.booleans()), chance)  # fmt: skip


def whole(found: list[Case], time: Time = Time(), *, same_texts: bool = True) -> Frontier:  # noqa: B008 - frozen
    return frontier(found, WAYS, TOGETHER, measured_on="gold", same_texts=same_texts, time=time)


def share(found: list[Case], of: list[float]) -> float:
    weights = [1 / c.chance for c in found]
    return sum(w * x for w, x in zip(weights, of, strict=True)) / sum(weights)


@given(st.booleans().flatmap(lambda everywhere: st.lists(cases(everywhere), min_size=1, max_size=25)))
def test_each_way_is_right_on_the_share_that_its_labels_are(found: list[Case]) -> None:
    weak, strong, together, people, *_ = whole(found).ways
    assert weak.accuracy is not None
    assert weak.accuracy.value == pytest.approx(share(found, [float(bool(c.right[0])) for c in found]))
    asked = [c for c in found if c.right[1] is not None]
    assert (strong.accuracy is None) == (not asked)
    if strong.accuracy is not None:
        assert strong.accuracy.value == pytest.approx(share(asked, [float(bool(c.right[1])) for c in asked]))
    assert together.accuracy is not None
    assert together.accuracy.value == pytest.approx(share(found, [float(bool(c.right[c.last])) for c in found]))
    assert people.accuracy is not None
    assert people.accuracy.value >= together.accuracy.value
    assert people.to_people == pytest.approx(share(found, [float(not c.accepted) for c in found]))


@given(st.booleans().flatmap(lambda everywhere: st.lists(cases(everywhere), min_size=1, max_size=25)))
def test_the_curve_is_what_would_have_come_of_every_bar(found: list[Case]) -> None:
    for at in whole(found).curve:
        sent = [c.sure < at.bar or (at.bar == 1.0 and at.sent == pytest.approx(1.0)) for c in found]
        assert all(c.beyond is not None for c, is_sent in zip(found, sent, strict=True) if is_sent)
        right = [c.right[1] if is_sent else c.right[0] for c, is_sent in zip(found, sent, strict=True)]
        cost = [c.cost[0] + (c.cost[1] if is_sent else 0) for c, is_sent in zip(found, sent, strict=True)]
        assert at.sent == pytest.approx(share(found, [float(s) for s in sent]))
        assert at.accuracy == pytest.approx(share(found, [float(bool(r)) for r in right]))
        assert at.price == pytest.approx(1000 * share(found, [float(x) for x in cost]))


def test_a_label_of_which_nothing_tells_leaves_no_curve() -> None:
    one = Case((True, True), (1, 9), 0.4, 1, 1, accepted=True)
    assert whole([one, replace(one, sure=0.9)]).curve
    assert not whole([one, replace(one, sure=math.nan)]).curve


def test_peoples_time_costs_what_the_job_says_and_stands_apart_where_it_says_nothing() -> None:
    """Half of the texts go to people, and a tenth of the others: 550 of a thousand, each in six seconds."""
    found = [Case((True, None), (1, 0), 0.9, 0, None, accepted=a) for a in (True, False)]
    ways = {w.name: w for w in whole(found, Time(6.0, 0.1, 0.5)).ways}
    assert ways[PEOPLE].minutes == pytest.approx(55)
    assert ways[PEOPLE].price == pytest.approx(90 + 1e6 * 55 * 0.5)
    assert ways[ALONE].minutes == pytest.approx(100)
    assert ways[ALONE].price == pytest.approx(1e6 * 100 * 0.5)
    ways = {w.name: w for w in whole(found, Time(6.0, 0.1)).ways}
    assert (ways[PEOPLE].minutes, ways[PEOPLE].price) == (pytest.approx(55), 90)
    assert ways[ALONE].price is None
    assert PEOPLE not in str(chart(whole(found, Time(6.0, 0.1)), 524)), "it would look as if it were free"
    assert ALONE not in {w.name for w in whole(found).ways}, "nobody knows how long they take"


def test_an_oracle_that_is_as_good_alone_for_less_is_named_only_where_both_saw_the_same_texts() -> None:
    found = [Case((True, True), (1, 9), 0.4, 1, 1, accepted=True)] * 4
    assert whole(found).better == "weak"
    assert whole(found, same_texts=False).better is None
    assert (
        "weak alone is right on as many, for less." in Seen(page(replace(sample.news(), frontier=whole(found)))).text
    )


def test_the_page_shows_every_way_and_where_the_bars_are() -> None:
    seen = Seen(page(sample.cascade()))
    assert "All were measured on the same 400 gold texts" in seen.text
    assert "Labels are accepted from 0.860 ( local ), 0.900 ( larger ), 0.940 ( hosted ) on." in seen.text
    assert "hard texts" not in seen.text
    drawn = [
        a["aria-label"] or "" for tag, a in seen.tags if tag == "svg" and "for a thousand" in (a["aria-label"] or "")
    ]
    assert len(drawn) == 2, "one for wide screens, one for narrow ones"
    assert all(f"{name}: " in drawn[0] for name in ("local", "larger", "hosted", CASCADE, PEOPLE))


def test_an_oracle_that_saw_hard_texts_only_is_never_held_against_the_others() -> None:
    found = sample.cascade(None, same_texts=False)
    said = Seen(page(found)).text
    assert "Not comparable: an oracle marked “hard texts”" in said
    assert "People’s minutes are not among them" in said
    html = page(found)
    assert 'class="dot oracle hollow"' in html
    assert "of hard texts for" in str([str(line) for line in final_table(found).renderables])


def test_what_cannot_be_told_yet_says_why_and_still_what_it_cost() -> None:
    found = Frontier((*WAYS, TOGETHER), why_not="no person has judged any")
    said = Seen(page(replace(sample.news(), frontier=found))).text
    assert "Nobody can say yet how often they are right: no person has judged any." in said
    assert chart(found, 524) is None
    assert "cannot be told yet: no person has judged any" in str(
        [str(line) for line in final_table(replace(sample.news(), frontier=found)).renderables]
    )


def test_a_job_of_one_oracle_has_no_such_section() -> None:
    assert "Oracles: accuracy for dollars" not in Seen(page(sample.news())).text


@given(st.lists(st.floats(0, 1e7), min_size=2, max_size=8))
def test_prices_stay_within_the_picture_and_in_order(prices: list[float]) -> None:
    x = Dollars([MicroDollars(round(p)) for p in prices], 46, 500)
    places = [x(round(p)) for p in sorted(prices)]
    assert places == sorted(places)
    assert all(46 - 1e-6 <= place <= 500 + 1e-6 for place in places)
    assert all(46 - 1e-6 <= x(t) <= 500 + 1e-6 for t in x.ticks(6))

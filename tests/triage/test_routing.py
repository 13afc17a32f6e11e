"""Where an answer goes, and that the audit is blind, drawn by chance, and recorded."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.records import Route
from agent.triage import Decision, route, route_all


def one(confidence: float | None, has_stronger: bool = False, audit: float = 0.0) -> Decision:
    return route(confidence, 0.8, has_stronger, audit, np.random.default_rng(0))


def test_a_sure_answer_is_accepted_at_the_threshold_and_above() -> None:
    assert one(0.8) == one(0.95) == Decision(Route.ACCEPTED, "sure", blind=False, probability=0.0)


def test_an_unsure_answer_goes_to_a_person_who_sees_the_suggestion() -> None:
    assert one(0.79) == Decision(Route.PERSON, "unsure", blind=False, probability=1.0)


def test_a_stronger_oracle_is_asked_before_a_person() -> None:
    assert one(0.79, has_stronger=True) == Decision(Route.STRONGER, "unsure", blind=False, probability=None)


@pytest.mark.parametrize("nothing", [None, float("nan")])
def test_an_answer_without_a_confidence_is_never_accepted(nothing: float | None) -> None:
    assert one(nothing, audit=1.0) == Decision(Route.PERSON, "no confidence", probability=1.0)
    assert one(nothing, has_stronger=True).route is Route.STRONGER


def test_an_audited_answer_goes_to_a_person_blind_and_is_accepted_meanwhile() -> None:
    decision = one(0.9, audit=1.0)
    assert decision == Decision(Route.PERSON, "audit", blind=True, probability=1.0)
    assert decision.is_accepted
    assert not one(0.5).is_accepted
    assert not one(0.5, has_stronger=True).is_accepted


def test_the_audit_share_is_kept_and_recorded() -> None:
    decisions = route_all(np.full(20_000, 0.9), 0.8, True, 0.1, np.random.default_rng(0))
    audited = [d for d in decisions if d.route is Route.PERSON]
    assert abs(len(audited) / 20_000 - 0.1) < 0.01
    assert all(d.blind and d.probability == 0.1 for d in audited)
    assert {d.probability for d in decisions} == {0.1}


@given(
    st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=20),
    st.floats(0, 1),
    st.booleans(),
    st.floats(0, 1),
    st.integers(0, 99),
)
def test_a_batch_is_routed_as_its_answers_one_by_one(
    confidences: list[float | None], threshold: float, has_stronger: bool, audit: float, seed: int
) -> None:
    single = np.random.default_rng(seed)
    expected = [route(c, threshold, has_stronger, audit, single) for c in confidences]
    assert route_all(confidences, threshold, has_stronger, audit, np.random.default_rng(seed)) == expected


def test_another_answer_does_not_change_who_is_audited() -> None:
    def audited(first: float) -> list[Decision]:
        return route_all([first, *[0.9] * 50], 0.8, False, 0.3, np.random.default_rng(1))[1:]

    assert audited(0.1) == audited(0.99)

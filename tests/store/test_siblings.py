"""Which endpoints stood in one list: whatever one of them answered counts for all of them."""

from __future__ import annotations

from itertools import count

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.store import Store
from tests.store.making import bought

A, B, C, D = (f"http://{name}/v1" for name in "abcd")
MODELS = count()


def test_an_endpoint_that_never_stood_in_a_list_is_alone(store: Store) -> None:
    assert store.together("m", [A]) == (A,)
    assert store.together("m", [B, A]) == (B, A)


def test_who_stood_in_one_list_stays_together_in_any_order_and_by_way_of_others(store: Store) -> None:
    store.keep_together("m", [B, A])
    assert store.together("m", [A]) == (A, B)
    store.keep_together("m", [C, B])
    store.keep_together("m", [C, B])
    assert set(store.together("m", [A])) == {A, B, C}
    assert store.together("m", [D, C])[:2] == (D, C)


def test_families_are_of_one_model(store: Store) -> None:
    store.keep_together("m", [A, B])
    store.keep_together("n", [A, C])
    assert set(store.together("m", [A])) == {A, B}
    assert set(store.together("n", [A])) == {A, C}


def test_an_answer_is_found_at_any_of_several_endpoints(store: Store) -> None:
    answer_id = bought(store, "k1")
    here = "http://here/v1"
    assert store.answers_for(["k1", "k2"], A, here)["k1"].answer_id == answer_id
    assert store.answer_for("k1", A, B) is None


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lists=st.lists(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=3, unique=True), max_size=8))
def test_families_are_what_lists_that_overlap_make_of_them(store: Store, lists: list[list[str]]) -> None:
    model = f"model {next(MODELS)}"  # nothing is known of it yet
    families: list[set[str]] = []
    for names in lists:
        touched = [f for f in families if f & set(names)]
        families = [f for f in families if f not in touched] + [set(names).union(*touched)]
    for names in lists:
        store.keep_together(model, names)
    for name in "abcdefgh":
        assert set(store.together(model, [name])) == next((f for f in families if name in f), {name})

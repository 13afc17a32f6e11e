"""A batch: what is in it, what each text says of why it is there, and that nothing odd breaks it."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from agent.errors import UserError
from agent.records import Floats, Rows, TextId
from agent.selection import Chosen, Ranked, State, compose, find_strategy
from agent.selection.seam import Choice, Indices


def pool(n: int, width: int = 8, seed: int = 0) -> tuple[Floats, Callable[[Rows], Floats]]:
    points = np.random.default_rng(seed).normal(size=(n, width)).astype(np.float32)
    return points, lambda rows: points[rows]


def state(n: int, labelled: int = 0, seed: int = 0) -> State:
    """`n` candidates and `labelled` labelled rows of one pool, with Dirichlet probabilities over four classes."""
    _, vectors = pool(n + labelled, seed=seed)
    rows = np.random.default_rng(seed + 1).permutation(n + labelled)
    p = np.random.default_rng(seed + 2).dirichlet(np.ones(4), n).astype(np.float32)
    return State(np.sort(rows[:n]), 1 - p.max(axis=1), vectors, p, np.sort(rows[n:]))


def parts(batch: list[Chosen]) -> Counter[str]:
    return Counter(c.slice for c in batch)


def rows(batch: list[Chosen]) -> list[int]:
    return [c.row for c in batch]


def test_a_batch_of_100_is_20_random_70_unsure_and_10_uncovered() -> None:
    batch = compose(state(3000, labelled=50), find_strategy("margin"), 100, 0.2, np.random.default_rng(0))
    assert parts(batch) == {"random": 20, "unsure": 70, "uncovered": 10}


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 60),
    st.integers(0, 80),
    st.tuples(st.floats(0, 1), st.floats(0, 1)),
    st.integers(0, 5),
    st.integers(0, 99),
)
def test_sizes_always_sum_and_no_text_comes_twice(
    n: int, size: int, shares: tuple[float, float], labelled: int, seed: int
) -> None:
    share, uncovered = shares
    strategy = find_strategy("entropy", {"uncovered": uncovered})
    given_state = state(n, labelled, seed)
    batch = compose(given_state, strategy, size, share, np.random.default_rng(seed))
    assert len(batch) == len(set(rows(batch))) == min(n, size)
    assert set(rows(batch)) <= set(given_state.candidates.tolist())
    if share > 0 and min(n, size) > 1:
        assert parts(batch)["random"] >= 1


def test_the_most_unsure_text_is_always_asked_about() -> None:
    for seed in range(20):
        given_state = state(400, 10, seed)
        scores = find_strategy("margin").score(given_state)
        batch = compose(given_state, find_strategy("margin"), 20, 0.2, np.random.default_rng(seed))
        assert given_state.candidates[scores.argmax()] in rows(batch)


def test_unsure_texts_are_spread_over_what_the_unsure_ones_are_about() -> None:
    """Ninety near-copies of one text have the highest scores; a plain top ten would buy that text ten times."""
    points = np.random.default_rng(0).normal(size=(500, 8)).astype(np.float32)
    points[:90] = points[0] + np.random.default_rng(1).normal(size=(90, 8), scale=1e-3)
    doubt = np.concatenate([np.full(90, 0.9), np.linspace(0.8, 0.1, 410)]).astype(np.float32)
    given_state = State(np.arange(500), doubt, lambda rows: points[rows])
    options = {"uncovered": 0, "shortlist": 20}
    batch = compose(given_state, find_strategy("margin", options), 10, 0, np.random.default_rng(0))
    assert sum(row < 90 for row in rows(batch)) == 1
    assert max(c.why["cluster_size"] for c in batch) >= 90


def test_uncovered_texts_are_those_far_from_everything_labelled() -> None:
    points = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)
    points[[7, 11]] += np.array([[50, 0, 0, 0], [0, -50, 0, 0]], dtype=np.float32)
    given_state = State(np.arange(250), np.zeros(250, np.float32), lambda r: points[r], labelled=np.arange(250, 300))
    strategy = find_strategy("margin", {"uncovered": 0.2})
    for seed in range(10):
        batch = compose(given_state, strategy, 10, 0.1, np.random.default_rng(seed))
        assert {7, 11} <= set(rows(batch))
        far = [c for c in batch if c.slice == "uncovered"]
        assert [c.why["distance"] for c in far] == sorted((c.why["distance"] for c in far), reverse=True)


def test_a_text_next_to_a_labelled_one_is_covered_however_far_out_it_lies() -> None:
    points = np.random.default_rng(0).normal(size=(301, 4)).astype(np.float32)
    points[[7, 300]] += np.array([50, 0, 0, 0], dtype=np.float32)
    doubt = np.linspace(0.9, 0.1, 290).astype(np.float32)
    doubt[7] = 0  # chosen for its place or not at all
    alone = State(np.arange(290), doubt, lambda r: points[r], labelled=np.arange(290, 300))
    beside = replace(alone, labelled=np.arange(290, 301))

    def uncovered(given_state: State) -> list[int]:
        batch = compose(given_state, find_strategy("margin", {"uncovered": 0.3}), 10, 0, np.random.default_rng(1))
        return [c.row for c in batch if c.slice == "uncovered"]

    assert 7 in uncovered(alone)
    assert 7 not in uncovered(beside)


def test_nothing_is_uncovered_while_nothing_is_labelled_and_nothing_was_drawn() -> None:
    batch = compose(state(100), find_strategy("margin"), 20, 0, np.random.default_rng(0))
    assert parts(batch) == {"unsure": 20}


def test_the_random_slice_is_uniform_over_all_candidates_whatever_their_scores() -> None:
    given_state, strategy = state(40), find_strategy("margin", {"shortlist": 1, "uncovered": 0})
    times: Counter[int] = Counter()
    for seed in range(300):
        batch = compose(given_state, strategy, 16, 0.5, np.random.default_rng(seed))
        drawn = [c for c in batch if c.slice == "random"]
        assert [c.probability for c in drawn] == [8 / 40] * 8
        times.update(rows(drawn))
    assert len(times) == 40
    assert min(times.values()) > 32  # 60 expected, standard deviation 6.9
    assert max(times.values()) < 90


def test_only_texts_drawn_by_chance_carry_a_probability() -> None:
    batch = compose(state(500, 10), find_strategy("margin"), 50, 0.2, np.random.default_rng(0))
    assert all((c.probability is None) == (c.slice != "random") for c in batch)


def test_the_random_strategy_is_one_uniform_draw() -> None:
    batch = compose(state(200, 10), find_strategy("random"), 30, 0.2, np.random.default_rng(0))
    assert parts(batch) == {"random": 30}
    assert {c.probability for c in batch} == {30 / 200}


def test_the_same_seed_gives_the_same_batch_on_any_number_of_threads() -> None:
    given_state = state(4000, 300)
    batches = []
    for threads in (1, 2, 4):
        with threadpool_limits(limits=threads):
            batches.append(compose(given_state, find_strategy("margin"), 60, 0.2, np.random.default_rng(5)))
    assert batches[0] == batches[1] == batches[2]
    assert rows(batches[0]) != rows(compose(given_state, find_strategy("margin"), 60, 0.2, np.random.default_rng(6)))


@pytest.mark.parametrize("n", [1, 2, 3, 50])
def test_a_pool_of_copies_with_equal_scores_is_no_trouble(n: int) -> None:
    copies = State(
        np.arange(n),
        np.full(n, 0.5, dtype=np.float32),
        lambda rows: np.ones((len(rows), 3), dtype=np.float32),
        labelled=np.arange(n, n + 2),
    )
    batch = compose(copies, find_strategy("margin", {"uncovered": 0.3}), 20, 0.2, np.random.default_rng(0))
    assert sorted(set(rows(batch))) == sorted(rows(batch))
    assert len(batch) == min(n, 20)


def test_why_is_plain_json_that_names_strategy_score_and_rank() -> None:
    given_state = state(300, 10)
    batch = compose(given_state, find_strategy("margin"), 30, 0.2, np.random.default_rng(0))
    scores = find_strategy("margin").score(given_state)
    at = {int(row): float(s) for row, s in zip(given_state.candidates, scores, strict=True)}
    for chosen in batch:
        why = json.loads(json.dumps(chosen.why))
        assert why["strategy"] == "margin"
        assert why["score"] == chosen.score == pytest.approx(at[chosen.row])
        assert why["rank"] == 1 + int((scores > scores[given_state.candidates == chosen.row]).sum())
        assert why["of"] == 300


def test_a_chosen_text_becomes_a_pick_once_its_id_is_known() -> None:
    pick = Chosen(3, "unsure", 0.5, None, {"rank": 1}).pick(TextId("t3"))
    assert (pick.text_id, pick.row, pick.slice, pick.score, pick.why) == ("t3", 3, "unsure", 0.5, {"rank": 1})


def test_vectors_are_read_forward_and_only_for_the_shortlist() -> None:
    points, asked = np.random.default_rng(0).normal(size=(50_000, 4)).astype(np.float32), []

    def vectors(rows: Rows) -> Floats:
        asked.append(rows)
        return points[rows]

    doubt = np.random.default_rng(1).random(50_000).astype(np.float32)
    given_state = State(np.arange(49_000), doubt[:49_000], vectors, labelled=np.arange(49_000, 50_000))
    compose(given_state, find_strategy("margin"), 20, 0.2, np.random.default_rng(0))
    assert all((np.diff(r) >= 0).all() for r in asked)
    assert sum(len(r) for r in asked) < 8 * 20 + 5000 + 1000 + 50


@dataclass(frozen=True)
class Odd:
    """A strategy of somebody's own: two methods, and wrong in a way that the test names."""

    scores: Floats
    picked: Indices

    def score(self, state: State) -> Floats:
        return self.scores

    def pick(self, scores: Floats, size: int, rng: np.random.Generator) -> Indices:
        return self.picked


def test_a_strategy_with_nothing_but_the_two_methods_works() -> None:
    own = Odd(np.arange(20, dtype=np.float32), np.arange(10))
    batch = compose(state(20), own, 5, 0, np.random.default_rng(0))
    assert len(batch) == 5
    assert {c.why["strategy"] for c in batch} == {"Odd"}


@pytest.mark.parametrize(
    ("scores", "picked", "said"),
    [
        (np.zeros(19), np.arange(10), r"Odd scored \(19,\) for 20 candidates"),
        (np.full(20, np.nan), np.arange(10), "gave 20 of 20 candidates a score that is no finite number"),
        (np.zeros(20), np.zeros(10, dtype=int), "must return at least 5 distinct whole numbers from 0 to 19"),
        (np.zeros(20), np.arange(3), "at least 5 distinct"),
        (np.zeros(20), np.arange(15, 25), "at least 5 distinct"),
        (np.zeros(20), np.linspace(0, 1, 10), "at least 5 distinct"),
    ],
)
def test_a_strategy_that_is_wrong_is_told_how(scores: Floats, picked: Indices, said: str) -> None:
    with pytest.raises(UserError, match=said):
        compose(state(20), Odd(scores, picked), 5, 0, np.random.default_rng(0))


@pytest.mark.parametrize("options", [{"shortlist": 0}, {"shortlist": 2.5}, {"uncovered": 2}, {"uncovered": "much"}])
def test_a_setting_out_of_range_names_its_key(options: dict[str, object]) -> None:
    with pytest.raises(UserError, match=f"`selection.options.{next(iter(options))}`"):
        Ranked(**options)  # type: ignore[arg-type]


class Chooses(Ranked):
    """A person's own strategy that composes its own batch, badly."""

    uncovered = 0.0

    def __init__(self, made: object) -> None:
        self.made = made

    def score(self, state: State) -> Floats:
        return state.doubt

    def choose(self, state: State, size: int, rng: np.random.Generator) -> Choice:
        return self.made  # type: ignore[return-value]


FIRST = np.arange(4)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (None, "must return a `Choice`"),
        (Choice(FIRST, np.ones(2, np.float32)), "chose 4 texts and gave fewer scores"),
        (Choice(FIRST, np.ones(4, np.float32), {"cluster": [1]}), "gave fewer cluster"),
        (Choice(FIRST, np.ones(4, np.float32), {"seen": [{1}, {2}, {3}, {4}]}), "`why` that is not plain"),
        (Choice(FIRST, ["high"] * 4), "returned what is no row of numbers"),  # type: ignore[arg-type]
        (Choice([[0], [1, 2]], np.ones(4, np.float32)), "returned what is no row of numbers"),  # type: ignore[arg-type]
    ],
)
def test_what_a_strategy_of_ones_own_gives_wrong_is_told_with_its_name(made: object, said: str) -> None:
    with pytest.raises(UserError, match="Chooses") as caught:
        compose(state(40, labelled=5), Chooses(made), 4, 0.0, np.random.default_rng(0))
    assert said in str(caught.value)

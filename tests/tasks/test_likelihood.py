"""Token probabilities turned into class probabilities: against distributions that are known, token by token."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from agent.records import TokenChoice
from agent.tasks.likelihood import class_mass, renormalised

END = "<|im_end|>"
names = st.lists(st.text("ab_ é", min_size=1, max_size=6).filter(lambda n: n == n.strip()), min_size=2, max_size=8)
shares = st.lists(st.floats(0.001, 1), min_size=8, max_size=8)


def cut(name: str, sizes: tuple[int, ...]) -> list[str]:
    """A name as tokens of these sizes in turn, then the end of the answer."""
    out: list[str] = []
    at = 0
    while at < len(name):
        size = sizes[len(out) % len(sizes)]
        out.append(name[at : at + size])
        at += size
    return [*out, END]


def answer_tokens(said: str, belief: dict[str, float], sizes: tuple[int, ...]) -> list[TokenChoice]:
    """What a model that believes `belief` shows at each place of `said`: the exact chance of every next token."""
    paths = {name: cut(name, sizes) for name in belief}
    alive, tokens = dict(belief), []
    for place, piece in enumerate(paths[said]):
        mass: dict[str, float] = {}
        for name, p in alive.items():
            mass[paths[name][place]] = mass.get(paths[name][place], 0.0) + p
        total = sum(mass.values())
        top = tuple((t, math.log(m / total)) for t, m in mass.items())
        tokens.append(TokenChoice(piece, dict(top)[piece], top))
        alive = {n: p for n, p in alive.items() if paths[n][place] == piece}
    return tokens


def slow_mass(said: str, belief: dict[str, float], sizes: tuple[int, ...]) -> dict[str, float]:
    """The obvious version: names that leave the answer's path with the same token share what they have together."""
    paths = {name: cut(name, sizes) for name in belief}

    def exit_of(name: str) -> tuple[str, ...]:
        place = next(i for i, piece in enumerate(paths[name]) if piece != paths[said][i])
        return tuple(paths[name][: place + 1])

    mass = {said: belief[said]}
    for name in belief.keys() - {said}:
        group = [n for n in belief.keys() - {said} if exit_of(n) == exit_of(name)]
        mass[name] = sum(belief[n] for n in group) / len(group)
    return mass


@given(names, shares, st.integers(0, 7), st.tuples(st.integers(1, 3), st.integers(1, 3)))
def test_mass_is_what_the_model_believes(
    found: list[str], weights: list[float], pick: int, sizes: tuple[int, int]
) -> None:
    classes = sorted(set(found))
    assume(len(classes) > 1)
    total = sum(weights[: len(classes)])
    belief = {n: w / total for n, w in zip(classes, weights, strict=False)}
    said = classes[pick % len(classes)]
    # a token that ends inside one name could be the whole of another: the walk over strings cannot tell them apart
    assume(not any(a != b and b.startswith(a) for a in classes for b in classes))
    mass = class_mass(answer_tokens(said, belief, sizes), 0, classes)
    slow = slow_mass(said, belief, sizes)
    assert mass[said] == pytest.approx(belief[said])
    assert sum(mass.values()) == pytest.approx(1.0)
    if sizes == (1, 1):
        assert mass == pytest.approx(slow)


@given(names, shares, st.integers(0, 7), st.text('{"label: ', max_size=8), st.floats(0.001, 0.9))
def test_mass_is_never_negative_and_never_more_than_there_is(
    found: list[str], weights: list[float], pick: int, lead: str, lost: float
) -> None:
    classes = sorted(set(found))
    assume(len(classes) > 1)
    total = sum(weights[: len(classes)]) / (1 - lost)
    belief = {n: w / total for n, w in zip(classes, weights, strict=False)} | {"¿": lost}
    said = classes[pick % len(classes)]
    tokens = [TokenChoice(c, 0.0, ((c, 0.0),)) for c in lead] + answer_tokens(said, belief, (2, 1))
    mass = class_mass(tokens, len(lead), classes)
    assert all(m >= 0 for m in mass.values())
    assert sum(mass.values()) <= 1 - lost + 1e-9
    probabilities, gone = renormalised(mass)
    assert sum(probabilities.values()) == pytest.approx(1.0)
    assert gone >= lost - 1e-9


def test_mass_that_goes_to_no_label_is_kept_as_doubt() -> None:
    tokens = [
        TokenChoice("yes", math.log(0.6), (("yes", math.log(0.6)), ("no", math.log(0.1)), ("Well", math.log(0.3))))
    ]
    probabilities, lost = renormalised(class_mass(tokens, 0, ["yes", "no"]))
    assert probabilities == pytest.approx({"yes": 6 / 7, "no": 1 / 7})
    assert lost == pytest.approx(0.3)


def test_an_alternative_that_several_names_share_is_split_over_them() -> None:
    tokens = [TokenChoice("refund", math.log(0.6), (("refund", math.log(0.6)), ("card_", math.log(0.4))))]
    mass = class_mass(tokens, 0, ["refund", "card_lost", "card_arrival"])
    assert mass == pytest.approx({"refund": 0.6, "card_lost": 0.2, "card_arrival": 0.2})


def test_a_shared_beginning_of_the_answers_own_path_is_told_apart_where_it_parts() -> None:
    tokens = [
        TokenChoice("card_", math.log(0.9), (("card_", math.log(0.9)), ("refund", math.log(0.1)))),
        TokenChoice("lost", math.log(0.75), (("lost", math.log(0.75)), ("arrival", math.log(0.25)))),
    ]
    mass = class_mass(tokens, 0, ["refund", "card_lost", "card_arrival"])
    assert mass == pytest.approx({"refund": 0.1, "card_lost": 0.675, "card_arrival": 0.225})


@pytest.mark.parametrize(
    "end", [(), (TokenChoice(END, math.log(0.5), ((END, math.log(0.5)), ("_lost", math.log(0.5)))),)]
)
def test_an_answer_that_a_longer_name_begins_with_is_itself(end: tuple[TokenChoice, ...]) -> None:
    """With the end as a token of its own (vLLM) the longer name keeps its share; without (OpenAI) it is not seen."""
    tokens = [TokenChoice("card", math.log(0.8), (("card", math.log(0.8)), ("refund", math.log(0.2)))), *end]
    mass = class_mass(tokens, 0, ["card", "card_lost", "refund"])
    assert mass["card"] == pytest.approx(0.4 if end else 0.8)
    assert mass["card_lost"] == pytest.approx(0.4 if end else 0.0)


def test_several_spellings_of_one_beginning_add_up() -> None:
    top = (("business", math.log(0.5)), ("bus", math.log(0.2)), ("b", math.log(0.1)), ("tech", math.log(0.2)))
    mass = class_mass([TokenChoice("business", math.log(0.5), top)], 0, ["business", "tech"])
    assert mass == pytest.approx({"business": 0.8, "tech": 0.2})


def test_a_token_that_holds_the_end_of_the_json_around_the_name_is_read_from_the_name_on() -> None:
    tokens = [
        TokenChoice('{"label":', 0.0, (('{"label":', 0.0),)),
        TokenChoice(
            ' "yes', math.log(0.7), ((' "yes', math.log(0.7)), (' "no', math.log(0.2)), ("null", math.log(0.1)))
        ),
        TokenChoice('"}', 0.0, (('"}', 0.0),)),
    ]
    mass = class_mass(tokens, len('{"label": "'), ["yes", "no"])
    assert mass == pytest.approx({"yes": 0.7, "no": 0.2})


def test_no_mass_at_all_is_total_doubt() -> None:
    assert renormalised({"a": 0.0, "b": 0.0}) == ({"a": 0.5, "b": 0.5}, 1.0)

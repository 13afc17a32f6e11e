"""The student of questions: windows of long contexts, the best piece, and a head that learns to point."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import ModelError
from agent.pairing import join
from agent.records import Text, TextId, Value
from agent.student import Reader
from agent.student.choosing import MOST_WORDS, Scores, choose, words_of_answer
from agent.student.clues import clues, kind_of, sentence_numbers
from agent.student.encoder import Encoder
from tests.distill.making import ANIMALS, FILLERS, TOOLS, make_encoder


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return Encoder.load(str(make_encoder(tmp_path_factory.mktemp("reader") / "encoder")), 48)


def asked(count: int, seed: int = 0, long: int = 0) -> tuple[list[Text], list[Value]]:
    """Questions that name an animal; the answer is the tool that comes after it. Some have none: the animal is not
    there."""
    rng = np.random.default_rng(seed)
    texts, values = [], []
    for k in range(count):
        animals, tools = rng.permutation(ANIMALS), rng.permutation(TOOLS)
        words = [w for n in range(4) for w in (str(rng.choice(FILLERS)), str(animals[n]), str(tools[n]))]
        named = int(rng.integers(4))
        padding = [str(w) for w in rng.choice(FILLERS, long)]
        context = " ".join([*padding, *words, *padding])
        start = context.index(str(tools[named]))
        answer = ((start, start + len(tools[named]), str(tools[named])),)
        missing = k % 4 == 3
        texts.append(Text(TextId(f"{seed}-{k}"), join(f"the {animals[4 if missing else named]}", context)))
        values.append(() if missing else answer)
    return texts, values


def taught(encoder: Encoder, count: int = 120, *, may_be_none: bool = True) -> Reader:
    reader = Reader(lambda: encoder, may_be_none=may_be_none)
    texts, values = asked(count)
    reader.fit(texts, values, np.ones(count, np.float32), np.random.default_rng(0))
    return reader


# Windows -----------------------------------------------------------------------------------------------------------


def test_a_long_context_is_read_in_windows_that_overlap_and_each_word_is_whole_in_one(encoder: Encoder) -> None:
    texts = [join("the cat", "the old dog " * 40), join("a " * 300, "one saw"), join("soup", "xx")]
    found = encoder.windows([*texts])
    assert [w.text for w in found].count(0) > 3
    assert all(len(w.tokens) <= 48 for w in found)
    for number, text in enumerate(texts):
        context = text.partition("\n␞\n")[2]
        own = [w for w in found if w.text == number]
        read = {w.first + k: context[a:b] for w in own for k, (a, b) in enumerate(w.places)}
        assert [read[k] for k in range(len(read))] == context.split()
        assert all(one.first + len(one.places) > other.first for one, other in pairwise(own))
    assert encoder.windows([]) == []


def test_a_context_without_words_has_no_answer(encoder: Encoder) -> None:
    found = taught(encoder).predict([Text(TextId("e"), join("the cat", " ")), Text(TextId("f"), "")])
    assert found.values == [(), ()]


# The best piece ----------------------------------------------------------------------------------------------------

NUMBERS = st.integers(-40, 40).map(lambda n: n / 8)


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=40)), max_size=3
    ),
    st.booleans(),
)
def test_the_best_piece_is_the_best_of_all(
    given_stretches: list[tuple[int, list[tuple[float, float]]]], may_be_none: bool
) -> None:
    stretches = [
        Scores(first, np.array([b for b, _ in own], np.float32), np.array([e for _, e in own], np.float32))
        for first, own in given_stretches
    ]
    words = max((s.first + len(s.begins) for s in stretches), default=0)
    every: dict[tuple[int, int], float] = {}
    for first, begins, ends in stretches:
        for i, begin in enumerate(begins.tolist()):
            for j in range(i, min(i + MOST_WORDS, len(begins))):
                piece = (first + i, first + j)
                every[piece] = max(every.get(piece, -np.inf), begin + float(ends[j]))
    found = choose(stretches, words, may_be_none=may_be_none)
    if not every:
        assert found.begin == -1
        return
    mass = {piece: np.exp(score) for piece, score in every.items()}
    total = sum(mass.values()) + may_be_none
    best = max(mass.values())
    if may_be_none and best <= 1:
        assert (found.begin, found.probability) == (-1, pytest.approx(1 / total, rel=1e-4))
    else:
        assert mass[found.begin, found.end] == pytest.approx(best)
        assert found.probability == pytest.approx(best / total, rel=1e-4)
    assert found.none == pytest.approx(may_be_none / total, rel=1e-4)


def test_an_answer_is_the_words_that_it_touches() -> None:
    places = [(0, 3), (4, 8), (8, 9)]
    assert words_of_answer(((5, 7, "da"),), places) == (1, 1)
    assert words_of_answer(((0, 8, "Ada Byro"),), places) == (0, 1)
    assert words_of_answer(((4, 20, "beyond"),), places) is None
    assert words_of_answer((), places) is None


def test_clues_know_what_is_shared_and_what_is_asked_for() -> None:
    context = "Ada was born. In 1954 Charles finished the engines. It rained."
    places = [(m, m + len(w)) for w in context.split() for m in [context.index(w)]]
    found = clues("When was the engine finished by Charles?", context, places)
    assert sentence_numbers(context, places).tolist() == [0, 0, 0, 1, 1, 1, 1, 1, 1, 2, 2]
    assert found[:, 0].argmax() in (5, 6)
    assert found[8, 1] > 0, "engines, for engine"
    assert found[3:9, 5].all(), "the sentence that shares most"
    assert not found[9:, 5].any()
    assert kind_of("In which year?") != kind_of("Who was it?") != kind_of("Wo war das?")
    assert clues("?", "", []).shape[0] == 0


# Learning ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("long", [0, 60])
def test_it_learns_to_point_also_in_contexts_longer_than_a_window(encoder: Encoder, long: int) -> None:
    texts, values = asked(60, seed=9, long=long)
    found = taught(encoder).predict(texts)
    right = np.array([a == b for a, b in zip(values, found.values, strict=True)])
    assert right[[bool(v) for v in values]].mean() > 0.6, "by chance it were one in fifty"
    assert found.doubt[right].mean() < found.doubt[~right].mean() if (~right).any() else True
    assert ((found.doubt >= 0) & (found.doubt <= 1)).all()


def test_where_there_is_always_an_answer_one_is_given(encoder: Encoder) -> None:
    texts, _ = asked(40, seed=5)
    assert all(taught(encoder, may_be_none=False).predict(texts).values)
    found = taught(encoder).predict(texts).values
    assert 0 < sum(not value for value in found) < 20, "and else now and then none"


def test_the_same_lessons_make_the_same_reader_and_it_is_kept(encoder: Encoder, tmp_path: Path) -> None:
    one, other = taught(encoder, 40), Reader(lambda: encoder, may_be_none=True)
    one.save(str(tmp_path))
    other.load(str(tmp_path))
    texts, _ = asked(20, seed=3)
    for reader in (other, taught(encoder, 40)):
        assert reader.predict(texts).values == one.predict(texts).values
        assert np.array_equal(reader.predict(texts).doubt, one.predict(texts).doubt)
    with pytest.raises(ModelError, match="no reader can be read there"):
        other.load(str(tmp_path / "nowhere"))


def test_labels_without_an_answer_teach_nothing_where_every_question_has_one(encoder: Encoder) -> None:
    reader = Reader(lambda: encoder, may_be_none=False)
    with pytest.raises(ModelError, match="no answer stands where it is read"):
        reader.fit(
            [Text(TextId("a"), join("the cat", "a saw"))], [()], np.ones(1, np.float32), np.random.default_rng(0)
        )

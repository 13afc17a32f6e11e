"""Labels that are paths: which names make a tree, and what is asked, measured and summed then."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.job import TaskSettings
from agent.measuring import quality
from agent.oracle import Questions, Sampling, Template
from agent.oracle.phrasing import Phrasing
from agent.records import Text, TextId
from agent.tasks import build, prompt_of
from agent.tasks.hierarchy import at_level, depth, is_tree, ordered, parent, parents, parts, summed
from agent.tasks.intervals import wilson

TREE = {"sport/football": "kicked", "news": "", "sport/tennis/wta": "", "art/film": "", "sport/tennis/atp": ""}
STEPS = st.text("abc", min_size=1, max_size=2)
NAMES = st.lists(st.lists(STEPS, min_size=1, max_size=3).map("/".join), min_size=2, max_size=12, unique=True)


def said(kind: str, labels: dict[str, str], mode: str = "choice", template: str | None = None) -> str:
    """What the oracle is told of the labels."""
    settings = TaskSettings(kind=kind, labels=labels)
    task = build(settings)
    found = Template.find(template or prompt_of(task))
    questions = Questions(Phrasing(task, settings), found, sampling=Sampling("m", mode), guidelines="Be fair.")  # type: ignore[arg-type]
    questions.check(Text(TextId("x"), "a text"))
    return "\n\n".join(m.content for m in questions(Text(TextId("x"), "a text")).messages)


@pytest.mark.parametrize(
    ("names", "steps"),
    [
        (("a/b", "a/c"), 2),
        (("a/b/c", "a/d"), 3),
        (("a/b", "c/d"), 1),
        (("n/a", "and/or", "yes"), 1),
        (("a", "a/b"), 1),
        (("/a", "/b"), 1),
        (("a//b", "a//c"), 1),
        ((), 1),
    ],
)
def test_names_are_a_tree_where_two_of_them_lie_in_one_group(names: tuple[str, ...], steps: int) -> None:
    assert depth(names) == steps
    assert is_tree(names) == (steps > 1)


@given(NAMES)
def test_ordering_parts_no_group_and_keeps_what_came_first(names: list[str]) -> None:
    found = ordered(names)
    assert sorted(found) == sorted(names)
    if not is_tree(names):
        assert list(found) == names
        return
    for level in range(1, depth(tuple(names)) + 1):
        groups = [at_level(n, level) for n in found]
        runs = [g for i, g in enumerate(groups) if i == 0 or g != groups[i - 1]]
        assert len(runs) == len(set(runs)), "each group stands in one piece"
    firsts = list(dict.fromkeys(parts(n)[0] for n in found))
    assert firsts == list(dict.fromkeys(parts(n)[0] for n in names))


@given(NAMES, st.integers(0, 99))
def test_a_group_has_the_probability_of_all_that_lies_in_it(names: list[str], seed: int) -> None:
    chances = np.random.default_rng(seed).dirichlet(np.ones(len(names)), 3).astype(np.float32)
    groups = parents(tuple(names))
    slow = [[sum(p for n, p in zip(names, row, strict=True) if (n + "/").startswith(g + "/")) for g in groups]
            for row in chances]  # fmt: skip
    np.testing.assert_allclose(summed(chances, names), np.reshape(slow, (3, len(groups))), atol=1e-6)
    if is_tree(names):
        assert {parent(n) for n in names} - {""} <= set(groups)


@pytest.mark.parametrize("kind", ["classification", "multilabel"])
def test_the_question_lists_labels_group_by_group(kind: str) -> None:
    asked = said(kind, TREE)
    assert (
        "\nsport:\n  - sport/football: kicked\nsport/tennis:\n  - sport/tennis/wta\n  - sport/tennis/atp\n"
        "- news\nart:\n  - art/film\n"
    ) in asked
    assert "give the whole path" in asked.casefold()


@pytest.mark.parametrize("kind", ["classification", "multilabel"])
@pytest.mark.parametrize("mode", ["choice", "json_schema"])
def test_flat_jobs_are_asked_as_they_were(kind: str, mode: str) -> None:
    flat = {"n/a": "no answer", "and/or": "", "yes": ""}
    assert said(kind, flat, mode) == said(kind, flat, mode, f"{kind}/v3")
    assert said(kind, flat, mode) == said(kind, flat, mode, f"{kind}/v4"), "what is new is for paths alone"


def test_accuracy_is_told_at_each_level_with_an_interval() -> None:
    task = build(TaskSettings(labels=TREE))
    gold = ["sport/tennis/wta", "sport/tennis/wta", "sport/football", "news", "art/film"]
    given = ["sport/tennis/wta", "sport/tennis/atp", "sport/tennis/wta", "news", "news"]
    assert task.metrics(gold, given) == pytest.approx(
        {"accuracy": 2 / 5, "macro_f1": (2 / 4 + 0 + 0 + 2 / 3 + 0) / 5, "accuracy_level_1": 4 / 5}
        | {"accuracy_level_2": 3 / 5}
    )
    found = quality(task, gold, given, "gold", np.random.default_rng(0))
    assert found is not None
    assert [(q.metric, q.value, (q.low, q.high), q.n) for q in found.levels] == [
        ("accuracy_level_1", 0.8, wilson(4, 5), 5),
        ("accuracy_level_2", 0.6, wilson(3, 5), 5),
    ]
    flat = quality(build(TaskSettings(labels=["a", "b"])), ["a"], ["a"], "gold", np.random.default_rng(0))
    assert flat is not None
    assert "levels" not in flat.figures()

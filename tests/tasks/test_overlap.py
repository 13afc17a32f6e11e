"""How alike texts are: the figures of the libraries that the field reports with, and the text most like the
others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu import corpus_bleu, corpus_chrf, sentence_chrf

from agent.errors import ExtraMissing
from agent.job import TaskSettings
from agent.tasks import build, overlap

words = st.lists(st.sampled_from(["the", "cat", "Katze", "über", "saß", "mat", "."]), min_size=1, max_size=8).map(
    " ".join
)
pairs = st.lists(st.tuples(words, st.lists(words, min_size=1, max_size=3).map(tuple)), min_size=1, max_size=6)


@given(pairs)
def test_figures_of_all_texts_are_those_of_sacrebleu(rows: list[tuple[str, tuple[str, ...]]]) -> None:
    said, known = [s for s, _ in rows], [r for _, r in rows]
    most = max(map(len, known))
    streams: Any = [[r[k] if k < len(r) else None for r in known] for k in range(most)]
    ours = overlap.corpus_chrf(overlap.counts(said, known))
    assert ours == pytest.approx(corpus_chrf(said, streams).score / 100)
    assert overlap.corpus_bleu(said, known) == pytest.approx(corpus_bleu(said, streams, force=True).score / 100)


@given(words, words)
def test_one_text_has_the_chrf_of_sacrebleu_and_is_as_like_another_as_that_is_like_it(a: str, b: str) -> None:
    assert overlap.chrf(a, (b,)) == pytest.approx(sentence_chrf(a, [b]).score / 100)
    assert overlap.likeness(a, b) == pytest.approx(overlap.likeness(b, a))
    assert overlap.likeness(a, a) == 1.0


def test_rouge_is_that_of_rouge_score_on_english_and_knows_umlauts() -> None:
    said, known = ["The cat sat down on a mat"], [("A cat sat on the mat", "Nobody came")]
    theirs = RougeScorer(["rouge1", "rouge2", "rougeL"]).score_multi(list(known[0]), said[0])
    assert list(overlap.rouge(said, known).values()) == pytest.approx([s.fmeasure for s in theirs.values()])
    assert overlap.rouge(["schön"], [("schon",)])["rouge_1"] == 0.0


@given(st.lists(words, min_size=1, max_size=6))
def test_the_medoid_is_the_text_of_the_least_expected_loss(texts: list[str]) -> None:
    place, alike = overlap.medoid(texts)
    means = [sum(overlap.likeness(a, b) for j, b in enumerate(texts) if j != i) for i, a in enumerate(texts)]
    assert means[place] == pytest.approx(max(means))
    others = len(texts) - 1
    assert alike == pytest.approx(np.mean(means) / others if others else 1.0)


@pytest.mark.parametrize("library", ["sacrebleu", "rouge_score"])
def test_where_a_library_is_missing_one_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    monkeypatch.setattr(overlap, "find_spec", lambda name: None if name == library else name)
    with pytest.raises(ExtraMissing, match=r"not installed: pip install 'labelwright\[generation\]'"):
        build(TaskSettings(kind="generation", guidelines="Translate."))

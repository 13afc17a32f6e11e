"""Which loss is taken is said, with a reason; the reason is people's labels, and chance is no reason."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from agent.distill import Examples, Model, distil
from agent.distill.epochs import by_depth
from agent.distill.network import Network
from agent.distill.targets import FEWEST_JUDGES
from agent.distill.trials import SIGNIFICANT, Trial, best_of, split, split_by_people
from agent.errors import DataError
from agent.job import DistilSettings
from agent.student.encoder import Encoder
from tests.distill.making import NAMES, examples, sentences

QUICK = {"epochs": 1, "learning_rate": 1e-4, "labels": "as_given"}


def noisy(n: int, people: int) -> Examples:
    """Every fifth label of a machine is wrong, and none of the first `people`, whom persons labelled."""
    known = examples(n)
    wrong = (np.arange(n) % 5 == 0) & (np.arange(n) >= people)
    targets = np.where(wrong[:, None], np.roll(known.targets, 1, axis=1), known.targets)
    return replace(known, targets=targets, people=np.arange(n) < people)


def distilled(known: Examples, encoder: Encoder, folder: Path, **settings: Any) -> tuple[str, list[str]]:
    notes: list[str] = []
    chosen = DistilSettings(**QUICK, **settings)
    distil(known, chosen, encoder=encoder, folder=folder, note=notes.append)
    return (folder / "README.md").read_text(encoding="utf-8"), notes


@pytest.mark.parametrize("loss", ["cross_entropy", "generalised", "reweighted", "co_teaching"])
def test_every_loss_learns_and_stands_in_the_card(encoder: Encoder, tmp_path: Path, loss: str) -> None:
    card, _ = distilled(noisy(300, 0), encoder, tmp_path / "m", loss=loss)
    assert f"| loss | {loss.replace('_', '-')} |" in card
    texts, topics = sentences(60, seed=5)
    said = Model.load(tmp_path / "m").predict(texts).values
    assert np.mean([a == b for a, b in zip(said, topics, strict=True)]) > 0.7


def test_co_teaching_says_how_many_labels_look_wrong_and_doubts_no_person(encoder: Encoder, tmp_path: Path) -> None:
    row = "share of machines' labels that was not learnt in a step"
    card, _ = distilled(noisy(300, 0), encoder, tmp_path / "m", loss="co_teaching")
    (share,) = [float(line.split("|")[2]) for line in card.splitlines() if row in line]
    assert 0.1 < share < 0.3  # one in five is wrong
    known = replace(noisy(90, 0), people=np.ones(90, np.bool_))
    card, _ = distilled(known, encoder, tmp_path / "people", loss="co_teaching")
    assert row not in card


def test_auto_is_plain_cross_entropy_without_peoples_labels_and_says_so(encoder: Encoder, tmp_path: Path) -> None:
    card, notes = distilled(noisy(120, 30), encoder, tmp_path / "auto", loss="auto")
    distilled(noisy(120, 30), encoder, tmp_path / "plain")
    assert "| loss | cross-entropy |" in card
    assert "there are no 100 labels of people to choose by" in card
    assert any("cross_entropy; there are no 100" in note for note in notes)
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("auto", "plain")]
    assert weights[0] == weights[1]


def test_auto_tries_all_on_peoples_labels_and_says_what_came_of_it(encoder: Encoder, tmp_path: Path) -> None:
    card, notes = distilled(noisy(300, 120), encoder, tmp_path / "m", loss="auto")
    assert [n for n in notes if "is tried" in n] == [
        "loss 1 of 4 is tried: cross_entropy",
        "loss 2 of 4 is tried: generalised",
        "loss 3 of 4 is tried: reweighted",
        "loss 4 of 4 is tried: co_teaching",
    ]
    assert "120 held-out labels" in card
    assert "| texts learnt from | 300 |" in card  # in the end it learns from people's labels too
    assert not (tmp_path / ".m.training").exists()


def test_what_was_tried_before_a_kill_is_not_tried_again(encoder: Encoder, tmp_path: Path) -> None:
    class KilledError(BaseException):
        pass

    def dies(said: str) -> None:
        if said.startswith("loss 3"):
            raise KilledError

    known, settings = noisy(300, 120), DistilSettings(**QUICK, loss="auto")
    with pytest.raises(KilledError):
        distil(known, settings, encoder=encoder, folder=tmp_path / "m", note=dies)
    _, notes = distilled(known, encoder, tmp_path / "m", loss="auto")
    distilled(known, encoder, tmp_path / "whole", loss="auto")
    assert [n for n in notes if "is tried" in n] == [
        "loss 3 of 4 is tried: reweighted",
        "loss 4 of 4 is tried: co_teaching",
    ]
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("m", "whole")]
    assert weights[0] == weights[1]


def test_judges_are_people_where_there_are_enough_of_them_and_half_the_labels_at_most() -> None:
    assert split_by_people(noisy(300, FEWEST_JUDGES - 1)) is None
    assert split_by_people(noisy(150, 120)) is None
    found = split_by_people(noisy(300, 120))
    assert found is not None
    assert found.held.tolist() == list(range(120))
    assert sorted([*found.learn.tolist(), *found.held.tolist()]) == list(range(300))


def test_too_few_labels_to_compare_anything_on_are_refused() -> None:
    with pytest.raises(DataError, match="label more texts first"):
        split(examples(100))


def trial(name: str, right: list[bool], megabytes: float = 10) -> Trial:
    return Trial(name, np.array(right, np.bool_), 1.0, megabytes)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_the_second_of_two_wins_only_beyond_chance(pairs: list[tuple[bool, bool]]) -> None:
    """The slow obvious twin: how likely so many wins, or more, are for a fair coin, twice."""
    first, second = trial("a", [a for a, _ in pairs]), trial("b", [b for _, b in pairs])
    wins, losses = sum(b and not a for a, b in pairs), sum(a and not b for a, b in pairs)
    chance = min(1.0, 2 * float(binom.sf(wins - 1, wins + losses, 0.5)))
    assert (best_of([first, second])[0] is second) == (wins > losses and chance < SIGNIFICANT)


def test_of_two_alike_the_smaller_is_kept_and_a_larger_one_only_where_it_is_better() -> None:
    same = [True] * 60 + [False] * 40
    large, small = trial("large", same, 90), trial("small", same, 20)
    assert best_of([large, small])[0] is small
    better = trial("large", [True] * 90 + [False] * 10, 90)
    best, why = best_of([better, small])
    assert best is better
    assert why == "90.0% of 100 held-out labels, small 60.0%: better beyond chance"


def test_a_deeper_layer_learns_slower(encoder: Encoder) -> None:
    network = Network.open(encoder, NAMES, multilabel=False, seed=0)
    for parameter in network.model.get_input_embeddings().parameters():
        parameter.requires_grad_(False)
    groups = by_depth(network.model, 1.0, 0.5)
    rates = {id(p): rate for parameters, rate in groups for p in parameters}
    named = {name: rates.get(id(p)) for name, p in network.model.named_parameters()}
    layers = [named[f"bert.encoder.layer.{i}.output.dense.weight"] for i in range(3)]
    assert layers == [0.125, 0.25, 0.5]
    assert named["classifier.weight"] == named["bert.pooler.dense.weight"] == 1.0
    assert named["bert.embeddings.LayerNorm.weight"] == 0.0625
    assert sorted(named) == sorted(n for n, p in network.model.named_parameters())
    assert len(rates) == sum(p.requires_grad for p in network.model.parameters())

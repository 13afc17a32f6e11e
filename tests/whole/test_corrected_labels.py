"""An oracle that takes one class for another, people who see some of it, and the model that learns what it meant."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from agent.distill import Model
from agent.job import Job
from agent.lessons import examples_of, hash_of, lessons_that_count
from agent.loop import run
from agent.workbench import Workbench
from tests.servers.scripted import ScriptedServer
from tests.whole.jobs import answer_queue, truth, write_job

Serve = Callable[..., ScriptedServer]


def misled() -> dict[str, str]:
    """Half of the animals are called tools."""
    found = dict(truth())
    animals = [text for text, label in found.items() if label == "animal"]
    return found | dict.fromkeys(animals[::2], "tool")


def job(folder: Path, server: ScriptedServer, **changes: object) -> Job:
    plan = {"selection__batch": 40, "stop__max_rounds": 5, "people__threshold": 0.7, "people__audit": 0.2}
    return Job.load(write_job(folder, oracle__base_url=server.url, **(plan | changes)))


def test_the_model_learns_what_a_misled_oracle_meant(tmp_path: Path, serve_gold: Serve) -> None:
    small = job(tmp_path, serve_gold(misled()))
    run(small)
    answer_queue(small)
    run(small)
    card = (tmp_path / "out" / "model" / "README.md").read_text(encoding="utf-8")
    assert "tool for animal (" in card
    gold = dict(truth())
    said = Model.load(tmp_path / "out" / "model").predict(list(gold)).values
    right = [said[i] == label for i, label in enumerate(gold.values()) if label == "animal"]
    assert sum(right) >= 0.9 * len(right)


def test_who_would_have_no_label_doubted_has_none_put_right(tmp_path: Path, serve_gold: Serve) -> None:
    small = job(tmp_path, serve_gold(misled()), student__label_noise="ignore")
    run(small)
    assert "learnt as another class" not in (tmp_path / "out" / "model" / "README.md").read_text(encoding="utf-8")


def test_what_an_oracle_said_before_a_person_did_is_kept_beside_it(tmp_path: Path, serve_gold: Serve) -> None:
    small = job(tmp_path, serve_gold(misled()), distil__enabled=False)
    run(small)
    answer_queue(small)
    oracle, gold = misled(), dict(truth())
    with Workbench(small) as bench:
        known = examples_of(bench, lessons_that_count(bench))
    names = list(known.names)
    assert known.people is not None
    assert known.told is not None
    told = {text: row for text, row, person in zip(known.texts, known.told, known.people, strict=True) if person}
    heard = {text: names[row.argmax()] for text, row in told.items() if row.sum()}
    assert heard == {text: oracle[text] for text in heard}
    assert any(oracle[text] != gold[text] for text in heard)
    assert len(told) > len(heard)  # nobody asked the oracle about the seed
    given = [names[row.argmax()] for row in known.targets[known.people]]
    assert given == [gold[text] for text in told]


def test_a_model_is_made_anew_only_where_labels_may_be_put_right(tmp_path: Path, serve_gold: Serve) -> None:
    """What it was made from does not change with a setting that has no effect."""
    server = serve_gold(misled())
    for rounds, other in ((1, False), (5, True)):
        how = {"distil__enabled": False, "stop__max_rounds": rounds}
        small = job(tmp_path, server, **how)
        run(small)
        if other:  # what people put right was said by a machine, too
            answer_queue(small)
        made_from = []
        for labels in ("corrected", "as_given"):
            with Workbench(job(tmp_path, server, distil__labels=labels, **how)) as bench:
                lessons = lessons_that_count(bench)
                made_from.append(hash_of(bench, lessons))
        assert (made_from[0] != made_from[1]) == other, f"{len(lessons)} labels"

"""Every kind of task on a real set, from choosing to what is handed over: the job files of docs/tasks, small slices.

The oracle is scripted from gold with a stated share of wrong answers. What waits is reviewed by HTTP or in a browser.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from playwright.sync_api import expect
from transformers import pipeline

from agent.job import Job, TaskSettings
from agent.records import Source, Text, TextId, Value
from agent.review.card import plain
from agent.tasks import Spans
from tests.review.browsers import DESKTOP, Reviewer, chromium
from tests.whole.jobs import shown_job
from tests.whole.real import LABELS, Handed, Make, RealJob, Row, Truth, drawn, forgetful

POOL, GOLD, REVIEWED = 160, 60, 6
ERRORS = 0.15
Mark = Callable[[Row], Value | None]


@pytest.mark.parametrize("page", ["classification", "multilabel"])
def test_the_job_of_a_page_is_one(page: str, tmp_path: Path) -> None:
    assert Job.of(shown_job(page), tmp_path).task.kind == page


def slices(folder: Path, label: Mark) -> tuple[Truth, Truth]:
    """Texts of the pool and of gold."""
    return drawn(folder / "train.parquet", POOL, label), drawn(folder / "test.parquet", GOLD, label)


def labels_of(row: Row) -> tuple[str, ...]:
    return tuple(row["labels"])


def spans_job(labels: dict[str, str], name: str) -> tuple[Row, Spans]:
    settings = shown_job("spans")
    settings |= {"name": name, "task": {"kind": "spans", "labels": labels}}
    return settings, Spans(TaskSettings(**settings["task"]))


def bought(real: RealJob, kind: str) -> dict[str, float]:
    """Select, ask and triage; how right the oracle's labels are that were kept."""
    assert kind in real.command("check")
    real.command("run")
    assert len(real.labels(Source.ORACLE)) == LABELS
    return real.quality(Source.ORACLE)


def is_whole(real: RealJob, handed: Handed, metric: str, reviewed: int = REVIEWED) -> None:
    """What a person said is what counts, in what is exported and in the report."""
    said = real.labels(Source.PERSON)
    assert len(said) == reviewed
    assert all(real.task.show(x.value) == real.task.show(real.truth[text]) for text, x in said)
    people = [row for row in handed.exported if row["source"] == "person"]
    read = {row["text"]: real.task.read(row["label"], Text(TextId("x"), row["text"])) for row in people}
    assert read == {text: x.value for text, x in said}
    assert len(handed.exported) == LABELS
    distilled = next(m for m in handed.report["models"] if m["name"] == "distilled")
    assert distilled["accuracy"]["n"] == GOLD
    assert distilled["accuracy"].get("metric", "accuracy") == metric
    assert handed.report["reviews"]["labelled"] == reviewed
    assert f"| {metric.replace('_', chr(92) + '_')} |" in (handed.model / "README.md").read_text(encoding="utf-8")
    assert [row["text"] for row in handed.predicted] == list(real.gold)


def in_a_browser(real: RealJob, count: int) -> None:
    """Ada labels by keyboard what waits: number keys put right what the machine said, Enter takes the rest."""
    with real.served() as served, chromium() as browser:
        context = browser.new_context(viewport=DESKTOP)
        ada = Reviewer(context.new_page(), served)
        waiting = len(real.waiting())
        for left in range(waiting, waiting - count, -1):
            ada.left(left)
            text = ada.page.evaluate("document.getElementById('text').textContent").strip()
            _answer(ada, plain(real.truth[text], real.task))
        ada.left(waiting - count)
        ada.until(lambda: len(real.waiting()) == waiting - count)  # the page goes on before the last label is stored
        assert ada.errors == []
        context.close()


def _answer(ada: Reviewer, value: str | list[str]) -> None:
    """Give one item this label, or just these."""
    buttons = ada.page.locator("#labels .label")
    if isinstance(value, str):
        names = [button.get_attribute("data-name") for button in buttons.all()]
        ada.press(str(names.index(value) + 1))
        return
    on = {b.get_attribute("data-name") for b in ada.page.locator("#labels .label.on").all()}
    for name in sorted(on ^ set(value)):
        ada.page.locator(f'#labels .label[data-name="{name}"]').click()
    expect(ada.page.locator("#labels .label.on")).to_have_count(len(value))
    ada.press("Enter", *([] if value or not on else ["Enter"]))


@pytest.mark.slow
def test_sentiment(shared_data: Path, make: Make) -> None:
    folder = shared_data / "uci_sentiment"
    pool, gold = (
        drawn(folder / f"{s}.parquet", n, lambda r: r["label"]) for s, n in (("train", POOL), ("test", GOLD))
    )
    real = make(shown_job("classification"), pool, gold, ERRORS)
    assert bought(real, "classification, 2 labels")["accuracy"] == pytest.approx(1 - ERRORS, abs=0.1)
    in_a_browser(real, REVIEWED)
    handed = real.hand_over()
    is_whole(real, handed, "accuracy")
    classify = pipeline("text-classification", model=str(handed.model), truncation=True, device="cpu")
    assert [found["label"] for found in classify(list(gold))] == [row["label"] for row in handed.predicted]
    assert handed.report["confusion"]["names"] == ["negative", "positive"]


@pytest.mark.slow
def test_feelings(shared_data: Path, make: Make) -> None:
    """28 labels, most texts with one, noisy gold; reviewed in a browser, where labels have a filter."""
    folder = shared_data / "goemotions"
    pool, gold = slices(folder, labels_of)
    real = make(shown_job("multilabel"), pool, gold, ERRORS)
    assert bought(real, "multilabel, 28 labels")["accuracy"] == pytest.approx(1 - ERRORS, abs=0.1)
    in_a_browser(real, REVIEWED)
    handed = real.hand_over()
    is_whole(real, handed, "micro_f1")
    assert all(isinstance(row["labels"], list) for row in handed.predicted)


@pytest.mark.slow
def test_intents(shared_data: Path, make: Make) -> None:
    """62 labels, two or three a text, some with none."""
    folder = shared_data / "nlupp"
    pool, gold = slices(folder, labels_of)
    names = json.loads((folder / "labels.json").read_text(encoding="utf-8"))
    settings = shown_job("multilabel") | {"name": "intents", "task": {"kind": "multilabel", "labels": names}}
    real = make(settings, pool, gold, ERRORS)
    kept = bought(real, "multilabel, 62 labels")
    assert kept["accuracy"] == pytest.approx(1 - ERRORS, abs=0.1)
    assert kept["micro_f1"] > 0.9, "one of two or three is forgotten, now and then"
    real.review(REVIEWED)
    is_whole(real, real.hand_over(), "micro_f1")


@pytest.mark.slow
def test_slots(shared_data: Path, make: Make) -> None:
    """The same texts, of which pieces are marked: 17 kinds, most texts without any."""
    path = shared_data / "nlupp"
    rows = [r for s in ("train", "test") for r in pq.read_table(path / f"{s}.parquet").to_pylist()]
    names = sorted({slot["slot"] for row in rows for slot in json.loads(row["slots"])})
    settings, task = spans_job(dict.fromkeys(names, ""), "slots")

    def label(row: Row) -> Value | None:
        slots = [{"start": s["start"], "end": s["end"], "label": s["slot"]} for s in json.loads(row["slots"])]
        try:
            return tuple(task.read(slots, Text(TextId(row["id"]), row["text"]))) if slots else None
        except ValueError:  # one text has a slot inside another
            return None

    marks_go_through(shared_data / "nlupp", make, settings, task, label)


@pytest.mark.slow
def test_chemicals_and_diseases(shared_data: Path, make: Make) -> None:
    """Abstracts of papers: several spans a sentence, long names, words that punctuation parts."""
    labels = {"Chemical": "a drug or another substance", "Disease": "a disease, a symptom or an injury"}
    settings, task = spans_job(labels, "papers")

    def label(row: Row) -> Value | None:
        return tuple(task.read(row["tags"], Text(TextId(row["id"]), row["text"])))

    marks_go_through(shared_data / "bc5cdr", make, settings, task, label)


def marks_go_through(folder: Path, make: Make, settings: Row, task: Spans, label: Mark) -> None:
    pool, gold = slices(folder, label)
    rng = np.random.default_rng(1)
    said: Truth = {text: forgetful(value, task.types, ERRORS, rng) for text, value in pool.items()}
    real = make(settings, pool, gold, said=said)
    kept = bought(real, f"spans, {len(task.types)} labels")
    assert kept["f1"] > 1 - ERRORS
    real.review(REVIEWED)
    handed = real.hand_over()
    is_whole(real, handed, "f1")
    words = {row["text"]: row["spans"] for row in handed.predicted}
    found = [s for t, cell in words.items() for s in (json.loads(cell) if isinstance(cell, str) else cell)]
    assert all(s["label"] in task.types for s in found)

"""The section on agreement, on the page and in the terminal."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from agent.report import Evidence, gather, page, write
from agent.report.agreement import told
from agent.report.page import WRITERS
from agent.report.terminal import final_table
from agent.store import Store
from tests.report import a_job, sample
from tests.report.test_page import Seen, look_up
from tests.report.test_terminal import shown


@pytest.fixture
def several(done: Store) -> Store:
    """The finished job, with a second person."""
    for i in range(5):
        a_job.answer(done, f"t{i}", a_job.CLASSES[i % 2], "bo <b>\x1b[31m")
    return done


def test_every_figure_of_the_section_stands_in_the_json(several: Store, tmp_path: Path) -> None:
    findings = gather(several, a_job.JOB, a_job.task(), Evidence())
    html, data = write(findings, tmp_path)
    seen = Seen(html.read_text("utf-8"))
    figures = [f for f in seen.figures if f[0].startswith("agreement.")]
    assert len(figures) > 20
    for path, value, said in figures:
        exact = look_up(json.loads(data.read_text("utf-8")), path)
        assert float(value) == exact
        assert said in {how(exact) for how in WRITERS.values()}
    assert "not known" not in seen.text
    assert "Krippendorff’s alpha" in seen.text
    assert "bo <b>" in seen.text  # as it is written, and no markup


def test_a_job_in_which_no_two_labelled_the_same_has_no_section() -> None:
    assert 'id="agreement"' not in page(sample.news())
    assert "agreement" not in shown(final_table(replace(sample.news(), agreement=None)))


def test_the_terminal_says_the_same(several: Store) -> None:
    findings = gather(several, a_job.JOB, a_job.task(), Evidence())
    assert findings.agreement is not None
    said = dict(told(findings.agreement))
    assert {"people", "all raters", "pair", "label", "person", "note"} <= set(said)
    assert "Krippendorff’s alpha" in " ".join(shown(final_table(findings)).split())
    assert "\x1b" not in "".join(f"{a}{b}" for a, b in told(findings.agreement))
    assert " nan" not in "".join(f"{a} {b}" for a, b in told(findings.agreement))
